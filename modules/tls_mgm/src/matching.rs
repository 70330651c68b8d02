//! Which TLS domain a connection belongs to: filters for addresses and for SIP domains (manual, tls_mgm,
//! `match_ip_address` and `match_sip_domain`).

use std::net::{IpAddr, SocketAddr};

use tocsin_server::blocklist::pattern;

/// How many filters one parameter may have.
const MAX_FILTER_BYTES: usize = 256;
/// How long one filter may be, in bytes.
const FILTER_BYTES: usize = 255;

/// A filter for the address of a listener or of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressFilter {
    Any,
    Ip(IpAddr),
    Socket(SocketAddr),
}

/// A filter for a SIP domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameFilter {
    /// Any name, and none.
    Any,
    /// No name.
    Nameless,
    Exact(String),
    /// A name with `*` and `?` in it.
    Pattern(String),
}

/// The filters of one domain.
#[derive(Debug, Clone)]
pub(super) struct Filters {
    pub(super) addresses: Vec<AddressFilter>,
    pub(super) names: Vec<NameFilter>,
}

impl Default for Filters {
    fn default() -> Self {
        Self { addresses: vec![AddressFilter::Any], names: vec![NameFilter::Any] }
    }
}

impl Filters {
    /// How closely they match: the greater, the closer. An address that is named comes before a name that is.
    fn rank(&self, address: SocketAddr, name: Option<&str>) -> Option<(u32, usize)> {
        let address = self.addresses.iter().filter_map(|filter| filter.rank(address)).max()?;
        let name = self.names.iter().filter_map(|filter| filter.rank(name)).max()?;
        Some((address, name))
    }
}

