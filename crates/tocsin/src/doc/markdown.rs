//! The pages of `docs/reference`.

use std::fmt::Write as _;

use tocsin_server::settings::{Parameter, TOPICS, parameter};

/// The core parameters of the OpenSIPS 3.4 manual, one a line; `#` begins a comment.
const MANUAL: &str = include_str!("../../tests/reference/core-parameters.txt");

const HEAD: &str = "# Core parameters

<!-- Written by `tocsin doc --markdown`: change the rows in crates/server/src/settings, not this page. -->

What a configuration may set outside of modules and routes: `NAME = VALUE`. A value that cannot be used is an error with its
place, also with `tocsin -C`. `tocsin -C` lists the parameters of a configuration that have no effect, too, and
`tocsin doc NAME` shows one of them.
";

/// `docs/reference/core-parameters.md`.
pub(super) fn core_parameters() -> String {
    let mut page = HEAD.to_owned();
    for topic in TOPICS {
        let (idle, acting): (Vec<_>, Vec<_>) =
            topic.parameters.iter().partition(|parameter| parameter.idle_because().is_some());
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n", topic.title);
        if !acting.is_empty() {
            page.push_str("\n| parameter | takes | default | |\n|---|---|---|---|\n");
            acting.iter().for_each(|parameter| acting_row(&mut page, parameter));
        }
        if !idle.is_empty() {
            page.push_str("\n| read without effect | | why |\n|---|---|---|\n");
            idle.iter().for_each(|parameter| idle_row(&mut page, parameter));
        }
    }
    page.push_str("\n## Not there yet\n\nThe OpenSIPS 3.4 manual has these, and a configuration with one of them is refused: ");
    let missing: Vec<_> = missing().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(page, "{}.", missing.join(", "));
    page
}

fn acting_row(page: &mut String, parameter: &Parameter) {
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} |",
        names(parameter),
        cell(&parameter.kind.to_string()),
        cell(&parameter.default.to_string()),
        cell(parameter.doc)
    );
}

fn idle_row(page: &mut String, parameter: &Parameter) {
    let why = parameter.idle_because().unwrap_or_default();
    let _ = writeln!(page, "| {} | {} | {} |", names(parameter), cell(parameter.doc), cell(why));
}

fn names(parameter: &Parameter) -> String {
    let older = parameter.older.iter().map(|name| format!(", older `{name}`"));
    format!("`{}`{}", parameter.name, older.collect::<String>())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn missing() -> impl Iterator<Item = &'static str> {
    let names = MANUAL.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.filter(|name| parameter(name).is_none())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_the_repository_is_not_stale() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/core-parameters.md");
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == core_parameters(),
            "docs/reference/core-parameters.md is stale: write it again with \
             `cargo run -- doc --markdown > docs/reference/core-parameters.md`"
        );
    }

    #[test]
    fn what_is_missing_is_in_the_manual_and_not_here() {
        let missing: Vec<_> = missing().collect();
        assert!(missing.contains(&"mem-group"), "{missing:?}");
        assert!(!missing.contains(&"log_level"));
        let page = core_parameters();
        assert!(page.contains("`mem-group`") && page.contains("| `log_level`, older `debug` |"), "{page}");
    }
}
