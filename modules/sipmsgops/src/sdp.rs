//! Session descriptions (RFC 8866): streams, their codecs, and whether they are on hold.

use std::rc::Rc;

use regex::bytes::Regex;
use tocsin_script::{Call, Function, Outcome, Param, ParamKind, Routes, Value, compile_made_regex};
use tocsin_server::Context;
use tocsin_sip::{ContentTypeRef, HeaderName, Message};

use super::function::{MESSAGES, leaving};

pub(super) fn functions() -> Vec<Function<Context>> {
    let routes = MESSAGES | Routes::LOCAL;
    let mut all = vec![
        Function::new("is_audio_on_hold", &[], MESSAGES, |_| {
            let call: Call<Context> = Rc::new(|cx, _| {
                let hold = description(&cx.message).map_or(0, |text| hold(&Description::new(text)));
                if hold > 0 { Outcome::Done(hold) } else { Outcome::FALSE }
            });
            Ok(call)
        })
        .doc(
            "Checks whether the audio stream of the session description is on hold. 1: by its address \
             0.0.0.0; 2: by its direction; -1: it is not.",
        ),
        by_stream("stream_exists", routes, |description, wanted| {
            (description.media.iter().any(wanted), false)
        })
        .doc(
            "Checks whether the session description has a stream whose media type matches an expression, and its \
             transport another one. 1: it has; -1: it has not.",
        ),
        by_stream("stream_delete", routes, |description, wanted| {
            let before = description.media.len();
            description.media.retain(|stream| !wanted(stream));
            let changed = description.media.len() < before;
            (changed, changed)
        })
        .doc(
            "Removes the streams whose media type matches an expression, and whose transport matches another \
             one. 1: there were some; -1: there was none.",
        ),
    ];
    for (name, by_regex, change, named, matching) in [
        (
            "codec_exists",
            "codec_exists_re",
            Change::None,
            "Checks whether a stream has the codec of this name, whatever its clock rate is. 1: one has; -1: none has.",
            "Checks whether a stream has a codec whose name matches an expression. 1: one has; -1: none has.",
        ),
        (
            "codec_delete",
            "codec_delete_re",
            Change::Delete,
            "Removes the codec of this name and clock rate from all streams. 1: done; -1: no stream has it.",
            "Removes the codecs whose name matches an expression from all streams. 1: done; -1: there was none.",
        ),
        (
            "codec_move_up",
            "codec_move_up_re",
            Change::Up,
            "Moves the codec of this name and clock rate to the front in all streams. 1: done; -1: no stream has it.",
            "Moves the codecs whose name matches an expression to the front. 1: done; -1: there was none.",
        ),
        (
            "codec_move_down",
            "codec_move_down_re",
            Change::Down,
            "Moves the codec of this name and clock rate to the end in all streams. 1: done; -1: no stream has it.",
            "Moves the codecs whose name matches an expression to the end. 1: done; -1: there was none.",
        ),
    ] {
        all.push(by_name(name, routes, change).doc(named));
        let by_regex = by_expression(by_regex, routes, move |description, wanted| {
            let found = description.change_codecs(change, |codec| wanted(codec.name));
            (found, found && change != Change::None)
        });
        all.push(by_regex.doc(matching));
    }
    all.push(
        by_expression("codec_delete_except_re", routes, |description, wanted| {
            let found = description.change_codecs(Change::Delete, |codec| !wanted(codec.name));
            (found, found)
        })
        .doc(
            "Removes all codecs but those whose name matches an expression. 1: some were removed; -1: \
             none was.",
        ),
    );
    all
}

/// What happens to the codecs that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Delete,
    Up,
    Down,
}

