//! An event on its way to the worker that runs its route, as bytes.

use tocsin_event::{MAX_NAME_BYTES, MAX_PARAMS_BYTES, Params};
use tocsin_net::MAX_MAILBOX_MESSAGE_BYTES;

/// Number (8), depth (1), bytes of the name (1), what is named (1).
const HEAD: usize = 11;

const _: () = assert!(
    HEAD + MAX_NAME_BYTES + MAX_PARAMS_BYTES <= MAX_MAILBOX_MESSAGE_BYTES
        && MAX_NAME_BYTES <= u8::MAX as usize
);

/// What a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An event, which has an event route.
    EventRoute,
    /// A route to run when an event comes, with the parameters in AVPs.
    Notified,
}

/// A message: its head, then the name, then the parameters.
pub(super) struct EventMessage<'a> {
    /// The event's number in the event log.
    pub(super) number: u64,
    /// How deep it lies in other events.
    pub(super) depth: u8,
    pub(super) target: Target,
    /// The route.
    pub(super) name: &'a [u8],
    pub(super) params: Params<'a>,
}

impl<'a> EventMessage<'a> {
    /// Its first bytes.
    pub(super) fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&self.number.to_ne_bytes());
        // A name has at most 128 bytes.
        (head[8], head[9], head[10]) = (self.depth, self.name.len() as u8, self.target as u8);
        head
    }

    /// Reads a message; `None` for bytes that are none.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (number, rest_of_head) = head.split_first_chunk::<8>()?;
        let (name, params) = rest.split_at_checked(usize::from(rest_of_head[1]))?;
        Some(Self {
            number: u64::from_ne_bytes(*number),
            depth: rest_of_head[0],
            target: if rest_of_head[2] == 0 { Target::EventRoute } else { Target::Notified },
            name,
            params: Params::new(params),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let message = EventMessage {
            number: 7,
            depth: 3,
            target: Target::Notified,
            name: b"E_X",
            params: Params::new(b"params"),
        };
        let bytes = [&message.head()[..], b"E_X", b"params"].concat();
        let read = EventMessage::read(&bytes).unwrap();
        assert_eq!((read.number, read.depth, read.name), (7, 3, &b"E_X"[..]));
        assert_eq!(read.target, Target::Notified);
        assert_eq!(read.params.as_bytes(), b"params");
        assert!(EventMessage::read(&bytes[..HEAD + 2]).is_none(), "the name is cut");
        assert!(EventMessage::read(&bytes[..HEAD - 1]).is_none());
    }
}