/// The one of `candidates` that matches most closely; of equals the first.
pub(super) fn choose<'a, T>(
    candidates: impl Iterator<Item = (T, &'a Filters)>,
    address: SocketAddr,
    name: Option<&str>,
) -> Option<T> {
    let mut best = None;
    for (candidate, filters) in candidates {
        let Some(rank) = filters.rank(address, name) else { continue };
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            best = Some((rank, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

impl AddressFilter {
    fn rank(self, address: SocketAddr) -> Option<u32> {
        match self {
            Self::Any => Some(0),
            Self::Ip(ip) => (ip == address.ip()).then_some(1),
            Self::Socket(socket) => {
                ((socket.ip(), socket.port()) == (address.ip(), address.port())).then_some(2)
            }
        }
    }

    /// Reads a list such as `10.0.0.1:5061, [2001:db8::1]:5061` or `*`.
    pub(super) fn read_list(list: &str) -> Result<Vec<Self>, String> {
        elements(list)?
            .map(|text| {
                let ip = || text.trim_matches(['[', ']']).parse().map(Self::Ip);
                match text {
                    "*" => Ok(Self::Any),
                    _ => text.parse().map(Self::Socket).or_else(|_| ip()).map_err(|_| {
                        format!("`{text}` is no address: write 10.0.0.1:5061, [2001:db8::1]:5061 or *")
                    }),
                }
            })
            .collect()
    }
}

impl NameFilter {
    fn rank(&self, name: Option<&str>) -> Option<usize> {
        match (self, name) {
            (Self::Any, _) => Some(0),
            (Self::Nameless, None) => Some(1),
            (Self::Exact(own), Some(name)) => own.eq_ignore_ascii_case(name).then_some(usize::MAX),
            (Self::Pattern(pattern), Some(name)) => {
                let literal = pattern.bytes().filter(|byte| !matches!(byte, b'*' | b'?')).count();
                matches_pattern(pattern.as_bytes(), name.as_bytes()).then_some(2 + literal)
            }
            _ => None,
        }
    }

    /// Reads a list such as `foo.com, *.bar.com`, `none` or `*`.
    pub(super) fn read_list(list: &str) -> Result<Vec<Self>, String> {
        elements(list)?
            .map(|text| match text {
                "*" => Ok(Self::Any),
                _ if text.eq_ignore_ascii_case("none") => Ok(Self::Nameless),
                _ if text.len() > FILTER_BYTES => {
                    Err(format!("a name of more than {FILTER_BYTES} bytes matches nothing"))
                }
                _ if text.contains(['*', '?']) => Ok(Self::Pattern(text.to_owned())),
                _ if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) => {
                    Ok(Self::Exact(text.to_owned()))
                }
                _ => Err(format!("`{text}` is no domain name; wildcards are * and ?")),
            })
            .collect()
    }
}

fn elements(list: &str) -> Result<impl Iterator<Item = &str>, String> {
    let elements = list.split(',').map(str::trim).filter(|text| !text.is_empty());
    match elements.clone().count() {
        0 => Err("the list is empty: write * for all".to_owned()),
        1..=MAX_FILTER_BYTES => Ok(elements),
        _ => Err(format!("more than {MAX_FILTER_BYTES} filters in one list")),
    }
}

/// `*` stands for any number of bytes, `?` for one; case does not matter, and brackets are those of an IPv6 address.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    pattern::matches_by(pattern, name, |pattern, byte| {
        let wanted = pattern.first()?;
        (*wanted == b'?' || wanted.eq_ignore_ascii_case(&byte)).then_some(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filters(addresses: &str, names: &str) -> Filters {
        Filters {
            addresses: AddressFilter::read_list(addresses).unwrap(),
            names: NameFilter::read_list(names).unwrap(),
        }
    }

    fn chosen(all: &[Filters], address: &str, name: Option<&str>) -> Option<usize> {
        choose(all.iter().enumerate(), address.parse().unwrap(), name)
    }

    #[test]
    fn the_most_specific_name_wins() {
        let all = [
            filters("*", "*"),
            filters("*", "*.com"),
            filters("*", "*.bar.com"),
            filters("*", "foo.bar.com, x.org"),
            filters("*", "none"),
        ];
        let of = |name| chosen(&all, "10.0.0.1:5061", name);
        assert_eq!(of(Some("FOO.bar.com")), Some(3));
        assert_eq!(of(Some("a.bar.com")), Some(2));
        assert_eq!(of(Some("bar.com")), Some(1));
        assert_eq!(of(Some("x.org")), Some(3));
        assert_eq!(of(Some("y.org")), Some(0));
        assert_eq!(of(None), Some(4));
    }

    #[test]
    fn an_address_that_is_named_comes_first() {
        let all =
            [filters("*", "*"), filters("10.0.0.1", "*"), filters("10.0.0.1:5061, [2001:db8::1]:5061", "*")];
        assert_eq!(chosen(&all, "10.0.0.1:5061", Some("a.b")), Some(2));
        assert_eq!(chosen(&all, "10.0.0.1:5062", None), Some(1));
        assert_eq!(chosen(&all, "10.0.0.2:5061", None), Some(0));
        assert_eq!(chosen(&all, "[2001:db8:0::1]:5061", None), Some(2));
    }

    #[test]
    fn nothing_may_match() {
        let all = [filters("10.0.0.1:5061", "none"), filters("10.0.0.1:5061", "a.b")];
        assert_eq!(chosen(&all, "10.0.0.1:5061", Some("c.d")), None);
        assert_eq!(chosen(&all, "10.0.0.2:5061", None), None);
    }

    #[test]
    fn what_is_no_filter() {
        for list in ["", " , ", "host:5061", "10.0.0.1:99999", "10.0.0"] {
            assert!(AddressFilter::read_list(list).is_err(), "{list}");
        }
        for list in ["", "a b", "sip:a", "ä.de"] {
            assert!(NameFilter::read_list(list).is_err(), "{list}");
        }
        assert!(NameFilter::read_list(&"a,".repeat(MAX_FILTER_BYTES + 1)).is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", ""), ("a*c", "abc"), ("a*c", "ac"), ("*.x.*", "a.x.b.x.c"), ("?.b", "A.b")]
        {
            assert!(matches_pattern(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a*c", "abd"), ("?", ""), ("*.b", "b"), ("a**", "b")] {
            assert!(!matches_pattern(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        // Would take for ever if each star were gone back to.
        assert!(!matches_pattern("*a".repeat(60).as_bytes(), "a".repeat(59).as_bytes()));
    }

    proptest! {
        #[test]
        fn a_name_with_parts_left_out_matches(name in "[a-z.]{1,20}", from in 0_usize..20, to in 0_usize..20) {
            let (from, to) = (from.min(to).min(name.len()), from.max(to).min(name.len()));
            let pattern = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(matches_pattern(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
