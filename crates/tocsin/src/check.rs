//! `tocsin check`: what is wrong with a configuration, for people and for editors.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};
use tocsin_json::Value;
use tocsin_script::{Diagnostic, Diagnostics, SourceMap};
use tocsin_server::settings::{Idle, Overrides, idle_parameters};
use tocsin_server::startup::{self, StartError};

use crate::answer::{Answer, FAILED};

/// What `tocsin check` is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    files: Vec<PathBuf>,
    json: bool,
}

/// Reads what follows `tocsin check`.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Answer> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| Answer::of_clap(&error))?;
    Ok(Asked {
        files: matches.get_many("file").unwrap_or_default().cloned().collect(),
        json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
    })
}

/// Checks each file and prints what is found. The exit status says whether all can be used.
pub(crate) fn run(asked: &Asked) -> ExitCode {
    let findings: Vec<_> = asked.files.iter().map(|file| Findings::of(file)).collect();
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = match asked.json {
        true => json(&findings),
        false => findings.iter().map(|findings| findings.text(colour)).collect(),
    };
    // The exit status says it, too, if nobody reads.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let is_good = findings.iter().all(|findings| findings.problem.is_none());
    if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn command() -> Command {
    Command::new("tocsin check")
        .no_binary_name(true)
        .about("Checks configurations without starting a server")
        .arg(
            Arg::new("file")
                .required(true)
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(PathBuf))
                .help("configuration file"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(PossibleValuesParser::new(["text", "json"]))
                .default_value("text")
                .help("text for people, json for editors and scripts"),
        )
}

/// What was found in one file.
struct Findings {
    file: String,
    problem: Option<Problem>,
    /// `FILE:LINE:COLUMN: MESSAGE`
    warnings: Vec<String>,
    idle: Vec<Idle>,
}

/// Why a configuration cannot be used.
enum Problem {
    Script(Box<Diagnostics>),
    Other(String),
}

impl Findings {
    fn of(file: &Path) -> Self {
        let name = file.display().to_string();
        let failed =
            |problem| Self { file: name.clone(), problem: Some(problem), warnings: vec![], idle: vec![] };
        let source = match SourceMap::open(file) {
            Ok(source) => source,
            Err(cause) => return failed(Problem::Other(cause.to_string())),
        };
        match startup::check(source, &tocsin_modules::all(), &Overrides::default()) {
            Ok((program, _)) => Self {
                warnings: program.warnings().to_vec(),
                idle: idle_parameters(&program),
                problem: None,
                file: name,
            },
            Err(StartError::Script(diagnostics)) => failed(Problem::Script(Box::new(diagnostics))),
            Err(other) => failed(Problem::Other(other.to_string())),
        }
    }

    fn text(&self, colour: bool) -> String {
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        let idle = self
            .idle
            .iter()
            .map(|Idle { name, place, why }| format!("note: {place}: {name} has no effect: {why}\n"));
        let mut text: String = warnings.chain(idle).collect();
        match &self.problem {
            None => text += &format!("{}: can be used\n", self.file),
            Some(Problem::Other(problem)) => text += &format!("error: {}: {problem}\n", self.file),
            Some(Problem::Script(diagnostics)) => {
                let count = diagnostics.count();
                let errors = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
                text += &diagnostics.render(colour);
                text += &format!("{}: {errors}\n", self.file);
            }
        }
        text
    }

    fn json(&self) -> Value {
        let text = |text: &String| Value::from(text.clone());
        let mut members = vec![("file", text(&self.file)), ("ok", Value::from(self.problem.is_none()))];
        match &self.problem {
            None => {}
            Some(Problem::Other(problem)) => {
                let error = Value::object([("message", text(problem))]);
                members.push(("errors", Value::Array(vec![error])));
            }
            Some(Problem::Script(diagnostics)) => {
                let errors = diagnostics.errors().iter().map(|error| error_json(diagnostics, error));
                members.push(("errors", Value::Array(errors.collect())));
                members.push(("not_shown", Value::from(diagnostics.count() - diagnostics.errors().len())));
                let absent =
                    diagnostics.absent().iter().map(|(name, uses)| (name.clone(), Value::from(*uses)));
                members.push(("absent_modules", Value::object(absent)));
            }
        }
        members.push(("warnings", Value::Array(self.warnings.iter().map(text).collect())));
        let idle = self.idle.iter().map(|idle| {
            Value::object([
                ("place", text(&idle.place)),
                ("name", text(&idle.name)),
                ("why", Value::from(idle.why)),
            ])
        });
        members.push(("without_effect", Value::Array(idle.collect())));
        Value::object(members)
    }
}

fn json(findings: &[Findings]) -> String {
    let mut text = Vec::new();
    Value::Array(findings.iter().map(Findings::json).collect()).write_pretty(&mut text);
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn error_json(diagnostics: &Diagnostics, error: &Diagnostic) -> Value {
    let file = diagnostics.source().file(error.span);
    let (start, end) = (file.position(error.span.start), file.position(error.span.end));
    let number = |number: u32| Value::from(i64::from(number));
    let mut members = vec![
        ("file", Value::from(file.name().to_owned())),
        ("line", number(start.line)),
        ("column", number(start.column)),
        ("end_line", number(end.line)),
        ("end_column", number(end.column)),
        ("message", Value::from(error.message.clone())),
    ];
    if let Some(help) = &error.help {
        members.push(("help", Value::from(help.clone())));
    }
    if let Some((span, note)) = &error.note {
        let at = diagnostics.source().position(*span);
        let note = Value::object([
            ("file", Value::from(diagnostics.source().file(*span).name().to_owned())),
            ("line", number(at.line)),
            ("column", number(at.column)),
            ("message", Value::from(note.clone())),
        ]);
        members.push(("note", note));
    }
    Value::object(members)
}
