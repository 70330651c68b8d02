//! Bytes to tokens (manual, "Script Syntax"). Included files are read here, so that an `include_file` may stand
//! wherever a token may.

mod texts;

use crate::diagnostics::{Errors, Warnings};
use crate::reference::{self, Reference};
use crate::source::{MAX_INCLUDE_DEPTH, SourceMap, Span};
use crate::value::Bytes;
use texts::{is_octal, runs_over_lines};

/// First words of a `#!` line by which another server's preprocessor is known.
const FOREIGN_DIRECTIVES: &[&str] = &[
    "ALL",
    "KAMAILIO",
    "MAXCOMPAT",
    "OPENSER",
    "SER",
    "define",
    "defenv",
    "defenvs",
    "defexp",
    "defexps",
    "else",
    "endif",
    "ifdef",
    "ifexp",
    "ifndef",
    "redefine",
    "subst",
    "substdef",
    "substdefs",
    "trydef",
    "trydefenv",
];

/// One token with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    /// The first token of its line: where a statement of the top level may begin.
    pub(crate) first: bool,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Word(String),
    Int(i64),
    Text(Text),
    Variable(Box<Reference>),
    Punct(&'static str),
    /// Something that is no token; it has been reported.
    Bad,
    End,
}

/// A string of the configuration after its escapes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text {
    pub(crate) bytes: Bytes,
    /// There was no escape, so offsets in `bytes` are offsets in the file.
    pub(crate) plain: bool,
}

/// The longer ones come first.
const PUNCTUATION: &[&str] = &[
    "==", "!=", "=~", "!~", "<=", ">=", "&&", "||", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "|=", "&=",
    "^=", ".=", ":=", "{", "}", "(", ")", "[", "]", ";", ",", "=", "<", ">", "+", "-", "*", "/", "%", "|",
    "&", "^", "~", "!", ":", "?", ".",
];

struct Cursor {
    file: u32,
    at: usize,
}

