//! `save()`: a registration is read, applied to the bindings of its AOR, and answered.

use tocsin_script::{Bytes, Value};
use tocsin_server::sockets::{Listener, host_port};
use tocsin_server::time::unix_seconds;
use tocsin_server::{Context, Server};
use tocsin_sip::{HeaderName, UriRef};

use super::answer::{Extras, GruuBase, gruu_parts, write_contacts, write_line, write_refusal};
use super::aor::{Aor, BadAor, aor_of};
use super::apply::{Matching, Registration, Rules, apply};
use super::flags::SaveFlags;
use super::flow::{Flow, keep_connection};
use super::refusal::Refusal;
use super::request::{Surroundings, read};
use super::state::State;
use tocsin_usrloc::{Bindings, Locations, same_uri, until_settled};

/// The registration was refused.
pub(super) const REFUSED: i64 = -2;

/// Saves what the message of `cx` registers, and answers it. `aor` is the URI of an AOR other than that of To. Returns the
/// code for the script.
pub(super) fn save(
    cx: &mut Context,
    domain: usize,
    flags: &SaveFlags,
    aor: Option<&Bytes>,
    tag: Option<Bytes>,
) -> i64 {
    let server = cx.server();
    let state = server.state::<State>();
    let outcome = register(cx, state, domain, flags, aor, tag.unwrap_or_default());
    let answers = !flags.no_reply && cx.message.is_request();
    match outcome {
        Ok(saved) => {
            server.statistics.add(state.accepted, 1);
            if saved.seconds > 0 && cx.flags & state.persistent_flag != 0 {
                keep_connection(cx, saved.seconds);
            }
            let told = match saved.complaint {
                Some(refusal) if answers => refuse(cx, state, refusal, saved.lines),
                None if answers => answer(cx, 200, b"OK", &saved.lines),
                _ => true,
            };
            if told { 1 } else { -1 }
        }
        Err(refusal) => {
            server.statistics.add(state.rejected, 1);
            tracing::info!("registration from {} refused: {refusal}", cx.received.source);
            if answers {
                let known =
                    if refusal.lists_contacts() { contact_lines(cx, state, domain, aor) } else { None };
                refuse(cx, state, refusal, known.unwrap_or_default());
            }
            REFUSED
        }
    }
}

/// Answers with an error and these header lines beside its own.
fn refuse(cx: &mut Context, state: &State, refusal: Refusal, mut lines: Vec<u8>) -> bool {
    let path = cx.message.header(HeaderName::Path).map(tocsin_sip::unfold).unwrap_or_default();
    write_refusal(refusal, &path, &state.settings, &mut lines);
    let (status, reason) = refusal.status();
    answer(cx, status, reason.as_bytes(), &lines)
}

/// Answers with these header lines beside those that the script has asked for.
fn answer(cx: &mut Context, status: u16, reason: &[u8], lines: &[u8]) -> bool {
    let kept = cx.reply_lines.len();
    cx.reply_lines.extend_from_slice(lines);
    let sent = tocsin_signaling::send(cx, status, reason);
    cx.reply_lines.truncate(kept);
    sent
}

/// What came of a registration.
struct Saved {
    /// The header lines of the response.
    lines: Vec<u8>,
    /// How long its longest contact lives, in seconds; 0 when it has none.
    seconds: u32,
    /// It is stored, and yet answered with an error.
    complaint: Option<Refusal>,
}

/// The URI of the address of record that a registration is about: `aor`, or that of To.
fn target<'a>(cx: &'a Context, aor: Option<&'a Bytes>) -> Result<&'a [u8], Refusal> {
    match aor {
        Some(uri) => Ok(uri),
        None => Ok(cx.message.to().map_err(|_| Refusal::Malformed)?.uri_text()),
    }
}

/// The address of record of that URI.
fn key_of(target: &[u8], state: &State, locations: &Locations) -> Result<Aor, Refusal> {
    aor_of(target, locations.settings().use_domain, &state.settings).map_err(|cause| match cause {
        BadAor::TooLong => Refusal::AorTooLong,
        _ => Refusal::Aor,
    })
}

/// The Contact header line of a refusal: the contacts that there are.
fn contact_lines(cx: &Context, state: &State, domain: usize, aor: Option<&Bytes>) -> Option<Vec<u8>> {
    let locations = cx.server().state::<Locations>();
    let key = key_of(target(cx, aor).ok()?, state, locations).ok()?;
    let draft = locations.open(state.domains[domain], &key);
    let mut lines = Vec::new();
    let known = locations.bindings(&draft);
    let contacts = known.contacts().iter();
    write_contacts(contacts, &state.settings, Extras::default(), unix_seconds(), &mut lines);
    Some(lines)
}

