//! Streams: connections over TCP, TLS and WebSocket, and messages over them; and the addresses that the server listens on.
//!
//! A connection belongs to one TCP worker at a time, its owner. The owner reads it, cuts it into messages and gives them
//! to the process around it ([`Owner`]); a process that has something to send writes to the owner's mailbox
//! ([`WorkerStreams`]). What every process has to know of a connection stands in shared memory ([`Exchange`]). One process
//! accepts, keeps a duplicate of each connection that can outlive its owner, and finds a new owner for those of a dead one.
#![forbid(unsafe_code)]

mod connection;
mod cut;
mod end;
mod exchange;
pub mod flow;
mod input;
pub mod keyed_hash;
mod ledger;
mod letter;
mod lingering;
mod local;
mod network;
pub mod network_statistics;
mod opening;
mod output;
mod owner;
mod parking;
mod post_office;
pub mod security;
mod served;
mod slow_send;
pub mod sockets;
pub mod stream_options;
pub mod tcp_profile;
pub mod tcp_settings;
mod worker_streams;

pub use end::End;
pub use exchange::{Exchange, ExchangeError, StreamCounters};
pub use letter::Letter;
pub use network::Network;
pub use owner::Owner;
pub use post_office::{Addressee, Mail};
pub use served::ServedLetters;
pub use worker_streams::WorkerStreams;
