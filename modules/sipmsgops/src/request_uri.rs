//! The Request-URI's parameters, and telephone numbers.

use tocsin_script::{Bytes, Function, Param, ParamKind, Routes};
use tocsin_server::Context;
use tocsin_sip::{Scheme, UriParts, UriRef};

use super::function::{REQUESTS, function};

pub(super) fn functions() -> Vec<Function<Context>> {
    const PARAM: &[Param] = &[Param::required("param", ParamKind::Str)];
    const VALUED: &[Param] =
        &[Param::required("param", ParamKind::Str), Param::optional("value", ParamKind::Str)];
    const URI: &[Param] = &[Param::required("uri", ParamKind::Str)];
    vec![
        function("ruri_has_param", VALUED, REQUESTS, |cx, arguments| {
            has_param(cx.request_uri(), &arguments.required(0), arguments.text(1).as_deref())
        })
        .doc(
            "Checks whether the Request-URI has a parameter with this value; without `value`, one that has \
             none. 1: it has; -1: it has not.",
        ),
        function("ruri_add_param", PARAM, REQUESTS, |cx, arguments| {
            let changed = add_param(cx.request_uri(), &arguments.required(0));
            change(cx, changed);
            // The code of OpenSIPS 3.4.18, also where it was added.
            false
        })
        .doc("Adds a parameter to the Request-URI. -1: done, or that would be no URI."),
        function("ruri_del_param", PARAM, REQUESTS, |cx, arguments| {
            let changed = delete_param(cx.request_uri(), &arguments.required(0));
            changed.is_some() && change(cx, changed)
        })
        .doc("Removes a parameter from the Request-URI. 1: done; -1: it has no such parameter."),
        function("ruri_tel2sip", &[], REQUESTS, |cx, _| {
            if UriRef::parse(cx.request_uri()).is_ok_and(|uri| uri.scheme() != Scheme::Tel) {
                return true;
            }
            let caller = cx.message.from().ok().and_then(|from| from.uri().ok());
            let host = caller.map(|uri| uri.host()).filter(|host| !host.is_empty());
            let changed = host.and_then(|host| to_sip(cx.request_uri(), host));
            change(cx, changed);
            // The code of OpenSIPS 3.4.18, also where it was done.
            false
        })
        .doc(
            "Makes a SIP URI with the host of From of a `tel:` Request-URI. 1: it is no `tel:` URI; -1: done, \
             or it cannot be done.",
        ),
        function("is_uri_user_e164", URI, Routes::ANY, |_, arguments| {
            let uri = arguments.required(0);
            UriRef::parse(&uri).ok().and_then(|uri| uri.user()).is_some_and(is_e164)
        })
        .doc(
            "Checks whether the user of a URI is a telephone number of E.164: `+` and 2 to 15 digits. 1: \
             it is; -1: it is not.",
        ),
    ]
}

fn change(cx: &mut Context, uri: Option<Bytes>) -> bool {
    // What was made of parts is a URI only if it can be read again.
    match uri.filter(|uri| UriRef::parse(uri).is_ok()) {
        Some(uri) => {
            cx.set_request_uri(uri);
            true
        }
        None => {
            tracing::error!("the Request-URI cannot be changed so");
            false
        }
    }
}

/// Without `value` the parameter must have none either.
fn has_param(uri: &[u8], name: &[u8], value: Option<&[u8]>) -> bool {
    let Ok(uri) = UriRef::parse(uri) else { return false };
    uri.param(name).is_some_and(|param| match (param.value, value) {
        (None, None) => true,
        (Some(has), Some(wanted)) => has.eq_ignore_ascii_case(wanted),
        _ => false,
    })
}

fn add_param(uri: &[u8], param: &[u8]) -> Option<Bytes> {
    let uri = UriRef::parse(uri).ok()?;
    let param = param.strip_prefix(b";").unwrap_or(param);
    if param.is_empty() {
        return None;
    }
    let params = [uri.params().text(), b";", param].concat();
    Some(print(&UriParts { params: &params, ..UriParts::of(&uri) }))
}

/// `None` when there is no such parameter.
fn delete_param(uri: &[u8], name: &[u8]) -> Option<Bytes> {
    let uri = UriRef::parse(uri).ok()?;
    uri.param(name)?;
    let mut params = Vec::with_capacity(uri.params().text().len());
    for param in uri.params().filter(|param| !param.is(name)) {
        params.push(b';');
        params.extend_from_slice(param.name);
        if let Some(value) = param.value {
            params.push(b'=');
            params.extend_from_slice(value);
        }
    }
    Some(print(&UriParts { params: &params, ..UriParts::of(&uri) }))
}

/// The SIP URI of a number (RFC 3261 section 19.1.6): without punctuation, its parameters within the user part.
fn to_sip(tel: &[u8], host: &[u8]) -> Option<Bytes> {
    let tel = UriRef::parse(tel).ok().filter(|uri| uri.scheme() == Scheme::Tel)?;
    let mut out = b"sip:".to_vec();
    out.extend(tel.opaque().iter().filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')')));
    out.extend_from_slice(tel.params().text());
    out.push(b'@');
    out.extend_from_slice(host);
    out.extend_from_slice(b";user=phone");
    Some(Bytes::from(out))
}

/// A plus sign and at most 15 digits that do not begin with 0 (ITU-T E.164).
fn is_e164(user: &[u8]) -> bool {
    match user {
        [b'+', digits @ ..] => {
            (2..=15).contains(&digits.len()) && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

fn print(parts: &UriParts<'_>) -> Bytes {
    let mut out = Vec::with_capacity(64);
    parts.print_into(&mut out);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(uri: Option<Bytes>) -> String {
        uri.map(|uri| uri.lossy().into_owned()).unwrap_or_default()
    }

    #[test]
    fn parameters_are_found_with_and_without_value() {
        let uri = b"sip:a@b;lr;user=phone?x=y";
        assert!(has_param(uri, b"lr", None) && has_param(uri, b"USER", Some(b"Phone")));
        assert!(
            !has_param(uri, b"user", None)
                && !has_param(uri, b"lr", Some(b"on"))
                && !has_param(uri, b"x", None)
        );
        assert!(!has_param(b"not a uri", b"x", None));
    }

    #[test]
    fn parameters_come_and_go() {
        assert_eq!(text(add_param(b"sip:a@b:5070;lr?x=y", b"nat=yes")), "sip:a@b:5070;lr;nat=yes?x=y");
        assert_eq!(text(add_param(b"sip:b", b";nat=yes")), "sip:b;nat=yes");
        assert_eq!(add_param(b"sip:b", b""), None);
        assert_eq!(text(delete_param(b"sip:a@b;lr;user=phone;x", b"User")), "sip:a@b;lr;x");
        assert_eq!(delete_param(b"sip:a@b;lr", b"user"), None);
        assert_eq!(text(delete_param(b"sip:a@b;lr", b"lr")), "sip:a@b");
    }

    #[test]
    fn numbers_become_sip_uris() {
        assert_eq!(
            text(to_sip(b"tel:+358-555-1234567;postd=pp22", b"foo.com")),
            "sip:+3585551234567;postd=pp22@foo.com;user=phone"
        );
        assert_eq!(to_sip(b"sip:a@b", b"foo.com"), None);
    }

    #[test]
    fn e164_numbers() {
        assert!(is_e164(b"+358501234567"));
        for bad in ["358501234567", "+", "+1", "+0123", "+1234567890123456", "+12a4", ""] {
            assert!(!is_e164(bad.as_bytes()), "{bad}");
        }
    }
}