fn by_name(name: &'static str, routes: Routes, change: Change) -> Function<Context> {
    const CODEC: &[Param] =
        &[Param::required("name", ParamKind::Str), Param::optional("clock", ParamKind::Str)];
    Function::new(name, CODEC, routes, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let (name, clock) = (arguments[0].to_bytes().unwrap_or_default(), arguments[1].to_bytes());
            let wanted = |codec: &Codec<'_>| {
                // As in OpenSIPS 3.4.18, the question is about the name alone.
                let any_clock = change == Change::None;
                codec.name.eq_ignore_ascii_case(&name)
                    && clock
                        .as_deref()
                        .is_none_or(|clock| any_clock || codec.clock.eq_ignore_ascii_case(clock))
            };
            rewrite(cx, |description| {
                let found = description.change_codecs(change, wanted);
                (found, found && change != Change::None)
            })
            .into()
        });
        Ok(call)
    })
}

/// What is done with the streams that are wanted.
type StreamAct = fn(&mut Description<'_>, &dyn Fn(&Stream<'_>) -> bool) -> (bool, bool);

/// A function whose arguments are expressions: for the media type of streams, and for their transport. `act`
/// returns whether the function is true, and whether the description changed.
fn by_stream(name: &'static str, routes: Routes, act: StreamAct) -> Function<Context> {
    const EXPRESSIONS: &[Param] =
        &[Param::required("regexp", ParamKind::Regex), Param::optional("regexp2", ParamKind::Regex)];
    Function::new(name, EXPRESSIONS, routes, move |site| {
        let fixed = [site.regex(0), site.regex(1)];
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let expression = |at: usize| optional_expression(name, fixed[at].as_ref(), &arguments[at]);
            let Ok(media) = expression(0) else { return Outcome::FALSE };
            let Ok(transport) = expression(1) else { return Outcome::FALSE };
            let wanted = |stream: &Stream<'_>| {
                media.as_ref().is_some_and(|media| media.is_match(stream.kind()))
                    && transport.as_ref().is_none_or(|transport| transport.is_match(stream.transport()))
            };
            rewrite(cx, |description| act(description, &wanted)).into()
        });
        Ok(call)
    })
}

/// The expression that a script gives, `None` where it gives none. An error once it is logged that there is no such
/// expression.
fn optional_expression(name: &str, fixed: Option<&Regex>, argument: &Value) -> Result<Option<Regex>, Logged> {
    match (fixed, argument) {
        (Some(fixed), _) => Ok(Some(fixed.clone())),
        (None, Value::Null) => Ok(None),
        (None, pattern) => {
            let made = compile_made_regex(&pattern.to_bytes().unwrap_or_default());
            made.map(Some).map_err(|_| {
                tracing::error!("{name}: not a regular expression");
                Logged
            })
        }
    }
}

/// What went wrong is in the log.
struct Logged;

/// A function whose argument is an expression. `act` returns whether the function is true, and whether the description
/// changed.
fn by_expression(
    name: &'static str,
    routes: Routes,
    act: impl Fn(&mut Description<'_>, &dyn Fn(&[u8]) -> bool) -> (bool, bool) + Copy + 'static,
) -> Function<Context> {
    const EXPRESSION: &[Param] = &[Param::required("regexp", ParamKind::Regex)];
    Function::new(name, EXPRESSION, routes, move |site| {
        let fixed = site.regex(0);
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let made = match (&fixed, &arguments[0]) {
                (None, Value::Str(pattern)) => compile_made_regex(pattern).ok(),
                _ => None,
            };
            let Some(expression) = fixed.as_ref().or(made.as_ref()) else {
                tracing::error!("{name}: not a regular expression");
                return Outcome::FALSE;
            };
            rewrite(cx, |description| act(description, &|text| expression.is_match(text))).into()
        });
        Ok(call)
    })
}

