//! `sipmsg_validate()`: whether a message is as RFC 3261 wants it.

use std::rc::Rc;

use tocsin_script::{ArgError, Call, Function, Outcome, Param, ParamKind, Store, Value};
use tocsin_server::Context;
use tocsin_sip::{HeaderName, Message, Method, NameAddrRef, ParseError, UriRef, host_address};

use super::function::{MESSAGES, leaving};
use super::sdp;

pub(super) fn functions() -> Vec<Function<Context>> {
    const ARGUMENTS: &[Param] =
        &[Param::optional("flags", ParamKind::Str), Param::optional("result_pvar", ParamKind::Output)];
    vec![
        Function::new("sipmsg_validate", ARGUMENTS, MESSAGES, |site| {
            let fixed = site.constant_str(0).map(|text| Flags::new(text)).transpose()?;
            let result = site.variable(1);
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let flags = match (fixed, &arguments[0]) {
                    (Some(flags), _) => flags,
                    (None, Value::Str(text)) => Flags::new(text).unwrap_or_default(),
                    _ => Flags::default(),
                };
                let checked = description_left(cx, flags).and_then(|()| validate(&cx.message, flags));
                let Err(Problem(code, text)) = checked else { return Outcome::TRUE };
                if let Some(result) = &result
                    && let Err(cause) = result.write(cx, Value::str(text), Store::Set)
                {
                    tracing::error!("sipmsg_validate: {} cannot be set: {cause}", result.text());
                }
                Outcome::Done(code)
            });
            Ok(call)
        })
        .doc(
            "Checks the message, as far as the letters in `flags` ask for: s session description, h \
             header fields, m no limit for Max-Forwards, r Request-URI, f From, t To, c Contact. 1: it is \
             right; less than 0: what is wrong, which is also written into `result_pvar`.",
        ),
    ]
}

/// What is checked beside the header fields that must be there.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// `s`
    description: bool,
    /// `h`
    headers: bool,
    /// `m`
    any_max_forwards: bool,
    /// `r`
    request_uri: bool,
    /// `f`
    from: bool,
    /// `t`
    to: bool,
    /// `c`
    contact: bool,
}

impl Flags {
    fn new(text: &[u8]) -> Result<Self, ArgError> {
        let mut flags = Self::default();
        for letter in text {
            match letter {
                b's' => flags.description = true,
                b'h' => flags.headers = true,
                b'm' => flags.any_max_forwards = true,
                b'r' => flags.request_uri = true,
                b'f' => flags.from = true,
                b't' => flags.to = true,
                b'c' => flags.contact = true,
                b' ' => {}
                _ => {
                    let letter = char::from(*letter);
                    return Err(ArgError::at(
                        0,
                        format!("`{letter}` is no flag: there are s, h, m, r, f, t and c"),
                    ));
                }
            }
        }
        Ok(flags)
    }
}

/// A session description that the script has taken out cannot be read.
fn description_left(cx: &Context, flags: Flags) -> Result<(), Problem> {
    let is_asked = flags.description && !cx.edits.is_empty() && sdp::description(&cx.message).is_some();
    if is_asked && leaving(cx).is_none_or(|leaving| sdp::description(&leaving).is_none()) {
        return Err(BAD_DESCRIPTION);
    }
    Ok(())
}

/// The return code and a text for the sender. Where OpenSIPS 3.4.18 has a text for the case, it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Problem(i64, &'static str);

fn validate(message: &Message, flags: Flags) -> Result<(), Problem> {
    for (name, code, text) in [
        (HeaderName::CallId, -3, "SIP message doesn't have 'Call-ID' header"),
        (HeaderName::CSeq, -7, "SIP message doesn't have 'CSeq' header"),
        (HeaderName::From, -8, "SIP message doesn't have 'From' header"),
        (HeaderName::To, -9, "SIP message doesn't have 'To' header"),
        (HeaderName::Via, -10, "SIP message doesn't have 'Via' header"),
    ] {
        require(message, name, code, text)?;
    }
    body(message, flags)?;
    match message.status() {
        None => request(message, flags)?,
        Some(status) => reply(message, status)?,
    }
    if flags.headers {
        header_values(message).map_err(|_| Problem(-2, "Header parsing error"))?;
    }
    if flags.from {
        address(message.from(), &FROM)?;
    }
    if flags.to {
        address(message.to(), &TO)?;
    }
    if flags.contact { contacts(message) } else { Ok(()) }
}

fn contacts(message: &Message) -> Result<(), Problem> {
    if message.contact_is_star() {
        if message.method() == Method::Register {
            return Ok(());
        }
        let text = "'Contact' header for SIP message contains '*' only valid for REGISTER request";
        return Err(Problem(-30, text));
    }
    let bad = |_| Problem(-26, "failed to parse 'Contact' header");
    message.contacts().try_for_each(|contact| contact?.uri().map(drop)).map_err(bad)
}

