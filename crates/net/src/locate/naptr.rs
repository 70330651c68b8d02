//! NAPTR records: which services a domain offers, and how much it likes each (RFC 3263 section 4.1, RFC 7118
//! section 9).

use super::Protocols;
use crate::Protocol;

/// NAPTR records of one answer that are looked at.
pub(super) const MAX_NAPTR_RECORDS: usize = 32;

/// One NAPTR record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naptr {
    /// Lower ones first.
    pub(super) order: u16,
    /// Lower ones first within one order.
    pub(super) preference: u16,
    /// What to ask next; `None` for a flag that is not for us.
    pub(super) then: Option<Then>,
    /// The protocol of its service; `None` for a service that is not SIP.
    pub(super) protocol: Option<Protocol>,
    /// The name to ask for, absolute with its final dot.
    pub(super) replacement: String,
}

/// What a record's flag says to ask for next (RFC 3404 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// `s`: an SRV record.
    Srv,
    /// `a`: an address.
    Address,
}

impl Then {
    /// Reads the flags of a record, in either case.
    pub(super) fn parse(flags: &[u8]) -> Option<Self> {
        match flags {
            b"s" | b"S" => Some(Self::Srv),
            b"a" | b"A" => Some(Self::Address),
            _ => None,
        }
    }
}

/// The protocol of a service by which a domain takes SIP, in either case.
pub(super) fn service(service: &[u8]) -> Option<Protocol> {
    const KNOWN: [(&[u8], Protocol); 5] = [
        (b"SIP+D2U", Protocol::Udp),
        (b"SIP+D2T", Protocol::Tcp),
        (b"SIPS+D2T", Protocol::Tls),
        (b"SIP+D2W", Protocol::Ws),
        (b"SIPS+D2W", Protocol::Wss),
    ];
    KNOWN.into_iter().find(|(name, _)| service.eq_ignore_ascii_case(name)).map(|(_, protocol)| protocol)
}

/// A record that can be followed.
pub(super) struct Offer {
    pub(super) protocol: Protocol,
    pub(super) then: Then,
    pub(super) name: String,
}

/// The records that lead to one of the `usable` protocols, the domain's favourite first. For a `sips:` URI they must
/// also be secure.
pub(super) fn offers(mut records: Vec<Naptr>, usable: Protocols, secure: bool) -> Vec<Offer> {
    records.truncate(MAX_NAPTR_RECORDS);
    records.sort_by_key(|record| (record.order, record.preference));
    let offer = |record: Naptr| {
        let (protocol, then) = (record.protocol?, record.then?);
        let allowed = usable.contains(protocol) && (!secure || protocol.is_secure());
        (allowed && record.replacement != ".").then_some(Offer { protocol, then, name: record.replacement })
    };
    records.into_iter().filter_map(offer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naptr(order: u16, preference: u16, flags: &str, named: &str, replacement: &str) -> Naptr {
        Naptr {
            order,
            preference,
            then: Then::parse(flags.as_bytes()),
            protocol: service(named.as_bytes()),
            replacement: replacement.to_owned(),
        }
    }

    fn names(records: &[Naptr], usable: &[Protocol], secure: bool) -> Vec<String> {
        let usable = usable.iter().copied().collect();
        offers(records.to_vec(), usable, secure).into_iter().map(|offer| offer.name).collect()
    }

    /// The records of the example in RFC 3263 section 4.1.
    fn example() -> Vec<Naptr> {
        vec![
            naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com."),
            naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com."),
            naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com."),
        ]
    }

    #[test]
    fn the_domain_chooses_among_what_we_can() {
        use Protocol::{Tcp, Tls, Udp};
        assert_eq!(
            names(&example(), &[Udp, Tcp], false),
            ["_sip._tcp.example.com.", "_sip._udp.example.com."]
        );
        assert_eq!(names(&example(), &[Udp, Tcp, Tls], true), ["_sips._tcp.example.com."]);
        assert_eq!(names(&example(), &[Protocol::Ws], false), [""; 0]);
    }

    #[test]
    fn order_goes_before_preference() {
        let records = [
            naptr(2, 1, "s", "SIP+D2U", "c."),
            naptr(1, 9, "s", "SIP+D2U", "b."),
            naptr(1, 3, "S", "sip+d2u", "a."),
        ];
        assert_eq!(names(&records, &[Protocol::Udp], false), ["a.", "b.", "c."]);
    }

    #[test]
    fn what_is_not_for_us_is_left_out() {
        let records = [
            naptr(1, 1, "u", "E2U+sip", "a."),
            naptr(1, 2, "", "SIP+D2U", "b."),
            naptr(1, 3, "s", "SIP+D2S", "c."),
            naptr(1, 4, "s", "SIP+D2U", "."),
            naptr(1, 5, "a", "SIPS+D2W", "d."),
        ];
        assert_eq!(names(&records, &[Protocol::Udp, Protocol::Wss], false), ["d."]);
    }
}
