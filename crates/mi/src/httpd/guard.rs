//! Who may see a page: names by which the server may be asked, pages of other servers, and a password.
//!
//! A browser lets the pages of any server ask this one, and a name of theirs can be made to lead to 127.0.0.1. Such a request
//! carries that name as its `Host`, or the other server as its `Origin`. Programs ask by address, by a name without a dot,
//! which nobody outside of the own network can give, or by a name that the operator allows.

use std::net::IpAddr;

use data_encoding::BASE64;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};

/// Whose requests are answered.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Names of this server, besides addresses and names without a dot such as `localhost`.
    pub allowed_hosts: Vec<String>,
    /// What a client has to know, if anything.
    pub credentials: Option<Credentials>,
}

/// A name and a password, which clients send by Basic authentication (RFC 7617).
#[derive(Clone)]
pub struct Credentials {
    realm: String,
    expected: Vec<u8>,
}

impl Credentials {
    /// Credentials, and the realm that clients see.
    pub fn new(realm: &str, user: &str, password: &str) -> Self {
        let is_plain = |character: &char| !character.is_control() && !matches!(character, '"' | '\\');
        let realm = realm.chars().filter(is_plain).collect();
        Self { realm, expected: format!("{user}:{password}").into_bytes() }
    }

    /// The realm.
    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    fn are_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes().trim_ascii());
        let given = given.and_then(|value| value.split_at_checked(b"Basic ".len()));
        let Some((scheme, given)) = given else { return false };
        let decoded = BASE64.decode(given.trim_ascii()).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"Basic ") && same(&decoded, &self.expected)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// Takes the same time wherever the first difference is.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let differing = given.iter().zip(expected).fold(0, |bits, (one, two)| bits | (one ^ two));
    std::hint::black_box(differing) == 0 && given.len() == expected.len()
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It asks for a host that this server is not known as.
    Host(String),
    /// It comes from the page of another server.
    Origin(String),
    /// It lacks the password.
    Credentials,
}

impl Guard {
    /// Whether a request with this head is answered.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let hosts: Vec<_> = uri.host().map(str::to_owned).into_iter().chain(texts(headers, HOST)).collect();
        if let Some(strange) = hosts.iter().find(|host| !self.is_served(host_of(host))) {
            return Err(Refusal::Host(strange.clone()));
        }
        for origin in texts(headers, ORIGIN) {
            let from = origin.split_once("://").map_or("", |(_, authority)| host_of(authority));
            let own = hosts.iter().any(|host| host_of(host).eq_ignore_ascii_case(from));
            if from.is_empty() || !(own || self.is_allowed(from)) {
                return Err(Refusal::Origin(origin));
            }
        }
        match &self.credentials {
            Some(credentials) if !credentials.are_in(headers) => Err(Refusal::Credentials),
            _ => Ok(()),
        }
    }

    fn is_served(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let address = address.split_once('%').map_or(address, |(address, _zone)| address);
        let is_local = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_local || address.parse::<IpAddr>().is_ok() || self.is_allowed(host)
    }

    fn is_allowed(&self, host: &str) -> bool {
        let allowed = self.allowed_hosts.iter().map(|allowed| allowed.trim_end_matches('.'));
        !host.is_empty() && allowed.into_iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

/// The host of `host:port`, without a dot at its end.
fn host_of(authority: &str) -> &str {
    let end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find([':', '/']).unwrap_or(authority.len()),
    };
    authority[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn check(guard: &Guard, list: &[(HeaderName, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        guard.check(&Uri::from_static("/mi"), &headers)
    }

    fn guard() -> Guard {
        Guard { allowed_hosts: vec!["mi.example.com".into()], credentials: None }
    }

    #[test]
    fn hosts_are_addresses_or_known_names() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8888",
            "192.0.2.1:80",
            "[::1]:8888",
            "[fe80::1%25eth0]:80",
            "localhost",
            "LocalHost:8888",
            "opensips-1:8888",
            "mi.example.com",
            "MI.example.com.:443",
        ] {
            assert_eq!(check(&guard(), &[(HOST, host)]), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "", ":80", "evil@127.0.0.1", "[evil]", "example.com"]
        {
            assert_eq!(check(&guard(), &[(HOST, host)]), Err(Refusal::Host(host.into())), "{host}");
        }
        assert_eq!(check(&guard(), &[]), Ok(()), "a client of HTTP/1.0 need not name one; browsers do");
        let two = [(HOST, "127.0.0.1"), (HOST, "evil.example")];
        assert_eq!(check(&guard(), &two), Err(Refusal::Host("evil.example".into())));
        let absolute = Uri::from_static("http://evil.example/mi");
        assert_eq!(guard().check(&absolute, &HeaderMap::new()), Err(Refusal::Host("evil.example".into())));
    }

    #[test]
    fn pages_of_other_servers_may_not_ask() {
        let from = |host, origin| check(&guard(), &[(HOST, host), (ORIGIN, origin)]);
        assert_eq!(from("127.0.0.1:8888", "http://127.0.0.1:8888"), Ok(()));
        assert_eq!(from("[::1]:8888", "http://[::1]:8888"), Ok(()));
        assert_eq!(from("127.0.0.1", "https://mi.example.com"), Ok(()), "the proxy in front has this name");
        for origin in [
            "http://evil.example",
            "null",
            "",
            "http://",
            "http://127.0.0.1.evil.example",
            "http://localhost",
        ] {
            assert_eq!(from("127.0.0.1:8888", origin), Err(Refusal::Origin(origin.into())), "{origin}");
        }
        let nameless = check(&guard(), &[(ORIGIN, "http://evil.example")]);
        assert_eq!(nameless, Err(Refusal::Origin("http://evil.example".into())));
    }

    #[test]
    fn a_password_is_asked_for() {
        let guard =
            Guard { credentials: Some(Credentials::new("a\"b", "Aladdin", "open sesame")), ..guard() };
        assert_eq!(guard.credentials.as_ref().unwrap().realm(), "ab");
        let with = |value| check(&guard, &[(HOST, "127.0.0.1"), (AUTHORIZATION, value)]);
        // The example of RFC 7617, section 2.
        assert_eq!(with("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(()));
        assert_eq!(with("basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ== "), Ok(()));
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic !",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVuIHNlc2Ft",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=A",
        ] {
            assert_eq!(with(wrong), Err(Refusal::Credentials), "{wrong}");
        }
        assert_eq!(check(&guard, &[(HOST, "127.0.0.1")]), Err(Refusal::Credentials));
    }
}
