//! One rule of a blocklist: `[!] ( [proto,] ip[/mask] [, port [, "pattern"]] )` (manual, "Core Parameters",
//! `dst_blacklist`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use tocsin_net::{Hop, Protocol};
use tocsin_shm::{ShmClone, ShmSafe};

use super::pattern;

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 256;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which destinations it is about.
    pub scope: Scope,
    /// What the request must look like; empty for any.
    pub pattern: Box<[u8]>,
}

/// The part of a rule that has one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ShmSafe, ShmClone)]
pub struct Scope {
    /// It matches what the rest of the rule does not.
    pub negated: bool,
    /// The protocol; `None` for any.
    pub protocol: Option<Protocol>,
    /// The addresses.
    pub network: Network,
    /// The port; 0 for any.
    pub port: u16,
}

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ShmSafe, ShmClone)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// What a rule is held against. An unknown protocol or port is matched only by a rule for any.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The protocol, if it is known.
    pub protocol: Option<Protocol>,
    /// The destination.
    pub ip: IpAddr,
    /// Its port; 0 if it is not known.
    pub port: u16,
    /// The request as it is sent.
    pub message: &'a [u8],
}

/// Why a text is not a rule.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    /// Neither an address nor a network.
    #[error(
        "`{0}` is neither an address nor a network: write 192.0.2.1, 192.0.2.0/24 or 192.0.2.0/255.255.255.0"
    )]
    Network(String),
    /// A protocol that does not exist.
    #[error("`{0}` is not a protocol: udp, tcp, tls, ws, wss and any are there")]
    Protocol(String),
    /// Not a port.
    #[error("`{0}` is not a port: give 1 to 65535, or 0 for any")]
    Port(String),
    /// The pattern is too long.
    #[error("a pattern has {MAX_PATTERN_BYTES} bytes at most, this one has {0}")]
    Pattern(usize),
    /// Too many or too few parts.
    #[error("`{0}` is not a rule: write ([proto,] ip[/mask] [, port [, \"pattern\"]])")]
    Shape(String),
}

impl Rule {
    /// Reads a rule with or without its parentheses.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let shape = || RuleError::Shape(text.to_owned());
        let (negated, rest) = negation(text.trim());
        let rest = match rest.strip_prefix('(') {
            Some(inner) => inner.strip_suffix(')').ok_or_else(shape)?,
            None => rest,
        };
        let mut parts = parts(rest).ok_or_else(shape)?.into_iter().peekable();
        let protocol = match parts.peek().map(|first| protocol(first)) {
            Some(Ok(protocol)) if parts.len() > 1 => {
                parts.next();
                protocol
            }
            // One part alone is an address, and so is a first one with digits in its front.
            Some(Err(error)) if parts.len() > 1 && !parts.peek().is_some_and(|first| is_address(first)) => {
                return Err(error);
            }
            _ => None,
        };
        let (negated_address, network) = negation(parts.next().ok_or_else(shape)?);
        let network = Network::parse(network)?;
        let port = parts.next().map_or(Ok(0), port)?;
        let pattern: Box<[u8]> = parts.next().unwrap_or_default().as_bytes().into();
        if parts.next().is_some() {
            return Err(shape());
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(RuleError::Pattern(pattern.len()));
        }
        Ok(Self { scope: Scope { negated: negated != negated_address, protocol, network, port }, pattern })
    }

    /// Whether it matches.
    pub fn matches(&self, probe: &Probe<'_>) -> bool {
        self.scope.matches(&self.pattern, probe)
    }

    /// All but the pattern, as text.
    pub(super) fn scope_text(&self) -> String {
        let Scope { negated, protocol, network, port } = self.scope;
        let (negation, protocol) = (if negated { "!" } else { "" }, protocol.map_or("any", Protocol::name));
        format!("{negation}({protocol}, {network}, {port}")
    }

    /// Whether it is about one address, whatever the request: such rules are found without looking at the others.
    pub(super) fn is_plain(&self) -> bool {
        !self.scope.negated && self.scope.network.is_host() && self.pattern.is_empty()
    }
}

/// As it is written in a configuration.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, \"{}\")", self.scope_text(), String::from_utf8_lossy(&self.pattern))
    }
}

impl Scope {
    /// Whether a rule of this scope with `pattern` matches.
    pub(super) fn matches(&self, pattern: &[u8], probe: &Probe<'_>) -> bool {
        let plainly = self.protocol.is_none_or(|protocol| probe.protocol == Some(protocol))
            && (self.port == 0 || self.port == probe.port)
            && self.network.contains(probe.ip)
            && (pattern.is_empty() || pattern::matches(pattern, probe.message));
        plainly != self.negated
    }
}