/// Lets `act` work on the session description, and puts what it changed into the message.
fn rewrite(cx: &mut Context, act: impl FnOnce(&mut Description<'_>) -> (bool, bool)) -> bool {
    let Some(leaving) = leaving(cx) else { return false };
    let Some(text) = description(&leaving) else { return false };
    let mut description = Description::new(text);
    let (answer, changed) = act(&mut description);
    if changed {
        let whole = leaving.body();
        // The description is a piece of the body, perhaps all of it.
        let start = text.as_ptr() as usize - whole.as_ptr() as usize;
        let mut body = whole[..start].to_vec();
        description.print_into(&mut body);
        body.extend_from_slice(&whole[start + text.len()..]);
        cx.edits.replace_body(&cx.message, None, &body);
    }
    answer
}

/// The session description of a message: its body, or a part of that.
pub(super) fn description(message: &Message) -> Option<&[u8]> {
    let is_sdp = |text: &[u8]| {
        ContentTypeRef::parse(text, message.limits()).is_ok_and(|kind| kind.is(b"application", b"sdp"))
    };
    if message.header(HeaderName::ContentType).is_some_and(is_sdp) {
        return Some(message.body()).filter(|body| !body.is_empty());
    }
    let mut parts = message.parts().ok()?.map_while(Result::ok);
    parts.find(|part| part.header(HeaderName::ContentType).is_some_and(is_sdp)).map(|part| part.body())
}

/// Whether a text has the shape of a session description: lines of a letter and a value, beginning with the version.
pub(super) fn is_well_formed(text: &[u8]) -> bool {
    let lines = || text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let is_line = |line: &[u8]| matches!(line, [letter, b'=', ..] if letter.is_ascii_lowercase());
    let last = lines().count() - 1;
    lines().next() == Some(b"v=0")
        && lines().enumerate().all(|(at, line)| is_line(line) || (at == last && line.is_empty()))
        && [&b"o="[..], b"s="].iter().all(|wanted| lines().any(|line| line.starts_with(wanted)))
}

/// 1: held by a connection to nowhere (RFC 2543); 2: held by its direction (RFC 3264 section 8.4); 0: no audio is held.
fn hold(description: &Description<'_>) -> i64 {
    let nowhere = |lines: &[Line<'_>]| {
        let connection = lines.iter().find_map(|line| line.value(b"c="));
        connection.map(|value| value.ends_with(b" 0.0.0.0") || value.ends_with(b" ::"))
    };
    let held = |lines: &[Line<'_>]| {
        let directions = lines.iter().filter_map(|line| line.value(b"a="));
        directions.into_iter().find_map(|value| match value {
            b"inactive" | b"sendonly" => Some(true),
            b"sendrecv" | b"recvonly" => Some(false),
            _ => None,
        })
    };
    for stream in description.media.iter().filter(|stream| stream.kind() == b"audio" && !stream.is_refused())
    {
        if nowhere(&stream.lines).or_else(|| nowhere(&description.session)).unwrap_or(false) {
            return 1;
        }
        if held(&stream.lines).or_else(|| held(&description.session)).unwrap_or(false) {
            return 2;
        }
    }
    0
}

/// A codec of a stream.
struct Codec<'a> {
    name: &'a [u8],
    clock: &'a [u8],
}

/// Codecs that need no `rtpmap` (RFC 3551 section 6).
const STATIC_CODECS: [(&[u8], &[u8], &[u8]); 14] = [
    (b"0", b"PCMU", b"8000"),
    (b"3", b"GSM", b"8000"),
    (b"4", b"G723", b"8000"),
    (b"8", b"PCMA", b"8000"),
    (b"9", b"G722", b"8000"),
    (b"12", b"QCELP", b"8000"),
    (b"13", b"CN", b"8000"),
    (b"15", b"G728", b"8000"),
    (b"18", b"G729", b"8000"),
    (b"26", b"JPEG", b"90000"),
    (b"31", b"H261", b"90000"),
    (b"32", b"MPV", b"90000"),
    (b"33", b"MP2T", b"90000"),
    (b"34", b"H263", b"90000"),
];

/// A line with its end.
#[derive(Clone, Debug)]
struct Line<'a>(std::borrow::Cow<'a, [u8]>);

impl Line<'_> {
    /// What follows `begin`, without the line end.
    fn value(&self, begin: &[u8]) -> Option<&[u8]> {
        self.0.strip_prefix(begin).map(<[u8]>::trim_ascii_end)
    }
}

/// A session description as lines: those of the session, and those of each stream.
#[derive(Debug)]
struct Description<'a> {
    session: Vec<Line<'a>>,
    media: Vec<Stream<'a>>,
}

