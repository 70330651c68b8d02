//! What becomes of a transaction leads to reports.

use std::rc::Rc;

use tocsin_server::notes::{Change, Notes, Observer, Progress, Stage};
use tocsin_server::{Worker, reply};
use tocsin_sip::{Kind, Message, Method};

use super::account::{self, Backend, Wanted};
use super::parameters::Settings;
use super::report::{self, About, Report};
use super::state::State;

/// The module as an observer.
pub(super) fn observer(settings: &Settings) -> Observer {
    Observer { provisional: settings.early_media, observe: Rc::new(observe) }
}

fn observe(worker: &'static Worker, notes: &Notes, progress: &Progress<'_>) -> Option<Change> {
    let wanted = account::wanted(notes)?;
    let missed = is_missed(wanted, progress);
    if missed {
        report_to(worker, notes, progress, About::Missed, |backend| wanted.accounts_missed(backend));
    }
    if is_answered(progress) {
        report_to(worker, notes, progress, About::Answered, |backend| {
            wanted.accounts(backend, progress.status)
        });
    }
    missed.then_some(account::forget_missed as Change)
}

/// Whether a call was missed by this: all branches have failed, or there was none and the answer is a failure.
fn is_missed(wanted: Wanted, progress: &Progress<'_>) -> bool {
    let over = match progress.stage {
        Stage::Failed => true,
        Stage::Responded { local } => local && progress.status >= 300,
    };
    over && progress.request.method() == Method::Invite
        && Backend::ALL.into_iter().any(|backend| wanted.accounts_missed(backend))
}

/// Whether the transaction is accounted by this: it is over, or media comes early.
fn is_answered(progress: &Progress<'_>) -> bool {
    let has_body = |response: &Message| !response.body().is_empty();
    progress.stage != Stage::Failed && (progress.status >= 200 || progress.response.is_some_and(has_body))
}

fn report_to(
    worker: &'static Worker,
    notes: &Notes,
    progress: &Progress<'_>,
    about: About,
    is_wanted: impl Fn(Backend) -> bool,
) {
    let server = worker.server;
    let state = server.state::<State>();
    let upstream = account::wanted(notes).is_some_and(Wanted::is_upstream);
    let reason = match progress.response.map(Message::kind) {
        Some(Kind::Reply { reason, .. }) => reason,
        _ => reply::default_reason(progress.status).as_bytes(),
    };
    let report = Report {
        about,
        request: progress.request,
        response: progress.response,
        code: Some(progress.status),
        reason,
        upstream,
    };
    for backend in Backend::ALL.into_iter().filter(|backend| is_wanted(*backend)) {
        report::send(server, state, backend, notes, &report);
    }
}
