//! What those who manage the server can name: commands, statistics and events, of the core or of a module.

use std::fmt::Write as _;

use tocsin_event::{CORE_EVENTS, Description, FieldKind};
use tocsin_json::Value;
use tocsin_server::module::{CommandRow, Module};
use tocsin_server::statistic_groups::STATISTICS;
use tocsin_server::statistic_row::StatRow;
use tocsin_server::{commands, manual};

/// The commands, statistics and events of the core or of a module.
pub(super) struct Names {
    pub(super) commands: Vec<&'static CommandRow>,
    pub(super) statistics: Vec<&'static StatRow>,
    pub(super) events: Vec<&'static Description>,
}

impl Names {
    /// Those of the core.
    pub(super) fn of_core() -> Self {
        Self {
            commands: commands::COMMANDS.iter().flat_map(|rows| *rows).collect(),
            statistics: STATISTICS.iter().flat_map(|rows| *rows).collect(),
            events: CORE_EVENTS.iter().collect(),
        }
    }

    /// Those of a module.
    pub(super) fn of(module: &dyn Module) -> Self {
        let rows = module.management();
        Self {
            commands: rows.commands.iter().collect(),
            statistics: rows.statistics.iter().collect(),
            events: rows.events.iter().collect(),
        }
    }

    /// All names.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        let commands = self.commands.iter().map(|row| row.name);
        let statistics = self.statistics.iter().map(|row| row.name);
        commands.chain(statistics).chain(self.events.iter().map(|row| row.name))
    }

    /// Whether there is what the manual calls `name`, of this kind. Of another kind than these, everything is there.
    pub(super) fn has(&self, kind: &str, name: &str) -> bool {
        match kind {
            "mi" => self.commands.iter().any(|row| row.name == name),
            "events" => self.events.iter().any(|row| row.name == name),
            "statistics" => self.statistics.iter().any(|row| {
                // The manual leaves the domain out.
                row.name == name || row.name.rsplit_once(">-").is_some_and(|(_, end)| end == name)
            }),
            _ => true,
        }
    }

    /// All about each of this name. A statistic may be named with its group.
    pub(super) fn show(&self, name: &str) -> Vec<String> {
        let commands = self.commands.iter().filter(|row| row.name == name).map(|row| of_command(row));
        let is_wanted = |row: &&&StatRow| {
            row.name == name
                || name.strip_prefix(row.group).and_then(|rest| rest.strip_prefix(':')) == Some(row.name)
        };
        let statistics = self.statistics.iter().filter(is_wanted).map(|row| of_statistic(row));
        let events = self.events.iter().filter(|row| row.name == name).map(|row| of_event(row));
        commands.chain(statistics).chain(events).collect()
    }

    /// Their sections of a page.
    pub(super) fn sections(&self) -> String {
        let mut page = String::new();
        if !self.commands.is_empty() {
            let _ = write!(page, "\n## Commands\n\n{}", command_table(&self.commands));
        }
        if !self.statistics.is_empty() {
            let _ = write!(page, "\n## Statistics\n\n{}", statistic_table(&self.statistics));
        }
        if !self.events.is_empty() {
            let _ = write!(page, "\n## Events\n{}", event_tables(&self.events, "###"));
        }
        page
    }

    /// Rows of a list: title, and name and documentation of each.
    pub(super) fn parts(&self) -> [(&'static str, Vec<(String, &'static str)>); 3] {
        let commands = self.commands.iter().map(|row| (row.name.to_owned(), row.doc));
        let statistics = self.statistics.iter().map(|row| (format!("{}:{}", row.group, row.name), row.doc));
        let events = self.events.iter().map(|row| (row.name.to_owned(), row.cause));
        [("Commands", commands.collect()), ("Statistics", statistics.collect()), ("Events", events.collect())]
    }

    /// For machines.
    pub(super) fn members(&self) -> [(&'static str, Value); 3] {
        [
            ("commands", Value::array(self.commands.iter().map(|row| command_as_json(row)))),
            ("statistics", Value::array(self.statistics.iter().map(|row| statistic_as_json(row)))),
            ("events", Value::array(self.events.iter().map(|row| event_as_json(row)))),
        ]
    }
}

/// The name that OpenSIPS answers to where its manual has another one.
pub(super) fn spelled<'a>(module: &str, name: &'a str) -> &'a str {
    let known = manual::SPELLED.iter().find(|(of, written, _)| *of == module && *written == name);
    known.map_or(name, |(.., spelled)| spelled)
}

fn forms(row: &CommandRow) -> Vec<String> {
    row.forms.iter().map(|form| form.join(" ")).collect()
}

