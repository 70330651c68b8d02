//! What modules note about a request, out of the script's sight.
//!
//! A module writes notes while the script runs ([`change`]). They go with the request into its transaction, in shared memory,
//! so they outlive the process; in branch, reply and failure routes they are there again. Modules that have an
//! [`Observer`] learn what becomes of a transaction with notes: see [`Stage`].

use std::rc::Rc;

use tocsin_sip::Message;

use crate::avps::Avps;
use crate::context::Context;
use crate::worker::Worker;

/// The notes of one request: named values. A module begins the names of its own with its name.
pub type Notes = Avps;

/// Changes the notes of the request of `cx`, and those of its transaction if there is one already: then `change` runs
/// twice.
pub fn change(cx: &mut Context, change: impl Fn(&mut Notes)) {
    change(&mut cx.notes);
    if cx.transaction.is_some()
        && let Some(layer) = &cx.server().registered.transactions
    {
        layer.change_notes(cx, &change);
    }
}

/// A point in the life of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A response goes to the client, and no further response of this class will.
    Responded {
        /// It was made here, for a request that no branch answered: by the script, by a time-out, by a CANCEL.
        local: bool,
    },
    /// All branches have failed; the failure route, if there is one, runs next.
    Failed,
}

/// What has become of a transaction with notes.
#[derive(Debug)]
pub struct Progress<'a> {
    /// How far it is.
    pub stage: Stage,
    /// The status of the response.
    pub status: u16,
    /// The request as the script left it.
    pub request: &'a Message,
    /// The response as the client gets it, or in [`Stage::Failed`] the one of the best branch; `None` if there is none.
    pub response: Option<&'a Message>,
}

/// A change of notes.
pub type Change = fn(&mut Notes);

/// Is called once for each thing that becomes of a transaction with notes, and says how the notes change by it. No lock is
/// held.
pub type Observe = Rc<dyn Fn(&'static Worker, &Notes, &Progress<'_>) -> Option<Change>>;

/// A module that wants to know what becomes of transactions with notes.
pub struct Observer {
    /// Whether it wants to know of provisional responses, too.
    pub provisional: bool,
    /// What it does.
    pub observe: Observe,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observer {{ provisional: {} }}", self.provisional)
    }
}
