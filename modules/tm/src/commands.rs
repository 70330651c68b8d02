//! The module's management commands.

use std::time::Duration;

use tocsin_json::{Text, Value};
use tocsin_mi::{MiError, Outcome, Params, Reply};
use tocsin_script::Bytes;
use tocsin_server::core::listener_named;
use tocsin_server::module::CommandRow;
use tocsin_server::{Context, Server, Worker, reply};
use tocsin_sip::{HeaderName, Message, UriRef};
use tokio::sync::oneshot;

use super::act::{AtHand, update};
use super::failure::{follow_up, of_transaction};
use super::matching::of_own;
use super::own::{self, OwnRequest};
use super::record::{Transaction, TransactionId};
use super::relay;
use super::state::State;

/// How often a command looks whether its final reply has come: another process may get it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What stands for a parameter that is not given.
const NONE: &[u8] = b".";

const REQUEST: &[&[&str]] = &[
    &["method", "ruri", "headers"],
    &["method", "ruri", "headers", "next_hop"],
    &["method", "ruri", "headers", "socket"],
    &["method", "ruri", "headers", "body"],
    &["method", "ruri", "headers", "next_hop", "socket"],
    &["method", "ruri", "headers", "next_hop", "body"],
    &["method", "ruri", "headers", "socket", "body"],
    &["method", "ruri", "headers", "next_hop", "socket", "body"],
];
const REPLY: &[&[&str]] = &[
    &["code", "reason", "trans_id", "to_tag", "new_headers"],
    &["code", "reason", "trans_id", "to_tag", "new_headers", "body"],
];

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::replying(
        "t_uac_dlg",
        REQUEST,
        "Sends a request, and answers with its final response.",
        |worker, params| send(worker, &params).unwrap_or_else(Reply::from),
    ),
    CommandRow::new(
        "t_uac_cancel",
        &[&["callid", "cseq"]],
        "Cancels an INVITE of t_uac_dlg or t_new_request().",
        cancel,
    ),
    CommandRow::new(
        "t_hash",
        &[&[]],
        "Shows how many transactions each part of the table holds.",
        |worker, _| Ok(table(worker)),
    ),
    CommandRow::new("t_reply", REPLY, "Answers the request of a transaction.", answer),
];

fn send(worker: &'static Worker, params: &Params) -> Result<Reply, MiError> {
    let request = request(worker.server, params)?;
    // The local route, or a look-up, may take its time before there is a transaction to look at.
    let (left, has_left) = oneshot::channel();
    let id = own::send(worker, request, |_, code| {
        // Nobody waits any more for the answer to a client that has gone.
        let _ = left.send(code);
    })
    .map_err(|cause| MiError::new(400, cause.to_string()))?;
    worker.flush();
    Ok(Reply::later(async move {
        match has_left.await {
            Ok(code) if code > 0 => final_reply(worker.server, id).await,
            _ => Err(MiError::new(500, "The request could not be sent; the log says why")),
        }
    }))
}

fn request(server: &'static Server, params: &Params) -> Result<OwnRequest, MiError> {
    let given = |name: &str| {
        Ok::<_, MiError>(params.optional_text(name)?.filter(|text| **text != *NONE).map(|text| text.to_vec()))
    };
    let bad = |what: &'static str| MiError::new(400, what);
    let method = params.text("method")?.to_vec();
    if !method.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte)) {
        return Err(bad("Invalid method"));
    }
    let uri = params.text("ruri")?.to_vec();
    if !is_uri(&uri) {
        return Err(bad("Invalid ruri"));
    }
    let next_hop = given("next_hop")?;
    if next_hop.as_ref().is_some_and(|uri| !is_uri(uri)) {
        return Err(bad("Invalid next-hop"));
    }
    let socket = match given("socket")? {
        None => None,
        Some(name) => {
            let listener = listener_named(server, &String::from_utf8_lossy(&name));
            Some(listener.ok_or_else(|| bad("Local socket not found"))?.id)
        }
    };
    let headers = headers(server, given("headers")?.unwrap_or_default())?;
    let header = |name| headers.header(name).map(<[u8]>::to_vec);
    let cseq = match headers.header(HeaderName::CSeq) {
        Some(_) => Some(headers.cseq().map_err(|_| bad("Invalid CSeq"))?.number),
        None => None,
    };
    Ok(OwnRequest {
        method,
        uri,
        next_hop,
        socket,
        from: header(HeaderName::From).ok_or_else(|| bad("From missing"))?,
        to: header(HeaderName::To).ok_or_else(|| bad("To missing"))?,
        call_id: header(HeaderName::CallId),
        cseq,
        lines: other_lines(&headers),
        body: given("body")?.unwrap_or_default(),
        context: None,
    })
}

fn is_uri(text: &[u8]) -> bool {
    let is_clean = text.iter().all(u8::is_ascii_graphic);
    is_clean && UriRef::parse(text).is_ok_and(|uri| !uri.host().is_empty())
}

