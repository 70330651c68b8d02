//! What is known to differ: `pending.txt` and `deliberate.txt`.
//!
//! Both are read alike. A line that is not indented names a case, `TABLE/AREA/NAME`, and may go on with `: ` and a reason;
//! the indented lines below it are the only items of the case that differ. Without such lines the case may differ
//! anywhere. Lines that begin with `#` are comments, and belong to the case below them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;

use super::area::{Difference, Outcome};
use super::cases;

/// A case with more differences than this is pending as a whole.
const MOST_ITEMS: usize = 20;

/// The tests of several areas may write at the same time.
static WRITING: Mutex<()> = Mutex::new(());

/// Both lists.
pub(crate) struct Lists {
    pending: List,
    deliberate: List,
}

/// What may differ in one case, and must.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The case is named as a whole.
    whole: bool,
    items: BTreeSet<String>,
}

/// The entries of a file, by the name of their case.
#[derive(Default)]
struct List {
    /// The comment at its top.
    head: String,
    entries: BTreeMap<String, Entry>,
}

#[derive(Default)]
struct Entry {
    comments: String,
    reason: String,
    items: Vec<String>,
}

/// Reads both.
pub(crate) fn read() -> Lists {
    let _turn = WRITING.lock().unwrap();
    Lists { pending: List::read("pending.txt"), deliberate: List::read("deliberate.txt") }
}

/// Replaces what `pending.txt` says of an area by what differs now and not on purpose.
pub(crate) fn write_pending<'a>(area: &str, outcomes: impl Iterator<Item = (&'a str, &'a Outcome)>) {
    let _turn = WRITING.lock().unwrap();
    let (mut pending, deliberate) = (List::read("pending.txt"), List::read("deliberate.txt"));
    let prefix = format!("{area}/");
    let mut comments: BTreeMap<_, _> = BTreeMap::new();
    pending.entries.retain(|name, entry| {
        let stays = !name.starts_with(&prefix);
        if !stays {
            comments.insert(name.clone(), std::mem::take(&mut entry.comments));
        }
        stays
    });
    for (name, outcome) in outcomes {
        let on_purpose = deliberate.expected(name);
        let items: BTreeSet<_> = outcome.differences().iter().map(|difference| &difference.item).collect();
        let items: Vec<_> = items.into_iter().filter(|item| !on_purpose.has(item)).cloned().collect();
        if items.is_empty() {
            continue;
        }
        let whole = items.len() > MOST_ITEMS || items.iter().any(String::is_empty);
        let entry = Entry {
            comments: comments.remove(name).unwrap_or_default(),
            reason: String::new(),
            items: if whole { Vec::new() } else { items },
        };
        pending.entries.insert(name.to_owned(), entry);
    }
    pending.write("pending.txt");
}

impl Lists {
    /// What must differ in a case.
    pub(crate) fn expected(&self, case: &str) -> Expected {
        let (pending, mut expected) = (self.pending.expected(case), self.deliberate(case));
        expected.whole |= pending.whole;
        expected.items.extend(pending.items);
        expected
    }

    /// What must differ on purpose.
    pub(crate) fn deliberate(&self, case: &str) -> Expected {
        self.deliberate.expected(case)
    }
}

impl Expected {
    /// Whether this item may differ.
    pub(crate) fn has(&self, item: &str) -> bool {
        self.whole || self.items.contains(item)
    }

    /// What should differ and does not.
    pub(crate) fn gone(&self, differences: &[Difference]) -> Option<String> {
        if self.whole {
            return differences.is_empty().then(|| "it passes now".to_owned());
        }
        let gone = |item: &&String| differences.iter().all(|difference| difference.item != **item);
        let gone: Vec<_> = self.items.iter().filter(gone).cloned().collect();
        match gone.len() {
            0 => None,
            count if count == self.items.len() && differences.is_empty() => Some("it passes now".to_owned()),
            _ => Some(format!("`{}` is right now", gone.join("`, `"))),
        }
    }
}

impl List {
    fn read(file: &str) -> Self {
        let text = fs::read_to_string(cases::folder().join(file))
            .unwrap_or_else(|cause| panic!("{file}: {cause}: it lies beside the cases, and may be empty"));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut list = Self::default();
        let (head, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let is_comment = |line: &str| line.starts_with('#');
        let rest = if head.lines().all(is_comment) {
            list.head = head.to_owned();
            rest
        } else {
            text
        };
        let (mut comments, mut name) = (String::new(), String::new());
        for line in rest.lines().filter(|line| !line.trim().is_empty()) {
            if is_comment(line) {
                comments += line;
                comments.push('\n');
            } else if line.starts_with(' ') {
                let entry = list.entries.get_mut(&name).expect("an item is below its case");
                entry.items.push(line.trim().to_owned());
            } else {
                let (case, reason) = line.split_once(": ").unwrap_or((line, ""));
                case.clone_into(&mut name);
                let entry = Entry {
                    comments: std::mem::take(&mut comments),
                    reason: reason.to_owned(),
                    items: Vec::new(),
                };
                let before = list.entries.insert(name.clone(), entry);
                assert!(before.is_none(), "a list names {name} twice");
            }
        }
        list
    }

    fn expected(&self, case: &str) -> Expected {
        let Some(entry) = self.entries.get(case) else { return Expected::default() };
        Expected { whole: entry.items.is_empty(), items: entry.items.iter().cloned().collect() }
    }

    fn write(&self, file: &str) {
        let mut text = format!("{}\n\n", self.head);
        for (name, entry) in &self.entries {
            let reason = if entry.reason.is_empty() { String::new() } else { format!(": {}", entry.reason) };
            writeln!(text, "{}{name}{reason}", entry.comments).unwrap();
            for item in &entry.items {
                writeln!(text, "    {item}").unwrap();
            }
        }
        fs::write(cases::folder().join(file), text).unwrap();
    }
}

#[test]
fn lists_name_cases() {
    let lists = read();
    let pending = lists.pending.entries.keys().map(|name| ("pending.txt", name));
    let deliberate = lists.deliberate.entries.keys().map(|name| ("deliberate.txt", name));
    for (file, name) in pending.chain(deliberate) {
        let path = cases::folder().join("cases").join(format!("{name}.json"));
        assert!(path.is_file(), "{file} names {name}, which is no case");
    }
}

/// The reason of a deliberate difference stands, word for word, where operators read it.
#[test]
fn deliberate_differences_are_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = words(&fs::read_to_string(page).unwrap());
    for (name, entry) in &read().deliberate.entries {
        assert!(!entry.reason.is_empty(), "deliberate.txt says no reason for {name}");
        let known = page.contains(&words(&entry.reason));
        assert!(known, "docs/compatibility.md does not say of {name}: {}", entry.reason);
    }
}

#[test]
fn a_list_is_read_as_it_is_written() {
    let text = "# head\n\n# why\nscript/a/b: a reason\n    log 1\n    log 2\nsip/c/d\n";
    let list = List::parse(text);
    assert_eq!((list.head.as_str(), list.entries.len()), ("# head", 2));
    let expected = list.expected("script/a/b");
    assert!(expected.has("log 2") && !expected.has("log 3"));
    assert!(list.expected("sip/c/d").has("anything") && !list.expected("sip/c/e").has("anything"));
}
