//! One binding of an address of record to a contact, and how the bindings of one AOR lie in their record.
//!
//! A record is the bindings one after the other, each its numbers and then its texts with their lengths, so that a
//! whole AOR is one piece of shared memory, copied in and out at once. The same process image writes and reads it:
//! numbers are in the machine's byte order.

use tocsin_server::sockets::SocketId;
use tocsin_sip::UriRef;

/// The `methods` of a contact that did not say what it supports: all.
pub const ALL_METHODS: u32 = u32::MAX;

/// The `expires` of a contact that stays until it is removed.
pub const PERMANENT: u64 = 0;

/// No socket is known. There are fewer listeners.
const NO_SOCKET: u16 = u16::MAX;

/// A contact, borrowed from a record or from the request that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    /// Its identity for the management interface.
    pub id: u64,
    /// The contact URI.
    pub uri: &'a [u8],
    /// The URI of the address that the registration came from, if that is not the contact's; or empty.
    pub received: &'a [u8],
    /// The values of Path, comma-separated; or empty (RFC 3327).
    pub path: &'a [u8],
    /// The Call-ID of the registration.
    pub call_id: &'a [u8],
    /// The User-Agent of the registration.
    pub user_agent: &'a [u8],
    /// What the script attached; or empty.
    pub attr: &'a [u8],
    /// The `+sip.instance`, with its angle brackets; or empty (RFC 5626).
    pub instance: &'a [u8],
    /// The ownership tag; or empty.
    pub tag: &'a [u8],
    /// When it expires, in seconds since 1970; or [`PERMANENT`].
    pub expires: u64,
    /// When it was last registered, in seconds since 1970.
    pub modified: u64,
    /// Preference in thousandths; -1 when none was given.
    pub q: i32,
    /// The CSeq number of the registration.
    pub cseq: u32,
    /// Internal flags.
    pub flags: u32,
    /// Branch flags.
    pub cflags: u32,
    /// The methods it supports: see [`method_bit`].
    pub methods: u32,
    /// The `reg-id`; 0 when there is none (RFC 5626).
    pub reg_id: u32,
    /// The last ping's round trip, in microseconds; 0 when there was none.
    pub latency: u32,
    /// The listener that the registration arrived on.
    pub socket: Option<SocketId>,
}

impl Contact<'_> {
    /// A contact of which nothing is known.
    pub const EMPTY: Self = Self {
        id: 0,
        uri: b"",
        received: b"",
        path: b"",
        call_id: b"",
        user_agent: b"",
        attr: b"",
        instance: b"",
        tag: b"",
        expires: PERMANENT,
        modified: 0,
        q: -1,
        cseq: 0,
        flags: 0,
        cflags: 0,
        methods: ALL_METHODS,
        reg_id: 0,
        latency: 0,
        socket: None,
    };

    /// Whether it is over at `now`, in seconds since 1970.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires != PERMANENT && self.expires <= now
    }

    /// Seconds that it has left at `now`; `None` when it is permanent.
    pub fn seconds_left(&self, now: u64) -> Option<u64> {
        (self.expires != PERMANENT).then(|| self.expires.saturating_sub(now))
    }
}

/// Whether two contact URIs are the same (RFC 3261 section 19.1.4); what is no URI is only the same as itself.
pub fn same_uri(one: &[u8], two: &[u8]) -> bool {
    one == two
        || matches!((UriRef::parse(one), UriRef::parse(two)), (Ok(one), Ok(two)) if one.equivalent(&two))
}

/// The bit of a method in a contact's `methods`; 0 for one that has none. The same bits as OpenSIPS's, which
/// management clients see and set.
pub fn method_bit(name: &[u8]) -> u32 {
    const NAMES: [&[u8]; 14] = [
        b"INVITE",
        b"CANCEL",
        b"ACK",
        b"BYE",
        b"INFO",
        b"OPTIONS",
        b"UPDATE",
        b"REGISTER",
        b"MESSAGE",
        b"SUBSCRIBE",
        b"NOTIFY",
        b"PRACK",
        b"REFER",
        b"PUBLISH",
    ];
    NAMES.iter().position(|known| *known == name).map_or(0, |bit| 1 << bit)
}

/// A text of a contact is longer than a record can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text of the contact is longer than 65,535 bytes")]
pub struct TooLong;

/// Appends a contact to a record.
pub(super) fn encode(contact: &Contact<'_>, out: &mut Vec<u8>) -> Result<(), TooLong> {
    for word in [contact.id, contact.expires, contact.modified] {
        out.extend_from_slice(&word.to_ne_bytes());
    }
    for word in [
        contact.q.cast_unsigned(),
        contact.cseq,
        contact.flags,
        contact.cflags,
        contact.methods,
        contact.reg_id,
        contact.latency,
    ] {
        out.extend_from_slice(&word.to_ne_bytes());
    }
    out.extend_from_slice(&contact.socket.map_or(NO_SOCKET, |id| id.0).to_ne_bytes());
    let texts = [
        contact.uri,
        contact.received,
        contact.path,
        contact.call_id,
        contact.user_agent,
        contact.attr,
        contact.instance,
        contact.tag,
    ];
    for text in texts {
        let length = u16::try_from(text.len()).map_err(|_| TooLong)?;
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(text);
    }
    Ok(())
}

