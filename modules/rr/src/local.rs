//! What this server noted in the route set of a dialog, read when a request of the dialog comes back.

use std::rc::Rc;

use tocsin_script::{
    Accessor, ArgError, Bytes, Call, Function, Index, Indexes, Param, ParamKind, Routes, Value, Variable,
    compile_made_regex,
};
use tocsin_server::Context;
use tocsin_sip::{Message, UriRef};

use super::loose::{came_strict, first_route, is_own, last_route};

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![check_route_param(), is_direction()]
}

fn check_route_param() -> Function<Context> {
    const EXPRESSION: &[Param] = &[Param::required("expression", ParamKind::Regex)];
    Function::new("check_route_param", EXPRESSION, Routes::REQUEST, |site| {
        let fixed = site.regex(0);
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let Some(params) = params(cx) else { return false.into() };
            let made = match (&fixed, &arguments[0]) {
                (None, Value::Str(pattern)) => compile_made_regex(pattern)
                    .inspect_err(|problem| tracing::error!("check_route_param: {problem}"))
                    .ok(),
                _ => None,
            };
            fixed.as_ref().or(made.as_ref()).is_some_and(|expression| expression.is_match(params)).into()
        });
        Ok(call)
    })
    .doc(
        "Checks whether the parameters that this server put into Record-Route match an expression. 1: they do; -1: \
         they do not, or there are none.",
    )
}

fn is_direction() -> Function<Context> {
    const DIRECTION: &[Param] = &[Param::required("direction", ParamKind::Str)];
    Function::new("is_direction", DIRECTION, Routes::REQUEST, |site| {
        let fixed = site.constant_str(0).map(|text| direction(text)).transpose()?;
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let wanted = match (fixed, &arguments[0]) {
                (Some(wanted), _) => Ok(wanted),
                (None, Value::Str(text)) => direction(text),
                _ => direction(b""),
            };
            let Ok(wanted) = wanted else {
                tracing::error!("is_direction: neither `upstream` nor `downstream` was asked for");
                return false.into();
            };
            (flow(&cx.message, params(cx).unwrap_or_default()) == wanted).into()
        });
        Ok(call)
    })
    .doc(
        "Checks whether a request within a dialog goes `downstream`, from the caller to the callee, or `upstream`; \
         when the direction is unknown, it counts as downstream. 1: the request goes the given way; -1: it does not.",
    )
}

/// `$rr_params`.
pub(super) fn variable() -> Variable<Context> {
    struct RouteParams;
    impl Accessor<Context> for RouteParams {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            let params = params(cx).map(|params| params.strip_prefix(b";").unwrap_or(params));
            params.map_or(Value::Null, |params| Value::Str(Bytes::new(params)))
        }
    }
    Variable::declared(
        "rr_params",
        "The parameters of the Route header field of this server that loose_route() removed, \
             without the first `;`.",
        |_| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(RouteParams);
            Ok(accessor)
        },
    )
    .indexed(Indexes::Unchecked)
}

/// Which way a request goes within its dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From the one who was called.
    Upstream,
    /// From the one who called.
    Downstream,
}

pub(super) fn is_upstream(cx: &Context) -> bool {
    params(cx).is_some_and(|params| flow(&cx.message, params) == Direction::Upstream)
}

fn direction(text: &[u8]) -> Result<Direction, ArgError> {
    match text {
        b"upstream" => Ok(Direction::Upstream),
        b"downstream" => Ok(Direction::Downstream),
        _ => {
            let text = String::from_utf8_lossy(text);
            Err(ArgError::at(0, format!("`{text}` is no direction"))
                .suggest(&text, ["upstream", "downstream"]))
        }
    }
}

/// The parameters of the URI that names this server in the route set, from the first `;` on. By way of a strict router
/// they are, as in OpenSIPS, those of the last one.
fn params(cx: &Context) -> Option<&[u8]> {
    let server = cx.server();
    local_params(&cx.message, |uri| is_own(server, uri))
}

fn local_params(message: &Message, own: impl Fn(&UriRef<'_>) -> bool) -> Option<&[u8]> {
    let first = first_route(message)?;
    let local = match message.ruri() {
        Ok(uri) if came_strict(message, &uri, &own) => last_route(message)?,
        _ if own(&first) => first,
        _ => return None,
    };
    Some(local.params().text()).filter(|params| !params.is_empty())
}

/// The From tag of the request that began the dialog is noted in `ftag`: only the caller still has it in From. Where it was
/// not noted, the caller may have sent the request.
fn flow(message: &Message, params: &[u8]) -> Direction {
    let noted = params.split(|&byte| byte == b';').find_map(|param| {
        let (name, value) = param.split_at_checked(5)?;
        name.eq_ignore_ascii_case(b"ftag=").then_some(value)
    });
    let own = message.from().ok().and_then(|from| from.tag());
    match (noted, own) {
        (Some(noted), Some(own)) if noted != own => Direction::Upstream,
        _ => Direction::Downstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    fn request(request_uri: &str, route: &str, from_tag: &str) -> Message {
        let text = format!(
            "BYE {request_uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nRoute: {route}\r\n\
             From: <sip:a@b>;tag={from_tag}\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n"
        );
        Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap()
    }

    fn noted(message: &Message) -> Option<&[u8]> {
        local_params(message, |uri| uri.host() == b"me")
    }

    #[test]
    fn the_params_are_those_of_our_own_entry() {
        assert_eq!(
            noted(&request("sip:c@d", "<sip:me;lr;nat=yes>,<sip:p;lr>", "1")),
            Some(&b";lr;nat=yes"[..])
        );
        assert_eq!(noted(&request("sip:me;lr;nat=no", "<sip:p;lr>,<sip:c@d;x>", "1")), Some(&b";x"[..]));
        assert_eq!(noted(&request("sip:bob@me", "<sip:me;lr;nat=yes>,<sip:c@d>", "1")), None);
        assert_eq!(noted(&request("sip:c@d", "<sip:p;lr;nat=yes>,<sip:me;lr>", "1")), None);
        assert_eq!(noted(&request("sip:c@d", "<sip:me", "1")), None);
    }

    #[test]
    fn the_from_tag_tells_the_direction() {
        let message = request("sip:c@d", "<sip:me;lr;ftag=abc>", "abc");
        assert_eq!(flow(&message, b";lr;ftag=abc;x"), Direction::Downstream);
        assert_eq!(flow(&message, b";lr;FTAG=ABC"), Direction::Upstream);
        assert_eq!(flow(&message, b";lr;xftag=abc"), Direction::Downstream);
        assert_eq!(flow(&message, b""), Direction::Downstream);
    }
}
