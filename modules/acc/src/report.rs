//! A report: one line of the log, or one event for each leg.

use std::borrow::Cow;
use std::fmt::Write as _;

use tocsin_event::{ParamValue, ParamsWriter};
use tocsin_server::notes::Notes;
use tocsin_server::{Server, logging, reply, time};
use tocsin_sip::Message;

use super::account::{self, Backend};
use super::events::{CALLID, CREATED, FROM_TAG, METHOD, SETUPTIME, SIP_CODE, SIP_REASON, TIME, TO_TAG};
use super::state::State;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// A transaction has ended, or goes on with early media.
    Answered,
    /// No branch has answered.
    Missed,
    /// The script wants it now.
    Requested,
}

impl About {
    fn words(self) -> &'static str {
        match self {
            Self::Answered => "transaction answered",
            Self::Missed => "call missed",
            Self::Requested => "request accounted",
        }
    }
}

/// What is reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report<'a> {
    pub(crate) about: About,
    pub(crate) request: &'a Message,
    /// The response that ends it, if one was received or made.
    pub(crate) response: Option<&'a Message>,
    pub(crate) code: Option<u16>,
    pub(crate) reason: &'a [u8],
    /// From and To change places.
    pub(crate) upstream: bool,
}

/// What every report says, in its order.
struct Common<'a> {
    method: &'a [u8],
    from_tag: &'a [u8],
    to_tag: &'a [u8],
    call_id: &'a [u8],
    code: String,
    reason: &'a [u8],
}

impl<'a> Common<'a> {
    fn of(report: &Report<'a>) -> Self {
        let tag_of_from = report.request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let to = report.response.and_then(|response| response.to().ok()).or(report.request.to().ok());
        let tag_of_to = to.and_then(|to| to.tag()).unwrap_or_default();
        let (from_tag, to_tag) =
            if report.upstream { (tag_of_to, tag_of_from) } else { (tag_of_from, tag_of_to) };
        Self {
            method: report.request.method_text(),
            from_tag,
            to_tag,
            call_id: report.request.call_id().unwrap_or_default(),
            code: report.code.map(|code| format!("{code:03}")).unwrap_or_default(),
            reason: report.reason,
        }
    }
}

/// Sends a report to a backend. The values of the fields are in `notes`.
pub(crate) fn send(server: &Server, state: &State, backend: Backend, notes: &Notes, report: &Report<'_>) {
    match backend {
        Backend::Log => write_line(state, notes, report),
        Backend::Events => raise(server, state, notes, report),
    }
}

/// Status and reason of a comment such as `480 Nobody Home`; the usual reason for a status that stands alone.
pub(crate) fn split_comment(comment: &[u8]) -> (Option<u16>, Cow<'_, [u8]>) {
    match comment.split_at_checked(3) {
        Some((digits, rest)) if digits.iter().all(u8::is_ascii_digit) => {
            let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
            let reason = rest.trim_ascii();
            let usual = || Cow::Borrowed(reply::default_reason(code).as_bytes());
            (Some(code), if reason.is_empty() { usual() } else { Cow::Borrowed(reason) })
        }
        _ => (None, Cow::Borrowed(comment)),
    }
}

fn write_line(state: &State, notes: &Notes, report: &Report<'_>) {
    let settings = &state.settings;
    if logging::wanted(settings.level) {
        let text = line(state, notes, report, time::unix_seconds());
        // What came from the network forges no line.
        let text = logging::escaped(&text);
        match settings.facility {
            Some(facility) => logging::line_of(facility, settings.level, &text),
            None => logging::line(settings.level, &text),
        }
    }
}

