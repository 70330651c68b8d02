//! How many connections are open, in all and from one address.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

/// Bits of an IPv6 address that count as one address: a customer has the rest to choose from.
const IPV6_PREFIX: u32 = 64;

/// The open connections. A copy refers to the same ones.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    open: Rc<RefCell<HashMap<IpAddr, usize>>>,
    limit: usize,
    limit_of_address: usize,
}

/// Counts an open connection.
#[derive(Debug)]
pub(super) struct Open {
    crowd: Crowd,
    source: IpAddr,
}

/// Why a connection is closed at once.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0} are open")]
    Full(usize),
    #[error("{0} of {1} are open, more than one address may have")]
    Address(usize, IpAddr),
}

impl Crowd {
    pub(super) fn new(limit: usize, limit_of_address: usize) -> Self {
        Self { open: Rc::default(), limit, limit_of_address }
    }

    /// Lets one more connection in, if there is room for it.
    pub(super) fn admit(&self, from: IpAddr) -> Result<Open, Refused> {
        let source = source(from);
        let mut open = self.open.borrow_mut();
        let all = open.values().sum::<usize>();
        if all >= self.limit {
            return Err(Refused::Full(all));
        }
        let own = open.entry(source).or_default();
        if *own >= self.limit_of_address {
            return Err(Refused::Address(*own, source));
        }
        *own += 1;
        Ok(Open { crowd: self.clone(), source })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.crowd.open.borrow_mut();
        if let Some(own) = open.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.source);
            }
        }
    }
}

/// What counts as one address: of IPv6 the network of a customer, of IPv4 within IPv6 the former.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - IPV6_PREFIX))))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_its_part_and_no_more() {
        let crowd = Crowd::new(4, 2);
        let (one, two, three) = (address("192.0.2.1"), address("192.0.2.2"), address("192.0.2.3"));
        let first = crowd.admit(one).unwrap();
        let _second = crowd.admit(address("::ffff:192.0.2.1")).unwrap();
        assert_eq!(crowd.admit(one).unwrap_err(), Refused::Address(2, one));
        let _others = [crowd.admit(two).unwrap(), crowd.admit(two).unwrap()];
        assert_eq!(crowd.admit(three).unwrap_err(), Refused::Full(4));
        drop(first);
        assert!(crowd.admit(one).is_ok());
        assert!(crowd.admit(three).is_ok());
        assert_eq!(crowd.open.borrow().len(), 2, "who has gone is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let crowd = Crowd::new(4, 1);
        let _first = crowd.admit(address("2001:db8::1")).unwrap();
        assert!(crowd.admit(address("2001:db8::ffff:0:0:1")).is_err());
        assert!(crowd.admit(address("2001:db8:0:1::1")).is_ok());
    }
}
