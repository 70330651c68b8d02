//! `tocsin events`: what events there are, what they look like, and those of a running server as they come.

mod list;
mod output;
pub(crate) mod receiver;
mod schema;
mod show;
mod tail;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use tocsin_mi::client::Place;

use crate::answer::Answer;
use output::{pretty, print};

/// Where the embedded configuration answers.
const USUAL_PLACE: &str = "http://127.0.0.1:8888/mi";

/// What `tocsin events` is asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The events with their parameters; with a running server, those that it knows.
    List {
        /// As JSON.
        json: bool,
        server: Option<Place>,
    },
    /// The events of a running server, as they come.
    Tail(tail::Wish),
    /// What they look like, for machines.
    Schema {
        /// As AsyncAPI instead of JSON Schema.
        asyncapi: bool,
    },
}

/// Reads what follows `tocsin events`.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Answer> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| Answer::of_clap(&error))?;
    let flag = |matches: &ArgMatches, name: &str| matches.get_flag(name);
    match matches.subcommand() {
        Some(("list", list)) => {
            Ok(Asked::List { json: flag(list, "json"), server: list.get_one("server").cloned() })
        }
        Some(("schema", schema)) => Ok(Asked::Schema { asyncapi: flag(schema, "asyncapi") }),
        Some(("tail", tail)) => Ok(Asked::Tail(tail::Wish {
            names: tail.get_many("name").unwrap_or_default().cloned().collect(),
            json: flag(tail, "json"),
            count: tail.get_one("count").copied(),
            server: tail.get_one("server").cloned().unwrap_or_else(usual_place),
        })),
        _ => Err(Answer::text(command().render_help().to_string())),
    }
}

/// Does what is asked.
pub(crate) fn run(asked: &Asked) -> ExitCode {
    let done = match asked {
        Asked::List { json, server } => {
            list::text(*json, server.as_ref()).and_then(|text| print(&text).map(drop))
        }
        Asked::Tail(wish) => tail::run(wish),
        Asked::Schema { asyncapi } => {
            let schema = if *asyncapi { schema::asyncapi() } else { schema::json_schema() };
            print(&pretty(&schema)).map(drop)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => Answer::error_of("events", &message).give(),
    }
}

/// A place that can be read, as the test below says.
fn usual_place() -> Place {
    Place::Http { host: "127.0.0.1:8888".to_owned(), path: "/mi".to_owned() }
}

/// A value on lines of its own, as `jq` shows it.
fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
    let server = Arg::new("server")
        .long("server")
        .short('s')
        .value_name("place")
        .value_parser(|text: &str| text.parse::<Place>());
    Command::new("tocsin events")
        .no_binary_name(true)
        .about("The server's events: which there are, what they look like, and those that come")
        .subcommand_required(false)
        .subcommand(
            Command::new("list")
                .about("The events, when they are raised, and their parameters")
                .arg(json.clone().help("as JSON"))
                .arg(server.clone().help("the events that the server there knows, with their ids")),
        )
        .subcommand(
            Command::new("tail")
                .about("Subscribes to a running server and prints its events as they come")
                .arg(
                    Arg::new("name")
                        .action(ArgAction::Append)
                        .help("names of events; without one, all that the server knows"),
                )
                .arg(json.help("one JSON text a line, as it was received"))
                .arg(
                    Arg::new("count")
                        .long("count")
                        .short('n')
                        .value_name("events")
                        .value_parser(clap::value_parser!(u64).range(1..))
                        .help("stops after N events"),
                )
                .arg(server.help(format!(
                    "where its management interface is: http://host:port/mi, udp:host:port, unix:path or \
                     fifo:path [{USUAL_PLACE}]"
                ))),
        )
        .subcommand(
            Command::new("schema").about("What they look like, for machines: JSON Schema").arg(
                Arg::new("asyncapi")
                    .long("asyncapi")
                    .action(ArgAction::SetTrue)
                    .help("as an AsyncAPI 3.0 document"),
            ),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Asked {
        read(line.split_whitespace().map(OsString::from)).unwrap()
    }

    #[test]
    fn what_is_asked_is_understood() {
        assert!(matches!(asked("list"), Asked::List { json: false, server: None }));
        assert!(matches!(asked("schema --asyncapi"), Asked::Schema { asyncapi: true }));
        let Asked::Tail(wish) = asked("tail E_A E_B --json -n 3 -s udp:127.0.0.1:8080") else { panic!() };
        assert_eq!((wish.names.len(), wish.json, wish.count), (2, true, Some(3)));
        assert_eq!(wish.server, "udp:127.0.0.1:8080".parse().unwrap());
    }

    #[test]
    fn the_usual_place_is_the_one_of_the_embedded_configuration() {
        assert_eq!(USUAL_PLACE.parse(), Ok(usual_place()));
        assert!(crate::embedded::TEXT.contains(r#"modparam("httpd", "port", 8888)"#));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |line: &str| read(line.split_whitespace().map(OsString::from)).unwrap_err().to_string();
        assert!(
            wrong("tail -s nowhere").contains("not an address of a server"),
            "{}",
            wrong("tail -s nowhere")
        );
        assert!(wrong("tial").contains("tail"), "{}", wrong("tial"));
        assert!(wrong("").contains("schema"));
    }
}