fn require(message: &Message, name: HeaderName, code: i64, text: &'static str) -> Result<(), Problem> {
    if message.header(name).is_some() { Ok(()) } else { Err(Problem(code, text)) }
}

fn body(message: &Message, flags: Flags) -> Result<(), Problem> {
    match message.defect() {
        Some(ParseError::Truncated | ParseError::ContentLength | ParseError::ContentLengthConflict) => {
            return Err(Problem(-5, "Invalid Content-Length"));
        }
        Some(_) => return Err(Problem(-2, "Header parsing error")),
        None => {}
    }
    if message.body().is_empty() {
        return Ok(());
    }
    require(message, HeaderName::ContentType, -21, "")?;
    match sdp::description(message) {
        Some(text) if flags.description && !sdp::is_well_formed(text) => Err(BAD_DESCRIPTION),
        _ => Ok(()),
    }
}

fn request(message: &Message, flags: Flags) -> Result<(), Problem> {
    if !flags.any_max_forwards {
        require(message, HeaderName::MaxForwards, -13, "")?;
    }
    let method = message.method();
    if flags.contact && method.forms_dialog() {
        require(message, HeaderName::Contact, -14, NO_CONTACT)?;
    }
    if method != Method::Register && message.header(HeaderName::Path).is_some() {
        return Err(Problem(-15, "Path header in a request that is no REGISTER"));
    }
    if !flags.request_uri {
        return Ok(());
    }
    let uri = message.ruri().map_err(|cause| REQUEST_URI.problem(cause))?;
    host_and_user(&uri, &REQUEST_URI)
}

fn reply(message: &Message, status: u16) -> Result<(), Problem> {
    let (name, code, text) = match status {
        405 => (HeaderName::Allow, -16, "SIP message doesn't have 'Allow' header"),
        423 => (HeaderName::MinExpires, -17, "SIP message doesn't have 'Min-Expires' header"),
        407 => (HeaderName::ProxyAuthenticate, -18, "SIP message doesn't have 'Proxy-Authenticate' header"),
        420 => (HeaderName::Unsupported, -19, "SIP message doesn't have 'Unsupported' header"),
        401 => (HeaderName::WwwAuthenticate, -20, "SIP message doesn't have 'WWW-Authenticate' header"),
        200..300 if message.method() == Method::Invite => (HeaderName::Contact, -14, NO_CONTACT),
        _ => return Ok(()),
    };
    require(message, name, code, text)
}

/// Reads every header field that has a known form.
fn header_values(message: &Message) -> Result<(), ParseError> {
    message.vias().try_for_each(|via| via.map(drop))?;
    message.from()?.uri()?;
    message.to()?.uri()?;
    message.call_id()?;
    message.cseq()?;
    message.max_forwards()?;
    message.expires()?;
    message.content_type()?;
    message.contacts().try_for_each(|contact| contact?.uri().map(drop))?;
    message.routes().try_for_each(|route| route?.uri().map(drop))?;
    message.record_routes().try_for_each(|route| route?.uri().map(drop))?;
    message.authorization().try_for_each(|credentials| credentials.map(drop))?;
    message.proxy_authorization().try_for_each(|credentials| credentials.map(drop))
}

/// What can be wrong with a URI: the problems of its form, its host and its user.
struct UriProblems {
    form: Problem,
    host: Problem,
    user: Problem,
}

const BAD_DESCRIPTION: Problem = Problem(-6, "failed to parse SDP message");
const NO_CONTACT: &str = "SIP message doesn't have 'Contact' header";
const REQUEST_URI: UriProblems = UriProblems {
    form: Problem(-11, "failed to parse R-URI"),
    host: Problem(-12, "invalid domain for R-URI"),
    user: Problem(-27, "invalid username for R-URI"),
};
const FROM: UriProblems = UriProblems {
    form: Problem(-24, "failed to parse 'From' header"),
    host: Problem(-25, "invalid domain for 'From' header"),
    user: Problem(-28, "invalid username for 'From' header"),
};
const TO: UriProblems = UriProblems {
    form: Problem(-22, "failed to parse 'To' header"),
    host: Problem(-23, "invalid domain for 'To' header"),
    user: Problem(-29, "invalid username for 'To' header"),
};

impl UriProblems {
    /// The problem of a URI that cannot be read.
    fn problem(&self, cause: ParseError) -> Problem {
        match cause {
            ParseError::UriHost => self.host,
            _ => self.form,
        }
    }
}

fn address(
    address: Result<NameAddrRef<'_>, ParseError>,
    problems: &'static UriProblems,
) -> Result<(), Problem> {
    match address.and_then(|address| address.uri()) {
        Ok(uri) => host_and_user(&uri, problems),
        Err(cause) => Err(problems.problem(cause)),
    }
}

fn host_and_user(uri: &UriRef<'_>, problems: &'static UriProblems) -> Result<(), Problem> {
    if !uri.host().is_empty() && !is_host(uri.host()) {
        return Err(problems.host);
    }
    if uri.user().is_some_and(|user| !is_user(user)) {
        return Err(problems.user);
    }
    Ok(())
}

