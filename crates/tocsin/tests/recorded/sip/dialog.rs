//! Messages that follow from those that came before: replies, ACK, CANCEL, and requests within a dialog.
//!
//! Each is a text with lines that end in LF, to be filled like those of the cases.

use std::collections::HashSet;

use serde_json::Value;

use super::super::cases::{text, texts};
use super::actor::{Actor, Origin};
use super::fill::route_set;
use super::message::{Message, split_commas, uri_of};

/// The reply that a step asks for, and where it goes; `None` if there is no request.
pub(super) fn reply(actor: &Actor, id: &str, step: &Value) -> Option<(String, Origin)> {
    let (request, origin) = request_to_answer(actor, step)?;
    let code = step["reply"].as_u64().expect("a code");
    let reason = step["reason"].as_str().unwrap_or_else(|| reason(code));
    let is_answer = 100 < code && code < 300;
    let mut lines = vec![format!("SIP/2.0 {code} {reason}")];
    lines.extend(request.all("via").iter().map(|via| format!("Via: {via}")));
    if is_answer {
        lines.extend(request.all("record-route").iter().map(|route| format!("Record-Route: {route}")));
    }
    lines.push(format!("From: {}", request.first("from")));
    lines.push(format!("To: {}", to_of_reply(&request, code, actor, id, step)));
    lines.push(format!("Call-ID: {}", request.first("call-id")));
    lines.push(format!("CSeq: {}", step["cseq"].as_str().unwrap_or_else(|| request.first("cseq"))));
    let headers = texts(step, "headers");
    let has_contact = headers.iter().any(|header| header.to_lowercase().starts_with("contact:"));
    if is_answer && ["INVITE", "UPDATE"].contains(&request.method()) && !has_contact {
        let transport = if actor.kind == "tcp" { ";transport=tcp" } else { "" };
        let user = actor.name.to_lowercase();
        lines.push(format!("Contact: <sip:{user}@{}:{}{transport}>", actor.host, actor.port));
    }
    lines.extend(headers);
    Some((with_body(lines, step), origin))
}

/// The ACK to a final reply.
pub(super) fn ack(actor: &Actor, step: &Value) -> Result<String, &'static str> {
    let invite = actor.invite(number(step)).ok_or("no INVITE to acknowledge")?;
    let code = step["ack"].as_u64();
    let is_it = |reply: &Message| {
        reply.is_reply()
            && reply.method() == "INVITE"
            && reply.code() >= 200
            && code.is_none_or(|code| reply.code() == code)
            && reply.first("cseq") == invite.first("cseq")
    };
    let reply = actor.latest(is_it).ok_or("no final reply to acknowledge")?;
    let mut via = invite.first("via").to_owned();
    let mut uri = invite.uri().to_owned();
    let mut routes: Vec<_> = invite.all("route").into_iter().map(str::to_owned).collect();
    if reply.code() < 300 {
        via = with_other_branch(&via);
        // Within a dialog the routes are those of the INVITE.
        if routes.is_empty() {
            routes = route_set(&reply);
            match uri_of(reply.first("contact")) {
                "" => {}
                contact => contact.clone_into(&mut uri),
            }
        }
    }
    let to = reply.first("to");
    Ok(follow_up(&invite, "ACK", &uri, &via, &routes, to, step))
}

/// The CANCEL of an INVITE.
pub(super) fn cancel(actor: &Actor, step: &Value) -> Result<String, &'static str> {
    let invite = actor.invite(number(step)).ok_or("no INVITE to cancel")?;
    let routes: Vec<_> = invite.all("route").into_iter().map(str::to_owned).collect();
    let (uri, via, to) = (invite.uri(), invite.first("via"), invite.first("to"));
    Ok(follow_up(&invite, "CANCEL", uri, via, &routes, to, step))
}

/// A request within the dialog, from the caller, or from the callee.
pub(super) fn request(actor: &Actor, id: &str, step: &Value) -> Option<String> {
    let side = if text(step, "as") == "callee" { callee(actor) } else { caller(actor) }?;
    let method = text(step, "in_dialog");
    let number = step["cseq"].as_u64().unwrap_or(2);
    let uri = step["uri"].as_str().unwrap_or(&side.uri);
    let (protocol, name, port) = (actor.kind.to_uppercase(), &actor.name, actor.port);
    let branch = format!("z9hG4bK-{id}-{method}{number}{name}");
    let mut lines = vec![format!("{method} {uri} SIP/2.0")];
    lines.push(format!("Via: SIP/2.0/{protocol} 127.0.0.1:{port};branch={branch}"));
    lines.extend(side.routes.iter().map(|route| format!("Route: {route}")));
    lines.push("Max-Forwards: 70".to_owned());
    lines.push(format!("From: {}\nTo: {}", side.from, side.to));
    lines.push(format!("Call-ID: {}\nCSeq: {number} {method}", side.call));
    lines.extend(texts(step, "headers"));
    Some(with_body(lines, step))
}

