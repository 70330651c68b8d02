//! What a response to a registration tells: the bindings that there are (RFC 3261 section 10.3, step 8).

use std::io::Write;

use tocsin_sip::UriRef;

use super::parameters::Settings;
use super::refusal::Refusal;
use tocsin_usrloc::Contact;

/// The `expires` of a contact that does not expire: the largest there is (RFC 3261 section 20.19).
const FOR_EVER: u64 = u32::MAX as u64;

/// Appends a Contact header field with these contacts, if there are any. `gruu` is the AOR's URI when devices are given
/// a GRUU; `now` is in seconds since 1970.
pub(super) fn write_contacts<'a, 'c: 'a>(
    contacts: impl Iterator<Item = &'a Contact<'c>>,
    settings: &Settings,
    gruu: Option<&[u8]>,
    now: u64,
    out: &mut Vec<u8>,
) {
    let mut separator = &b"Contact: "[..];
    for contact in contacts {
        out.extend_from_slice(separator);
        separator = b", ";
        write_contact(contact, settings, gruu, now, out);
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

/// The header lines of a refusal.
pub(super) fn refusal_lines(refusal: Refusal, path: &[u8], settings: &Settings) -> Vec<u8> {
    let mut lines = Vec::new();
    let after = refusal.retry_after(settings.retry_after);
    if after > 0 {
        lines.extend_from_slice(format!("Retry-After: {after}\r\n").as_bytes());
    }
    if refusal == Refusal::PathUnsupported {
        lines.extend_from_slice(b"Unsupported: path\r\n");
        write_line(b"Path", path, &mut lines);
    }
    lines
}

/// Appends a header field.
pub(super) fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The URI that public GRUUs are made of: that of the AOR without port, parameters and headers.
pub(super) fn gruu_base(aor: &[u8]) -> Option<Vec<u8>> {
    let uri = UriRef::parse(aor).ok()?;
    let parts = [uri.scheme_text(), b":", uri.user()?, b"@", uri.host()];
    (!uri.host().is_empty()).then(|| parts.concat())
}

fn write_contact(
    contact: &Contact<'_>,
    settings: &Settings,
    gruu: Option<&[u8]>,
    now: u64,
    out: &mut Vec<u8>,
) {
    out.push(b'<');
    out.extend_from_slice(contact.uri);
    out.push(b'>');
    if contact.q >= 0 {
        out.extend_from_slice(b";q=");
        write_thousandths(contact.q, out);
    }
    let left = contact.seconds_left(now).map_or(FOR_EVER, |seconds| seconds.min(FOR_EVER));
    // A vector takes all that is written.
    let _ = write!(out, ";expires={left}");
    if !contact.received.is_empty() {
        let _ = write!(out, ";{}=\"", settings.received_param);
        out.extend_from_slice(contact.received);
        out.push(b'"');
    }
    if contact.instance.is_empty() {
        return;
    }
    out.extend_from_slice(b";+sip.instance=\"");
    out.extend_from_slice(contact.instance);
    out.push(b'"');
    if contact.reg_id > 0 {
        let _ = write!(out, ";reg-id={}", contact.reg_id);
    }
    if let Some(aor) = gruu {
        out.extend_from_slice(b";pub-gruu=\"");
        out.extend_from_slice(aor);
        out.extend_from_slice(b";gr=");
        out.extend_from_slice(bare_urn(contact.instance));
        out.push(b'"');
    }
}

/// The URN of an instance without its angle brackets.
pub(super) fn bare_urn(instance: &[u8]) -> &[u8] {
    instance.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(instance)
}

/// `0.5` for 500, `1` for 1000.
fn write_thousandths(q: i32, out: &mut Vec<u8>) {
    if q >= 1000 {
        out.push(b'1');
        return;
    }
    // 1000 to 1999: the digits behind the first are those behind the point.
    let mut digits = q + 1000;
    while digits > 1 && digits % 10 == 0 {
        digits /= 10;
    }
    let text = digits.to_string();
    out.push(b'0');
    if text.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&text.as_bytes()[1..]);
    }
}

#[cfg(test)]
mod tests {
    use tocsin_server::module::Parameters;

    use super::*;
    use tocsin_usrloc::CommitError;

    fn settings() -> Settings {
        Settings::new(&Parameters::default())
    }

    fn line(contacts: &[Contact<'_>], gruu: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        write_contacts(contacts.iter(), &settings(), gruu, 1000, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bindings_are_listed_with_what_is_left_of_them() {
        let one = Contact { uri: b"sip:a@h", expires: 1060, q: 500, ..Contact::EMPTY };
        let two = Contact { uri: b"sip:b@h", expires: 1010, received: b"sip:192.0.2.1:7", ..Contact::EMPTY };
        assert_eq!(line(&[], None), "");
        assert_eq!(line(&[one], None), "Contact: <sip:a@h>;q=0.5;expires=60\r\n");
        assert_eq!(
            line(&[one, two], None),
            "Contact: <sip:a@h>;q=0.5;expires=60, <sip:b@h>;expires=10;received=\"sip:192.0.2.1:7\"\r\n"
        );
        assert_eq!(
            line(&[Contact { uri: b"sip:a", ..Contact::EMPTY }], None),
            "Contact: <sip:a>;expires=4294967295\r\n"
        );
    }

    #[test]
    fn devices_with_an_instance_get_a_gruu() {
        let device = Contact {
            uri: b"sip:a@h",
            expires: 1060,
            instance: b"<urn:uuid:1>",
            reg_id: 1,
            ..Contact::EMPTY
        };
        let base = gruu_base(b"sip:alice@example.com:5060;x=y").unwrap();
        assert_eq!(
            line(&[device], Some(&base)),
            "Contact: <sip:a@h>;expires=60;+sip.instance=\"<urn:uuid:1>\";reg-id=1;\
             pub-gruu=\"sip:alice@example.com;gr=urn:uuid:1\"\r\n"
        );
        assert_eq!(gruu_base(b"tel:+358"), None);
    }

    #[test]
    fn thousandths() {
        for (q, text) in
            [(0, "0"), (1, "0.001"), (10, "0.01"), (100, "0.1"), (330, "0.33"), (999, "0.999"), (1000, "1")]
        {
            let mut out = Vec::new();
            write_thousandths(q, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn refusals_tell_what_to_do() {
        let lines = |refusal| String::from_utf8(refusal_lines(refusal, b"<sip:p>", &settings())).unwrap();
        assert_eq!(lines(Refusal::PathUnsupported), "Unsupported: path\r\nPath: <sip:p>\r\n");
        assert_eq!(lines(Refusal::NotCommitted(CommitError::Full)), "Retry-After: 30\r\n");
        assert_eq!(lines(Refusal::OldCSeq), "");
    }
}
