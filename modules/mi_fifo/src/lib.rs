//! mi_fifo: the Management Interface over a FIFO. One process owns it; what it understands is [`tocsin_mi::fifo`].
#![forbid(unsafe_code)]

pub mod files;

use std::path::PathBuf;
use std::rc::Rc;

use tocsin_event::OwnListener;
use tocsin_mi::fifo::{Fifo, FifoOptions};
use tocsin_process::Kind;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::module::{Local, Module, Parameters, ProcessGroup, Setup, SetupError};
use tocsin_server::shared_parameters::{PRETTY_PRINTING, TRACE_BWLIST, TRACE_DESTINATION};
use tocsin_server::{Context, Worker, commands};

const FIFO_NAME: ModParam =
    ModParam::text("fifo_name", "/tmp/opensips_fifo", "The path of the FIFO that commands are written to.");
const FIFO_MODE: ModParam = files::mode_row("fifo_mode", "The permissions of the FIFO, in octal digits.");
const FIFO_GROUP: ModParam =
    ModParam::number_or_text("fifo_group", "The group that the FIFO belongs to, by name or number.")
        .unset("that of the server");
const FIFO_USER: ModParam =
    ModParam::number_or_text("fifo_user", "The user that the FIFO belongs to, by name or number.")
        .unset("that of the server");
const REPLY_DIR: ModParam = ModParam::text(
    "reply_dir",
    "/tmp/",
    "The folder in which clients make the FIFOs that replies are written to.",
);

const PARAMETERS: &[ModParam] = &[
    FIFO_NAME,
    FIFO_MODE,
    FIFO_GROUP,
    FIFO_USER,
    REPLY_DIR,
    PRETTY_PRINTING,
    TRACE_DESTINATION,
    TRACE_BWLIST,
];

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct MiFifo;

impl Module for MiFifo {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new("mi_fifo") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let options = options(&setup.parameters)?;
        if !setup.rehearsal {
            make_room(&options)?;
        }
        setup.own_listeners.push(OwnListener::Path(options.path.clone()));
        setup.registered.processes.push(ProcessGroup {
            kind: Kind::Mi,
            description: "MI FIFO".to_owned(),
            processes: 1,
            run: Rc::new(move |worker| serve(worker, options.clone())),
        });
        Ok(())
    }
}

/// The FIFO is there before the process counts as serving; one that dies is followed by one that makes it anew.
fn serve(worker: &'static Worker, options: FifoOptions) -> Local<()> {
    let path = options.path.clone();
    let opened = Fifo::open(options);
    Box::pin(async move {
        match opened {
            Ok(fifo) => fifo.serve(Rc::new(commands::registry(worker))).await,
            Err(cause) => tracing::error!("the MI FIFO {} cannot be created: {cause}", path.display()),
        }
    })
}

fn options(given: &Parameters) -> Result<FifoOptions, SetupError> {
    let options = FifoOptions {
        path: PathBuf::from(given.string(&FIFO_NAME)),
        mode: files::mode(given, &FIFO_MODE).map_err(|problem| wrong(FIFO_MODE, problem))?,
        uid: files::user(given, &FIFO_USER).map_err(|problem| wrong(FIFO_USER, problem))?,
        gid: files::group(given, &FIFO_GROUP).map_err(|problem| wrong(FIFO_GROUP, problem))?,
        reply_dir: PathBuf::from(given.string(&REPLY_DIR)),
        style: files::style(given),
    };
    if !options.reply_dir.is_dir() {
        let problem = format!("{} is no folder: clients make their FIFOs there", options.reply_dir.display());
        return Err(wrong(REPLY_DIR, problem));
    }
    Ok(options)
}

fn wrong(row: ModParam, problem: String) -> SetupError {
    SetupError::Parameter { module: "mi_fifo", name: row.name, problem }
}

/// Before privileges are dropped: what an earlier server left may be another user's.
fn make_room(options: &FifoOptions) -> Result<(), SetupError> {
    files::make_room(&options.path, files::Kind::Fifo).map_err(|problem| wrong(FIFO_NAME, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_mi::jsonrpc::Style;
    use tocsin_script::Value;

    fn given(list: &[(&str, Value)]) -> Parameters {
        Parameters(list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn text(path: &std::path::Path) -> Value {
        Value::from(path.to_str().unwrap())
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let options = options(&given(&[])).unwrap();
        assert_eq!(options.path, PathBuf::from(FIFO_NAME.default_text()));
        assert_eq!(
            (options.mode, options.uid, options.gid, options.style),
            (0o660, None, None, Style::Compact)
        );
    }

    #[test]
    fn parameters_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let list = [
            ("fifo_name", text(&path)),
            ("fifo_mode", Value::Int(600)),
            ("fifo_user", Value::Int(12)),
            ("fifo_group", Value::from("root")),
            ("reply_dir", text(folder.path())),
            ("pretty_printing", Value::Int(1)),
        ];
        let options = options(&given(&list)).unwrap();
        assert_eq!((options.path, options.reply_dir), (path, folder.path().to_owned()));
        assert_eq!(
            (options.mode, options.uid, options.gid, options.style),
            (0o600, Some(12), Some(0), Style::Pretty)
        );
    }

    #[test]
    fn what_cannot_work_is_told_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for (name, value) in [
            ("fifo_name", text(&file)),
            ("fifo_name", text(&folder.path().join("nosuch/fifo"))),
            ("fifo_name", Value::from("")),
            ("reply_dir", text(&file)),
            ("fifo_mode", Value::Int(888)),
            ("fifo_user", Value::from("no such user")),
            ("fifo_group", Value::from("no such group")),
        ] {
            let read = options(&given(&[(name, value)]));
            let cause = read.and_then(|options| make_room(&options)).unwrap_err().to_string();
            assert!(cause.starts_with(&format!("modparam mi_fifo:{name}: ")), "{cause}");
        }
    }
}
