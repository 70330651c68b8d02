//! Sockets: what a datagram arrives on and leaves by.
//!
//! In flow datagrams, in batches, from the one socket of a worker slot ([`Inbox`]); out flow the messages that
//! routing produced, collected while a batch is served and handed to the kernel together ([`Outbox`]). The
//! supervisor opens every socket before it forks ([`UdpGroup`]) and spreads traffic over the active ones with a
//! three-instruction kernel program ([`UdpGroup::spread`]). Names become addresses in [`Resolver`],
//! and a URI's host the hops that a request may take ([`locate`]).
//!
//! Streams are read without being taken until they are served ([`stream`]); their connections stand in a table that all
//! processes share ([`connections`]), and go from one process to another by [`Mailbox`].
//!
//! `unsafe` stands in five files: `batch.rs` (recvmmsg, sendmmsg), `mailbox.rs` (recvmsg), `spread.rs` (the socket
//! option), `stream.rs` (reading into spare room) and `watch.rs`.

mod address;
mod batch;
pub mod connections;
pub mod locate;
mod mailbox;
#[cfg(not(feature = "tls"))]
pub mod no_tls;
mod resolve;
mod spread;
pub mod stream;
#[cfg(feature = "tls")]
pub mod tls;
mod udp;
mod watch;
pub mod websocket;

pub use address::{AddressError, Hop, Protocol, interface_addresses, split_host_port};
pub use batch::{BATCH, Inbox, MAX_DATAGRAM_BYTES, Outbox, Sent};
pub use mailbox::{MAX_MAILBOX_MESSAGE_BYTES, Mailbox, MailboxMessage, TooLong};
#[cfg(not(feature = "tls"))]
pub use no_tls as tls;
pub use resolve::{ResolveError, Resolver, ResolverOptions};
pub use udp::{OpenError, UdpGroup};
pub use watch::{Readable, Watch};
