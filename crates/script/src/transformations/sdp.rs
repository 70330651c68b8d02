//! `{sdp.*}`: lines and streams of a session description (manual, "SDP Transformations").

use super::given::{Given, number, position, text as text_of};
use super::row::{Kind, Parameter, Transformation};
use crate::value::{Bytes, Value};

const STREAM: &[Parameter] = &[Parameter::required("stream", Kind::NumberOrText)];

pub(super) const ROWS: &[Transformation] = &[
    Transformation::with(
        "sdp.line",
        &[Parameter::required("type", Kind::Text), Parameter::optional("index", Kind::Number)],
        line,
        "The line of this type at an index, 0 for the first, which is also the default.",
    ),
    Transformation::with(
        "sdp.stream",
        STREAM,
        stream,
        "A stream from its `m=` line on: the one at an index, 0 for the first and -1 for the last, or the first \
         one of a media type such as `audio`.",
    ),
    Transformation::with(
        "sdp.stream-delete",
        STREAM,
        without_stream,
        "The body without the stream at an index, 0 for the first and -1 for the last, or without all streams of a \
         media type such as `audio`. NULL if there is no such stream.",
    ),
];

fn line(body: &[u8], given: &[Given]) -> Value {
    let Some([kind, ..]) = text_of(given, 0) else { return Value::Null };
    let index = match given.get(1) {
        None => Some(0),
        Some(_) => number(given, 1).and_then(|index| usize::try_from(index).ok()),
    };
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| line.starts_with(&[*kind, b'=']));
    let found = index.and_then(|index| lines.nth(index));
    found.map_or(Value::Null, |line| Value::str(line.strip_suffix(b"\r").unwrap_or(line)))
}

fn stream(body: &[u8], given: &[Given]) -> Value {
    let streams = streams(body);
    let found = match given {
        [Given::Number(index)] => {
            position(*index, streams.clone().count()).and_then(|at| streams.clone().nth(at))
        }
        [Given::Text(medium)] => streams.clone().find(|stream| is_of(stream, medium)),
        _ => None,
    };
    found.map_or(Value::Null, Value::str)
}

fn without_stream(body: &[u8], given: &[Given]) -> Value {
    let (session, streams) = body.split_at(first_stream(body));
    let streams = Streams { rest: streams };
    let wanted = match given {
        [Given::Number(index)] => position(*index, streams.clone().count()),
        _ => None,
    };
    let goes = |at: usize, stream: &[u8]| match given {
        [Given::Text(medium)] => is_of(stream, medium),
        _ => Some(at) == wanted,
    };
    let mut kept = session.to_vec();
    for (_, stream) in streams.enumerate().filter(|(at, stream)| !goes(*at, stream)) {
        kept.extend_from_slice(stream);
    }
    if kept.len() == body.len() { Value::Null } else { Value::Str(Bytes::from(kept)) }
}

/// Whether a stream is of this medium: `m=audio 4000 RTP/AVP 0`.
fn is_of(stream: &[u8], medium: &[u8]) -> bool {
    let written = stream[2..].split(u8::is_ascii_whitespace).next();
    written.is_some_and(|written| written.eq_ignore_ascii_case(medium))
}

/// The streams, each with its line ends.
#[derive(Clone)]
struct Streams<'a> {
    /// From the next `m=` on; empty when there is none.
    rest: &'a [u8],
}

fn streams(body: &[u8]) -> Streams<'_> {
    Streams { rest: &body[first_stream(body)..] }
}

fn first_stream(body: &[u8]) -> usize {
    if body.starts_with(b"m=") { 0 } else { next_stream(body) }
}

/// Where the next line that begins a stream does, after the first one; the end of the text if none does.
fn next_stream(text: &[u8]) -> usize {
    memchr::memmem::find(text, b"\nm=").map_or(text.len(), |at| at + 1)
}

impl<'a> Iterator for Streams<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (stream, rest) = self.rest.split_at(next_stream(self.rest));
        self.rest = rest;
        Some(stream)
    }
}
