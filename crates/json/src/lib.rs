//! JSON over bytes: what the Management Interface and the Event Interface speak.
//!
//! SIP carries bytes that need not be UTF-8, and subscribers have always received them as they came. So a [`Value`]
//! holds byte strings ([`Text`]), keeps the members of an object in their order, and keeps integers exact to 64 bits.
//! In flows text ([`parse()`], with a bounded depth); out flows text, either compact ([`Value::write_compact`]) or in the
//! tabbed form that `pretty_printing` asks for ([`Value::write_pretty`]). [`write_string`] and [`write_integer`] are there
//! for those who print without building a value first.
#![forbid(unsafe_code)]

mod parse;
mod value;
mod write;

pub use parse::{Error, ErrorKind, Limits, MAX_DEPTH, parse, parse_prefix};
pub use value::{Text, Value};
pub use write::{write_integer, write_string};