/// Header lines as those of a message.
fn headers(server: &Server, mut lines: Vec<u8>) -> Result<Message, MiError> {
    if !lines.ends_with(b"\n") {
        lines.extend_from_slice(b"\r\n");
    }
    let text = [b"OPTIONS sip:headers SIP/2.0\r\n", &lines[..], b"\r\n"].concat();
    Message::parse(text, &server.settings.limits).map_err(|_| MiError::new(400, "Invalid headers"))
}

/// What is not written by [`own`] itself.
fn other_lines(headers: &Message) -> Vec<u8> {
    const OWN: [HeaderName; 7] = [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::MaxForwards,
        HeaderName::ContentLength,
    ];
    let others = headers.all_headers().filter(|header| !OWN.contains(&header.name));
    others.flat_map(|header| [header.name_text, b": ", header.value, b"\r\n"]).flatten().copied().collect()
}

/// What is known of the final reply to a request of this server's own.
struct Final {
    status: u16,
    /// Empty if there is none, or no memory was left for it.
    reply: Vec<u8>,
    is_local: bool,
}

impl Final {
    fn of(t: &Transaction) -> Option<Self> {
        t.machine.is_answered().then(|| Self {
            status: t.machine.last_status().unwrap_or(408),
            reply: t.reply.to_vec(),
            is_local: t.machine.is_reply_local(),
        })
    }
}

/// Waits for the final reply. A transaction that is gone, or never was, has timed out.
async fn final_reply(server: &'static Server, id: TransactionId) -> Outcome {
    let table = &server.state::<State>().table;
    let found = loop {
        match table.get(&id, Final::of) {
            Some(None) => tokio::time::sleep(LOOK_AGAIN).await,
            Some(found) => break found,
            None => break None,
        }
    };
    let found = found.unwrap_or(Final { status: 408, reply: Vec::new(), is_local: true });
    let (line, rest) = match memchr::memchr(b'\n', &found.reply) {
        Some(at) => (found.reply[..at].trim_ascii_end(), &found.reply[at + 1..]),
        None => (&b""[..], &b""[..]),
    };
    let status = match line.strip_prefix(b"SIP/2.0 ") {
        Some(status) => Text::from(status.to_vec()),
        None => Text::from(format!("{} {}", found.status, reply::default_reason(found.status)).into_bytes()),
    };
    let mut answer = vec![("Status", Value::from(status))];
    if !found.is_local && !rest.is_empty() {
        answer.push(("Message", Value::from(Text::from(rest.to_vec()))));
    }
    Ok(Value::object(answer))
}

fn cancel(worker: &'static Worker, params: &Params) -> Outcome {
    let unknown = || MiError::new(481, "No such transaction");
    let cseq = std::str::from_utf8(&params.text("cseq")?).ok().and_then(|text| text.parse().ok());
    let id = of_own(worker.server, &params.text("callid")?, cseq.ok_or_else(unknown)?);
    let after = update(worker, id, AtHand::Nothing, |t, now, actions| t.machine.cancel(now, actions));
    follow_up(worker, id, after.ok_or_else(unknown)?);
    worker.flush();
    Ok(Value::from("OK"))
}

fn table(worker: &'static Worker) -> Value {
    let table = &worker.server.state::<State>().table;
    let parts = (0..table.shards()).map(|shard| {
        let mut count = 0_i64;
        table.for_each_in(shard, |_, _| count += 1);
        Value::object([("index", Value::from(shard as i64)), ("Current", Value::from(count))])
    });
    Value::object([("Entries", Value::Array(parts.collect()))])
}

/// `t_reply`: the transaction is named as `$T_id` names it.
fn answer(worker: &'static Worker, params: &Params) -> Outcome {
    let unknown = || MiError::new(404, "Transaction not found");
    let name = params.text("trans_id")?;
    let id = std::str::from_utf8(&name).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
    let id = TransactionId(id.ok_or_else(unknown)?);
    let mut cx = of_transaction(worker, id).ok_or_else(unknown)?;
    answer_in(&mut cx, id, params)?;
    worker.flush();
    Ok(Value::from("OK"))
}

fn answer_in(cx: &mut Context, id: TransactionId, params: &Params) -> Result<(), MiError> {
    let status = u16::try_from(params.int("code")?).map_err(|_| MiError::new(400, "Invalid code"))?;
    let reason = params.text("reason")?;
    let lines = params.text("new_headers")?;
    if *lines != *NONE {
        cx.reply_lines = other_lines(&headers(cx.server(), lines.to_vec())?);
    }
    let body = params.optional_text("body")?.map(|body| Bytes::new(&body)).unwrap_or(Bytes::EMPTY);
    let tag = params.text("to_tag")?;
    if reason.iter().chain(tag.iter()).any(u8::is_ascii_control) {
        return Err(MiError::new(400, "Invalid reason or to_tag"));
    }
    match relay::answer_with(cx, id, status, &reason, &tag, &body) {
        true => Ok(()),
        false => Err(MiError::new(500, "Reply failed: the transaction has its final response")),
    }
}
