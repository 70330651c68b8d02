//! Modules that noted something about a request learn what becomes of its transaction.
//!
//! Under the lock of the record, what has happened is copied out of it ([`Observed`]). Once the lock is released, the
//! observers are called with it, and the notes in the record change as they say.

use smallvec::SmallVec;
use tocsin_server::avps::Avps;
use tocsin_server::notes::{Change, Notes, Progress, Stage};
use tocsin_server::{Context, Server, Worker};
use tocsin_sip::Message;

use super::record::Transaction;

/// What has become of a transaction with notes, in order.
#[derive(Debug)]
pub(super) struct Observed {
    request: Vec<u8>,
    notes: Vec<u8>,
    /// The stage, the status, and the response; empty if there is none.
    events: SmallVec<[(Stage, u16, Vec<u8>); 2]>,
}

/// Whether a module wants to know of a response with this status.
pub(super) fn are_interested(server: &Server, t: &Transaction, status: u16) -> bool {
    !t.notes.is_empty() && server.registered.observers.iter().any(|each| each.provisional || status >= 200)
}

impl Observed {
    pub(super) fn of(t: &Transaction) -> Self {
        Self { request: t.request.to_vec(), notes: t.notes.to_vec(), events: SmallVec::new() }
    }

    pub(super) fn push(&mut self, stage: Stage, status: u16, response: Vec<u8>) {
        self.events.push((stage, status, response));
    }

    /// Calls the observers, and returns how the notes change by it.
    pub(super) fn notify(self, worker: &'static Worker) -> SmallVec<[Change; 1]> {
        let parse = |bytes: Vec<u8>| Message::parse(bytes, &worker.server.settings.limits).ok();
        let mut changes = SmallVec::new();
        let Some(request) = parse(self.request) else { return changes };
        let mut notes = Avps::decode(&self.notes);
        for (stage, status, response) in self.events {
            let response = parse(response).filter(|response| !response.is_request());
            let progress = Progress { stage, status, request: &request, response: response.as_ref() };
            let now = notify(worker, &notes, &progress);
            now.iter().for_each(|change| change(&mut notes));
            changes.extend(now);
        }
        changes
    }
}

/// A CANCEL was answered. It has no transaction of its own, and its notes end with it.
pub(super) fn notify_of_cancel(cx: &Context) {
    if cx.notes.is_empty() {
        return;
    }
    let stage = Stage::Responded { local: true };
    let progress = Progress { stage, status: 200, request: &cx.message, response: None };
    notify(cx.worker, &cx.notes, &progress);
}

/// Notifies every observer, and returns the changes they want.
fn notify(worker: &'static Worker, notes: &Notes, progress: &Progress<'_>) -> SmallVec<[Change; 1]> {
    let provisional = progress.status < 200;
    let observers = worker.server.registered.observers.iter();
    observers
        .filter(|each| each.provisional || !provisional)
        .filter_map(|each| (each.observe)(worker, notes, progress))
        .collect()
}

/// Changes the notes in the record of a transaction.
pub(super) fn change(t: &mut Transaction, change: &dyn Fn(&mut Notes)) {
    let mut notes = Avps::decode(&t.notes);
    change(&mut notes);
    if t.notes.try_assign(&notes.encode()).is_err() {
        tracing::error!("shared memory is full: what a module noted about a transaction is lost");
    }
}
