//! `tocsin doc`: what a configuration or a management client can name - parameters, functions, variables, transformations,
//! commands, statistics, events, modules -, from the rows in which it is declared: as a list, one by one, as JSON, and as the pages of `docs/reference`.

mod functions;
mod json;
mod list;
mod management;
mod markdown;
mod modules;
mod show;
mod variables;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::answer::Answer;

/// What `tocsin doc` is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Each name on a line.
    List,
    /// All about one of them, or about a name of a module.
    Show(String, Option<String>),
    /// Everything, for machines.
    Json,
    /// The reference pages, into this folder.
    Pages(PathBuf),
}

/// Reads what follows `tocsin doc`.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Answer> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| Answer::of_clap(&error))?;
    if matches.get_flag("json") {
        return Ok(Asked::Json);
    }
    if let Some(folder) = matches.get_one::<PathBuf>("pages") {
        return Ok(Asked::Pages(folder.clone()));
    }
    let word = |name: &str| matches.get_one::<String>(name).cloned();
    Ok(word("name").map_or(Asked::List, |name| Asked::Show(name, word("of it"))))
}

/// Does what is asked.
pub(crate) fn run(asked: &Asked) -> ExitCode {
    let text = match asked {
        Asked::List => Ok(list::text()),
        Asked::Show(name, None) if name.starts_with('$') => variables::show(name, &modules::specs()),
        Asked::Show(name, of_it) => show::text(name, of_it.as_deref()),
        Asked::Json => Ok(json::text()),
        Asked::Pages(folder) => markdown::write(folder),
    };
    match text {
        Ok(text) => Answer::text(text).give(),
        Err(message) => Answer::error_of("doc", &message).give(),
    }
}

fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    Command::new("tocsin doc")
        .no_binary_name(true)
        .about("What a configuration or a management client can name, of the core and of modules")
        .arg(
            Arg::new("name").help(
                "any name, such as log_level, which, E_CORE_LOG, tm or '$ru'; without one, all are listed",
            ),
        )
        .arg(Arg::new("of it").help("a name of the module"))
        .arg(flag("json").help("everything, as JSON").conflicts_with("name"))
        .arg(
            Arg::new("pages")
                .long("pages")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("writes the reference pages into this folder, as Markdown")
                .conflicts_with_all(["name", "json"]),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, String> {
        read(line.split_whitespace().map(OsString::from)).map_err(|answer| answer.to_string())
    }

    #[test]
    fn what_is_asked_is_understood() {
        assert_eq!(asked(""), Ok(Asked::List));
        assert_eq!(asked("log_level"), Ok(Asked::Show("log_level".to_owned(), None)));
        let of_module = Asked::Show("tm".to_owned(), Some("fr_timeout".to_owned()));
        assert_eq!(asked("tm fr_timeout"), Ok(of_module));
        assert_eq!(asked("--json"), Ok(Asked::Json));
        assert_eq!(asked("--pages docs"), Ok(Asked::Pages("docs".into())));
        assert_eq!(asked("$ru"), Ok(Asked::Show("$ru".to_owned(), None)));
        assert!(asked("--json log_level").is_err());
    }
}
