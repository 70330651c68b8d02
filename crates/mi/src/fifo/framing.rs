//! Cutting the byte stream of the FIFO into requests: `:reply_name:` and one JSON value, usually on a line of its own.
//!
//! Writers share the stream, so a request is recognised by where its JSON value ends, not by the newline: it may span
//! lines, and the last one need not end in a newline. A half request is given up when a line begins with the next one's
//! colon, or when the caller says that it waited long enough.

use tocsin_json::{ErrorKind, Value, parse_prefix};

use crate::jsonrpc;

/// How many bytes a request may have, its reply name included.
pub const MAX_REQUEST_BYTES: usize = 128 * 1024;

/// How many bytes the name of a reply FIFO may have.
pub const MAX_REPLY_NAME_BYTES: usize = 255;

/// What was found in the stream.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// A request and the name of the FIFO that its reply goes to, if it wants one.
    Request {
        /// Within the folder for replies.
        reply: Option<String>,
        /// The JSON value, which need not be a JSON-RPC request.
        json: Value,
    },
    /// Bytes that were skipped, and why.
    Skipped(&'static str),
}

/// The stream, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Framer {
    bytes: Vec<u8>,
    /// The rest of the line belongs to something that was given up.
    skipping_line: bool,
}

impl Framer {
    /// Takes in what was read. Where that begins as a request does, what came before ends, though no line end says so: the
    /// half request of one writer does not swallow the next writer's.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if (self.skipping_line || self.has_part()) && begins_request(bytes) {
            self.bytes.push(b'\n');
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether part of a request is there.
    pub(super) fn has_part(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Gives up the part of a request that is there.
    pub(super) fn give_up(&mut self) {
        self.bytes.clear();
        self.skipping_line = false;
    }

    /// The next request, if all of it is there.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        if self.skipping_line {
            self.skip_line();
        }
        let blank = self.bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.bytes.drain(..blank);
        match self.bytes.first()? {
            b':' => self.request(),
            _ => Some(self.skip("request must begin with ':'")),
        }
    }

    fn request(&mut self) -> Option<Frame> {
        let after_colon = &self.bytes[1..];
        let Some(length) =
            after_colon.iter().take(MAX_REPLY_NAME_BYTES + 1).position(|byte| b":\n".contains(byte))
        else {
            return (after_colon.len() > MAX_REPLY_NAME_BYTES)
                .then(|| self.skip("name of the reply FIFO is too long"));
        };
        if after_colon[length] == b'\n' {
            return Some(self.skip("no ':' after the name of the reply FIFO"));
        }
        let Ok(reply) = reply_name(&after_colon[..length]) else {
            return Some(self.skip("name of the reply FIFO must be a plain file name"));
        };
        let start = length + 2;
        let text = &self.bytes[start..];
        if text.iter().take_while(|byte| byte.is_ascii_whitespace()).any(|&byte| byte == b'\n') {
            return Some(self.skip("no command"));
        }
        match parse_prefix(text, jsonrpc::limits()) {
            Ok((json, used)) => {
                self.bytes.drain(..start + used);
                // Whatever follows on the line, unless it is another request, went with this one.
                let next = self.bytes.iter().find(|byte| !b" \t\r".contains(byte));
                self.skipping_line = next.is_some_and(|&byte| byte != b':');
                Some(Frame::Request { reply, json })
            }
            Err(error) if error.kind == ErrorKind::End => self.incomplete(start),
            Err(_) => Some(self.skip("command is not JSON")),
        }
    }

    /// The JSON value that begins at `start` does not end yet.
    fn incomplete(&mut self, start: usize) -> Option<Frame> {
        if let Some(line) = self.bytes[start..].windows(2).position(|two| two == b"\n:") {
            self.bytes.drain(..start + line + 1);
            return Some(Frame::Skipped("command is incomplete"));
        }
        (self.bytes.len() > MAX_REQUEST_BYTES).then(|| self.skip("request is too long"))
    }

    fn skip(&mut self, why: &'static str) -> Frame {
        self.skipping_line = true;
        self.skip_line();
        Frame::Skipped(why)
    }

    fn skip_line(&mut self) {
        let end = self.bytes.iter().position(|&byte| byte == b'\n');
        self.skipping_line = end.is_none();
        self.bytes.drain(..end.map_or(self.bytes.len(), |end| end + 1));
    }
}

/// Whether the bytes begin with `:name:{`. JSON goes on like that within a string only, and who writes a request in pieces
/// hardly ever cuts it just there.
fn begins_request(bytes: &[u8]) -> bool {
    let Some((b':', rest)) = bytes.split_first() else { return false };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let length = rest.iter().take(MAX_REPLY_NAME_BYTES).take_while(|byte| is_plain(byte)).count();
    rest[length..].starts_with(b":{")
}