/// An address, or labels of letters, digits and hyphens that neither begin nor end with one (RFC 3261 section 25.1).
fn is_host(host: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    host_address(host).is_some()
        || host.strip_suffix(b".").unwrap_or(host).split(|byte| *byte == b'.').all(is_label)
}

/// `1*( unreserved / escaped / user-unreserved )` (RFC 3261 section 25.1).
fn is_user(user: &[u8]) -> bool {
    let mut rest = user;
    while let Some((byte, behind)) = rest.split_first() {
        rest = match byte {
            b'%' if behind.len() >= 2 && behind[..2].iter().all(u8::is_ascii_hexdigit) => &behind[2..],
            byte if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(byte) => behind,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    const INVITE: &str = "INVITE sip:c@d.example SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
        From: <sip:a@b.example>;tag=1\r\nTo: <sip:c@d.example>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\n\r\n";

    fn code(from: &str, to: &str, flags: &str) -> i64 {
        assert!(from.is_empty() || INVITE.contains(from), "{from}");
        let text = if from.is_empty() { INVITE.to_owned() } else { INVITE.replacen(from, to, 1) };
        let message = Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap();
        validate(&message, Flags::new(flags.as_bytes()).unwrap()).map_or_else(|problem| problem.0, |()| 1)
    }

    #[test]
    fn each_code_has_its_cause() {
        assert_eq!(code("", "", "shrftc"), 1);
        for (from, to, flags, expected) in [
            ("Call-ID: x\r\n", "", "", -3),
            ("CSeq: 1 INVITE\r\n", "", "", -7),
            ("From: <sip:a@b.example>;tag=1\r\n", "", "", -8),
            ("To: <sip:c@d.example>\r\n", "", "", -9),
            ("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", "", "", -10),
            ("Max-Forwards: 70\r\n", "", "", -13),
            ("Max-Forwards: 70\r\n", "", "m", 1),
            ("Contact: <sip:a@h>\r\n", "", "", 1),
            ("Contact: <sip:a@h>\r\n", "", "c", -14),
            ("Contact: <sip:a@h>\r\n", "Contact: *\r\n", "c", -30),
            ("Contact: <sip:a@h>\r\n", "Contact: <nonsense>\r\n", "c", -26),
            ("\r\n\r\n", "\r\nPath: <sip:p>\r\n\r\n", "", -15),
            ("\r\n\r\n", "\r\n\r\nbody", "", -21),
            ("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\nbody", "", -5),
            ("\r\n\r\n", "\r\nContent-Type: application/sdp\r\n\r\nbody", "s", -6),
            ("\r\n\r\n", "\r\nContent-Type: application/sdp\r\n\r\nbody", "", 1),
            ("\r\n\r\n", "\r\nExpires: soon\r\n\r\n", "h", -2),
            ("\r\n\r\n", "\r\nExpires: soon\r\n\r\n", "", 1),
            ("INVITE sip:c@d.example", "INVITE sip:c@", "", 1),
            ("INVITE sip:c@d.example", "INVITE bell", "r", -11),
            ("INVITE sip:c@d.example", "INVITE sip:c@ho_st!:5060", "r", -12),
            ("<sip:a@b.example>", "<sip:a@ex!ample.org>", "f", -25),
            ("INVITE sip:c@d.example", "INVITE sip:c@d_e", "r", -12),
            ("INVITE sip:c@d.example", "INVITE sip:c@-d", "r", -12),
            ("INVITE sip:c@d.example", "INVITE sip:c%4@d", "r", -27),
            ("<sip:a@b.example>", "<sip:a@b..c>", "f", -25),
            ("<sip:a@b.example>", "<sip:a%zz@b>", "f", -28),
            ("<sip:a@b.example>", "<sip:@>", "f", -24),
            ("To: <sip:c@d.example>", "To: <sip:c@d-.e>", "t", -23),
            ("To: <sip:c@d.example>", "To: <sip:c", "t", -22),
            ("<sip:a@h>", "<sip:a", "c", -26),
        ] {
            assert_eq!(code(from, to, flags), expected, "{from} -> {to} {flags}");
        }
    }

    #[test]
    fn replies_carry_what_their_status_asks_for() {
        let of = |status: u16, line: &str| {
            let text = format!(
                "SIP/2.0 {status} x\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\n\
                 CSeq: 1 INVITE\r\n{line}\r\n"
            );
            let message = Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap();
            validate(&message, Flags::default()).map_or_else(|problem| problem.0, |()| 1)
        };
        for (status, expected) in
            [(405, -16), (423, -17), (407, -18), (420, -19), (401, -20), (200, -14), (180, 1)]
        {
            assert_eq!(of(status, ""), expected, "{status}");
        }
        assert_eq!(of(405, "Allow: INVITE\r\n"), 1);
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert!(Flags::new(b"sx").is_err());
    }
}
