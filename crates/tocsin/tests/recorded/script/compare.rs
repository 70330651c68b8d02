//! The recording of a case held against what was observed: by label and occurrence in the log, by place elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::area::Difference;
use super::case::ScriptCase;
use super::log::first_error;
use super::stage::Observed;

/// Lines by what they are about, such as `log 023`, in their order.
type Lines = Vec<(String, String)>;

/// All that differs.
pub(super) fn differences(case: &ScriptCase, observed: &Observed) -> Vec<Difference> {
    let recorded_log = keyed("log", &case.log, label);
    let defects: BTreeSet<_> = case.defects.iter().map(|index| recorded_log[*index].0.as_str()).collect();
    let mut wanted = recorded_log.clone();
    wanted.extend(exchanged(&case.replies, &case.relayed));
    let mut found = keyed("log", &observed.log, label);
    found.extend(exchanged(&observed.replies, &observed.relayed));

    let counts = |item: &str| !defects.contains(item);
    let mut rest: BTreeMap<_, _> = found
        .iter()
        .enumerate()
        .map(|(place, (item, text))| (item.as_str(), (place, text.as_str())))
        .collect();
    let mut differences = Vec::new();
    for (item, text) in &wanted {
        let found = rest.remove(item.as_str()).map(|(_, text)| text);
        if counts(item) && found != Some(text) {
            differences.push(difference(item, text, found.unwrap_or("nothing")));
        }
    }
    let mut extra: Vec<_> = rest.into_iter().filter(|(item, _)| counts(item)).collect();
    extra.sort_by_key(|(_, (place, _))| *place);
    differences.extend(
        extra.into_iter().map(|(item, (_, text))| difference(&format!("extra {item}"), "nothing", text)),
    );
    if observed.died {
        differences.push(difference("died", "goes on", &first_error(&observed.text)));
    }
    differences
}

/// A difference in one item, which is a line of a list: without space around it.
pub(super) fn difference(item: &str, wanted: &str, found: &str) -> Difference {
    let item = item.trim().escape_debug().to_string();
    Difference {
        text: format!("{item}: wanted {wanted:?}\n    {:1$} got    {found:?}", "", item.len()),
        item,
    }
}

/// Replies and relayed requests.
fn exchanged(replies: &[String], relayed: &[Vec<String>]) -> Lines {
    let mut lines: Lines =
        replies.iter().enumerate().map(|(index, reply)| (format!("reply {index}"), reply.clone())).collect();
    for (index, edits) in relayed.iter().enumerate() {
        lines.extend(keyed(&format!("relayed {index}"), edits, beginning));
    }
    lines
}

/// Names each line by its key, and its number if there are several of that key.
fn keyed(kind: &str, lines: &[String], key: impl Fn(&str) -> &str) -> Lines {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut named = Lines::new();
    for line in lines {
        let (key, count) = (key(line), counts.entry(key(line)).or_default());
        *count += 1;
        let number = if *count == 1 { String::new() } else { format!("#{count}") };
        named.push((format!("{kind} {key}{number}"), line.clone()));
    }
    named
}

/// The word behind `XX`.
fn label(line: &str) -> &str {
    let head: String = line.chars().take(12).collect();
    let line = if head.contains(":XX ") { line.rsplit(":XX ").next().unwrap_or(line) } else { line };
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("XX"), Some(label)) => label,
        (first, _) => first.unwrap_or_default(),
    }
}

/// What an edit is about: all before the first colon or equals sign, but not more than 30 characters.
fn beginning(line: &str) -> &str {
    let key = if line.contains([':', '=']) {
        let name = line.split(':').next().unwrap_or_default();
        name.split('=').next().unwrap_or_default()
    } else {
        line
    };
    key.char_indices().nth(30).map_or(key, |(end, _)| &key[..end])
}
