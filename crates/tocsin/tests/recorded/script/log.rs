//! What the script logs: the entries that begin with `XX`, among all others that the server writes.

use std::sync::LazyLock;

use regex::Regex;

/// The beginning of an entry: time, process, level.
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} \[[0-9]+\] ?(?:([A-Z]+):)?").unwrap()
});
/// The same behind an entry that a NUL byte cut short, so that its line does not end.
static WITHIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[^\n]([A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} \[[0-9]+\] )").unwrap()
});

/// The entries that the script wrote, without what comes before `XX`, or with the level. An entry may have several lines.
pub(super) fn entries(text: &str, levels: bool) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in split_within(text).split('\n') {
        let Some(found) = PREFIX.captures(line) else {
            if let Some(entry) = entries.last_mut().filter(|_| goes_on) {
                entry.push('\n');
                entry.push_str(line);
            }
            continue;
        };
        let message = &line[found[0].len()..];
        goes_on = message.starts_with("XX ");
        if goes_on {
            let level = found.get(1).filter(|_| levels).map(|level| format!("{}:", level.as_str()));
            entries.push(level.unwrap_or_default() + message);
        }
    }
    for entry in &mut entries {
        *entry = entry.replace('\0', "").trim_end_matches('\n').to_owned();
    }
    entries
}

/// The first line that says what is wrong, or else the first line.
pub(super) fn first_error(text: &str) -> String {
    let error = text.lines().find_map(|line| {
        let found = PREFIX.captures(line)?;
        let level = found.get(1)?.as_str();
        matches!(level, "CRITICAL" | "ERROR" | "ALERT").then(|| line[found[0].len()..].trim())
    });
    error.or(text.trim().lines().next()).unwrap_or_default().chars().take(200).collect()
}

/// Puts each beginning of an entry at the beginning of a line.
fn split_within(text: &str) -> String {
    let mut split = String::with_capacity(text.len());
    let mut done = 0;
    for found in WITHIN.captures_iter(text) {
        let start = found.get(1).unwrap().start();
        split += &text[done..start];
        split.push('\n');
        done = start;
    }
    split + &text[done..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_may_have_several_lines() {
        let text = "Nov  3 10:11:12 [17] XX a 1\nmore\nNov  3 10:11:12 [17] ERROR:other\nNov 13 10:11:12 [17] DBG:XX b\n";
        assert_eq!(entries(text, false), ["XX a 1\nmore", "XX b"]);
        assert_eq!(entries(text, true)[1], "DBG:XX b");
    }

    #[test]
    fn an_entry_that_is_cut_short_ends_at_the_next() {
        let text = "Nov  3 10:11:12 [17] XX a \0Nov  3 10:11:12 [17] XX b\n";
        assert_eq!(entries(text, false), ["XX a ", "XX b"]);
    }
}
