//! What a certificate says, as text for scripts.

use std::net::{Ipv4Addr, Ipv6Addr};

use tocsin_script::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::Oid;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

/// Parts of a name, as they are written in short.
const SHORT_NAMES: &[(Oid<'_>, &str)] = &[
    (oid!(2.5.4.3), "CN"),
    (oid!(2.5.4.4), "SN"),
    (oid!(2.5.4.5), "serialNumber"),
    (oid!(2.5.4.6), "C"),
    (oid!(2.5.4.7), "L"),
    (oid!(2.5.4.8), "ST"),
    (oid!(2.5.4.9), "street"),
    (oid!(2.5.4.10), "O"),
    (oid!(2.5.4.11), "OU"),
    (oid!(2.5.4.12), "title"),
    (oid!(2.5.4.17), "postalCode"),
    (oid!(2.5.4.42), "GN"),
    (oid!(2.5.4.97), "organizationIdentifier"),
    (oid!(0.9.2342.19200300.100.1.1), "UID"),
    (oid!(0.9.2342.19200300.100.1.25), "DC"),
    (oid!(1.2.840.113549.1.9.1), "emailAddress"),
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A part of a name that has a variable of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    CommonName,
    Locality,
    Country,
    State,
    Organization,
    Unit,
}

/// A kind of name in the extension "subject alternative name".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alternative {
    Email,
    Host,
    Uri,
    Ip,
}

/// The version as it is encoded: 2 stands for X.509 v3 (RFC 5280 section 4.1.2.1).
pub(super) fn version(certificate: &X509Certificate<'_>) -> Value {
    Value::Int(certificate.version().0.into())
}

/// The serial number: a number if it is one of 64 bits, else its decimal text.
pub(super) fn serial(certificate: &X509Certificate<'_>) -> Value {
    let serial = certificate.serial.to_string();
    serial.parse().map_or_else(|_| Value::from(serial.as_str()), Value::Int)
}

/// A whole name: `/C=AT/L=Vienna/O=enum.at/CN=enum.at`.
pub(super) fn whole_name(name: &X509Name<'_>) -> Value {
    let mut text = String::new();
    for part in name.iter_attributes() {
        let short = SHORT_NAMES.iter().find(|(oid, _)| oid == part.attr_type());
        let short = short.map_or_else(|| part.attr_type().to_id_string(), |(_, short)| (*short).to_owned());
        text.push_str(&format!("/{short}="));
        push_printable(&mut text, part.as_slice());
    }
    Value::from(text.as_str())
}

/// One part of a name; the first if there are several.
pub(super) fn part(name: &X509Name<'_>, part: Part) -> Value {
    let found = match part {
        Part::CommonName => name.iter_common_name().next(),
        Part::Locality => name.iter_locality().next(),
        Part::Country => name.iter_country().next(),
        Part::State => name.iter_state_or_province().next(),
        Part::Organization => name.iter_organization().next(),
        Part::Unit => name.iter_organizational_unit().next(),
    };
    found.map_or(Value::Null, |found| Value::str(found.as_slice().to_vec()))
}

/// The first alternative name of a kind.
pub(super) fn alternative(certificate: &X509Certificate<'_>, kind: Alternative) -> Value {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Value::Null };
    let mut found = extension.value.general_names.iter().filter_map(|name| match (kind, name) {
        (Alternative::Email, GeneralName::RFC822Name(text))
        | (Alternative::Host, GeneralName::DNSName(text))
        | (Alternative::Uri, GeneralName::URI(text)) => Some(Value::from(*text)),
        (Alternative::Ip, GeneralName::IPAddress(bytes)) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|ip| Ipv4Addr::from(ip).to_string());
            let text =
                four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|ip| Ipv6Addr::from(ip).to_string()));
            text.ok().map(|text| Value::from(text.as_str()))
        }
        _ => None,
    });
    found.next().unwrap_or_default()
}

/// A moment: `Jan  5 08:00:00 2026 GMT`.
pub(super) fn moment(time: ASN1Time) -> Value {
    let at = time.to_datetime();
    let month = MONTHS[usize::from(u8::from(at.month()) - 1) % MONTHS.len()];
    let (hour, minute, second) = at.to_hms();
    let text = format!("{month} {:2} {hour:02}:{minute:02}:{second:02} {} GMT", at.day(), at.year());
    Value::from(text.as_str())
}

/// Bytes that are no printable ASCII are written `\xC3`.
fn push_printable(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02X}")),
        }
    }
}
