//! The Management Interface: how an operator's tools talk to the server, JSON-RPC 2.0 over three transports.
//!
//! Commands flow in at start: rooms above put them into a [`Registry`], with the sets of parameters each one takes.
//! Requests flow in from a FIFO ([`fifo`]), from datagram sockets ([`datagram`]) and over HTTP ([`http`] on [`httpd`]);
//! [`jsonrpc`] turns the bytes of a request into the call of a command and its result into the bytes of the reply. A command
//! answers at once or with a future, and with a long list piece by piece; the transports never wait for a slow command or a slow client on behalf of others.
//!
//! [`client`] is the other side, for tools of our own.
//!
//! Everything runs on one current-thread runtime inside a `LocalSet`. What clients see, down to the order of HTTP headers,
//! is what OpenSIPS 3.4 shows them; where that server crashes on a request, the reply here is `Invalid Request`.
#![forbid(unsafe_code)]

pub mod client;
pub mod datagram;
pub mod fifo;
pub mod http;
pub mod httpd;
pub mod jsonrpc;

mod command;
mod error;
mod listing;
mod params;
mod row;
mod seldom;

pub use command::{Command, Outcome, Registry, Reply};
pub use error::MiError;
pub use listing::{PIECE, Printed, Room, Rows};
pub use params::Params;
pub use row::CommandRow;
