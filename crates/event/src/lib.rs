//! The Event Interface: how the server reports to subscribers what happens in it.
//!
//! Every process raises events ([`Events::raise`]): with nobody subscribed that is one load, else one bounded copy into a
//! log in shared memory. The [`Courier`] reads the log and sees each event to its subscribers, over the [`Transports`] that
//! modules bring along: [`Datagram`] is the one for `udp:` and `unix:` sockets, [`Stream`] the one for `tcp:`. Events have names and ids ([`Registry`]),
//! subscribers a place and a time ([`Subscriptions`]), and operators see both through the functions of [`commands`].
//!
//! In flow names, subscriptions and raised events; out flow JSON texts, at the pace of each subscriber, and counts of what
//! could not be delivered. The events of the core are declared once, as types ([`CORE_EVENTS`]). The edges at which memory is worth an event are here too ([`Edge`]).
#![forbid(unsafe_code)]

pub mod commands;

mod account;
mod address;
mod attempts;
mod core_events;
mod courier;
mod datagram;
mod depth;
mod dial;
mod events;
mod ledger;
mod line;
mod outbox;
mod own;
mod pace;
mod params;
mod passed;
mod reader;
mod registry;
mod reliable;
mod render;
mod requests;
mod stream;
mod subscriptions;
mod threshold;
mod transport;
mod window;

pub use address::{Address, AddressError, Endpoint, MAX_SOCKET_BYTES};
pub use attempts::Attempts;
pub use core_events::{
    CORE_EVENTS, CoreEvent, Description, Field, FieldKind, LogLine, PkgThreshold, ProcAutoScale, ProcExit,
    ShmThreshold, SrStatusChanged, TcpDisconnect, Threshold,
};
pub use courier::{Courier, CourierOptions};
pub use datagram::{Datagram, parse_host_port};
pub use depth::{MAX_DEPTH, Nested, depth, nest};
pub use dial::{OwnPort, dial};
pub use events::{EventCounts, EventOptions, Events, Raised, SetUpError, SubscriptionCounts};
pub use own::{OwnListener, OwnPorts};
pub use pace::{BURST_BYTES, BYTES_PER_MS, Pacer};
pub use params::{MAX_PARAMS_BYTES, ParamValue, Params, ParamsWriter};
pub use reader::{ReadEvent, Reader};
pub use registry::{EventId, MAX_EVENTS, MAX_NAME_BYTES, PublishError, Registry};
pub use render::{write_call, write_event, write_request};
pub use stream::{PATIENCE, Stream, StreamOptions};
pub use subscriptions::{
    DEFAULT_EXPIRE, Left, MAX_SUBSCRIPTIONS, SubscribeError, Subscription, Subscriptions,
};
pub use threshold::{Edge, Rule, SharedEdge, percentage};
pub use transport::{
    Event, Outlet, QUEUE_BYTES, QUEUE_EVENTS, Receipts, Resolver, Resolving, Sending, Sent, Transport,
    Transports,
};