/// A plain file name; none when it is empty.
fn reply_name(name: &[u8]) -> Result<Option<String>, ()> {
    let name = std::str::from_utf8(name).map_err(drop)?;
    if name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(());
    }
    Ok(if name.is_empty() { None } else { Some(name.to_owned()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(chunks: &[&[u8]]) -> Vec<Result<(String, String), &'static str>> {
        let mut framer = Framer::default();
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            while let Some(frame) = framer.next_frame() {
                frames.push(match frame {
                    Frame::Request { reply, json } => {
                        Ok((reply.unwrap_or_default(), String::from_utf8(json.to_compact()).unwrap()))
                    }
                    Frame::Skipped(why) => Err(why),
                });
            }
        }
        frames
    }

    fn request(reply: &str, json: &str) -> Result<(String, String), &'static str> {
        Ok((reply.into(), json.into()))
    }

    #[test]
    fn recorded_forms() {
        assert_eq!(frames(&[b":rep:{\"id\":1}\n"]), [request("rep", "{\"id\":1}")]);
        assert_eq!(frames(&[b":rep:{\"id\":1}"]), [request("rep", "{\"id\":1}")]);
        assert_eq!(frames(&[b":rep:{\"id\":1,\n\"a\":2}\n"]), [request("rep", "{\"id\":1,\"a\":2}")]);
        assert_eq!(frames(&[b":a:{}\n:b:[1]\n"]), [request("a", "{}"), request("b", "[1]")]);
        assert_eq!(frames(&[b"::{}\n"]), [request("", "{}")]);
        assert_eq!(frames(&[b":rep:{}x\n:b:1\n"]), [request("rep", "{}"), request("b", "1")]);
        assert_eq!(frames(&[b":a:{}:b:{}"]), [request("a", "{}"), request("b", "{}")]);
    }

    #[test]
    fn what_is_skipped_does_not_hide_what_follows() {
        for bad in [
            "{\"id\":1}\n",
            ":uptime:repA\n\n",
            ":rep:not json\n",
            ":rep:\n",
            ":rep\n",
            ":../repA:{}\n",
            ":..:{}\n",
            ":rep:{\"id\":1\n",
            ":rep:[1,\n",
            "::\n",
            ":\n",
        ] {
            let found = frames(&[bad.as_bytes(), b":ok:{}\n"]);
            assert_eq!(found.last(), Some(&request("ok", "{}")), "{bad}");
            assert_eq!(found.len(), 2, "{bad}: {found:?}");
        }
    }

    #[test]
    fn limits() {
        let long_name = [b":".as_slice(), &[b'n'; MAX_REPLY_NAME_BYTES + 1], b":{}\n:ok:{}\n"].concat();
        assert_eq!(frames(&[&long_name]), [Err("name of the reply FIFO is too long"), request("ok", "{}")]);
        let long_text = [b":r:\"".as_slice(), &[b'x'; MAX_REQUEST_BYTES]].concat();
        assert_eq!(
            frames(&[&long_text, b"\"\n", b":ok:{}\n"]),
            [Err("request is too long"), request("ok", "{}")]
        );
    }

    #[test]
    fn a_half_request_of_another_writer_swallows_nothing() {
        let long = [b":r:\"".as_slice(), &[b'x'; MAX_REQUEST_BYTES]].concat();
        for half in [":r:{\"a\":\"", ":r:{\"a\"", ":r:[1,", ":r", ":", "noise", ":r:not json"] {
            let found = frames(&[half.as_bytes(), b":ok:{}\n", b":ok:{\"b\":1}"]);
            assert_eq!(found.len(), 3, "{half}: {found:?}");
            assert_eq!(found[1..], [request("ok", "{}"), request("ok", "{\"b\":1}")], "{half}");
        }
        assert_eq!(frames(&[&long, b":ok:{}\n"]), [Err("request is too long"), request("ok", "{}")]);
        assert_eq!(
            frames(&[b":a:{\"x\"", b":1}", b":b:{}"]),
            [request("a", "{\"x\":1}"), request("b", "{}")]
        );
    }

    #[test]
    fn a_half_request_is_given_up_on_demand() {
        let mut framer = Framer::default();
        framer.push(b":rep:{\"a\":");
        assert_eq!((framer.next_frame(), framer.has_part()), (None, true));
        framer.give_up();
        framer.push(b":ok:1\n");
        assert!(matches!(framer.next_frame(), Some(Frame::Request { .. })));
    }

    proptest! {
        #[test]
        fn the_cut_of_the_stream_does_not_matter(
            json in prop::collection::vec("[a-z]{0,8}", 1..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream: String = json.iter().map(|text| format!(":rep:{{\"t\":\n\"{text}\"}}\n")).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|two| &stream.as_bytes()[two[0]..two[1]]).collect();
            let expected: Vec<_> = json.iter().map(|text| request("rep", &format!("{{\"t\":\"{text}\"}}"))).collect();
            prop_assert_eq!(frames(&chunks), expected);
        }

        #[test]
        fn any_bytes_are_consumed(bytes in any::<Vec<u8>>()) {
            let mut framer = Framer::default();
            framer.push(&bytes);
            for _ in 0..=bytes.len() {
                if framer.next_frame().is_none() {
                    return Ok(());
                }
            }
            prop_assert!(false, "more frames than bytes");
        }
    }
}
