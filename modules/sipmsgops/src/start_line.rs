//! The first line: the method of a request, the status of a reply.

use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Param, ParamKind, Routes, Value};
use tocsin_server::Context;
use tocsin_sip::{Edits, Message, Method};

pub(super) fn functions() -> Vec<Function<Context>> {
    const NAME: &[Param] = &[Param::required("name", ParamKind::Str)];
    const STATUS: &[Param] =
        &[Param::required("code", ParamKind::Int), Param::required("reason", ParamKind::Str)];
    vec![
        Function::new("is_method", NAME, Routes::ANY, |site| {
            let fixed = site.constant_str(0).map(|names| Methods::new(names)).transpose()?;
            let call: Call<Context> = Rc::new(move |cx, arguments| match (&fixed, &arguments[0]) {
                (Some(methods), _) => methods.hold(&cx.message).into(),
                (None, Value::Str(names)) => {
                    Methods::new(names).is_ok_and(|methods| methods.hold(&cx.message)).into()
                }
                _ => false.into(),
            });
            Ok(call)
        })
        .doc(
            "Checks whether the method of the request, or of the CSeq of a response, is one of some: \
             `INVITE|BYE`. 1: it is; -1: it is not.",
        ),
        Function::new("change_reply_status", STATUS, Routes::REPLY, |site| {
            tocsin_sl::check_answer(site)?;
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let status = arguments[0].to_int().and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
                let reason = arguments[1].to_bytes().unwrap_or_default();
                change_status(&cx.message, &mut cx.edits, status, &reason).into()
            });
            Ok(call)
        })
        .doc(
            "Replaces the status and the reason of a response; a provisional one stays provisional. 1: \
             done; -1: it is not possible.",
        ),
    ]
}

/// Gives a reply another status of a final response, or of a provisional one if it is one: others wait for the call to end.
fn change_status(message: &Message, edits: &mut Edits, status: u16, reason: &[u8]) -> bool {
    let Some(old) = message.status() else { return false };
    if !(100..700).contains(&status) || (old < 200) != (status < 200) {
        tracing::error!("change_reply_status: a reply {old} cannot become a {status}");
        return false;
    }
    edits.replace_status(message, status, &tocsin_sl::one_line(reason))
}

/// A set of methods: `INVITE|BYE`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Methods {
    /// A bit for each known one.
    known: u32,
    /// Names of others.
    others: Vec<Bytes>,
}

impl Methods {
    fn new(names: &[u8]) -> Result<Self, ArgError> {
        let mut methods = Self::default();
        for name in names.split(|byte| *byte == b'|').map(<[u8]>::trim_ascii) {
            if name.is_empty() {
                let names = String::from_utf8_lossy(names);
                return Err(ArgError::at(
                    0,
                    format!("`{names}` is no list of methods: write it as INVITE|BYE"),
                ));
            }
            match Method::of(&name.to_ascii_uppercase()) {
                Method::Other => methods.others.push(Bytes::new(name)),
                method => methods.known |= bit(method),
            }
        }
        Ok(methods)
    }

    /// Whether the method of the message, or of the request that it answers, is in the set.
    fn hold(&self, message: &Message) -> bool {
        match message.method() {
            Method::Other => {
                let text = message.method_text();
                !text.is_empty() && self.others.iter().any(|other| other.eq_ignore_ascii_case(text))
            }
            method => self.known & bit(method) != 0,
        }
    }
}

fn bit(method: Method) -> u32 {
    1 << method as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    fn message(start: &str, cseq: &str) -> Message {
        let text = format!("{start}\r\nVia: SIP/2.0/UDP h\r\nCSeq: 1 {cseq}\r\n\r\n");
        Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap()
    }

    fn holds(names: &str, message: &Message) -> bool {
        Methods::new(names.as_bytes()).unwrap().hold(message)
    }

    #[test]
    fn requests_and_replies() {
        let bye = message("BYE sip:a@b SIP/2.0", "BYE");
        assert!(holds("BYE", &bye) && holds("invite| bye", &bye) && !holds("INVITE|ACK", &bye));
        let ok = message("SIP/2.0 200 OK", "INVITE");
        assert!(holds("INVITE", &ok) && !holds("BYE", &ok));
        let new = message("PUNT sip:a@b SIP/2.0", "PUNT");
        assert!(holds("BYE|PUNT", &new) && holds("punt", &new) && !holds("PUN", &new));
        // A method of lower case is another one, so it is known by its name alone.
        let low = message("bye sip:a@b SIP/2.0", "bye");
        assert!(!holds("BYE", &low));
    }

    #[test]
    fn every_known_method_has_a_bit_of_its_own() {
        let all =
            "INVITE|ACK|BYE|CANCEL|OPTIONS|REGISTER|MESSAGE|SUBSCRIBE|NOTIFY|PUBLISH|UPDATE|PRACK|INFO|REFER";
        let methods = Methods::new(all.as_bytes()).unwrap();
        assert_eq!((methods.known.count_ones(), methods.others.len()), (14, 0));
    }

    #[test]
    fn a_reply_gets_another_status_of_its_kind() {
        let busy = message("SIP/2.0 603 Decline", "INVITE");
        let changed = |status, reason: &[u8]| {
            let mut edits = Edits::new();
            let done = change_status(&busy, &mut edits, status, reason);
            let mut out = Vec::new();
            busy.print_into(&edits, &mut out);
            (done, String::from_utf8(out).unwrap().lines().next().unwrap().to_owned())
        };
        assert_eq!(changed(404, b"Not\r\nX: y"), (true, "SIP/2.0 404 Not  X: y".to_owned()));
        for refused in [180, 99, 700] {
            assert_eq!(changed(refused, b"x"), (false, "SIP/2.0 603 Decline".to_owned()));
        }
        assert!(!change_status(&message("BYE sip:a@b SIP/2.0", "BYE"), &mut Edits::new(), 404, b"x"));
    }

    #[test]
    fn empty_names_are_refused() {
        for bad in ["", "INVITE|", "|", "A||B"] {
            assert!(Methods::new(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