/// Changes the bindings.
fn register(
    cx: &Context,
    state: &State,
    domain: usize,
    flags: &SaveFlags,
    aor: Option<&Bytes>,
    tag: Bytes,
) -> Result<Saved, Refusal> {
    let (server, now) = (cx.server(), unix_seconds());
    let locations = server.state::<Locations>();
    let target = target(cx, aor)?;
    let key = key_of(target, state, locations)?;
    let surroundings = surroundings(cx, state, flags, tag)?;
    // In a reply, the contact that was sent on is the one that the answer is about.
    let sent_on =
        if cx.message.is_request() { None } else { first_avp(cx, state.settings.mcontact_avp.as_ref()) };
    let id = |uri: &[u8], call_id: &[u8]| server.keyed_hash(&[&key, uri, call_id]);
    let registration = read(&cx.message, &surroundings, &state.settings, flags, sent_on.as_deref(), now, id)?;
    let rules = rules(state, locations, flags);
    let hash = |call_id: &[u8]| server.keyed_hash(&[call_id]);
    let (host, port) = &server.network.sockets.listener(cx.received.socket).advertised;
    let host = host_port(host, *port);
    let gruu =
        state.settings.gruu.as_ref().filter(|_| cx.message.lists_token(HeaderName::Supported, b"gruu"));
    let gruu = gruu.and_then(|mint| {
        let (user, domain) = gruu_parts(target, locations.settings().use_domain)?;
        let host = domain.unwrap_or(host.as_bytes());
        Some(GruuBase { mint, aor: &key, user, host, hash: &hash })
    });
    let extras = Extras { gruu, outbound: surroundings.flow.outbound };
    let told = |bindings: &Bindings<'_>| {
        let is_asked_for = |uri: &[u8]| {
            !flags.only_request || registration.contacts.iter().any(|wanted| same_uri(wanted.uri, uri))
        };
        let contacts = bindings.contacts().iter().filter(|contact| is_asked_for(contact.uri));
        let mut lines = Vec::new();
        write_contacts(contacts, &state.settings, extras, now, &mut lines);
        write_surroundings(&surroundings, &registration, server, &mut lines);
        let seconds = registration.contacts.iter().map(|wanted| wanted.seconds).max().unwrap_or(0);
        Saved { lines, seconds, complaint: surroundings.refuses_path.then_some(Refusal::PathUnsupported) }
    };
    let settled = until_settled(|| {
        let draft = locations.open(state.domains[domain], &key);
        let mut bindings = locations.bindings(&draft);
        if is_question(&registration) {
            return Ok(Ok(told(&bindings)));
        }
        if let Err(refusal) = apply(&mut bindings, &registration, &rules) {
            return Ok(Err(refusal));
        }
        locations.commit(server, &draft, &bindings)?;
        Ok(Ok(told(&bindings)))
    });
    settled.map_err(Refusal::NotCommitted)?
}

/// What a response says of the way by which a registration came.
fn write_surroundings(
    surroundings: &Surroundings<'_>,
    registration: &Registration<'_>,
    server: &Server,
    lines: &mut Vec<u8>,
) {
    if surroundings.shows_path {
        write_line(b"Path", &surroundings.path, lines);
    }
    if registration.contacts.iter().any(|wanted| wanted.is_flow && wanted.seconds > 0) {
        write_line(b"Require", b"outbound", lines);
        if let Some(timer) = surroundings.flow.timer(server.settings.tcp.lifetime) {
            write_line(b"Flow-Timer", timer.to_string().as_bytes(), lines);
        }
    }
}

/// A registration without contacts asks for those that there are (RFC 3261 section 10.2.3).
fn is_question(registration: &Registration<'_>) -> bool {
    !registration.everything_off && registration.contacts.is_empty()
}

fn rules(state: &State, locations: &Locations, flags: &SaveFlags) -> Rules {
    let by_call_id = locations.settings().match_call_id;
    let usual = if by_call_id { Matching::UriAndCallId } else { Matching::Uri };
    Rules {
        matching: flags.matching.clone().unwrap_or(usual),
        cseq_delay: locations.settings().cseq_delay,
        allow_dup_cseq: state.settings.allow_dup_cseq,
        max_contacts: flags.max_contacts.unwrap_or(state.settings.max_contacts),
        force: flags.force,
    }
}

/// What is known about the registration beside its contacts: from the message, and from the script.
fn surroundings<'a>(
    cx: &'a Context,
    state: &State,
    flags: &SaveFlags,
    tag: Bytes,
) -> Result<Surroundings<'a>, Refusal> {
    let mut all = Surroundings::of(&cx.message, flags)?;
    if all.received.is_empty()
        && let Some(address) = first_avp(cx, state.settings.received_avp.as_ref())
    {
        if UriRef::parse(&address).is_ok() {
            all.received = address.to_vec().into();
        } else {
            tracing::error!("save: received_avp holds `{}`, which is no URI", address.lossy());
        }
    }
    if cx.message.is_request() {
        let protocol = cx.server().network.sockets.listener(cx.received.socket).protocol;
        all.flow = Flow::of(&cx.message, protocol, cx.received.source, flags.path);
    }
    all.attr = first_avp(cx, state.settings.attr_avp.as_ref()).unwrap_or_default();
    all.tag = tag;
    all.cflags = cx.targets.main.flags;
    let elsewhere = flags.socket_header.then(|| socket_of_header(cx, state)).flatten();
    all.socket = Some(elsewhere.map_or(cx.received.socket, |listener| listener.id));
    Ok(all)
}

/// The newest value of an AVP.
fn first_avp(cx: &Context, name: Option<&Bytes>) -> Option<Bytes> {
    cx.avps.values(name?).next().and_then(Value::to_bytes).filter(|text| !text.is_empty())
}

/// The listener that the header field of `sock_hdr_name` names, as `udp:192.0.2.1:5060`.
fn socket_of_header(cx: &Context, state: &State) -> Option<&'static Listener> {
    let name = state.settings.sock_hdr_name.as_ref()?;
    let value = std::str::from_utf8(cx.message.header_by_text(name)?).ok()?;
    let found = listener_named(cx.server(), value.trim());
    if found.is_none() {
        tracing::warn!("save: {} names `{value}`, which is none of the sockets here", name.lossy());
    }
    found
}

fn listener_named(server: &'static Server, text: &str) -> Option<&'static Listener> {
    let (protocol, address) = text.split_once(':')?;
    let protocol = tocsin_net::Protocol::parse(protocol.as_bytes())?;
    let (host, port) = tocsin_net::split_host_port(address).ok()?;
    server.network.sockets.find(Some(protocol), host, port)
}
