//! A new version of the script for a server that runs (`reload_routes`, SIGHUP): all processes take it, or none does.
//!
//! Only the routes are new. Sockets, modules and parameters stay as the server was started with them, and the log names those
//! that the configuration sets otherwise. Messages under way end in the script that they began with.

mod at_start;
mod error;
mod follow;
mod text;
mod versions;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tocsin_script::{Bytes, Diagnostic, Library, SourceMap};
use tocsin_shm::Slot;
use tokio::time::Instant;

use self::text::Text;
use self::versions::Progress;
use crate::event_routes;
use crate::flag_names::FlagNames;
use crate::logging::{self, Level};
use crate::process_statistics::living;
use crate::server::Server;
use crate::settings::Settings;
use crate::startup::{self, Compiled};

pub(crate) use at_start::AtStart;
pub use error::ReloadError;
pub(crate) use follow::{catch_up, follow};
pub use versions::{Versions, VersionsError};

/// How long a process may take to prepare a new version, or to take it: it must come back to its loop for that.
const MAX_PROCESS_TIME: Duration = Duration::from_secs(5);
/// Time between two looks at how far the processes are.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What is new.
struct Proposal {
    text: Text,
    events: Vec<Bytes>,
    routes: Vec<Bytes>,
}

/// Reloads the routes, from the process of `slot`, and returns the number of the new version. It ends even if the future that
/// waits for it is dropped.
///
/// # Errors
/// Why all processes keep the script that they have.
pub async fn reload(server: &'static Server, slot: u16) -> Result<u32, ReloadError> {
    let result = tokio::task::spawn_local(async move {
        let pid = server.table.slot(slot).pid.load(Relaxed);
        let lives = |pid| living(server.table).any(|(_, slot)| slot.pid.load(Relaxed) == pid);
        let _reloading = server.versions.begin(pid, lives).ok_or(ReloadError::Busy)?;
        let result = run(server).await;
        note(&result);
        result
    });
    result.await.unwrap_or(Err(ReloadError::Defect))
}

/// Reloads because of a signal: the log has the result.
async fn by_signal(server: &'static Server, slot: u16) {
    // The log has it.
    let _ = reload(server, slot).await;
}

fn note(result: &Result<u32, ReloadError>) {
    match result {
        Ok(version) => {
            logging::line(
                Level::Notice,
                &format!("core:reload: all processes run version {version} of the routes"),
            );
        }
        Err(cause) => {
            if let ReloadError::Script(errors) = cause {
                errors.lines().into_iter().for_each(|(_, text)| logging::line(Level::Error, &text));
            }
            let text = match cause {
                ReloadError::Script(errors) => match errors.count() {
                    1 => "1 error".to_owned(),
                    count => format!("{count} errors"),
                },
                other => other.to_string(),
            };
            logging::line(Level::Error, &format!("core:reload: the routes stay as they are: {text}"));
        }
    }
}

/// This process follows the versions like all others, in a task of its own.
async fn run(server: &'static Server) -> Result<u32, ReloadError> {
    let versions = &server.versions;
    let before = event_routes::names(&versions.current().program);
    let read = Arc::clone(&server.configuration.read);
    // A disk or a preprocessor may be slow.
    let source = tokio::task::spawn_blocking(move || read()).await;
    let source = source.unwrap_or_else(|cause| Err(cause.to_string()));
    let proposal = check(server, source.map_err(ReloadError::Unreadable)?)?;
    let version = versions.next_number();
    let unwritten = |cause: std::io::Error| ReloadError::Needs(format!("the text cannot be kept: {cause}"));
    versions.texts.write(version, &proposal.text).map_err(unwritten)?;
    for event in &proposal.events {
        let published = server.events.registry().publish(event);
        published.map_err(|cause| ReloadError::Needs(format!("event {}: {cause}", event.lossy())))?;
    }
    versions.propose(version);
    if let Err((process, problem)) =
        await_all(server, version, |progress| progress != Progress::Waiting).await
    {
        versions.give_up(version);
        return Err(ReloadError::Process { process, problem });
    }
    versions.commit(version);
    if let Err((process, problem)) = await_all(server, version, |progress| progress == Progress::Runs).await {
        tracing::warn!("{process} {problem}: it takes version {version} of the routes as soon as it can");
    }
    subscribe(server, &before, &proposal.routes)?;
    Ok(version)
}

/// Checks what can be checked before any process is asked.
fn check(server: &'static Server, source: SourceMap) -> Result<Proposal, ReloadError> {
    let versions = &server.versions;
    let sources = &server.configuration;
    let current = versions.current();
    let flags = FlagNames::of_list(&current.flags.to_list());
    let Compiled { program, events, lists } =
        startup::compile(source, &sources.modules, Library::new(), &flags)?;
    if let Some(module) = sources.at_start.new_module(&program) {
        let message = format!("module {module} is not loaded, and a reload takes the routes only");
        let help = Some("restart the server to load it".to_owned());
        let span = program.module_span(module).unwrap_or_default();
        return Err(program.refuse([Diagnostic::new(span, message).with_help(help)]).into());
    }
    if let Err(wrong) = Settings::new(program.globals(), &sources.overrides, flags.clone()) {
        return Err(program.refuse(wrong).into());
    }
    if let Some((name, place)) = lists.iter().find(|(name, _)| !server.settings.has_blocklist(name)) {
        let name = name.lossy();
        return Err(ReloadError::Needs(format!(
            "{place}: there is no blocklist `{name}`; a reload defines none"
        )));
    }
    let (timers, most) = (program.timer_routes().count(), server.turns.most_routes());
    if timers > most {
        return Err(ReloadError::Needs(format!(
            "{timers} timer routes: until it is restarted, the server runs {most}"
        )));
    }
    let changed = sources.at_start.changed(&program);
    if !changed.is_empty() {
        tracing::warn!("changed, and in effect from the next start on: {}", changed.join(", "));
    }
    program.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(Proposal { text: Text::of(program.source(), &flags), events, routes: event_routes::names(&program) })
}

/// Waits until each process that serves is as far with `version` as `is_there` wants.
async fn await_all(
    server: &'static Server,
    version: u32,
    is_there: impl Fn(Progress) -> bool,
) -> Result<(), (String, &'static str)> {
    let deadline = Instant::now() + MAX_PROCESS_TIME;
    let named = |slot: &Slot| format!("process {} ({})", slot.pid.load(Relaxed), slot.description());
    loop {
        // The supervisor takes the new version when it looks next: it runs no script.
        let serving = living(server.table).filter(|(id, slot)| *id != 0 && slot.serves());
        let mut late = None;
        for (id, slot) in serving {
            match server.versions.progress(id as u16, version) {
                Progress::Failed => return Err((named(slot), "cannot load it")),
                progress if !is_there(progress) => late = Some(slot),
                _ => {}
            }
        }
        match late {
            None => return Ok(()),
            Some(slot) if Instant::now() > deadline => return Err((named(slot), "does not answer")),
            Some(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Lets events come to the routes that are new, and no longer to those that are gone.
fn subscribe(server: &'static Server, before: &[Bytes], now: &[Bytes]) -> Result<(), ReloadError> {
    let not_in = |these: &[Bytes], those: &[Bytes]| -> Vec<Bytes> {
        these.iter().filter(|name| !those.contains(name)).cloned().collect()
    };
    event_routes::unsubscribe(&not_in(before, now), &server.events);
    let routes = server.registered.event_routes.as_deref();
    event_routes::subscribe(routes, &not_in(now, before), &server.events).map_err(ReloadError::Needs)
}