/// The lines of a stream, `m=` first.
#[derive(Debug)]
struct Stream<'a> {
    lines: Vec<Line<'a>>,
}

impl<'a> Description<'a> {
    fn new(text: &'a [u8]) -> Self {
        let mut description = Self { session: Vec::new(), media: Vec::new() };
        for line in text.split_inclusive(|byte| *byte == b'\n').map(|line| Line(line.into())) {
            if line.0.starts_with(b"m=") {
                description.media.push(Stream { lines: vec![line] });
            } else {
                description
                    .media
                    .last_mut()
                    .map_or(&mut description.session, |stream| &mut stream.lines)
                    .push(line);
            }
        }
        description
    }

    fn print_into(&self, out: &mut Vec<u8>) {
        let media = self.media.iter().flat_map(|stream| &stream.lines);
        self.session.iter().chain(media).for_each(|line| out.extend_from_slice(&line.0));
    }

    /// Whether there was a codec that is wanted.
    fn change_codecs(&mut self, change: Change, wanted: impl Fn(&Codec<'_>) -> bool) -> bool {
        let mut found = false;
        for stream in &mut self.media {
            found |= stream.change_codecs(change, &wanted);
        }
        found
    }
}

impl Stream<'_> {
    /// `audio` of `m=audio 49170 RTP/AVP 0`.
    fn kind(&self) -> &[u8] {
        self.words().next().unwrap_or_default()
    }

    /// `RTP/AVP` of `m=audio 49170 RTP/AVP 0`.
    fn transport(&self) -> &[u8] {
        self.words().nth(2).unwrap_or_default()
    }

    /// Port 0: the stream was refused (RFC 3264 section 6).
    fn is_refused(&self) -> bool {
        self.words().nth(1) == Some(b"0")
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> {
        let line = self.lines.first().and_then(|line| line.value(b"m=")).unwrap_or_default();
        line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
    }

    /// Whether there was a codec that is wanted. A stream that loses its last codec is refused.
    fn change_codecs(&mut self, change: Change, wanted: impl Fn(&Codec<'_>) -> bool) -> bool {
        let formats: Vec<Vec<u8>> = self.words().skip(3).map(<[u8]>::to_vec).collect();
        let is_wanted = |format: &Vec<u8>| self.codec(format).is_some_and(|codec| wanted(&codec));
        let (chosen, others): (Vec<_>, Vec<_>) = formats.iter().cloned().partition(is_wanted);
        if chosen.is_empty() {
            return false;
        }
        match change {
            Change::None => {}
            Change::Up => self.set_formats(&[chosen, others].concat(), false),
            Change::Down => self.set_formats(&[others, chosen].concat(), false),
            Change::Delete if others.is_empty() => self.set_formats(&formats, true),
            Change::Delete => {
                self.set_formats(&others, false);
                self.lines.retain(|line| !chosen.iter().any(|format| describes(line, format)));
            }
        }
        true
    }

    fn codec<'s>(&'s self, format: &[u8]) -> Option<Codec<'s>> {
        let mapped = self.lines.iter().find_map(|line| {
            let rest = line.value(b"a=rtpmap:")?.strip_prefix(format)?.strip_prefix(b" ")?.trim_ascii();
            let mut parts = rest.split(|byte| *byte == b'/');
            Some(Codec { name: parts.next()?, clock: parts.next().unwrap_or_default() })
        });
        let known = || STATIC_CODECS.iter().find(|(number, ..)| *number == format);
        mapped.or_else(|| known().map(|(_, name, clock)| Codec { name, clock }))
    }

    fn set_formats(&mut self, formats: &[Vec<u8>], refused: bool) {
        let mut words = self.words().take(3).map(<[u8]>::to_vec).collect::<Vec<_>>();
        if refused && let Some(port) = words.get_mut(1) {
            *port = b"0".to_vec();
        }
        words.extend_from_slice(formats);
        let Some(first) = self.lines.first_mut() else { return };
        let end = first.0.len() - first.0.trim_ascii_end().len();
        let mut line = b"m=".to_vec();
        line.extend_from_slice(&words.join(&b' '));
        line.extend_from_slice(&first.0[first.0.len() - end..]);
        *first = Line(line.into());
    }
}

