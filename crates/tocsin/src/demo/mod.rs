//! `tocsin demo`: a server of its own on free ports, what happens to servers, and the six core events that report it.
//!
//! Nothing is played back: the demo starts this program with a configuration, does to it what happens to servers (a slow
//! name server, a slow query, memory that fills, load, a connection that ends, a trunk that fails), and prints each event
//! as a subscriber received it.

mod causes;
mod names;
mod phone;
mod promised;
mod server;
mod stage;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::answer::Answer;
use crate::events::receiver::Heard;
use causes::Cause;
use server::Server;
use stage::Stage;

/// How long an event may take after its cause.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `tocsin demo` is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Where the slow query runs; without it, in an SQLite file of the demo's own.
    mysql: Option<String>,
}

/// Reads what follows `tocsin demo`.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Answer> {
    let command = Command::new("tocsin demo")
        .no_binary_name(true)
        .about("Shows each of the six core events, raised by a server of its own from the real cause")
        .arg(
            Arg::new("mysql")
                .long("mysql")
                .value_name("url")
                .help("runs the slow query at mysql://user:password@host:port/database, not in SQLite"),
        );
    let matches = command.try_get_matches_from(arguments).map_err(|error| Answer::of_clap(&error))?;
    let mysql = matches.get_one::<String>("mysql").cloned();
    match mysql {
        Some(url) if !url.starts_with("mysql://") || url.contains(['"', '\\', '\n']) => {
            let problem =
                format!("`{url}` is not a database URL: give mysql://user:password@host:port/database");
            Err(Answer::error_of("demo", &problem))
        }
        mysql => Ok(Asked { mysql }),
    }
}

/// Shows the six events. The exit status says whether all of them came.
pub(crate) fn run(asked: &Asked) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return Answer::error_of("demo", &cause.to_string()).give(),
    };
    match runtime.block_on(LocalSet::new().run_until(show(asked))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => Answer::error_of("demo", &message).give(),
    }
}

/// Brings every cause about. `true`: every event came.
async fn show(asked: &Asked) -> Result<bool, String> {
    let mut stage = Stage::new();
    let begun = Instant::now();
    let mut server = Server::start(asked.mysql.as_deref()).await?;
    stage.open(&server);
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|cause| cause.to_string())?;
    let mut missed = Vec::new();
    for cause in causes::all(asked.mysql.is_some()) {
        stage.announce(&cause);
        let heard = tokio::select! {
            heard = timeout(PATIENCE, bring_about(&cause, &mut server)) => heard,
            _ = interrupted.recv() => {
                server.stop().await;
                return Err("interrupted".to_owned());
            }
        };
        match heard {
            Ok(Ok(heard)) => stage.heard(&heard),
            Ok(Err(problem)) => {
                stage.missed(&cause, &problem);
                missed.push(cause);
            }
            Err(_) => {
                stage.missed(&cause, &format!("it did not come within {} s", PATIENCE.as_secs()));
                missed.push(cause);
            }
        }
    }
    stage.close(&missed, begun.elapsed(), &server.log());
    server.stop().await;
    Ok(missed.is_empty())
}

/// Does what leads to the event, until it has come.
async fn bring_about(cause: &Cause, server: &mut Server) -> Result<Heard, String> {
    let mut acting = (cause.act)(server.place());
    let mut done = false;
    loop {
        tokio::select! {
            result = &mut acting, if !done => {
                result.map_err(|problem| format!("the cause could not be brought about: {problem}"))?;
                done = true;
            }
            heard = server.hear() => {
                let heard = heard.map_err(|problem| problem.to_string())?;
                if cause.is_reported_by(&heard.1) {
                    return Ok(heard);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::promised::promised;
    use super::*;

    #[test]
    fn every_promised_event_has_a_cause() {
        for event in promised() {
            assert!(causes::all(false).iter().any(|cause| cause.event == event.name), "{}", event.name);
        }
    }
}
