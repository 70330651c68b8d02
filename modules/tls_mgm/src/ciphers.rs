//! What a TLS domain offers: protocol versions, cipher suites and curves, as OpenSSL's users write them.

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::kx_group;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use tocsin_net::tls::{SUITES, Suite};

/// Versions that may be offered, oldest first.
const NAMES: [&str; 4] = ["tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3"];
/// Where those begin that are not withdrawn.
const OLDEST: usize = 2;
/// Parts of the names of suites that OpenSSL has and this server has not.
const OTHER_PARTS: &[&str] = &[
    "3DES",
    "ADH",
    "AECDH",
    "AES",
    "AES128",
    "AES256",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "CBC",
    "CBC3",
    "CCM",
    "CCM8",
    "CHACHA20",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "ECDH",
    "ECDHE",
    "ECDSA",
    "EDH",
    "GCM",
    "IDEA",
    "KRB5",
    "MD5",
    "NULL",
    "POLY1305",
    "PSK",
    "RC2",
    "RC4",
    "RSA",
    "SEED",
    "SHA",
    "SHA256",
    "SHA384",
    "SRP",
];
/// Words of a cipher list that mean suites which this server has not.
const OTHER_CLASSES: &[&str] = &[
    "3DES",
    "ADH",
    "AECDH",
    "AESCCM",
    "AESCCM8",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "COMPLEMENTOFALL",
    "COMPLEMENTOFDEFAULT",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "EDH",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "IDEA",
    "LOW",
    "MD5",
    "MEDIUM",
    "NULL",
    "PSK",
    "RC2",
    "RC4",
    "RSA",
    "SEED",
    "SHA",
    "SHA1",
    "SRP",
    "SSLv3",
    "TLSv1",
    "TLSv1.0",
    "aDSS",
    "aECDH",
    "aNULL",
    "aPSK",
    "eNULL",
    "kDHE",
    "kDHEPSK",
    "kECDHEPSK",
    "kEDH",
    "kPSK",
    "kRSA",
    "kRSAPSK",
    "kSRP",
];
/// Words that mean every suite of TLS 1.2 here.
const ALL_CLASSES: &[&str] =
    &["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH", "TLSv1.2", "FIPS"];

/// The versions of `tls_method`: one, a range with `-`, or `SSLv23` for all.
pub(super) fn read_method(text: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let withdrawn = || {
        format!(
            "{text} means versions that are withdrawn (RFC 8996): use TLSv1_2, TLSv1_3 or TLSv1_2-TLSv1_3"
        )
    };
    let number = |name: &str| {
        let lower = name.trim().to_ascii_lowercase();
        NAMES.iter().position(|known| *known == lower).ok_or_else(|| match lower.as_str() {
            "sslv2" | "sslv3" => withdrawn(),
            _ => format!(
                "`{name}` is no TLS version: there are TLSv1_2, TLSv1_3, ranges of them, and SSLv23 for all"
            ),
        })
    };
    let (low, high) = match text.split_once('-') {
        _ if text.eq_ignore_ascii_case("sslv23") => (OLDEST, NAMES.len() - 1),
        None => (number(text)?, number(text)?),
        Some((low, high)) => (
            if low.trim().is_empty() { OLDEST } else { number(low)? },
            if high.trim().is_empty() { NAMES.len() - 1 } else { number(high)? },
        ),
    };
    if high < OLDEST {
        return Err(withdrawn());
    }
    if low > high {
        return Err(format!("`{text}` ends before it begins"));
    }
    let all = [&TLS12, &TLS13];
    Ok(all
        .into_iter()
        .enumerate()
        .filter(|(at, _)| (low..=high).contains(&(at + OLDEST)))
        .map(|(_, v)| v)
        .collect())
}

/// The suites of `ciphers_list`, in its order. Those of TLS 1.3 are all there unless the list names some, as OpenSSL
/// keeps them apart.
pub(super) fn read_ciphers(text: &str) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut chosen: Vec<&'static Suite> = Vec::new();
    let mut banned: Vec<&'static str> = Vec::new();
    for word in text.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        if word.starts_with('@') {
            continue;
        }
        let (sign, name) = match word.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &word[1..]),
            _ => (b' ', word),
        };
        let meant = suites_of(name)?;
        if meant.is_empty() && sign == b' ' {
            tracing::info!("ciphers_list: {name} is not offered by this server, and is left out");
        }
        match sign {
            b' ' => {
                let mut wanted = meant;
                wanted.retain(|suite| !banned.contains(&suite.name));
                wanted.retain(|suite| chosen.iter().all(|known| known.name != suite.name));
                chosen.extend(wanted);
            }
            b'+' => chosen.sort_by_key(|known| meant.iter().any(|suite| suite.name == known.name)),
            _ => {
                chosen.retain(|known| meant.iter().all(|suite| suite.name != known.name));
                if sign == b'!' {
                    banned.extend(meant.iter().map(|suite| suite.name));
                }
            }
        }
    }
    if chosen.is_empty() {
        let names = SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(":");
        return Err(format!("nothing of `{text}` is offered by this server; it has {names}"));
    }
    if !chosen.iter().any(|suite| suite.is_tls13()) {
        chosen.splice(0..0, SUITES.iter().filter(|suite| suite.is_tls13() && !banned.contains(&suite.name)));
    }
    Ok(chosen.into_iter().map(|suite| suite.suite).collect())
}

