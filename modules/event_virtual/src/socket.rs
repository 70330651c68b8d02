//! What stands behind `virtual:`: a policy, and the sockets of the members.

use tocsin_event::AddressError;

/// Which members an event goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// To all of them.
    Parallel,
    /// To the first that takes it.
    Failover,
    /// To the next one.
    RoundRobin,
}

impl Policy {
    fn named(name: &str) -> Option<Self> {
        match name {
            "PARALLEL" => Some(Self::Parallel),
            "FAILOVER" => Some(Self::Failover),
            "ROUND-ROBIN" => Some(Self::RoundRobin),
            _ => None,
        }
    }
}

/// Reads the policy, and the sockets as they are written: what is wrong with one of them is found out when it is opened.
///
/// # Errors
/// There is no policy of that name.
pub(crate) fn read(address: &str) -> Result<(Policy, Vec<&str>), AddressError> {
    let mut words = address.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let policy = Policy::named(name).ok_or_else(|| {
        AddressError::Other(format!("`{name}` is no policy: give PARALLEL, FAILOVER or ROUND-ROBIN"))
    })?;
    Ok((policy, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_and_sockets() {
        assert_eq!(
            read(" FAILOVER  udp:a:1\ttcp:b:2 ").unwrap(),
            (Policy::Failover, vec!["udp:a:1", "tcp:b:2"])
        );
        assert_eq!(read("ROUND-ROBIN unix:/x").unwrap().0, Policy::RoundRobin);
        assert_eq!(read("PARALLEL").unwrap(), (Policy::Parallel, vec![]));
        for bad in ["", " ", "parallel udp:a:1", "BOGUS udp:a:1", "udp:a:1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
