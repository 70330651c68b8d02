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
use tocsin_server::{Context, Worker, commands};

/// The default of `fifo_name`.
const DEFAULT_PATH: &str = "/tmp/opensips_fifo";
/// The default of `reply_dir`.
const DEFAULT_REPLY_FOLDER: &str = "/tmp/";

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct MiFifo;

impl Module for MiFifo {
    fn spec(&self) -> ModuleSpec<Context> {
        const NAMES: &[ModParam] = &[
            ModParam::text("fifo_name", "", ""),
            ModParam::number("fifo_mode", 0, ""),
            ModParam::number_or_text("fifo_group", ""),
            ModParam::number_or_text("fifo_user", ""),
            ModParam::text("reply_dir", "", ""),
            ModParam::number("pretty_printing", 0, ""),
            // No effect: there is no tracing module.
            ModParam::text("trace_destination", "", ""),
            ModParam::text("trace_bwlist", "", ""),
        ];
        ModuleSpec { params: NAMES, ..ModuleSpec::new("mi_fifo") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let options = options(&setup.parameters)?;
        make_room(&options)?;
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
            Err(cause) => tracing::error!("the MI FIFO {} cannot be made: {cause}", path.display()),
        }
    })
}

fn options(parameters: &Parameters) -> Result<FifoOptions, SetupError> {
    let options = FifoOptions {
        path: PathBuf::from(parameters.text("fifo_name", DEFAULT_PATH)),
        mode: files::mode(parameters, "fifo_mode").map_err(|problem| wrong("fifo_mode", problem))?,
        uid: files::user(parameters, "fifo_user").map_err(|problem| wrong("fifo_user", problem))?,
        gid: files::group(parameters, "fifo_group").map_err(|problem| wrong("fifo_group", problem))?,
        reply_dir: PathBuf::from(parameters.text("reply_dir", DEFAULT_REPLY_FOLDER)),
        style: files::style(parameters),
    };
    if !options.reply_dir.is_dir() {
        let problem = format!("{} is no folder: clients make their FIFOs there", options.reply_dir.display());
        return Err(wrong("reply_dir", problem));
    }
    Ok(options)
}

fn wrong(name: &'static str, problem: String) -> SetupError {
    SetupError::Parameter { module: "mi_fifo", name, problem }
}

/// Before privileges are dropped: what an earlier server left may be another user's.
fn make_room(options: &FifoOptions) -> Result<(), SetupError> {
    files::make_room(&options.path, files::Kind::Fifo).map_err(|problem| wrong("fifo_name", problem))
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
        assert_eq!(options.path, PathBuf::from(DEFAULT_PATH));
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
