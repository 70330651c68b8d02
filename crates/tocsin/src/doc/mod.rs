//! `tocsin doc`: what a configuration can name - core parameters, variables and transformations -, from the rows in which it is declared:
//! as a list, one by one, as JSON, and as the pages of `docs/reference`.

mod json;
mod list;
mod markdown;
mod show;
mod variables;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};

use crate::answer::Answer;

/// What `tocsin doc` is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Each name on a line.
    List,
    /// All about one of them, or about a variable.
    Show(String),
    /// Everything, for machines.
    Json,
    /// A reference page, of this name.
    Markdown(String),
}

/// Reads what follows `tocsin doc`.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Answer> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| Answer::of_clap(&error))?;
    if matches.get_flag("json") {
        return Ok(Asked::Json);
    }
    let name = matches.get_one::<String>("name").cloned();
    if matches.get_flag("markdown") {
        return Ok(Asked::Markdown(name.unwrap_or_else(|| markdown::PAGES[0].name.to_owned())));
    }
    Ok(name.map_or(Asked::List, Asked::Show))
}

/// Does what is asked.
pub(crate) fn run(asked: &Asked) -> ExitCode {
    let text = match asked {
        Asked::List => Ok(list::text()),
        Asked::Show(name) if name.starts_with('$') => variables::show(name),
        Asked::Show(name) => show::text(name),
        Asked::Json => Ok(json::text()),
        Asked::Markdown(page) => markdown::text(page),
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
        .about("The core parameters, variables and transformations of a configuration: what they take, and what they do")
        .arg(Arg::new("name").help("a parameter, a transformation or a variable such as '$ru'; without one, all are listed"))
        .arg(flag("json").help("everything, as JSON").conflicts_with("name"))
        .arg(
            flag("markdown")
                .help("a reference page, as Markdown: `core-parameters` or the one that is named")
                .conflicts_with("json"),
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
        assert_eq!(asked("log_level"), Ok(Asked::Show("log_level".to_owned())));
        assert_eq!(asked("--json"), Ok(Asked::Json));
        assert_eq!(asked("--markdown"), Ok(Asked::Markdown("core-parameters".to_owned())));
        assert_eq!(asked("--markdown transformations"), Ok(Asked::Markdown("transformations".to_owned())));
        assert_eq!(asked("$ru"), Ok(Asked::Show("$ru".to_owned())));
        assert!(asked("--json log_level").is_err());
    }
}
