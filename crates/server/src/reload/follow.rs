//! How a process follows the versions of the script.

use std::rc::Rc;

use tocsin_net::Watch;
use tocsin_process::Kind;
use tocsin_script::{Library, SourceMap};

use super::text::Text;
use crate::context::Context;
use crate::flag_names::FlagNames;
use crate::script::Script;
use crate::server::Server;
use crate::worker::Worker;
use crate::{event_routes, startup};

/// Follows the versions until the process ends.
pub(crate) async fn follow(worker: &'static Worker) {
    let server = worker.server;
    let bell = match Watch::new(server.versions.bell()) {
        Ok(bell) => bell,
        Err(cause) => return tracing::error!("this process cannot follow reloads of the script: {cause}"),
    };
    loop {
        look(server, worker.member.slot);
        worker.give_first_values();
        let is_timer = server.plan.groups[worker.member.group].kind == Kind::Timer;
        if is_timer && server.versions.take_asked() {
            tokio::task::spawn_local(super::by_signal(server, worker.member.slot));
        }
        match bell.readable().await {
            Ok(readable) => readable.drained(),
            Err(cause) => {
                return tracing::error!("this process no longer follows reloads of the script: {cause}");
            }
        }
    }
}

/// Takes the version that is committed, and prepares the candidate if there is one; says for the process of `slot` how far it
/// is.
fn look(server: &'static Server, slot: u16) {
    let versions = &server.versions;
    catch_up(server);
    let prepared = match versions.candidate() {
        Some(candidate) => prepare(server, candidate).map(|()| candidate).map_err(|()| candidate),
        None => Ok(versions.current().version),
    };
    versions.answer(slot, prepared);
}

/// Takes the version that is committed, if this process has another one.
pub(crate) fn catch_up(server: &'static Server) {
    let versions = &server.versions;
    loop {
        let committed = versions.committed();
        if versions.current().version == committed {
            return;
        }
        if prepare(server, committed).is_ok() && versions.switch(committed) {
            if let Some(routes) = &server.registered.event_routes {
                routes.renew(event_routes::names(&versions.current().program));
            }
            return;
        }
        if versions.committed() == committed {
            // It is tried again at the next reload, and by the successor of this process.
            return tracing::error!(
                "this process goes on with version {} of the script",
                versions.current().version
            );
        }
    }
}

/// Makes a script of the text of `version`. If that cannot be done, the log says why.
fn prepare(server: &'static Server, version: u32) -> Result<(), ()> {
    if server.versions.has_prepared(version) {
        return Ok(());
    }
    match make(server, version) {
        Ok(next) => {
            server.versions.prepared(next);
            Ok(())
        }
        Err(cause) => {
            tracing::error!("version {version} of the script cannot be loaded here: {cause}");
            Err(())
        }
    }
}

fn make(server: &'static Server, version: u32) -> Result<Rc<Script<Context>>, String> {
    let versions = &server.versions;
    let Text { files, flags } = versions.texts.read(version).ok_or("its text is no longer there")?;
    let flags = FlagNames::of_list(&flags);
    let source = SourceMap::sealed(files).ok_or("its text is empty")?;
    let base = Library::for_version_of(&versions.current().program);
    let compiled = startup::compile(source, &server.configuration.modules, base, &flags);
    let mut program = compiled.map_err(|errors| errors.to_string())?.program;
    program.trace_actions(server.settings.exec_msg_threshold > 0);
    Ok(Script::new(version, program, flags))
}