/// The curves of `ec_curve`, separated by colons.
pub(super) fn read_curves(text: &str) -> Result<Vec<&'static dyn SupportedKxGroup>, String> {
    text.split(':')
        .map(|name| match name.trim().to_ascii_lowercase().as_str() {
            "x25519" => Ok(kx_group::X25519),
            "prime256v1" | "secp256r1" | "p-256" => Ok(kx_group::SECP256R1),
            "secp384r1" | "p-384" => Ok(kx_group::SECP384R1),
            _ => {
                Err(format!("the curve `{name}` is not offered; there are X25519, prime256v1 and secp384r1"))
            }
        })
        .collect()
}

/// The suites that one word means; none for what only OpenSSL has.
fn suites_of(name: &str) -> Result<Vec<&'static Suite>, String> {
    if let Some(suite) = SUITES.iter().find(|suite| suite.name == name) {
        return Ok(vec![suite]);
    }
    let classes = name.split('+').collect::<Vec<_>>();
    let is_class = |class: &&str| {
        ALL_CLASSES.contains(class)
            || OTHER_CLASSES.contains(class)
            || SUITES.iter().any(|suite| suite.classes.contains(class))
    };
    if classes.iter().all(is_class) {
        let tls12 = SUITES.iter().filter(|suite| !suite.is_tls13());
        let meant = tls12.filter(|suite| {
            classes.iter().all(|class| ALL_CLASSES.contains(class) || suite.classes.contains(class))
        });
        return Ok(meant.collect());
    }
    if name.split(['-', '_']).all(|part| OTHER_PARTS.contains(&part) || part == "TLS") {
        return Ok(Vec::new());
    }
    Err(format!("`{name}` is no cipher suite and no class of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let suites = read_ciphers(list).unwrap();
        let names = suites.iter().map(|suite| Suite::of(suite.suite()).unwrap().name);
        names.filter(|name| !name.starts_with("TLS_")).collect()
    }

    #[test]
    fn methods() {
        let versions =
            |text| read_method(text).map(|list| list.iter().map(|v| v.version).collect::<Vec<_>>());
        let (two, three) = (TLS12.version, TLS13.version);
        for text in ["SSLv23", "-", "TLSv1-", "TLSv1_2-", "tlsv1-TLSv1_3", "TLSv1_2-TLSv1_3"] {
            assert_eq!(versions(text), Ok(vec![two, three]), "{text}");
        }
        assert_eq!(versions("TLSv1_2"), Ok(vec![two]));
        assert_eq!(versions("-TLSv1_2"), Ok(vec![two]));
        assert_eq!(versions("tlsv1_3"), Ok(vec![three]));
        for text in ["TLSv1", "TLSv1_1", "-TLSv1_1", "SSLv3"] {
            assert!(versions(text).unwrap_err().contains("RFC 8996"), "{text}");
        }
        for text in ["", "TLS", "TLSv1_4", "TLSv1_3-TLSv1_2"] {
            assert!(versions(text).is_err(), "{text}");
        }
    }

    #[test]
    fn suites_come_in_the_order_of_the_list() {
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES256-SHA"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
        );
        assert_eq!(names("HIGH:!aRSA:!CHACHA20").len(), 2);
        assert_eq!(
            names("EECDH+AESGCM+aRSA"),
            ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(names("ALL:+AES256:@STRENGTH").len(), 6);
        assert!(
            names("ALL:+AES256").ends_with(&["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"])
        );
    }

    #[test]
    fn tls13_suites_stay_unless_some_are_named() {
        let count = |list| read_ciphers(list).unwrap().iter().filter(|suite| suite.tls13().is_some()).count();
        assert_eq!(count("ECDHE-RSA-AES128-GCM-SHA256"), 3);
        assert_eq!(count("ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256"), 1);
    }

    #[test]
    fn what_leaves_nothing_or_is_unknown_is_refused() {
        for list in ["NULL", "AES128-SHA", "HIGH:!ALL", "", "ECDHE-RSA-AES128-GCM-SHA257", "HIHG"] {
            assert!(read_ciphers(list).is_err(), "{list}");
        }
    }

    #[test]
    fn curves() {
        assert_eq!(read_curves("prime256v1:X25519").unwrap().len(), 2);
        assert!(read_curves("secp521r1").is_err());
    }
}
