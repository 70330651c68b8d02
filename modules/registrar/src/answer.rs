//! What a response to a registration contains: the bindings that there are (RFC 3261 section 10.3, step 8).

use std::io::Write;

use tocsin_sip::UriRef;

use super::gruu::{Device, GruuMint, bare_urn};
use super::parameters::Settings;
use super::refusal::Refusal;
use tocsin_usrloc::Contact;

/// The `expires` of a contact that does not expire: the largest there is (RFC 3261 section 20.19).
const FOR_EVER: u64 = u32::MAX as u64;

/// What a device gets besides its contacts if it asks for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Extras<'a> {
    /// It knows GRUUs (RFC 5627), and this is how they are made.
    pub(super) gruu: Option<GruuBase<'a>>,
    /// It manages its flows itself (RFC 5626).
    pub(super) outbound: bool,
}

/// What the GRUUs of the devices of one AOR are made of.
#[derive(Clone, Copy)]
pub(super) struct GruuBase<'a> {
    /// Makes temporary ones.
    pub(super) mint: &'a GruuMint,
    /// The address of record that the bindings are kept under.
    pub(super) aor: &'a [u8],
    /// The user of its URI.
    pub(super) user: &'a [u8],
    /// Host and port that lead here.
    pub(super) host: &'a [u8],
    /// Makes a number out of a Call-ID.
    pub(super) hash: &'a dyn Fn(&[u8]) -> u64,
}

