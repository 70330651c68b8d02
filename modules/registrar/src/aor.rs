//! From a URI to the address of record that the bindings are kept under (RFC 3261 section 10.3, step 5).

use smallvec::SmallVec;
use thiserror::Error;
use tocsin_sip::{Scheme, UriRef};

use super::parameters::Settings;

/// An address of record: the user, or user and domain.
pub(super) type Aor = SmallVec<[u8; 64]>;

/// Why a URI names no address of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum BadAor {
    /// It cannot be read, or its scheme has no users.
    #[error("not a SIP or telephone URI")]
    NotAUri,
    /// It has no user.
    #[error("no user in the URI")]
    NoUser,
    /// A part of it is longer than allowed.
    #[error("longer than max_username_len, max_domain_len or max_aor_len allow")]
    TooLong,
}

/// The address of record that `uri` names.
pub(super) fn aor_of(uri: &[u8], use_domain: bool, settings: &Settings) -> Result<Aor, BadAor> {
    let uri = UriRef::parse(uri).map_err(|_| BadAor::NotAUri)?;
    if uri.scheme() != Scheme::Tel && uri.host().is_empty() {
        return Err(BadAor::NotAUri);
    }
    if uri.text().len() > settings.max_aor_len {
        return Err(BadAor::TooLong);
    }
    let user = uri.user_plain().ok_or(BadAor::NoUser)?;
    let domain = realm(uri.host(), &settings.realm_prefix);
    if user.len() > settings.max_username_len || domain.len() > settings.max_domain_len {
        return Err(BadAor::TooLong);
    }
    let mut aor = Aor::from_slice(&user);
    if !settings.case_sensitive {
        aor.make_ascii_lowercase();
    }
    if use_domain && !domain.is_empty() {
        aor.push(b'@');
        aor.extend(domain.iter().map(u8::to_ascii_lowercase));
    }
    Ok(aor)
}

fn realm<'a>(host: &'a [u8], prefix: &str) -> &'a [u8] {
    match host.split_at_checked(prefix.len()) {
        Some((head, rest)) if !rest.is_empty() && head.eq_ignore_ascii_case(prefix.as_bytes()) => rest,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use tocsin_server::module::Parameters;

    use super::*;

    fn settings() -> Settings {
        Settings::new(&Parameters::default())
    }

    #[test]
    fn the_user_alone_or_with_the_domain() {
        let plain = settings();
        let mixed = Settings { case_sensitive: false, realm_prefix: "sip.".to_owned(), ..settings() };
        for (uri, settings, use_domain, expected) in [
            ("sip:alice@Example.com:5070;x=y", &plain, false, Ok("alice")),
            ("sip:alice@Example.com:5070;x=y", &plain, true, Ok("alice@example.com")),
            ("sip:Alice@h", &plain, false, Ok("Alice")),
            ("sip:Alice@h", &mixed, false, Ok("alice")),
            ("sip:alice@SIP.example.com", &mixed, true, Ok("alice@example.com")),
            ("sip:alice@sip.", &mixed, true, Ok("alice@sip.")),
            ("sip:%61lice@h", &plain, false, Ok("alice")),
            ("sip:alice@[2001:DB8::1]", &plain, true, Ok("alice@[2001:db8::1]")),
            ("tel:+358-555", &plain, true, Ok("+358-555")),
            ("sip:example.com", &plain, true, Err(BadAor::NoUser)),
            ("urn:service:sos", &plain, true, Err(BadAor::NotAUri)),
            ("alice", &plain, false, Err(BadAor::NotAUri)),
        ] {
            let expected = expected.map(|aor| Aor::from_slice(aor.as_bytes()));
            assert_eq!(aor_of(uri.as_bytes(), use_domain, settings), expected, "{uri}");
        }
    }

    #[test]
    fn each_part_has_its_limit() {
        let long = |user: usize, domain: usize| format!("sip:{}@{}", "u".repeat(user), "d".repeat(domain));
        let check = |uri: &str| aor_of(uri.as_bytes(), false, &settings()).map(|_| ());
        assert_eq!(check(&long(64, 63)), Ok(()));
        assert_eq!(check(&long(65, 5)), Err(BadAor::TooLong));
        assert_eq!(check(&format!("sip:a@{}.{}", "d".repeat(40), "e".repeat(40))), Err(BadAor::TooLong));
        assert_eq!(check(&format!("sip:a@b;x={}", "y".repeat(256))), Err(BadAor::TooLong));
    }
}
