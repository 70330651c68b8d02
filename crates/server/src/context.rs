//! What a script runs for: one message on its way through the server.

use std::cell::Cell;
use std::rc::Rc;

use tocsin_script::{Bytes, NamedParams, RouteId, RouteKind, ScriptVars};
use tocsin_sip::{Edits, Kind, Message};

use crate::avps::Avps;
use crate::flow::Received;
use crate::logging::Level;
use crate::name_look_ups::NameLookUps;
use crate::notes::Notes;
use crate::script::Script;
use crate::server::Server;
use crate::slowest::Slowest;
use crate::target::Targets;
use crate::worker::Worker;

/// Routes that the script armed for the transaction to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Armed {
    /// `t_on_failure()`.
    pub failure: Option<RouteId>,
    /// `t_on_reply()`.
    pub reply: Option<RouteId>,
    /// `t_on_branch()`.
    pub branch: Option<RouteId>,
}

/// The transaction that a message belongs to, as the transaction layer knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionRef {
    /// Its identity.
    pub id: u64,
    /// The branch that the message belongs to, in branch and reply routes; in a failure route the one that counts.
    pub branch: Option<u8>,
    /// The status that a failure route runs for.
    pub status: u16,
    /// No reply says so: the branch timed out, or its request could not be sent.
    pub is_local: bool,
}

/// `set_advertised_address()` and `set_advertised_port()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The host, with the brackets of an IPv6 address.
    pub host: Option<Bytes>,
    /// The port.
    pub port: Option<u16>,
}

/// Why a message cannot be served, for the error route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageError {
    /// 1 if the message cannot be read, 4 if an assertion failed.
    pub class: u8,
    /// How grave it is: the lower, the graver.
    pub level: u8,
    /// In words.
    pub info: Bytes,
    /// The status of the reply that suits.
    pub status: u16,
    /// Its reason phrase.
    pub reason: Bytes,
}

/// One message, and all that the script does with it.
pub struct Context {
    /// This process.
    pub worker: &'static Worker,
    /// The version of the script that runs for it, to its end.
    pub script: Rc<Script<Self>>,
    /// The message as it came.
    pub message: Message,
    /// Changes to apply when it is sent.
    pub edits: Edits,
    /// Where it came from.
    pub received: Received,
    /// The kind of route that runs now.
    pub route: RouteKind,
    /// Where it goes.
    pub targets: Targets,
    /// `$avp`.
    pub avps: Avps,
    /// What modules noted, kept with the transaction: [`notes::change`](crate::notes::change) changes it.
    pub notes: Notes,
    /// What our Via names instead of the listener, if the script says so.
    pub advertised: Option<Box<Advertised>>,
    /// `$T_fr_timeout` and `$T_fr_inv_timeout` in seconds, if the script set them.
    pub final_timeouts: [Option<u32>; 2],
    /// `$xlog_level`, if the script set one.
    pub xlog_level: Option<i32>,
    /// The level at which statements are logged, if `script_trace()` asked for it.
    pub traced: Option<(Level, Bytes)>,
    /// What is wrong with the message, in an error route.
    pub error: Option<MessageError>,
    /// What is wrong with a part that the script has not come to yet, if there is an error route.
    pub unreadable: Option<Box<MessageError>>,
    /// The script has asked for a part that cannot be read.
    pub asked_in_vain: Cell<bool>,
    /// Message flags (`setflag`), kept with the transaction.
    pub flags: u32,
    /// Flags that live as long as the route block (`setsflag`).
    pub script_flags: u32,
    /// The blocklists in use.
    pub blocklists: u32,
    /// Header lines for the CANCELs that follow the one at hand (`t_add_cancel_reason`).
    pub cancel_lines: Vec<u8>,
    /// Routes armed for the transaction.
    pub armed: Armed,
    /// The transaction, once there is one.
    pub transaction: Option<TransactionRef>,
    /// Responses go to the source port whatever the Via says (`force_rport`).
    pub symmetric: bool,
    /// Our Via asks for the source port of the answer (`add_local_rport`).
    pub local_rport: bool,
    /// Header lines for the response to come, each with its line end (`append_to_reply`).
    pub reply_lines: Vec<u8>,
    /// A final response was sent without a transaction: there is no second one.
    pub answered: bool,
    /// A response was sent or the request was forwarded.
    pub served: bool,
    /// What an event route runs for.
    pub event: NamedParams,
    /// How deep an event lies that is raised while this runs: see [`tocsin_event::nest`].
    pub event_depth: u8,
    /// `$var`, lent by the process while the script runs.
    pub vars: ScriptVars,
    /// Names that `{ip.resolve}` asked for.
    pub name_look_ups: Option<Box<NameLookUps<Self>>>,
    /// Monotonic nanoseconds at which the message was read; 0 when nobody wants to know.
    pub began_ns: u64,
    /// The slowest functions so far.
    pub slowest: Slowest,
}

impl Context {
    /// Whether the script has come to a part of the message that cannot be read: it ends, and the error route runs.
    pub(crate) fn came_to_unreadable(&mut self) -> bool {
        if !self.asked_in_vain.take() || self.route != RouteKind::Request {
            return false;
        }
        let Some(error) = self.unreadable.take() else { return false };
        self.error = Some(*error);
        true
    }

    /// A message that has just arrived.
    pub fn new(worker: &'static Worker, message: Message, received: Received, route: RouteKind) -> Self {
        Self {
            worker,
            script: worker.server.script(),
            message,
            edits: Edits::default(),
            received,
            route,
            targets: Targets::default(),
            avps: Avps::default(),
            notes: Notes::default(),
            advertised: None,
            final_timeouts: [None; 2],
            xlog_level: None,
            traced: None,
            error: None,
            unreadable: None,
            asked_in_vain: Cell::new(false),
            flags: 0,
            script_flags: 0,
            blocklists: worker.server.blocklists.defaults(),
            cancel_lines: Vec::new(),
            armed: Armed::default(),
            transaction: None,
            symmetric: false,
            local_rport: false,
            reply_lines: Vec::new(),
            answered: false,
            served: false,
            event: NamedParams::new(),
            event_depth: 0,
            vars: ScriptVars::default(),
            name_look_ups: None,
            began_ns: 0,
            slowest: Slowest::default(),
        }
    }

    /// The server.
    pub fn server(&self) -> &'static Server {
        self.worker.server
    }

    /// The Request-URI as it will be sent.
    pub fn request_uri(&self) -> &[u8] {
        match &self.targets.main.uri {
            Some(uri) => uri,
            None => received_uri(&self.message),
        }
    }

    /// Sets the Request-URI.
    pub fn set_request_uri(&mut self, uri: impl Into<Bytes>) {
        self.targets.main.uri = Some(uri.into());
    }
}

/// The Request-URI of `message` as it came; empty for a response.
pub fn received_uri(message: &Message) -> &[u8] {
    match message.kind() {
        Kind::Request { uri, .. } => uri,
        Kind::Reply { .. } => b"",
    }
}
