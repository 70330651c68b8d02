//! Sockets: what a datagram arrives on and leaves by.
//!
//! In flow datagrams, in batches, from the one socket of a worker slot ([`Inbox`]); out flow the messages that
//! routing produced, collected while a batch is served and handed to the kernel together ([`Outbox`]). The
//! supervisor opens every socket before it forks ([`UdpGroup`]) and spreads traffic over the active ones with a
//! three-instruction kernel program ([`UdpGroup::spread`]). Names become addresses in [`Resolver`].
//!
//! `unsafe` stands in three files: `batch.rs` (recvmmsg, sendmmsg), `spread.rs` (the socket option) and `watch.rs`.

mod address;
mod batch;
mod resolve;
mod spread;
mod udp;
mod watch;

pub use address::{AddressError, Protocol, interface_addresses, split_host_port};
pub use batch::{BATCH, DATAGRAM_MAX, Inbox, Outbox, Sent};
pub use resolve::{ResolveError, Resolver};
pub use udp::{OpenError, UdpGroup};
pub use watch::{Readable, Watch};
