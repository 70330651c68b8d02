//! SIP messages (RFC 3261): bytes in, bytes out.
//!
//! What flows in is a buffer holding one datagram, or one message cut from a stream by a [`Framer`];
//! [`Message::parse`] takes it over and finds its lines in one pass. What a header field says is read when it
//! is asked for, and remembered as offsets, so that a message has no lifetime and may wait in a future. What
//! flows out is the same bytes with a list of [`Edits`] applied while they are printed, a reply made from the
//! request it answers ([`ReplyBuilder`]), or the ACK and CANCEL of one hop ([`ack_into`], [`cancel_into`]).
//! Nothing here knows of sockets, clocks or shared memory; everything is bounded by [`Limits`], and every
//! refusal is a [`ParseError`] or an [`Unframable`] that can be counted.
//!
//! The rooms: `grammar`, `lines`, `list` and `params` are the small productions; `uri`, `via`, `name_addr`,
//! `cseq`, `credentials`, `content_type` and `multipart` read what stands in header fields and bodies;
//! `message` holds a message, its typed access and its validation; `framing` finds where one ends on a stream;
//! `edits`, `reply` and `hop` write.
#![forbid(unsafe_code)]

mod content_type;
mod credentials;
mod cseq;
mod edits;
mod error;
mod framing;
mod grammar;
mod header_name;
mod hop;
mod limits;
mod lines;
mod list;
mod message;
mod method;
mod multipart;
mod name_addr;
mod params;
mod print;
mod reply;
mod span;
mod uri;
mod via;

pub use content_type::ContentTypeRef;
pub use credentials::DigestRef;
pub use cseq::{CSEQ_END, CSeqRef};
pub use edits::Edits;
pub use error::ParseError;
pub use framing::{Frame, Framer, MAX_START_LINE_BYTES, Unframable, frame, is_between_messages};
pub use grammar::{host_address, unfold, unquote};
pub use header_name::HeaderName;
pub use hop::{ack_into, answer_ack_into, cancel_into};
pub use limits::Limits;
pub use list::{Value, Values};
pub use message::{HeaderRef, Kind, Message, Rejection, ValueRef};
pub use method::Method;
pub use multipart::{Part, Parts};
pub use name_addr::{NameAddr, NameAddrRef};
pub use params::{Param, Params};
pub use print::address as write_address;
pub use reply::ReplyBuilder;
pub use uri::{Scheme, Uri, UriParts, UriRef, equivalent, escape_user, unescape};
pub use via::{COOKIE, Rport, Transport, ViaRef, Written};
