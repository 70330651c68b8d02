//! Changes in the words of the field.

use super::{Edit, Edits, Place};
use crate::print::{decimal, header_line};
use crate::{HeaderName, Message, Values, Written};
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::ops::Range;

/// What a Max-Forwards that has to be put in says (RFC 3261 section 16.6 step 3).
const MAX_FORWARDS: u16 = 70;

/// Each change names the message it is for; header fields and values are counted from 0, and one that is not
/// there is left alone: the answer tells whether it was.
impl Edits {
    /// Writes another Request-URI. False for a reply.
    pub fn replace_request_uri(&mut self, message: &Message, uri: &[u8]) -> bool {
        if !message.is_request() {
            return false;
        }
        let place = message.second_place();
        self.replace(place.start as usize, (place.end - place.start) as usize, |out| {
            out.extend_from_slice(uri);
        });
        true
    }

    /// Writes another status code and reason phrase. False for a request.
    pub fn replace_status(&mut self, message: &Message, status: u16, reason: &[u8]) -> bool {
        if message.is_request() {
            return false;
        }
        let (start, end) = (message.first_place().end as usize + 1, message.second_place().end as usize);
        self.replace(start, end.saturating_sub(start), |out| {
            decimal(status.into(), out);
            out.push(b' ');
            out.extend_from_slice(reason);
        });
        true
    }