/// Yields the tokens of a configuration and of what it includes.
pub(crate) struct Lexer<'a> {
    pub(crate) source: &'a mut SourceMap,
    cursors: Vec<Cursor>,
    first: bool,
    pub(crate) warnings: Warnings,
    /// The opening quote of a string that runs over lines: it may lack its closing quote. The first one since the parser
    /// has last read something whole.
    pub(crate) doubtful: Option<Span>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(source: &'a mut SourceMap) -> Self {
        Self {
            source,
            cursors: vec![Cursor { file: 0, at: 0 }],
            first: true,
            warnings: Warnings::default(),
            doubtful: None,
        }
    }

    /// The next token, from within included files too.
    pub(crate) fn next(&mut self, errors: &mut Errors) -> Token {
        loop {
            let token = self.token(errors);
            match &token.kind {
                Kind::End if self.cursors.len() > 1 => {
                    self.cursors.pop();
                    self.first = true;
                }
                Kind::Word(word) if word == "include_file" || word == "import_file" => {
                    self.include(token.span, errors);
                }
                _ => return token,
            }
        }
    }

    /// What follows up to white space or one of `stops`, as it stands: socket addresses and paths have their own
    /// grammar. Quoted parts may hold anything. Nothing is read if the next thing is a line's end.
    pub(crate) fn word_until(&mut self, stops: &[u8]) -> (String, Span) {
        let cursor = self.cursor();
        let (file, mut at) = (cursor.file, cursor.at);
        let text = self.source.files()[file as usize].text();
        while at < text.len() && matches!(text[at], b' ' | b'\t') {
            at += 1;
        }
        let start = at;
        let mut word = Vec::new();
        while at < text.len() && !text[at].is_ascii_whitespace() && !stops.contains(&text[at]) {
            if text[at] == b'"' {
                let close =
                    memchr::memchr2(b'"', b'\n', &text[at + 1..]).map_or(text.len(), |len| at + 1 + len);
                word.extend_from_slice(&text[at + 1..close]);
                at = (close + 1).min(text.len());
            } else {
                word.push(text[at]);
                at += 1;
            }
        }
        if let Some(cursor) = self.cursors.last_mut() {
            cursor.at = at;
        }
        (String::from_utf8_lossy(&word).into_owned(), Span { file, start: start as u32, end: at as u32 })
    }

    /// What is left of the line as it stands, quotes and all. A comment ends it; between braces it goes on over lines, and
    /// comments are left out.
    pub(crate) fn rest_of_line(&mut self) -> (String, Span) {
        let cursor = self.cursor();
        let (file, start) = (cursor.file, cursor.at);
        let text = self.source.files()[file as usize].text();
        let (mut at, mut open, mut quoted) = (start, 0usize, false);
        let mut line = Vec::new();
        while let Some(byte) = text.get(at).copied() {
            match byte {
                b'\n' if open == 0 => break,
                b'#' if !quoted => {
                    at += memchr::memchr(b'\n', &text[at..]).unwrap_or(text.len() - at);
                    continue;
                }
                b'"' => quoted = !quoted,
                b'{' if !quoted => open += 1,
                b'}' if !quoted => open = open.saturating_sub(1),
                _ => {}
            }
            line.push(byte);
            at += 1;
        }
        if let Some(cursor) = self.cursors.last_mut() {
            cursor.at = at;
        }
        let line = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        (line, Span { file, start: start as u32, end: at as u32 })
    }

    /// Goes back to where a token began, so that it can be read again by [`Lexer::word_until`].
    pub(crate) fn rewind(&mut self, span: Span) {
        if let Some(cursor) = self.cursors.last_mut().filter(|cursor| cursor.file == span.file) {
            cursor.at = span.start as usize;
        }
    }

    /// Goes on at the end of the line in which `span` lies.
    pub(crate) fn go_on_behind_line(&mut self, span: Span) {
        let text = self.source.file(span).text();
        let start = (span.start as usize).min(text.len());
        let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |len| start + len);
        while self.cursors.len() > 1 && self.cursor().file != span.file {
            self.cursors.pop();
        }
        if let Some(cursor) = self.cursors.last_mut().filter(|cursor| cursor.file == span.file) {
            cursor.at = end;
        }
    }

    /// Whether a closing brace follows `span` in its line.
    pub(crate) fn line_closes_brace(&self, span: Span) -> bool {
        let text = self.source.file(span).text();
        let rest = &text[(span.end as usize).min(text.len())..];
        memchr::memchr2(b'}', b'\n', rest).is_some_and(|at| rest[at] == b'}')
    }

    /// The next byte behind the last token that is no blank.
    pub(crate) fn following(&self) -> Option<u8> {
        let cursor = self.cursor();
        let text = self.source.files()[cursor.file as usize].text();
        text.get(cursor.at..)?.iter().copied().find(|byte| !byte.is_ascii_whitespace())
    }

    /// The column at which the line of `span` has its first character that is no blank, and whether that is `span`.
    pub(crate) fn indentation(&self, span: Span) -> (usize, bool) {
        let text = self.source.file(span).text();
        let at = (span.start as usize).min(text.len());
        let line = memchr::memrchr(b'\n', &text[..at]).map_or(0, |feed| feed + 1);
        let blanks = text[line..at].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        (blanks, line + blanks == at)
    }

    /// The byte right after the last token, without skipping anything.
    pub(crate) fn adjacent(&self) -> Option<u8> {
        let cursor = self.cursor();
        self.source.files()[cursor.file as usize].text().get(cursor.at).copied()
    }

    fn cursor(&self) -> Cursor {
        self.cursors.last().map_or(Cursor { file: 0, at: usize::MAX }, |c| Cursor { file: c.file, at: c.at })
    }

    fn include(&mut self, keyword: Span, errors: &mut Errors) {
        let path = self.token(errors);
        let Kind::Text(text) = &path.kind else {
            errors.add(path.span, "syntax error: a file name in quotes expected after include_file");
            return;
        };
        if self.cursors.len() > MAX_INCLUDE_DEPTH {
            errors.add(keyword, format!("files included more than {MAX_INCLUDE_DEPTH} deep"));
            return;
        }
        let name = text.bytes.lossy().into_owned();
        match self.source.include(&name, keyword) {
            Ok(file) => {
                self.cursors.push(Cursor { file, at: 0 });
                self.first = true;
            }
            Err(error) => errors.add(path.span, format!("cannot include {name}: {error}")),
        }
    }

    fn token(&mut self, errors: &mut Errors) -> Token {
        let Some(cursor) = self.cursors.last_mut() else {
            return Token { kind: Kind::End, span: Span::default(), first: true };
        };
        let text = self.source.files()[cursor.file as usize].text();
        let warnings = &mut self.warnings;
        let mut scan = Scan { file: cursor.file, text, at: cursor.at, first: self.first, errors, warnings };
        scan.skip_blank();
        let first = scan.first;
        let start = scan.at;
        let kind = scan.kind();
        let span = scan.span(start);
        cursor.at = scan.at;
        self.first = false;
        if self.doubtful.is_none()
            && matches!(kind, Kind::Text(_))
            && runs_over_lines(&text[start..cursor.at])
        {
            self.doubtful = Some(Span { end: span.start + 1, ..span });
        }
        Token { kind, span, first }
    }
}

