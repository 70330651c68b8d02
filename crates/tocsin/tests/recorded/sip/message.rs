//! A SIP message as a case sees it. Its text has one character for each byte.

/// A message that was sent or received: start line, headers, body.
pub(super) struct Message {
    pub(super) start: String,
    headers: Vec<(String, String)>,
}

impl Message {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let text = text_of(bytes);
        let head = text.split_once("\r\n\r\n").map_or(text.as_str(), |(head, _)| head);
        let mut lines = unfolded(head.split("\r\n")).into_iter();
        let start = lines.next().unwrap_or_default();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        });
        Self { headers: headers.collect(), start }
    }

    /// The values of a header, by its long name in small letters.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter(|(found, _)| long_name(found) == name);
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// The first of them, or an empty text.
    pub(super) fn first(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(super) fn is_reply(&self) -> bool {
        self.start.starts_with("SIP/2.0")
    }

    /// The status code of a reply; 0 for a request.
    pub(super) fn code(&self) -> u64 {
        let code = self.start.split_whitespace().nth(1).filter(|_| self.is_reply());
        code.and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The method of a request, or of the request that a reply answers.
    pub(super) fn method(&self) -> &str {
        if self.is_reply() {
            self.first("cseq").split_whitespace().nth(1).unwrap_or_default()
        } else {
            self.start.split(' ').next().unwrap_or_default()
        }
    }

    /// The URI of a request.
    pub(super) fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The number in CSeq.
    pub(super) fn number(&self) -> &str {
        self.first("cseq").split_whitespace().next().unwrap_or_default()
    }
}

/// Joins lines that begin with white space to the line before.
pub(super) fn unfolded<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut unfolded: Vec<String> = Vec::new();
    for line in lines {
        match unfolded.last_mut() {
            Some(before) if line.is_empty() || line.starts_with([' ', '\t']) => {
                before.push(' ');
                before.push_str(line.trim());
            }
            _ => unfolded.push(line.to_owned()),
        }
    }
    unfolded
}

/// The long name of a header, in small letters.
pub(super) fn long_name(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let long = match name.as_str() {
        "v" => "via",
        "f" => "from",
        "t" => "to",
        "i" => "call-id",
        "m" => "contact",
        "l" => "content-length",
        "c" => "content-type",
        "s" => "subject",
        "k" => "supported",
        "o" => "event",
        "r" => "refer-to",
        _ => return name,
    };
    long.to_owned()
}

/// Header values, split at commas outside of quotes and angle brackets.
pub(super) fn split_commas<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut items = Vec::new();
    for value in values {
        let (mut depth, mut quoted) = (0, false);
        let mut item = String::new();
        for letter in value.chars() {
            match letter {
                '"' => quoted = !quoted,
                '<' if !quoted => depth += 1,
                '>' if !quoted => depth -= 1,
                _ => {}
            }
            if letter == ',' && !quoted && depth == 0 {
                items.push(item.trim().to_owned());
                item.clear();
            } else {
                item.push(letter);
            }
        }
        if !item.trim().is_empty() {
            items.push(item.trim().to_owned());
        }
    }
    items
}

/// The URI of a name-addr or addr-spec.
pub(super) fn uri_of(value: &str) -> &str {
    let within = value.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    within.map_or_else(|| value.split(';').next().unwrap_or_default().trim(), |(uri, _)| uri)
}

/// One character for each byte.
pub(super) fn text_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The reverse.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(letter).expect("cases have characters of one byte")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_names_and_folded_lines_are_read() {
        let message = Message::new(b"SIP/2.0 180 Ringing\r\nv: a\r\nVia: b\r\n c\r\nCSeq: 7 INVITE\r\n\r\n");
        assert_eq!(message.all("via"), ["a", "b c"]);
        assert_eq!((message.code(), message.method(), message.number()), (180, "INVITE", "7"));
    }

    #[test]
    fn commas_within_quotes_and_brackets_do_not_split() {
        let values = split_commas(["\"a, b\" <sip:c,d@e>, <sip:f>", "<sip:g>"]);
        assert_eq!(values, ["\"a, b\" <sip:c,d@e>", "<sip:f>", "<sip:g>"]);
        assert_eq!(uri_of(&values[0]), "sip:c,d@e");
    }
}
