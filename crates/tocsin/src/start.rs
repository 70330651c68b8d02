//! From the command line to a running family.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tocsin_process::{Ending, Identity, PidFile, Supervisor};
use tocsin_script::{Diagnostics, SourceMap};
use tocsin_server::Server;
use tocsin_server::family::ServerFamily;
use tocsin_server::logging::{self, Level, LogSettings};
use tocsin_server::settings::{Idle, Settings, idle_parameters};
use tocsin_server::startup::{self, Assembled, Given, StartError};

use crate::answer::FAILED;
use crate::arguments::Arguments;
use crate::{embedded, limits, preprocess};

/// Runs what the command line asks for, to its end.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    logging::start_early(&LogSettings::default());
    match serve(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            for line in message.lines() {
                logging::line(Level::Error, line);
            }
            logging::line(Level::Notice, "core:main: Exiting....");
            ExitCode::from(FAILED)
        }
    }
}

fn serve(arguments: &Arguments) -> Result<u8, String> {
    let began = Instant::now();
    let folder = std::env::current_dir().unwrap_or_default();
    let (source, name) = source(arguments, &folder)?;
    let modules = tocsin_modules::all();
    let (program, settings) =
        startup::check(source, &modules, &arguments.overrides).map_err(|cause| explain(cause, &name))?;
    if arguments.check {
        for warning in program.warnings() {
            logging::line(Level::Warning, &format!("core:main: {warning}"));
        }
        for Idle { name, place, why } in idle_parameters(&program) {
            logging::line(Level::Notice, &format!("core:main: {place}: {name} has no effect: {why}"));
        }
        startup::rehearse(&program, &settings, &modules).map_err(|cause| explain(cause, &name))?;
        check_folders(&identity(&settings, arguments))?;
        logging::line(Level::Notice, "core:main: config file ok, exiting...");
        return Ok(0);
    }
    let waiting = if arguments.foreground {
        None
    } else {
        match tocsin_process::detach(settings.log.stderr).map_err(|e| e.to_string())? {
            Ok(detached) => Some(detached),
            Err(code) => return Ok(code),
        }
    };
    if let Some(detached) = waiting.as_ref().filter(|_| !settings.log.stderr) {
        logging::repeat_at(detached.terminal().map_err(|e| e.to_string())?);
    }
    logging::start(&log_settings(&settings, arguments));
    limits::raise_open_files(settings.open_files);
    let identity = identity(&settings, arguments);
    let root = identity.root.as_deref().and_then(|root| root.canonicalize().ok());
    let Assembled { server, sweeps, mut files } =
        startup::assemble(program, settings, modules, given(arguments, &folder, root.as_deref()))
            .map_err(|cause| explain(cause, &name))?;
    let _pid_file =
        arguments.pid_file.as_deref().map(PidFile::write).transpose().map_err(|e| e.to_string())?;
    let _pgid_file =
        arguments.pgid_file.as_deref().map(PidFile::write).transpose().map_err(|e| e.to_string())?;
    tocsin_process::enter(&identity).map_err(|e| e.to_string())?;
    if let Some(root) = root {
        files.iter_mut().for_each(|file| file.seen_from(&root));
    }
    let family = ServerFamily::new(server, name, waiting);
    let supervisor = Supervisor::new(server.plan.clone(), server.table, sweeps, family);
    match supervisor.run().map_err(|e| format!("core:main: the supervisor cannot go on: {e}"))? {
        Ending::Asked(signal) => {
            let text = format!("core:main: ended by {signal} after {}", in_words(began.elapsed()));
            logging::line_untold(Level::Notice, &text);
            Ok(0)
        }
        Ending::StartFailed => {
            Err("core:main: a process could not start; the lines above say why".to_owned())
        }
        Ending::CrashLoop => {
            Err("core:main: a group of processes ends as soon as it starts; the server gives up".to_owned())
        }
    }
}

/// What the server has from the command line. Its configuration is read again as from the `folder` that the program was
/// started in, whichever the server has entered since; if it entered a `root` (`-t`), what lies outside cannot be read.
fn given(arguments: &Arguments, folder: &Path, root: Option<&Path>) -> Given {
    let seen = |path: &Path| match root.and_then(|root| path.strip_prefix(root).ok()) {
        Some(within) => Path::new("/").join(within),
        None => path.to_owned(),
    };
    let (again, folder) =
        (Arguments { config: arguments.config.as_deref().map(seen), ..arguments.clone() }, seen(folder));
    Given {
        arguments: arguments.given.clone(),
        overrides: arguments.overrides.clone(),
        read: Arc::new(move || Ok(source(&again, &folder)?.0)),
        on_ready: announce(arguments),
    }
}

