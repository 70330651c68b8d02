//! Streams: connections over TCP, TLS and WebSocket, and messages over them.
//!
//! A connection belongs to one TCP worker at a time, its keeper. The keeper reads it, cuts it into messages and serves
//! them ([`Connection`]); whoever else has something to send writes to the keeper's mailbox ([`Switchboard`]). What every
//! process has to know of a connection stands in shared memory ([`Exchange`]). One process accepts, keeps a duplicate of
//! each connection that can outlive its keeper, and finds a new keeper for those of a dead one.

mod alias;
mod connection;
mod cut;
mod end;
mod exchange;
mod input;
mod ledger;
mod letter;
mod lingering;
mod opening;
mod output;
mod parking;
mod post_office;
mod served;
mod switchboard;

pub use alias::force_alias;
pub use exchange::{Exchange, ExchangeError};
pub use switchboard::Switchboard;

pub(crate) use alias::note_alias;
pub(crate) use connection::profile_for;
pub(crate) use end::{End, report};
pub(crate) use letter::Letter;
pub(crate) use post_office::{Addressee, Mail};
pub(crate) use switchboard::keeper_of;
