//! The pages of `docs/reference`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tocsin_script::{TRANSFORMATIONS, Transformation};
use tocsin_server::settings::{Parameter, TOPICS, parameter};

use super::management::{Names, command_table, event_tables, statistic_table};
use super::{functions, modules, variables};

/// A page of `docs/reference`.
pub(super) struct Page {
    /// The path of its file below `docs/reference`.
    file: String,
    text: String,
}

/// All pages.
pub(super) fn pages() -> Vec<Page> {
    let mut pages = vec![
        Page { file: "core-parameters.md".to_owned(), text: core_parameters() },
        Page { file: "transformations.md".to_owned(), text: transformations() },
        Page { file: "variables.md".to_owned(), text: variables::page() },
        Page { file: "core-functions.md".to_owned(), text: functions::page() },
        Page { file: "core-commands.md".to_owned(), text: core_commands() },
        Page { file: "core-statistics.md".to_owned(), text: core_statistics() },
        Page { file: "core-events.md".to_owned(), text: core_events() },
    ];
    pages.extend(modules::all().iter().map(|module| {
        let file = format!("modules/{}.md", module.spec.name);
        Page { file, text: modules::page(module) }
    }));
    pages
}

const COMMANDS_HEAD: &str = "# Core commands

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/server/src/commands, not this page. -->

The management commands that need no module but one that takes them in: mi_fifo, mi_datagram or mi_http. The command `which`
lists those of a running server, `help NAME` and `tocsin doc NAME` show one of them.

";

fn core_commands() -> String {
    COMMANDS_HEAD.to_owned() + &command_table(&Names::of_core().commands)
}

const STATISTICS_HEAD: &str = "# Core statistics

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/telemetry and crates/streams, not this page. -->

The statistics that need no module. A counter only counts up, and `reset_statistics` sets it back to zero; a value is as large as
what it measures. Angle brackets hold the place of a process's ID, as `ps` shows it, or of a protocol. `tocsin doc NAME` shows one
of them.

";

fn core_statistics() -> String {
    STATISTICS_HEAD.to_owned() + &statistic_table(&Names::of_core().statistics)
}

const EVENTS_HEAD: &str = "# Core events

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/event/src/core_events.rs, not this page. -->

The events that need no module, each with its parameters in the order in which they are sent. `tocsin events schema` describes
them for machines, `tocsin doc NAME` shows one of them.
";

fn core_events() -> String {
    EVENTS_HEAD.to_owned() + &event_tables(&Names::of_core().events, "##")
}

/// Writes all pages into `folder`, and says which.
///
/// # Errors
/// One could not be written.
pub(super) fn write(folder: &Path) -> Result<String, String> {
    let mut written = String::new();
    for page in pages() {
        let path = folder.join(&page.file);
        let made =
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, &page.text));
        made.map_err(|cause| format!("{} cannot be written: {cause}", path.display()))?;
        // Writing to a String cannot fail.
        let _ = writeln!(written, "{}", path.display());
    }
    Ok(written)
}

/// The core parameters of the OpenSIPS 3.4 manual, one a line; `#` begins a comment.
const MANUAL: &str = include_str!("../../tests/reference/core-parameters.txt");

const HEAD: &str = "# Core parameters

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/server/src/settings, not this page. -->

What a configuration may set outside of modules and routes: `NAME = VALUE`. A value that cannot be used is an error with its
place, also with `tocsin -C`. `tocsin -C` lists the parameters of a configuration that have no effect, too, and
`tocsin doc NAME` shows one of them.
";

/// `docs/reference/core-parameters.md`.
fn core_parameters() -> String {
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

const TRANSFORMATIONS_HEAD: &str = "# Transformations

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/script/src/transformations, not this page. -->

What can be made of the value of a variable: `$(ru{uri.host}{s.toupper})` is the host of the request URI in upper-case letters.
NULL goes through all of them as NULL; a number is taken by its decimal text. Names may be written in letters of either case,
what follows the last argument is ignored, and what stands in square brackets may be left out. `tocsin doc NAME` shows one of
them.
";

/// `docs/reference/transformations.md`.
fn transformations() -> String {
    let mut page = TRANSFORMATIONS_HEAD.to_owned();
    for class in TRANSFORMATIONS {
        // Writing to a String cannot fail.
        let _ =
            write!(page, "\n## {}\n\n{}\n\n| | gives | arguments |\n|---|---|---|\n", class.title, class.doc);
        for row in class.rows {
            let _ = writeln!(page, "| `{}` | {} | {} |", row.usage(), cell(row.doc), cell(&arguments(row)));
        }
    }
    page
}

fn arguments(row: &Transformation) -> String {
    let arguments = row.parameters.iter().map(|parameter| {
        let variable = if parameter.kind.takes_variables() { " or variable" } else { "" };
        format!("{}: {}{variable}", parameter.name, parameter.kind)
    });
    arguments.collect::<Vec<_>>().join("; ")
}

fn missing() -> impl Iterator<Item = &'static str> {
    let names = MANUAL.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.filter(|name| parameter(name).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_in_the_repository_are_not_stale() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
        for page in pages() {
            let kept = fs::read_to_string(folder.join(&page.file)).unwrap_or_default();
            assert!(
                kept == page.text,
                "docs/reference/{} is stale: write the pages again with `cargo run -- doc --pages docs/reference`",
                page.file
            );
        }
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