    /// The status that [`Self::replace_status`] gave to a reply.
    #[must_use]
    pub fn replaced_status(&self, message: &Message) -> Option<u16> {
        if self.is_empty() || message.is_request() {
            return None;
        }
        let (start, end) = (message.first_place().end + 1, message.second_place().end);
        let digits = self.replacement(start, end.saturating_sub(start))?.get(..3)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Puts a header field before the first of the same name, or before all others if there is none: the way
    /// Via and Record-Route are pushed.
    pub fn prepend_header(&mut self, message: &Message, name: &[u8], value: &[u8]) {
        let first = message.headers_by_text(name).next().and_then(|header| message.line_place(header.index));
        let at = first.map_or(message.headers_start(), |line| line.start as usize);
        self.push(at, 0, Place::Prepend, |out| header_line(name, value, out));
    }

    /// Puts a header field before the first of the same name, as [`Self::prepend_header`] does, in place of
    /// the one that this put there before. Nothing happens for [`HeaderName::Other`].
    pub fn set_leading(&mut self, message: &Message, name: HeaderName, value: &[u8]) {
        if name == HeaderName::Other {
            return;
        }
        let write = |out: &mut Vec<u8>| header_line(name.text().as_bytes(), value, out);
        let leads = |edit: &&mut Edit| edit.set == name && edit.place == Place::Prepend;
        if let Some(edit) = self.list.iter_mut().find(leads) {
            edit.text_start = super::narrow(self.text.len());
            write(&mut self.text);
            edit.text_end = super::narrow(self.text.len());
            return;
        }
        let first = message.headers(name).next().and_then(|header| message.line_place(header.index));
        let at = first.map_or(message.headers_start(), |line| line.start as usize);
        self.push_set(at, 0, Place::Prepend, name, write);
    }

    /// Puts a Route before the others, or behind the last Via if there is none.
    pub fn push_route(&mut self, message: &Message, value: &[u8]) {
        let name = HeaderName::Route.text().as_bytes();
        match (message.headers(HeaderName::Route).next(), message.headers(HeaderName::Via).last()) {
            (None, Some(via)) => {
                let end =
                    message.line_place(via.index).map_or(message.headers_start(), |line| line.end as usize);
                self.push(end, 0, Place::Append, |out| header_line(name, value, out));
            }
            _ => self.prepend_header(message, name, value),
        }
    }

    /// Puts a header field before the first of the same name, or behind all others if there is none.
    pub fn push_or_append(&mut self, message: &Message, name: HeaderName, value: &[u8]) {
        if message.headers(name).next().is_some() {
            self.prepend_header(message, name.text().as_bytes(), value);
        } else {
            self.append_header(message, name.text().as_bytes(), value);
        }
    }

    /// The value that [`Self::set_leading`] gave to this header field.
    #[must_use]
    pub fn leading(&self, name: HeaderName) -> Option<&[u8]> {
        let leads =
            |edit: &&Edit| edit.set == name && edit.place == Place::Prepend && name != HeaderName::Other;
        let edit = self.list.iter().find(leads)?;
        let line = self.text.get(edit.text_start as usize..edit.text_end as usize)?;
        line.get(name.text().len() + 2..)?.strip_suffix(b"\r\n")
    }

    /// Puts a header field behind all others.
    pub fn append_header(&mut self, message: &Message, name: &[u8], value: &[u8]) {
        self.append_with(message, HeaderName::Other, |out| header_line(name, value, out));
    }

    /// Puts whole lines behind all header fields; a missing end of the last line is added.
    pub fn append_lines(&mut self, message: &Message, lines: &[u8]) {
        self.append_with(message, HeaderName::Other, |out| whole_lines(lines, out));
    }

    /// Puts whole lines before a header field; a missing end of the last line is added.
    pub fn insert_before(&mut self, message: &Message, header: usize, lines: &[u8]) -> bool {
        let Some(line) = message.line_place(header) else { return false };
        self.push(line.start as usize, 0, Place::Prepend, |out| whole_lines(lines, out));
        true
    }

    /// Puts whole lines behind a header field; a missing end of the last line is added.
    pub fn insert_after(&mut self, message: &Message, header: usize, lines: &[u8]) -> bool {
        let Some(line) = message.line_place(header) else { return false };
        self.push(line.end as usize, 0, Place::Append, |out| whole_lines(lines, out));
        true
    }

    /// The value that was written for a whole header field, without white space around it; `None` if it stays as it is.
    #[must_use]
    pub fn replaced_value(&self, message: &Message, header: usize) -> Option<&[u8]> {
        let place = message.value_place(header)?;
        self.replacement(place.start, place.end - place.start).map(<[u8]>::trim_ascii)
    }

    /// Leaves out a header field, continuations included. False if there is none, or it was left out before.
    pub fn remove_header(&mut self, message: &Message, header: usize) -> bool {
        let Some(line) = message.line_place(header) else { return false };
        if self.replacement(line.start, line.end - line.start).is_some_and(<[u8]>::is_empty) {
            return false;
        }
        self.replace(line.start as usize, (line.end - line.start) as usize, |_| ());
        true
    }

    /// Leaves out every header field of this name, one that [`set_header`](Edits::set_header) put in too: how
    /// many the message had.
    pub fn remove_headers(&mut self, message: &Message, name: HeaderName) -> usize {
        self.forget(name);
        message.headers(name).map(|header| self.remove_header(message, header.index)).count()
    }

    /// Writes another value for a whole header field.
    pub fn replace_header(&mut self, message: &Message, header: usize, value: &[u8]) -> bool {
        let Some(place) = message.value_place(header) else { return false };
        let (start, length) = (place.start as usize, (place.end - place.start) as usize);
        let spaced = start.checked_sub(1).and_then(|at| message.buffer().get(at)) != Some(&b':');
        self.replace(start, length, |out| {
            if !spaced {
                out.push(b' ');
            }
            out.extend_from_slice(value);
        });
        true
    }

    /// Leaves out one value of a comma-separated header field, with the comma that goes with it; the last one
    /// takes the whole header field along.
    pub fn remove_value(&mut self, message: &Message, header: usize, value: usize) -> bool {
        let Some(values) = places(message, header) else { return false };
        let Some(&(start, end)) = values.get(value) else { return false };
        let stays = |place: &(usize, usize)| !self.removes(place.0, place.1);
        let earlier = values[..value].iter().rev().copied().find(stays);
        let later = values[value + 1..].iter().any(stays);
        match (later, earlier) {
            (true, _) => self.replace(start, values[value + 1].0 - start, |_| ()),
            (false, Some((_, kept))) => self.replace(kept, end - kept, |_| ()),
            (false, None) => return self.remove_header(message, header),
        }
        true
    }

    /// Writes another text for one value of a comma-separated header field.
    pub fn replace_value(&mut self, message: &Message, header: usize, value: usize, text: &[u8]) -> bool {
        let Some((start, end)) = place(message, header, value) else { return false };
        self.replace(start, end - start, |out| out.extend_from_slice(text));
        true
    }

    /// Puts a text right behind one value of a comma-separated header field: more parameters.
    pub fn append_to_value(&mut self, message: &Message, header: usize, value: usize, text: &[u8]) -> bool {
        let Some((_, end)) = place(message, header, value) else { return false };
        self.push(end, 0, Place::Suffix, |out| out.extend_from_slice(text));
        true
    }

    /// Notes in the topmost Via where the request came from (see
    /// [`ViaRef::write_received`](crate::ViaRef::write_received)). False if there is no readable Via.
    pub fn receive(&mut self, message: &Message, source: SocketAddr, force_rport: bool) -> bool {
        let (Ok(via), Some(header)) = (message.via(), message.headers(HeaderName::Via).next()) else {
            return false;
        };
        let Some((start, end)) = place(message, header.index, 0) else { return false };
        self.replace(start, end - start, |out| {
            via.write_received(source, force_rport, Written::InRequest, out);
        });
        true
    }

    /// Sets Max-Forwards.
    pub fn set_max_forwards(&mut self, message: &Message, hops: u16) {
        let mut text = Vec::with_capacity(5);
        decimal(hops.into(), &mut text);
        self.set_header(message, HeaderName::MaxForwards, &text);
    }

    /// Counts Max-Forwards down by one, or puts in 70 if there is none (RFC 3261 section 16.6 step 3). False
    /// if none are left, or it cannot be read: the request must not go on.
    pub fn decrement_max_forwards(&mut self, message: &Message) -> bool {
        match message.max_forwards() {
            Ok(None) => self.set_max_forwards(message, MAX_FORWARDS),
            Ok(Some(hops)) if hops > 0 => self.set_max_forwards(message, u16::from(hops) - 1),
            _ => return false,
        }
        true
    }

    /// Writes another body; Content-Length follows, and Content-Type if one is given. An empty body without a
    /// type takes the Content-Type away.
    pub fn replace_body(&mut self, message: &Message, content_type: Option<&[u8]>, body: &[u8]) {
        let place = message.body_place();
        // A message that ended with its header fields has no empty line yet.
        let open = message.headers_end() == place.start as usize;
        self.replace(place.start as usize, (place.end - place.start) as usize, |out| {
            if open {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(body);
        });
        match content_type {
            Some(kind) => self.set_header(message, HeaderName::ContentType, kind),
            None if body.is_empty() => {
                self.remove_headers(message, HeaderName::ContentType);
            }
            None => {}
        }
        let mut length = Vec::with_capacity(10);
        decimal(super::narrow(body.len()), &mut length);
        self.set_header(message, HeaderName::ContentLength, &length);
    }

    /// Writes `text` instead of the bytes of `place`, counted as in [`Message::bytes`], or behind what replaces them by
    /// now; Content-Length follows if they are in the body.
    pub fn replace_text(&mut self, message: &Message, place: Range<usize>, text: &[u8]) {
        let start = message.start_offset() + place.start;
        if self.is_replaced(start, place.len()) {
            self.push(start + place.len(), 0, Place::Suffix, |out| out.extend_from_slice(text));
        } else {
            self.replace(start, place.len(), |out| out.extend_from_slice(text));
        }
        self.fit_length(message, start + place.len());
    }

    /// Puts `text` behind what ends at `at`, counted as in [`Message::bytes`]; Content-Length follows if that is in the
    /// body.
    pub fn insert_text(&mut self, message: &Message, at: usize, text: &[u8]) {
        let at = message.start_offset() + at;
        self.push(at, 0, Place::Suffix, |out| out.extend_from_slice(text));
        self.fit_length(message, at);
    }

    /// Makes Content-Length that of the body as it is by now, if the change at `at` was one of the body.
    fn fit_length(&mut self, message: &Message, at: usize) {
        let place = message.body_place();
        let (start, end) = (place.start as usize, place.end as usize);
        if at <= start {
            return;
        }
        let mut body = Vec::with_capacity(end - start);
        self.apply(message.buffer(), start, end, &mut body);
        let mut length = Vec::with_capacity(10);
        decimal(super::narrow(body.len()), &mut length);
        let is_right = message.header(HeaderName::ContentLength).is_some_and(|written| written == length);
        if !is_right || body.len() != end - start {
            self.set_header(message, HeaderName::ContentLength, &length);
        }
    }

    /// Gives the first header field of this name the value and leaves the others out; appends one if there is
    /// none. Nothing happens for [`HeaderName::Other`].
    pub fn set_header(&mut self, message: &Message, name: HeaderName, value: &[u8]) {
        if name == HeaderName::Other {
            return;
        }
        let mut present = message.headers(name);
        let Some(first) = present.next() else {
            self.forget(name);
            self.append_with(message, name, |out| header_line(name.text().as_bytes(), value, out));
            return;
        };
        self.replace_header(message, first.index, value);
        for other in present {
            self.remove_header(message, other.index);
        }
    }

    fn append_with(&mut self, message: &Message, set: HeaderName, write: impl FnOnce(&mut Vec<u8>)) {
        let end = message.headers_end();
        let broken = message.buffer().get(..end).is_some_and(|lines| lines.last() != Some(&b'\n'));
        self.push_set(end, 0, Place::Append, set, |out| {
            if broken {
                out.extend_from_slice(b"\r\n");
            }
            write(out);
        });
    }
}

/// Where a value lies in the buffer.
fn place(message: &Message, header: usize, value: usize) -> Option<(usize, usize)> {
    let place = message.value_place(header)?;
    let found = Values::new(place.of(message.buffer()), message.limits().values).nth(value)?.ok()?;
    let start = place.start as usize + found.start;
    Some((start, start + found.text.len()))
}

/// Where all values of a header field lie in the buffer.
fn places(message: &Message, header: usize) -> Option<SmallVec<[(usize, usize); 8]>> {
    let place = message.value_place(header)?;
    let values = Values::new(place.of(message.buffer()), message.limits().values);
    let base = place.start as usize;
    Some(
        values
            .map_while(Result::ok)
            .map(|value| (base + value.start, base + value.start + value.text.len()))
            .collect(),
    )
}

fn whole_lines(lines: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(lines);
    if lines.last().is_some_and(|&last| last != b'\n') {
        out.extend_from_slice(b"\r\n");
    }
}