impl Network {
    /// One address.
    pub fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Reads `address`, `address/bits` or `address/mask`. Bits of the address beyond the mask do not count.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError::Network(text.to_owned());
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        let address: IpAddr = bare.parse().map_err(|_| wrong())?;
        let Some(mask) = mask else { return Ok(Self::host(address)) };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match mask.parse::<u8>() {
            Ok(bits) if bits <= width => bits,
            Ok(_) => return Err(wrong()),
            Err(_) => bits_of(mask.parse().map_err(|_| wrong())?, address.is_ipv4()).ok_or_else(wrong)?,
        };
        // IPv4 written as IPv6 is IPv4, as the destinations are.
        Ok(match address.to_canonical() {
            ip if ip != address && bits >= 96 => Self { address: cut(ip, bits - 96), bits: bits - 96 },
            _ => Self { address: cut(address, bits), bits },
        })
    }

    /// Whether `ip` is one of the addresses.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.address.is_ipv4() && cut(ip, self.bits) == self.address
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The mask, as an address.
    pub fn mask(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => cut(Ipv4Addr::BROADCAST.into(), self.bits),
            IpAddr::V6(_) => cut(Ipv6Addr::from(u128::MAX).into(), self.bits),
        }
    }

    fn is_host(&self) -> bool {
        *self == Self::host(self.address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

impl<'a> Probe<'a> {
    /// A request on its way to `hop`.
    pub fn of(hop: &Hop, message: &'a [u8]) -> Self {
        Self { protocol: Some(hop.protocol), ip: hop.to.ip(), port: hop.to.port(), message }
    }
}

/// A protocol by its name; `None` for any.
pub fn protocol(text: &str) -> Result<Option<Protocol>, RuleError> {
    if text.eq_ignore_ascii_case("any") {
        return Ok(None);
    }
    Protocol::parse(text.as_bytes()).map(Some).ok_or_else(|| RuleError::Protocol(text.to_owned()))
}

fn is_address(text: &str) -> bool {
    let text = text.trim_start_matches(['!', '[', ' ']);
    text.starts_with(|first: char| first.is_ascii_digit()) || text.contains(':')
}

fn port(text: &str) -> Result<u16, RuleError> {
    text.parse().map_err(|_| RuleError::Port(text.to_owned()))
}

fn negation(text: &str) -> (bool, &str) {
    text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim_start()))
}

/// The parts between commas, without blanks around them and quotes; a comma in quotes is not one. `None` for a quote that
/// is not closed, or with text behind it.
fn parts(text: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (part, after) = quoted.split_once('"')?;
                (part, after.trim_start())
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim_end(), &rest[end..])
            }
        };
        found.push(part);
        if after.is_empty() {
            return Some(found);
        }
        rest = after.strip_prefix(',')?.trim_start();
    }
}

/// The number of leading ones of a mask; `None` when ones follow a zero, or it is of the other kind.
fn bits_of(mask: IpAddr, v4: bool) -> Option<u8> {
    let (ones, zeros, width) = match mask {
        IpAddr::V4(mask) if v4 => (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros(), 32),
        IpAddr::V6(mask) if !v4 => (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros(), 128),
        _ => return None,
    };
    (ones + zeros == width).then_some(ones as u8)
}

