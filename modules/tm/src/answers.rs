//! The functions that answer a request in its transaction.

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Value};
use tocsin_server::Context;
use tocsin_server::core::as_text;
use tocsin_sip::Method;

use super::act::parse;
use super::failure::of_transaction;
use super::matching::{of_method, of_request, tag_of};
use super::record::TransactionId;
use super::relay::{self, ERROR};
use super::requests;
use super::state::State;

/// The return code of `t_reply_by_callid()` without such a transaction.
const NOT_FOUND: i64 = -4;

pub(super) fn functions() -> Vec<Function<Context>> {
    const CODE: Param = Param::required("code", ParamKind::Int);
    const REASON: Param = Param::required("reason", ParamKind::Str);
    const REPLY: &[Param] = &[CODE, REASON];
    const WITH_BODY: &[Param] = &[CODE, REASON, Param::required("body", ParamKind::Str)];
    const BY_CALL_ID: &[Param] = &[
        CODE,
        REASON,
        Param::optional("callid", ParamKind::Str),
        Param::optional("cseq", ParamKind::StrOrInt),
    ];
    let requests = Routes::REQUEST | Routes::FAILURE;
    vec![
        Function::new("t_reply", REPLY, requests, |_| {
            let call: Call<Context> =
                Rc::new(|cx, arguments| answer(cx, &arguments[0], &arguments[1], &Bytes::EMPTY));
            Ok(call)
        })
        .doc(
            "Answers the request in its transaction, which is created if there is none. 1: done; -1: it \
             cannot be created, or has a final response. The script ends for an ACK and a retransmission.",
        ),
        Function::new("t_reply_with_body", WITH_BODY, requests, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let body = as_text(&arguments[2]).unwrap_or_default();
                answer(cx, &arguments[0], &arguments[1], &body)
            });
            Ok(call)
        })
        .doc(
            "Answers like t_reply(), with a body; append_to_reply() gives its Content-Type. 1: done; -1: the \
             transaction cannot be created, or has a final response.",
        ),
        Function::new("t_reply_by_callid", BY_CALL_ID, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| match answer_by_call_id(cx, arguments) {
                Some(is_taken) => is_taken.into(),
                None => Outcome::Done(NOT_FOUND),
            });
            Ok(call)
        })
        .doc(
            "Answers the INVITE of another transaction, found by its Call-ID and CSeq number, those of the \
             message at hand if they are not given. 1: done; -4: there is none; -1: it has a final response.",
        ),
    ]
}

fn answer(cx: &mut Context, status: &Value, reason: &Value, body: &[u8]) -> Outcome<Context> {
    let id = match own_transaction(cx) {
        Ok(id) => id,
        // nothing answers an ACK
        Err(NoTransaction::Ack) => return Outcome::Exit,
        Err(NoTransaction::Outcome(outcome)) => return outcome,
    };
    let tag = tag_of(cx.server(), id);
    relay::answer_with(cx, id, status_of(status), &as_text(reason).unwrap_or_default(), &tag, body).into()
}

/// A status that no response can have is refused later, by 0.
fn status_of(value: &Value) -> u16 {
    value.to_int().and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
}

/// `None` if no INVITE with this Call-ID and CSeq number waits for its final response.
fn answer_by_call_id(cx: &mut Context, arguments: &[Value]) -> Option<bool> {
    let call_id = as_text(&arguments[2])
        .map_or_else(|| cx.message.call_id().unwrap_or_default().to_vec(), |given| given.to_vec());
    let own = cx.message.cseq().map_or(0, |cseq| cseq.number);
    let cseq = arguments[3].to_int().map_or(Some(own), |given| u32::try_from(given).ok());
    let server = cx.server();
    let mut found = None;
    server.state::<State>().table.for_each(|id, t| {
        let is_open = found.is_none() && !t.machine.is_answered() && t.request.starts_with(b"INVITE ");
        // Most are of other calls: what does not even hold the text is not read.
        if !is_open || memchr::memmem::find(&t.request, &call_id).is_none() {
            return;
        }
        let is_it = parse(server, &t.request).is_some_and(|request| {
            request.call_id().is_ok_and(|of| of == call_id)
                && request.cseq().is_ok_and(|of| Some(of.number) == cseq)
        });
        if is_it {
            found = Some(*id);
        }
    });
    let id = found?;
    let mut other = of_transaction(cx.worker, id)?;
    let reason = as_text(&arguments[1]).unwrap_or_default();
    Some(relay::answer(&mut other, id, status_of(&arguments[0]), &reason))
}

/// Why a request has no transaction.
pub(super) enum NoTransaction {
    /// It is an ACK, and not one to a failure.
    Ack,
    /// What the function gives instead.
    Outcome(Outcome<Context>),
}

/// The transaction of the request of `cx`, made now if there is none. An ACK has none and ends here if it is for one, and a
/// request that has come before is absorbed.
pub(super) fn own_transaction(cx: &mut Context) -> Result<TransactionId, NoTransaction> {
    if let Some(found) = cx.transaction {
        return Ok(TransactionId(found.id));
    }
    let id = match cx.message.method() {
        // of its own: it ends that of its INVITE only when it is relayed
        Method::Cancel => of_method(cx.server(), &cx.message, Method::Cancel.text().as_bytes()),
        _ => of_request(cx.server(), &cx.message),
    };
    let id = id.ok_or(NoTransaction::Outcome(Outcome::Done(ERROR)))?;
    if cx.message.method() == Method::Ack {
        return Err(requests::absorb_ack(cx, id)
            .map_or(NoTransaction::Ack, |()| NoTransaction::Outcome(Outcome::Exit)));
    }
    match relay::create(cx, id, &[]) {
        Outcome::Done(code) if code > 0 => Ok(id),
        ended => Err(NoTransaction::Outcome(ended)),
    }
}