/// Whether a line is about this format alone.
fn describes(line: &Line<'_>, format: &[u8]) -> bool {
    [&b"a=rtpmap:"[..], b"a=fmtp:", b"a=rtcp-fb:"].iter().any(|begin| {
        line.value(begin)
            .and_then(|value| value.strip_prefix(format))
            .is_some_and(|rest| rest.starts_with(b" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 8 97 101\r\na=rtpmap:97 speex/8000\r\na=fmtp:97 mode=any\r\na=rtpmap:101 telephone-event/8000\r\n\
        m=video 4002 RTP/AVP 31\r\na=sendrecv\r\n";

    fn changed(change: Change, name: &str) -> (bool, String) {
        let mut description = Description::new(OFFER.as_bytes());
        let found =
            description.change_codecs(change, |codec| codec.name.eq_ignore_ascii_case(name.as_bytes()));
        let mut out = Vec::new();
        description.print_into(&mut out);
        (found, String::from_utf8(out).unwrap())
    }

    #[test]
    fn codecs_are_found_moved_and_deleted() {
        assert_eq!(changed(Change::None, "Speex"), (true, OFFER.to_owned()));
        assert_eq!(changed(Change::Delete, "opus"), (false, OFFER.to_owned()));
        let (found, text) = changed(Change::Up, "speex");
        assert!(found && text == OFFER.replace("0 8 97 101", "97 0 8 101"));
        let (found, text) = changed(Change::Down, "PCMU");
        assert!(found && text == OFFER.replace("0 8 97 101", "8 97 101 0"));
        let (found, text) = changed(Change::Delete, "speex");
        let without = OFFER
            .replace("0 8 97 101", "0 8 101")
            .replace("a=rtpmap:97 speex/8000\r\na=fmtp:97 mode=any\r\n", "");
        assert!(found && text == without, "{text}");
    }

    #[test]
    fn a_stream_without_codecs_is_refused() {
        let (found, text) = changed(Change::Delete, "H261");
        assert!(found && text == OFFER.replace("m=video 4002 RTP/AVP 31", "m=video 0 RTP/AVP 31"), "{text}");
    }

    #[test]
    fn nothing_is_lost_in_reading() {
        for text in
            [OFFER, "", "m=", "m=audio\n", "v=0", "\r\n\r\n", "m=audio 1 RTP/AVP\nm=audio 2 RTP/AVP 0"]
        {
            let mut out = Vec::new();
            let mut description = Description::new(text.as_bytes());
            description.change_codecs(Change::None, |_| true);
            description.print_into(&mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn hold_has_two_forms() {
        let of = |from: &str, to: &str| hold(&Description::new(OFFER.replace(from, to).as_bytes()));
        assert_eq!(of("x", "x"), 0);
        assert_eq!(of("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"), 1);
        assert_eq!(of("a=fmtp", "a=sendonly\r\na=fmtp"), 2);
        assert_eq!(of("t=0 0\r\n", "t=0 0\r\na=inactive\r\n"), 2);
        assert_eq!(of("audio 4000", "audio 0"), 0);
        // The video stream says its own.
        assert_eq!(of("a=sendrecv", "a=sendonly"), 0);
    }

    #[test]
    fn shapes() {
        assert!(is_well_formed(OFFER.as_bytes()) && is_well_formed(OFFER.trim_end().as_bytes()));
        for bad in [
            "",
            "v=1\r\no=x\r\ns=-\r\n",
            "v=0\r\ns=-\r\n",
            "v=0\r\no=x\r\n\r\ns=-\r\n",
            "v=0\r\no=x\r\ns=-\r\nnonsense\r\n",
        ] {
            assert!(!is_well_formed(bad.as_bytes()), "{bad:?}");
        }
    }
}