/// The address with all but its first `bits` cleared.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    let away = |width: u32| width.saturating_sub(u32::from(bits));
    match address {
        IpAddr::V4(ip) => {
            Ipv4Addr::from_bits(ip.to_bits() & u32::MAX.checked_shl(away(32)).unwrap_or(0)).into()
        }
        IpAddr::V6(ip) => {
            Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.checked_shl(away(128)).unwrap_or(0)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        Rule::parse(text).map_or_else(|error| error.to_string(), |rule| rule.to_string())
    }

    fn probe(protocol: Option<Protocol>, ip: &str, port: u16) -> Probe<'static> {
        Probe {
            protocol,
            ip: ip.parse().unwrap(),
            port,
            message: b"MESSAGE sip:a@b SIP/2.0\r\n\r\nugly_word",
        }
    }

    fn hits(rule: &str, probe: &Probe<'_>) -> bool {
        Rule::parse(rule).unwrap().matches(probe)
    }

    #[test]
    fn the_forms_of_the_manual() {
        assert_eq!(shown(r#"(tcp, 192.168.4.100, 5060, "")"#), r#"(tcp, 192.168.4.100, 5060, "")"#);
        assert_eq!(
            shown(r#"( any , 192.168.1.120/255.255.255.0 , 0 , "MESSAGE*ugly, word" )"#),
            r#"(any, 192.168.1.0/24, 0, "MESSAGE*ugly, word")"#
        );
        assert_eq!(shown(r#"!(any, 194.168.30.0/24)"#), r#"!(any, 194.168.30.0/24, 0, "")"#);
        assert_eq!(shown("!tcp,127.0.0.1,5060"), r#"!(tcp, 127.0.0.1, 5060, "")"#);
        assert_eq!(shown("10.0.0.0/8"), r#"(any, 10.0.0.0/8, 0, "")"#);
        assert_eq!(shown("10.0.0.1, 5080"), r#"(any, 10.0.0.1, 5080, "")"#);
        assert_eq!(shown("! 2001:db8::1/32"), r#"!(any, 2001:db8::/32, 0, "")"#);
        assert_eq!(shown("udp, [2001:db8::1], 5060"), r#"(udp, 2001:db8::1, 5060, "")"#);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(shown("(sctp, 10.0.0.1)").contains("`sctp` is not a protocol"));
        assert!(shown("(udp, 10.0.0.1, 70000)").contains("`70000` is not a port"));
        assert!(shown("(udp, 10.0.0.1/33)").contains("`10.0.0.1/33` is neither"));
        assert!(shown("10.0.0.1/255.0.255.0").contains("neither an address"));
        assert!(shown("10.0.0.1/ffff::").contains("neither an address"));
        assert!(shown("udp").contains("`udp` is neither an address"));
        assert!(shown("(udp, 10.0.0.1, 1, \"a\", 2)").contains("is not a rule"));
        assert!(shown("(udp, 10.0.0.1").contains("is not a rule"));
        assert!(shown("10.0.0.1, 1, \"a").contains("is not a rule"));
        assert!(shown(&format!("10.0.0.1, 1, \"{}\"", "x".repeat(257))).contains("256 bytes at most"));
    }

    #[test]
    fn each_part_narrows() {
        let here = probe(Some(Protocol::Tcp), "192.0.2.7", 5060);
        assert!(hits("192.0.2.0/24", &here) && hits("tcp,192.0.2.7,5060", &here));
        assert!(
            !hits("udp,192.0.2.7", &here) && !hits("192.0.2.7,5061", &here) && !hits("192.0.3.0/24", &here)
        );
        assert!(hits("192.0.2.7,0,\"MESSAGE*ugly_word\"", &here) && !hits("192.0.2.7,0,\"INVITE*\"", &here));
        assert!(hits("0.0.0.0/0", &here) && !hits("::/0", &here));
        assert!(hits("192.0.2.7", &probe(None, "::ffff:192.0.2.7", 0)));
        assert!(hits("::ffff:192.0.2.0/120", &here) && !hits("::ffff:192.0.3.0/120", &here));
    }

    #[test]
    fn a_negated_rule_matches_the_rest_of_the_world() {
        let rule = "!(any, 194.168.30.0/24, 0, \"\")";
        assert!(!hits(rule, &probe(None, "194.168.30.9", 0)) && hits(rule, &probe(None, "10.0.0.1", 0)));
    }

    #[test]
    fn what_is_not_known_is_matched_only_by_any() {
        let unknown = probe(None, "127.0.0.1", 0);
        assert!(hits("127.0.0.1", &unknown));
        assert!(!hits("udp,127.0.0.1", &unknown) && !hits("127.0.0.1,5060", &unknown));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(address: IpAddr, bits in 0u8..=32, port: u16, negated: bool) {
            let text = format!("{}tcp,{address}/{bits},{port}", if negated { "!" } else { "" });
            let rule = Rule::parse(&text).unwrap();
            prop_assert_eq!(&Rule::parse(&rule.to_string()).unwrap(), &rule);
            prop_assert!(rule.scope.network.contains(address) || address.to_canonical() != address);
            let mask = format!("{}/{}", rule.scope.network.address(), rule.scope.network.mask());
            prop_assert_eq!(Network::parse(&mask), Ok(rule.scope.network));
        }

        #[test]
        fn no_text_panics(text in r#"[a-z0-9!(),/\[\]:". ]{0,40}"#) {
            let _ = Rule::parse(&text);
        }
    }
}
