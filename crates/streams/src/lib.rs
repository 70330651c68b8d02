//! Streams: connections over TCP, TLS and WebSocket, and messages over them; and the addresses that the server listens on.
//!
//! A connection belongs to one TCP worker at a time, its owner. The owner reads it, cuts it into messages and gives them
//! to the process around it ([`Owner`]); a process that has something to send writes to the owner's mailbox
//! ([`WorkerStreams`]). What every process has to know of a connection stands in shared memory ([`SharedConnections`]). One process
//! accepts, keeps a duplicate of each connection that can outlive its owner, and finds a new owner for those of a dead one.
#![forbid(unsafe_code)]

mod connecting;
mod connection;
mod control;
mod decoder;
mod end;
pub mod flow;
pub mod keyed_hash;
mod lingering;
mod local;
mod machine;
mod network;
pub mod network_statistics;
mod output;
mod owner;
mod parking;
mod pending;
pub mod security;
mod send_queue;
mod served;
mod shared;
mod slow_send;
pub mod sockets;
pub mod stream_options;
pub mod tcp_profile;
pub mod tcp_settings;
mod worker_streams;

pub use control::ControlMessage;
pub use end::End;
pub use network::Network;
pub use owner::Owner;
pub use send_queue::{Destination, QueuedMessage};
pub use served::ServedMessages;
pub use shared::{STREAM_STATISTICS, SharedConnections, SharedConnectionsError, StreamCounters};
pub use worker_streams::WorkerStreams;
