//! Addresses as `{ip.*}` reads them, and networks of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `ADDRESS/BITS`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let slash = memchr::memchr(b'/', text)?;
        let address = address(&text[..slash])?;
        let digits = &text[slash + 1..];
        let bits: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let whole = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        (bits <= whole).then_some(Self { address, bits })
    }

    /// Whether the address lies within; nothing if one is IPv4 and the other IPv6.
    pub(super) fn holds(&self, address: IpAddr) -> Option<bool> {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                Some(differing.leading_zeros() >= self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                Some(differing.leading_zeros() >= self.bits)
            }
            _ => None,
        }
    }
}

/// Reads an address as OpenSIPS does: IPv6 with or without brackets, and never with an IPv4 address in it.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    v4(text).map(IpAddr::V4).or_else(|| v6(text).map(IpAddr::V6))
}

/// Four numbers without leading zeros.
pub(super) fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn v6(text: &[u8]) -> Option<Ipv6Addr> {
    let inside = match text {
        [b'[', inside @ .., b']'] => inside,
        _ => text,
    };
    if memchr::memchr(b'.', inside).is_some() {
        return None;
    }
    std::str::from_utf8(inside).ok()?.parse().ok()
}