/// What one side knows of a dialog.
struct DialogSide {
    uri: String,
    routes: Vec<String>,
    from: String,
    to: String,
    call: String,
}

fn caller(actor: &Actor) -> Option<DialogSide> {
    let reply = actor.latest(|message| {
        message.is_reply()
            && message.method() == "INVITE"
            && message.code() > 100
            && message.first("to").contains("tag=")
    })?;
    Some(DialogSide {
        uri: uri_of(reply.first("contact")).to_owned(),
        routes: route_set(&reply),
        from: reply.first("from").to_owned(),
        to: reply.first("to").to_owned(),
        call: reply.first("call-id").to_owned(),
    })
}

fn callee(actor: &Actor) -> Option<DialogSide> {
    let is_invite = |message: &Message| message.method() == "INVITE" && !message.is_reply();
    let is_routed = |message: &Message| is_invite(message) && !message.all("record-route").is_empty();
    let invite = actor.latest(is_routed).or_else(|| actor.latest(is_invite))?;
    let own = Message::new(&actor.last_reply.as_ref()?.0);
    Some(DialogSide {
        uri: uri_of(invite.first("contact")).to_owned(),
        routes: split_commas(invite.all("record-route")),
        from: own.first("to").to_owned(),
        to: invite.first("from").to_owned(),
        call: invite.first("call-id").to_owned(),
    })
}

/// The latest request, of the method that the step names, or the one of its number among different ones.
fn request_to_answer(actor: &Actor, step: &Value) -> Option<(Message, Origin)> {
    let wanted = text(step, "of");
    let mut seen = HashSet::new();
    let mut requests: Vec<_> = actor
        .inbox
        .iter()
        .map(|received| (received, Message::new(&received.data)))
        .filter(|(_, message)| !message.is_reply() && !message.first("cseq").is_empty())
        .filter(|(_, message)| wanted.is_empty() || message.method() == wanted)
        .filter(|(received, _)| seen.insert(&received.data))
        .map(|(received, message)| (message, received.origin))
        .collect();
    match number(step) {
        Some(number) => (number < requests.len()).then(|| requests.swap_remove(number)),
        None => requests.pop(),
    }
}

fn to_of_reply(request: &Message, code: u64, actor: &Actor, id: &str, step: &Value) -> String {
    let to = request.first("to");
    if code <= 100 || to.contains("tag=") {
        return to.to_owned();
    }
    let tag = step["tag"].as_str().map_or_else(|| actor.name.to_lowercase(), str::to_owned);
    format!("{to};tag={tag}-{id}")
}

fn follow_up(
    invite: &Message,
    method: &str,
    uri: &str,
    via: &str,
    routes: &[String],
    to: &str,
    step: &Value,
) -> String {
    let mut lines = vec![format!("{method} {uri} SIP/2.0\nVia: {via}")];
    lines.extend(routes.iter().map(|route| format!("Route: {route}")));
    lines.push(format!("Max-Forwards: 70\nFrom: {}\nTo: {to}", invite.first("from")));
    lines.push(format!("Call-ID: {}\nCSeq: {} {method}", invite.first("call-id"), invite.number()));
    lines.extend(texts(step, "headers"));
    lines.push("Content-Length: 0\n\n".to_owned());
    lines.join("\n")
}

fn with_body(mut lines: Vec<String>, step: &Value) -> String {
    lines.push(format!("Content-Length: @LEN@\n\n{}", text(step, "body")));
    lines.join("\n")
}

fn with_other_branch(via: &str) -> String {
    let Some((before, branch)) = via.split_once("branch=") else { return via.to_owned() };
    let end = branch.find(';').unwrap_or(branch.len());
    format!("{before}branch={}k{}", &branch[..end], &branch[end..])
}

fn number(step: &Value) -> Option<usize> {
    step["nth"].as_u64().map(|number| usize::try_from(number).unwrap())
}

fn reason(code: u64) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        401 => "Unauthorized",
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        500 => "Server Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Reason",
    }
}
