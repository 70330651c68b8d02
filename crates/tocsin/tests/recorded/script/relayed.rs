//! What the server changed in a request that it relayed.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::matcher::changes;

/// What stands for a branch that the server made.
const TOKEN: &str = "branch=@B@";

static BRANCH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"branch=z9hG4bK([^;,\s]*)").unwrap());

/// The differences between a relayed request and the one that was sent: `- line gone`, `+ new line @ header before it`;
/// `=` if there is none. Headers in `skip` do not count.
pub(super) fn edits(sent: &str, relayed: &str, skip: &[String]) -> Vec<String> {
    let (old, new) = (lines(sent, skip), lines(relayed, skip));
    let mut edits = Vec::new();
    for change in changes(&old, &new) {
        edits.extend(old[change.gone].iter().map(|line| format!("- {line}")));
        edits.extend(change.new.map(|index| match index.checked_sub(1) {
            Some(before) => format!("+ {} @ {}", new[index], place(&new[before])),
            None => format!("+ {}", new[index]),
        }));
    }
    if edits.is_empty() { vec!["=".to_owned()] } else { edits }
}

/// The lines of a message that count; those of the body begin with `| `.
fn lines(message: &str, skip: &[String]) -> Vec<String> {
    let text = without_branches(&message.replace("\r\n", "\n"));
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let counts = |line: &&str| !skip.iter().any(|name| line.split(':').next() == Some(name));
    let mut lines: Vec<_> = head.split('\n').filter(counts).map(str::to_owned).collect();
    if !body.is_empty() {
        lines.extend(body.trim_end_matches('\n').split('\n').map(|line| format!("| {line}")));
    }
    lines
}

/// Those that the cases send begin with `z9hG4bK-t` and stay.
fn without_branches(text: &str) -> String {
    let replaced = BRANCH.replace_all(text, |found: &Captures<'_>| {
        if found[1].starts_with("-t") { found[0].to_owned() } else { TOKEN.to_owned() }
    });
    replaced.into_owned()
}

/// Where a line is: the header before it, or the body.
fn place(before: &str) -> &str {
    if before.starts_with("| ") {
        return "body";
    }
    let name = before.split(':').next().unwrap_or_default();
    name.split(' ').next().unwrap_or_default()
}