/// The contacts of a record, in its order. Damaged bytes end the iteration.
#[derive(Clone, Debug)]
pub struct Contacts<'a>(&'a [u8]);

impl<'a> Contacts<'a> {
    /// The contacts in the bytes of a record.
    pub(super) fn new(record: &'a [u8]) -> Self {
        Self(record)
    }
}

impl<'a> Iterator for Contacts<'a> {
    type Item = Contact<'a>;

    fn next(&mut self) -> Option<Contact<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let contact = decode(&mut self.0);
        if contact.is_none() {
            self.0 = &[];
        }
        contact
    }
}

fn decode<'a>(rest: &mut &'a [u8]) -> Option<Contact<'a>> {
    let (id, expires, modified) = (u64_of(rest)?, u64_of(rest)?, u64_of(rest)?);
    let (q, cseq, flags) = (u32_of(rest)?.cast_signed(), u32_of(rest)?, u32_of(rest)?);
    let (cflags, methods, reg_id, latency) = (u32_of(rest)?, u32_of(rest)?, u32_of(rest)?, u32_of(rest)?);
    let socket = Some(u16_of(rest)?).filter(|id| *id != NO_SOCKET).map(SocketId);
    Some(Contact {
        id,
        uri: text_of(rest)?,
        received: text_of(rest)?,
        path: text_of(rest)?,
        call_id: text_of(rest)?,
        user_agent: text_of(rest)?,
        attr: text_of(rest)?,
        instance: text_of(rest)?,
        tag: text_of(rest)?,
        expires,
        modified,
        q,
        cseq,
        flags,
        cflags,
        methods,
        reg_id,
        latency,
        socket,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    rest.split_off(..N)?.try_into().ok()
}

fn u64_of(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_ne_bytes)
}

fn u32_of(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_ne_bytes)
}

fn u16_of(rest: &mut &[u8]) -> Option<u16> {
    take(rest).map(u16::from_ne_bytes)
}

fn text_of<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16_of(rest)?;
    rest.split_off(..usize::from(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            numbers in any::<(u64, u64, u64, i32, u32, u32, u32)>(),
            more in any::<(u32, u32, u32, Option<u16>)>(),
            texts in any::<[Vec<u8>; 8]>(),
            count in 0_usize..4,
        ) {
            let [uri, received, path, call_id, user_agent, attr, instance, tag] = &texts;
            let contact = Contact {
                id: numbers.0, expires: numbers.1, modified: numbers.2, q: numbers.3, cseq: numbers.4,
                flags: numbers.5, cflags: numbers.6, methods: more.0, reg_id: more.1, latency: more.2,
                socket: more.3.filter(|id| *id != NO_SOCKET).map(SocketId),
                uri, received, path, call_id, user_agent, attr, instance, tag,
            };
            let mut record = Vec::new();
            for _ in 0..count {
                encode(&contact, &mut record).unwrap();
            }
            prop_assert_eq!(Contacts::new(&record).collect::<Vec<_>>(), vec![contact; count]);
        }

        #[test]
        fn damaged_bytes_end_it(record in any::<Vec<u8>>()) {
            prop_assert!(Contacts::new(&record).count() <= record.len());
        }
    }

    #[test]
    fn a_text_has_at_most_65535_bytes() {
        let long = vec![b'x'; 65_536];
        let mut record = Vec::new();
        assert_eq!(encode(&Contact { attr: &long[..65_535], ..Contact::EMPTY }, &mut record), Ok(()));
        assert_eq!(encode(&Contact { attr: &long, ..Contact::EMPTY }, &mut record), Err(TooLong));
    }

    #[test]
    fn a_contact_is_over_when_its_second_has_come() {
        let contact = Contact { expires: 100, ..Contact::EMPTY };
        assert!(!contact.is_expired(99));
        assert!(contact.is_expired(100));
        assert_eq!(contact.seconds_left(40), Some(60));
        assert_eq!(contact.seconds_left(140), Some(0));
        assert!(!Contact::EMPTY.is_expired(u64::MAX));
        assert_eq!(Contact::EMPTY.seconds_left(1), None);
    }

    #[test]
    fn the_bits_of_methods_are_those_that_clients_know() {
        let allow =
            ["INVITE", "ACK", "CANCEL", "BYE", "NOTIFY", "REFER", "MESSAGE", "OPTIONS", "INFO", "SUBSCRIBE"];
        assert_eq!(allow.iter().fold(0, |mask, name| mask | method_bit(name.as_bytes())), 5951);
        assert_eq!(method_bit(b"invite"), 0);
    }
}