fn of_command(row: &CommandRow) -> String {
    let mut text = format!("{} (command)\n\n  {}\n\n", row.name, row.doc);
    for form in forms(row) {
        let line = format!("  {} {form}", row.name);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn of_statistic(row: &StatRow) -> String {
    format!("{}:{} (statistic)\n\n  {}\n\n  kind     {}\n", row.group, row.name, row.doc, row.kind)
}

fn of_event(row: &Description) -> String {
    let mut text = format!("{} (event)\n\n  {}\n\n", row.name, row.cause);
    let width = row.fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
    for field in row.fields {
        let _ = writeln!(text, "  {:<width$}  {}", field.name, field.meaning);
    }
    text
}

/// The table of a page. `[]` stands for no parameters.
pub(super) fn command_table(rows: &[&CommandRow]) -> String {
    let mut table = "| command | | parameters |\n|---|---|---|\n".to_owned();
    for row in rows {
        let forms = forms(row);
        let shown =
            forms.iter().map(|form| if form.is_empty() { "none".to_owned() } else { format!("`{form}`") });
        let shown = shown.collect::<Vec<_>>().join(", or ");
        let _ = writeln!(table, "| `{}` | {} | {shown} |", row.name, cell(row.doc));
    }
    table
}

pub(super) fn statistic_table(rows: &[&StatRow]) -> String {
    let mut table = "| statistic | | kind |\n|---|---|---|\n".to_owned();
    for row in rows {
        let _ = writeln!(table, "| `{}:{}` | {} | {} |", row.group, row.name, cell(row.doc), row.kind);
    }
    table
}

pub(super) fn event_tables(rows: &[&Description], heading: &str) -> String {
    let mut page = String::new();
    for row in rows {
        let _ = write!(page, "\n{heading} {}\n\n{}\n", row.name, row.cause);
        if !row.fields.is_empty() {
            page.push_str("\n| parameter | type | |\n|---|---|---|\n");
        }
        for field in row.fields {
            let optional = if field.optional { " Left out if there is none." } else { "" };
            let (kind, meaning) = (kind(field.kind), cell(field.meaning));
            let _ = writeln!(page, "| `{}` | {kind} | {meaning}{optional} |", field.name);
        }
    }
    page
}

fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Number => "number",
        FieldKind::Text => "string",
        FieldKind::TextOrNull => "string or null",
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn command_as_json(row: &CommandRow) -> Value {
    let forms = row.forms.iter().map(|form| Value::array(form.iter().copied()));
    Value::object([
        ("name", Value::from(row.name)),
        ("parameters", Value::array(forms)),
        ("doc", Value::from(row.doc)),
    ])
}

fn statistic_as_json(row: &StatRow) -> Value {
    Value::object([
        ("group", Value::from(row.group)),
        ("name", Value::from(row.name)),
        ("kind", Value::from(row.kind.to_string())),
        ("doc", Value::from(row.doc)),
    ])
}

fn event_as_json(row: &Description) -> Value {
    let fields = row.fields.iter().map(|field| {
        Value::object([
            ("name", Value::from(field.name)),
            ("type", Value::from(kind(field.kind))),
            ("optional", Value::from(field.optional)),
            ("doc", Value::from(field.meaning)),
        ])
    });
    Value::object([
        ("name", Value::from(row.name)),
        ("doc", Value::from(row.cause)),
        ("parameters", Value::array(fields)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_documented() {
        let modules = tocsin_modules::all();
        let all = modules.iter().map(|module| Names::of(&**module)).chain([Names::of_core()]);
        for names in all {
            let docs = names.parts().into_iter().flat_map(|(_, rows)| rows);
            let bare: Vec<_> = docs.filter(|(_, doc)| !doc.ends_with('.')).collect();
            assert!(bare.is_empty(), "without documentation: {bare:?}");
            let fields = names.events.iter().flat_map(|event| event.fields);
            assert!(fields.into_iter().all(|field| field.meaning.ends_with('.')));
        }
    }

    #[test]
    fn commands_statistics_and_events_are_shown() {
        let core = Names::of_core();
        assert!(core.show("which")[0].ends_with("\n  which\n  which command\n"), "{:?}", core.show("which"));
        let statistic = core.show("core:rcv_requests");
        assert_eq!(
            statistic,
            ["core:rcv_requests (statistic)\n\n  Requests received.\n\n  kind     counter\n"]
        );
        assert_eq!(core.show("rcv_requests"), statistic);
        assert!(core.show("E_CORE_THRESHOLD")[0].contains("\n  source  What was slow"));
        assert!(core.show("no_such").is_empty());
        assert!(core.has("mi", "ps") && !core.has("mi", "no_such"));
    }

    #[test]
    fn names_of_the_manual_are_found_without_their_domain() {
        let modules = tocsin_modules::all();
        let usrloc = modules.iter().find(|module| module.spec().name == "usrloc").unwrap();
        let names = Names::of(&**usrloc);
        assert!(names.has("statistics", "contacts") && !names.has("statistics", "acts"));
    }
}