fn source(arguments: &Arguments, folder: &Path) -> Result<(SourceMap, String), String> {
    let Some(path) = &arguments.config else {
        return Ok((SourceMap::from_text(embedded::NAME, embedded::TEXT), embedded::NAME.to_owned()));
    };
    let name = path.display().to_string();
    if let Some(command) = &arguments.preprocessor {
        let source = preprocess::open(folder, path, command);
        return source
            .map(|source| (source, name.clone()))
            .map_err(|problem| format!("{problem}\ncore:main: failed to parse config file {name}"));
    }
    let source = SourceMap::open_in(folder, path).map_err(|cause| {
        let cause = match cause.kind() {
            std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
            _ => cause.to_string(),
        };
        format!("core:parse_opensips_cfg: loading config file {name}: {cause}\ncore:main: failed to parse config file {name}")
    })?;
    Ok((source, name))
}

/// What is wrong, as log lines; the lines of a wrong script are written here.
fn explain(cause: StartError, name: &str) -> String {
    match cause {
        StartError::Script(diagnostics) => {
            write_diagnostics(&diagnostics);
            format!(
                "core:parse_opensips_cfg: bad config file ({} errors)\ncore:main: failed to parse config file {name}",
                diagnostics.count()
            )
        }
        other => format!("core:main: {other}"),
    }
}

fn write_diagnostics(diagnostics: &Diagnostics) {
    for (level, text) in diagnostics.lines() {
        let level = match level {
            tocsin_script::Level::Critical => Level::Critical,
            _ => Level::Error,
        };
        logging::line(level, &text);
    }
}

/// The folders of `-t` and `-w`, as the server will enter them.
fn check_folders(identity: &Identity) -> Result<(), String> {
    let missing =
        |flag: &str, path: &Path| format!("core:main: {flag}: there is no folder {}", path.display());
    if let Some(root) = identity.root.as_deref().filter(|root| !root.is_dir()) {
        return Err(missing("chroot (-t)", root));
    }
    match &identity.directory {
        Some(directory) => {
            let seen = match &identity.root {
                Some(root) => root.join(directory.strip_prefix("/").unwrap_or(directory)),
                None => directory.clone(),
            };
            if seen.is_dir() { Ok(()) } else { Err(missing("workdir (-w)", &seen)) }
        }
        None => Ok(()),
    }
}

/// A time for people, in the largest unit of which there are at least two.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The log as configured; in the foreground without a system log, lines go to standard error.
fn log_settings(settings: &Settings, arguments: &Arguments) -> LogSettings {
    let mut log = settings.log.clone();
    if arguments.foreground && !Path::new("/dev/log").exists() {
        log.stderr = true;
    }
    log
}

/// A daemon works in `/` unless configured otherwise, so that no file system is kept busy.
fn identity(settings: &Settings, arguments: &Arguments) -> Identity {
    let mut identity = settings.identity.clone();
    if identity.directory.is_none() && !arguments.foreground {
        identity.directory = Some("/".into());
    }
    identity
}

/// Shows a user of the embedded configuration where it listens and what to try.
fn announce(arguments: &Arguments) -> fn(&'static Server) {
    if arguments.config.is_some() { |_| {} } else { greet }
}

fn greet(server: &'static Server) {
    let mut text = format!("\nTocsin {} serves.\n\n", env!("CARGO_PKG_VERSION"));
    for listener in server.network.sockets.all() {
        text += &format!("  SIP          {}\n", listener.name);
    }
    text += "  management   http://127.0.0.1:8888/mi  (JSON-RPC 2.0)\n\nTry, in another terminal:\n\n";
    if let Some(listener) = server.network.sockets.all().first() {
        text += &format!("  sipsak -vv -s sip:{}\n", listener.address);
    }
    text += "  curl -s -H 'Content-Type: application/json' http://127.0.0.1:8888/mi \\\n    -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ps\"}'\n\n";
    text += "Kill one of the processes that `ps` shows, any but the attendant, which is their parent: its successor is there at\nonce, and no call is lost.\nCtrl-C ends the server.\n\n";
    // A greeting that cannot be printed is no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