/// A scan over the text of one file.
struct Scan<'a, 'e> {
    file: u32,
    text: &'a [u8],
    at: usize,
    first: bool,
    errors: &'e mut Errors,
    warnings: &'e mut Warnings,
}

impl Scan<'_, '_> {
    fn span(&self, start: usize) -> Span {
        Span { file: self.file, start: start as u32, end: self.at as u32 }
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at.min(self.text.len())..]
    }

    /// White space, `# ...`, `// ...` and `/* ... */`.
    fn skip_blank(&mut self) {
        loop {
            match self.rest() {
                [b'\n', ..] => {
                    self.first = true;
                    self.at += 1;
                }
                [b' ' | b'\t' | b'\r' | 0x0b | 0x0c, ..] => self.at += 1,
                // a no-break space, as pages have them that people copy from
                [0xc2, 0xa0, ..] => self.at += 2,
                [b'#', ..] => {
                    self.check_directive();
                    self.skip_line();
                }
                [b'/', b'/', ..] => self.skip_line(),
                [b'/', b'*', ..] => self.skip_comment(),
                // a UTF-8 byte order mark
                [0xef, 0xbb, 0xbf, ..] if self.at == 0 => self.at += 3,
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        self.at += memchr::memchr(b'\n', self.rest()).unwrap_or(self.rest().len());
    }

    fn skip_comment(&mut self) {
        let start = self.at;
        match memchr::memmem::find(&self.rest()[2..], b"*/") {
            Some(len) => self.at += len + 4,
            None => {
                self.at = self.text.len();
                self.errors.add(Span { end: start as u32 + 2, ..self.span(start) }, "comment without end");
            }
        }
    }

    fn check_directive(&mut self) {
        let Some(line) = self.rest().strip_prefix(b"#!").filter(|_| self.first) else { return };
        let word: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_alphanumeric).collect();
        if let Some(word) = FOREIGN_DIRECTIVES.iter().find(|known| known.as_bytes() == word) {
            let span =
                Span { file: self.file, start: self.at as u32, end: (self.at + 2 + word.len()) as u32 };
            let help = "preprocess the file with `-p COMMAND` instead".to_owned();
            let message = format!("`#!{word}` is a directive of another server, and a comment here");
            self.warnings.add_with_help(span, message, Some(help));
        }
    }

    fn kind(&mut self) -> Kind {
        let Some(&byte) = self.rest().first() else { return Kind::End };
        match byte {
            b'"' => self.escaped_text(),
            b'\'' => self.raw_text(),
            b'$' => self.variable(),
            b'0'..=b'9' => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            _ => self.punctuation(),
        }
    }

    /// A word; a minus sign inside is part of it: route and flag names have them.
    fn word(&mut self) -> Kind {
        let start = self.at;
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        loop {
            match self.rest() {
                [byte, ..] if inner(byte) => self.at += 1,
                [b'-', next, ..] if inner(next) => self.at += 1,
                _ => break,
            }
        }
        Kind::Word(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    /// Digits, `0x` digits, or a name that begins with a digit.
    fn number(&mut self) -> Kind {
        let start = self.at;
        let len =
            self.rest().iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        self.at += len;
        let digits = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => i64::from_str_radix(hex, 16),
            _ if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(is_octal) => {
                i64::from_str_radix(&digits, 8)
            }
            _ if digits.bytes().all(|byte| byte.is_ascii_digit()) && !is_bad_octal(&digits) => digits.parse(),
            _ => return Kind::Word(digits),
        };
        // it becomes one of 32 bits in any case
        Kind::Int(number.unwrap_or(i64::MAX))
    }

    fn variable(&mut self) -> Kind {
        let start = self.at;
        match reference::scan(self.text, start) {
            Ok((variable, end)) => {
                self.at = end;
                Kind::Variable(Box::new(variable))
            }
            Err(error) => {
                self.at = error.at.max(start + 1).min(self.text.len());
                let span = self.span(start);
                self.errors.add(span, error.message);
                // what is left of it would only be misread, each bracket anew
                self.at += memchr::memchr2(b';', b'\n', self.rest()).unwrap_or(self.rest().len());
                Kind::Bad
            }
        }
    }

    fn punctuation(&mut self) -> Kind {
        let rest = self.rest();
        if let Some(sign) = PUNCTUATION.iter().find(|sign| rest.starts_with(sign.as_bytes())) {
            self.at += sign.len();
            return Kind::Punct(sign);
        }
        let start = self.at;
        if let Some(text) = self.typographic_text() {
            return text;
        }
        self.at += 1;
        while self.rest().first().is_some_and(|byte| *byte & 0xc0 == 0x80) {
            self.at += 1;
        }
        let span = self.span(start);
        self.errors.add(span, "syntax error: unexpected character");
        Kind::Bad
    }
}

/// `08` is a name, and no number.
fn is_bad_octal(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> (Vec<Kind>, usize) {
        let mut source = SourceMap::from_text("x.cfg", text).with_file("inc.cfg", "from_file # end");
        let mut errors = Errors::default();
        let mut lexer = Lexer::new(&mut source);
        let mut kinds = Vec::new();
        loop {
            match lexer.next(&mut errors).kind {
                Kind::End => break,
                kind => kinds.push(kind),
            }
        }
        let count = errors.finish(SourceMap::from_text("", "")).count();
        (kinds, count)
    }

    fn text(bytes: &[u8], plain: bool) -> Kind {
        Kind::Text(Text { bytes: Bytes::new(bytes), plain })
    }

    fn word(text: &str) -> Kind {
        Kind::Word(text.into())
    }

    #[test]
    fn words_numbers_and_signs() {
        let (kinds, errors) = lex("route[to-gw] 12 0x1F 2nd 4-1 a<<=b // c\n/* d */ e # f");
        assert_eq!(errors, 0);
        let p = Kind::Punct;
        let expected = vec![
            word("route"),
            p("["),
            word("to-gw"),
            p("]"),
            Kind::Int(12),
            Kind::Int(31),
            word("2nd"),
            Kind::Int(4),
            p("-"),
            Kind::Int(1),
            word("a"),
            p("<<"),
            p("="),
            word("b"),
            word("e"),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn escapes_of_a_string() {
        let (kinds, errors) = lex(r#""a\n\r\t\"\\b" "\x41\x2\0101" "10\.1$\0" 'raw\n'"#);
        assert_eq!(errors, 0);
        let expected = vec![
            text(b"a\n\r\t\"\\b", false),
            text(b"A\x02A", false),
            text(b"10\\.1$\\0", false),
            text(b"raw\\n", true),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn files_are_included_anywhere() {
        let (kinds, errors) = lex("a include_file \"inc.cfg\" b");
        assert_eq!((kinds, errors), (vec![word("a"), word("from_file"), word("b")], 0));
        assert_eq!(lex("include_file \"none.cfg\" b").1, 1);
    }

    #[test]
    fn an_endless_include_ends() {
        let mut source =
            SourceMap::from_text("x", "include_file \"x\"").with_file("x", "include_file \"x\" w");
        let mut errors = Errors::default();
        let mut lexer = Lexer::new(&mut source);
        let words =
            std::iter::from_fn(|| Some(lexer.next(&mut errors)).filter(|t| t.kind != Kind::End)).count();
        assert_eq!(words, MAX_INCLUDE_DEPTH);
        assert!(!errors.is_empty());
    }

    #[test]
    fn foreign_directives_are_comments() {
        assert_eq!(lex("#!KAMAILIO\n#!define X 1\n").1, 0);
        assert_eq!(lex("#!/usr/sbin/tocsin -f\n#!! note\n#### define\n").1, 0);
    }

    #[test]
    fn what_does_not_end_is_reported_once() {
        for text in ["\"abc", "'abc", "/* abc", "$(ru", "\u{e9}"] {
            assert_eq!(lex(text).1, 1, "{text}");
        }
    }

    #[test]
    fn a_raw_word_holds_an_address() {
        let mut source = SourceMap::from_text("x", "socket=udp:[::1]:5060 as 1.2.3.4");
        let mut errors = Errors::default();
        let mut lexer = Lexer::new(&mut source);
        lexer.next(&mut errors);
        lexer.next(&mut errors);
        assert_eq!(lexer.word_until(b"#").0, "udp:[::1]:5060");
        assert_eq!(lexer.next(&mut errors).kind, word("as"));
    }
}