/// Appends a Contact header field with these contacts, if there are any. `now` is in seconds since 1970.
pub(super) fn write_contacts<'a, 'c: 'a>(
    contacts: impl Iterator<Item = &'a Contact<'c>>,
    settings: &Settings,
    extras: Extras<'_>,
    now: u64,
    out: &mut Vec<u8>,
) {
    let mut separator = &b"Contact: "[..];
    for contact in contacts {
        out.extend_from_slice(separator);
        separator = b", ";
        write_contact(contact, settings, extras, now, out);
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the header lines of a refusal.
pub(super) fn write_refusal(refusal: Refusal, path: &[u8], settings: &Settings, lines: &mut Vec<u8>) {
    let after = refusal.retry_after(settings.retry_after);
    if after > 0 {
        write_line(b"Retry-After", after.to_string().as_bytes(), lines);
    }
    if refusal == Refusal::PathUnsupported {
        write_line(b"Unsupported", b"path", lines);
        write_line(b"Path", path, lines);
    }
    write_line(b"P-Registrar-Error", refusal.to_string().as_bytes(), lines);
}

/// Appends a header field.
pub(super) fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The user of an AOR's URI, and the domain if it is part of the address of record.
pub(super) fn gruu_parts(uri: &[u8], has_domain: bool) -> Option<(&[u8], Option<&[u8]>)> {
    let uri = UriRef::parse(uri).ok()?;
    Some((uri.user()?, has_domain.then_some(uri.host())))
}

fn write_contact(
    contact: &Contact<'_>,
    settings: &Settings,
    extras: Extras<'_>,
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
    let is_flow = extras.outbound && contact.reg_id > 0;
    if contact.instance.is_empty() || (extras.gruu.is_none() && !is_flow) {
        return;
    }
    if let Some(base) = extras.gruu {
        write_gruus(contact, base, out);
    }
    for part in [b";+sip.instance=\"", contact.instance, b"\""] {
        out.extend_from_slice(part);
    }
    if contact.reg_id > 0 {
        let _ = write!(out, ";reg-id={}", contact.reg_id);
    }
}

/// The public GRUU of a contact's device, and a new temporary one.
fn write_gruus(contact: &Contact<'_>, base: GruuBase<'_>, out: &mut Vec<u8>) {
    let urn = bare_urn(contact.instance);
    for part in [b";pub-gruu=\"sip:", base.user, b"@", base.host, b";gr=", urn, b"\""] {
        out.extend_from_slice(part);
    }
    let device = Device {
        aor: base.aor.to_vec(),
        instance: contact.instance.to_vec(),
        call_id: (base.hash)(contact.call_id),
    };
    if let Some(user) = base.mint.temporary(&device) {
        for part in [b";temp-gruu=\"sip:", user.as_bytes(), b"@", base.host, b";gr\""] {
            out.extend_from_slice(part);
        }
    }
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

    fn line(contacts: &[Contact<'_>], extras: Extras<'_>) -> String {
        let mut out = Vec::new();
        write_contacts(contacts.iter(), &settings(), extras, 1000, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bindings_are_listed_with_what_is_left_of_them() {
        let one = Contact { uri: b"sip:a@h", expires: 1060, q: 500, ..Contact::EMPTY };
        let two = Contact { uri: b"sip:b@h", expires: 1010, received: b"sip:192.0.2.1:7", ..Contact::EMPTY };
        let none = Extras::default();
        assert_eq!(line(&[], none), "");
        assert_eq!(line(&[one], none), "Contact: <sip:a@h>;q=0.5;expires=60\r\n");
        assert_eq!(
            line(&[one, two], none),
            "Contact: <sip:a@h>;q=0.5;expires=60, <sip:b@h>;expires=10;received=\"sip:192.0.2.1:7\"\r\n"
        );
        assert_eq!(
            line(&[Contact { uri: b"sip:a", ..Contact::EMPTY }], none),
            "Contact: <sip:a>;expires=4294967295\r\n"
        );
    }

    #[test]
    fn rfc5627_devices_that_ask_get_gruus() {
        let device = Contact {
            uri: b"sip:a@h",
            expires: 1060,
            instance: b"<urn:uuid:1>",
            reg_id: 1,
            ..Contact::EMPTY
        };
        let mint = GruuMint::new(b"secret");
        let base =
            GruuBase { mint: &mint, aor: b"alice", user: b"alice", host: b"192.0.2.1:5060", hash: &|_| 7 };
        let asked = line(&[device], Extras { gruu: Some(base), outbound: false });
        let (start, end) = asked.split_once("tgruu.").unwrap();
        assert_eq!(
            start,
            "Contact: <sip:a@h>;expires=60;pub-gruu=\"sip:alice@192.0.2.1:5060;gr=urn:uuid:1\";temp-gruu=\"sip:"
        );
        let rest = end.split_once('@').unwrap().1;
        assert_eq!(rest, "192.0.2.1:5060;gr\";+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n");
        // Instances are shown only to the device whose flow it is.
        assert_eq!(line(&[device], Extras::default()), "Contact: <sip:a@h>;expires=60\r\n");
        assert_eq!(
            line(&[device], Extras { gruu: None, outbound: true }),
            "Contact: <sip:a@h>;expires=60;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n"
        );
        let plain = Contact { instance: b"", ..device };
        assert_eq!(
            line(&[plain], Extras { gruu: Some(base), outbound: true }),
            "Contact: <sip:a@h>;expires=60\r\n"
        );
    }

    #[test]
    fn a_gruu_names_the_domain_where_it_counts() {
        let uri = b"sip:alice@example.com:5060;x=y";
        assert_eq!(gruu_parts(uri, false), Some((&b"alice"[..], None)));
        assert_eq!(gruu_parts(uri, true), Some((&b"alice"[..], Some(&b"example.com"[..]))));
        assert_eq!(gruu_parts(b"tel:+358", false), Some((&b"+358"[..], None)));
        assert_eq!(gruu_parts(b"sip:example.com", false), None);
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
        let lines = |refusal| {
            let mut lines = Vec::new();
            write_refusal(refusal, b"<sip:p>", &settings(), &mut lines);
            String::from_utf8(lines).unwrap()
        };
        assert_eq!(
            lines(Refusal::PathUnsupported),
            "Unsupported: path\r\nPath: <sip:p>\r\nP-Registrar-Error: No support for found Path indicated\r\n"
        );
        assert_eq!(
            lines(Refusal::NotCommitted(CommitError::Full)),
            "Retry-After: 30\r\nP-Registrar-Error: shared memory is full\r\n"
        );
        assert_eq!(lines(Refusal::OldCSeq), "P-Registrar-Error: Invalid CSeq number\r\n");
    }
}