fn line(state: &State, notes: &Notes, report: &Report<'_>, now: u64) -> String {
    let common = Common::of(report);
    let mut line = format!("ACC: {}: timestamp={now}", report.about.words());
    if report.about != About::Requested {
        let created = account::created(notes);
        // Writing to a String cannot fail.
        let _ = write!(line, ";created={created};setuptime={}", now.saturating_sub(created));
    }
    put(&mut line, "method", common.method);
    put(&mut line, "from_tag", common.from_tag);
    put(&mut line, "to_tag", common.to_tag);
    put(&mut line, "call_id", common.call_id);
    put(&mut line, "code", common.code.as_bytes());
    put(&mut line, "reason", common.reason);
    if account::wanted(notes).is_some() {
        for (field, name) in state.settings.extra.of(Backend::Log) {
            put(&mut line, name, &account::extra(notes, *field).unwrap_or_default());
        }
        let of_legs = state.settings.legs.of(Backend::Log);
        let legs = if of_legs.is_empty() { 0 } else { account::legs(notes) };
        for leg in 0..legs {
            for (field, name) in of_legs {
                put(&mut line, name, &account::leg(notes, leg, *field).unwrap_or_default());
            }
        }
    }
    line
}

fn put(line: &mut String, name: &str, value: &[u8]) {
    // Writing to a String cannot fail.
    let _ = write!(line, ";{name}={}", String::from_utf8_lossy(value));
}

/// One event; with legs, one for each of them.
fn raise(server: &Server, state: &State, notes: &Notes, report: &Report<'_>) {
    let Some([event, missed_event]) = state.events(server) else { return };
    let id = if report.about == About::Missed { missed_event } else { event };
    if !server.events.is_wanted(id) {
        return;
    }
    let has_legs = account::wanted(notes).is_some() && !state.settings.legs.of(Backend::Events).is_empty();
    let legs = if has_legs { account::legs(notes) } else { 1 };
    for leg in 0..legs {
        server
            .events
            .raise(id, |params| write_event(params, state, notes, report, leg, time::unix_seconds()));
    }
}

fn write_event(
    params: &mut ParamsWriter<'_>,
    state: &State,
    notes: &Notes,
    report: &Report<'_>,
    leg: usize,
    now: u64,
) {
    let or_null = |text| if text == b"" { ParamValue::Null } else { ParamValue::Str(text) };
    let common = Common::of(report);
    params
        .text(METHOD.name, common.method)
        .push(Some(FROM_TAG.name.as_bytes()), or_null(common.from_tag))
        .push(Some(TO_TAG.name.as_bytes()), or_null(common.to_tag))
        .text(CALLID.name, common.call_id)
        .push(Some(SIP_CODE.name.as_bytes()), or_null(common.code.as_bytes()))
        .push(Some(SIP_REASON.name.as_bytes()), or_null(common.reason))
        .int(TIME.name, now as i64);
    if account::wanted(notes).is_some() {
        for (field, name) in state.settings.extra.of(Backend::Events) {
            let value = account::extra(notes, *field);
            params.push(Some(name.as_bytes()), value.as_deref().map_or(ParamValue::Null, ParamValue::Str));
        }
        for (field, name) in state.settings.legs.of(Backend::Events) {
            let value = account::leg(notes, leg, *field);
            params.push(Some(name.as_bytes()), value.as_deref().map_or(ParamValue::Null, ParamValue::Str));
        }
    }
    if report.about == About::Missed {
        let created = account::created(notes);
        let setup = if created == 0 { 0 } else { now.saturating_sub(created) };
        params.int(SETUPTIME.name, setup as i64).int(CREATED.name, created as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_a_status_and_a_reason() {
        let split = |text: &'static str| {
            let (code, reason) = split_comment(text.as_bytes());
            (code, String::from_utf8(reason.into_owned()).unwrap())
        };
        assert_eq!(split("200 fine"), (Some(200), "fine".to_owned()));
        assert_eq!(split("404"), (Some(404), "Not Found".to_owned()));
        assert_eq!(split("487 late;odd"), (Some(487), "late;odd".to_owned()));
        assert_eq!(split("hello"), (None, "hello".to_owned()));
        assert_eq!(split("no"), (None, "no".to_owned()));
    }
}
