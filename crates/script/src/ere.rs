//! POSIX extended regular expressions, as scripts have always had them, in the terms of the `regex` crate: matched
//! without regard to case, a dot matches a line feed, and a backslash in brackets stands for itself.

use regex::bytes::{Regex, RegexBuilder};

/// A pattern of the configuration takes at most this many bytes, compiled.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// The same of one that is made at run time, and may come from a message. Matching takes time in proportion to it: half
/// a second at the worst for this and a subject of 64 KiB, where 1 MiB would take eight.
const MAX_MADE_BYTES: usize = 128 << 10;
/// What matching such a pattern may keep from one subject to the next, in each direction.
const MAX_MADE_STATES_BYTES: usize = 256 << 10;

/// The names of `[:name:]`.
const CLASSES: &[&str] = &[
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
    "xdigit",
];

/// How an expression matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Without regard to case.
    pub(crate) any_case: bool,
    /// `^` and `$` match at each line of the text, and neither a dot nor `[^x]` matches a line feed.
    pub(crate) lines: bool,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadExpression {
    /// In words.
    pub(crate) message: String,
    /// Where in the pattern, if that is known.
    pub(crate) at: Option<usize>,
}

/// Compiles a POSIX extended regular expression of the configuration, as `=~` does.
///
/// # Errors
/// What is wrong with the pattern, in words.
pub fn compile(pattern: &[u8]) -> Result<Regex, String> {
    compile_with(pattern, Flags { any_case: true, lines: false })
}

/// The same; the error says where in the pattern it is.
pub(crate) fn compile_located(pattern: &[u8]) -> Result<Regex, BadExpression> {
    let flags = Flags { any_case: true, lines: false };
    let mut builder = located_builder(pattern, flags)?;
    build(builder.size_limit(MAX_COMPILED_BYTES)).map_err(|message| {
        let at = message.contains("group").then(|| lone_parenthesis(pattern)).flatten();
        BadExpression { message, at }
    })
}

/// The first parenthesis that has no other half.
fn lone_parenthesis(pattern: &[u8]) -> Option<usize> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            // a `]` right behind the opening bracket stands for itself
            b'[' => at += memchr::memchr(b']', pattern.get(at + 2..)?).map_or(0, |len| len + 2),
            b'(' => open.push(at),
            b')' if open.pop().is_none() => return Some(at),
            _ => {}
        }
        at += 1;
    }
    open.first().copied()
}

/// As [`compile`], and `^` and `$` match at each line; neither a dot nor `[^x]` matches a line feed.
///
/// # Errors
/// What is wrong with the pattern, in words.
pub fn compile_within_lines(pattern: &[u8]) -> Result<Regex, String> {
    compile_with(pattern, Flags { any_case: true, lines: true })
}

/// As [`compile`], with other flags.
pub(crate) fn compile_with(pattern: &[u8], flags: Flags) -> Result<Regex, String> {
    build(builder(pattern, flags)?.size_limit(MAX_COMPILED_BYTES))
}

/// The same for a pattern that is made at run time, and may come from a message: it may cost less.
///
/// # Errors
/// What is wrong with the pattern, in words.
pub fn compile_made(pattern: &[u8]) -> Result<Regex, String> {
    compile_made_flags(pattern, Flags { any_case: true, lines: false })
}

/// As [`compile_made`]: `any_case` matches without regard to case, `lines` lets `^` and `$` match within the text, and
/// neither a dot nor `[^x]` match a line feed.
///
/// # Errors
/// What is wrong with the pattern, in words.
pub fn compile_made_with(pattern: &[u8], any_case: bool, lines: bool) -> Result<Regex, String> {
    compile_made_flags(pattern, Flags { any_case, lines })
}

/// As [`compile_made`], with other flags.
pub(crate) fn compile_made_flags(pattern: &[u8], flags: Flags) -> Result<Regex, String> {
    build(builder(pattern, flags)?.size_limit(MAX_MADE_BYTES).dfa_size_limit(MAX_MADE_STATES_BYTES))
}

fn builder(pattern: &[u8], flags: Flags) -> Result<RegexBuilder, String> {
    located_builder(pattern, flags).map_err(|bad| bad.message)
}

fn located_builder(pattern: &[u8], Flags { any_case, lines }: Flags) -> Result<RegexBuilder, BadExpression> {
    let out = String::with_capacity(pattern.len() + 8);
    let mut translation = Translation { pattern, at: 0, token: 0, lines, out };
    if let Err(message) = translation.run() {
        return Err(BadExpression { message, at: Some(translation.token) });
    }
    let pattern = translation.out;
    let mut builder = RegexBuilder::new(&pattern);
    builder.unicode(false).case_insensitive(any_case).multi_line(lines).dot_matches_new_line(!lines);
    Ok(builder)
}

fn build(builder: &RegexBuilder) -> Result<Regex, String> {
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("bad regular expression: {last}")
        }
    })
}

struct Translation<'a> {
    pattern: &'a [u8],
    at: usize,
    /// Where what is read now begins.
    token: usize,
    /// A list of what not to match holds the line feed.
    lines: bool,
    out: String,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), String> {
        // whether a repetition here would have nothing to repeat
        let mut nothing_before = true;
        while let Some(&byte) = self.pattern.get(self.at) {
            self.token = self.at;
            self.at += 1;
            match byte {
                b'\\' => self.escape()?,
                b'[' => self.brackets()?,
                b'*' | b'+' | b'?' | b'{' if nothing_before => {
                    let sign = byte as char;
                    return Err(format!(
                        "bad regular expression: nothing before `{sign}`: write `\\{sign}` for the sign"
                    ));
                }
                b'{' if !self.is_interval() => {
                    return Err(
                        "bad regular expression: `{` begins no count: write `\\{` for the brace".into()
                    );
                }
                b'(' | b'|' | b'^' => {
                    self.out.push(byte as char);
                    nothing_before = true;
                    continue;
                }
                b')' | b'$' | b'.' | b'*' | b'+' | b'?' | b'{' | b'}' => self.out.push(byte as char),
                _ => self.literal(byte),
            }
            nothing_before = false;
        }
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}` after an opening brace.
    fn is_interval(&self) -> bool {
        let rest = &self.pattern[self.at..];
        let Some(close) = memchr::memchr(b'}', rest) else { return false };
        let inside = &rest[..close];
        inside.first().is_some_and(u8::is_ascii_digit)
            && inside.iter().all(|b| b.is_ascii_digit() || *b == b',')
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(&byte) = self.pattern.get(self.at) else {
            return Err("bad regular expression: trailing backslash".into());
        };
        self.at += 1;
        match byte {
            b'w' | b'W' | b's' | b'S' | b'b' | b'B' | b'd' | b'D' | b'n' | b'r' | b't' => {
                self.out.push('\\');
                self.out.push(byte as char);
            }
            b'<' => self.out.push_str("\\b{start}"),
            b'>' => self.out.push_str("\\b{end}"),
            b'1'..=b'9' => return Err("bad regular expression: back-references are not supported".into()),
            _ => self.literal(byte),
        }
        Ok(())
    }

    /// A bracket expression. A `]` right after the opening stands for itself.
    fn brackets(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.pattern.get(self.at) == Some(&b'^') {
            self.out.push_str(if self.lines { "^\\n" } else { "^" });
            self.at += 1;
        }
        let mut first = true;
        loop {
            let Some(&byte) = self.pattern.get(self.at) else {
                return Err("bad regular expression: `]` is missing".into());
            };
            self.at += 1;
            match byte {
                b']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                b'[' if self.pattern.get(self.at) == Some(&b':') => self.class()?,
                b'-' => {
                    let edge = first || self.pattern.get(self.at) == Some(&b']');
                    self.out.push_str(if edge { "\\-" } else { "-" });
                }
                _ => self.literal(byte),
            }
            first = false;
        }
    }

    /// `[:name:]` within brackets.
    fn class(&mut self) -> Result<(), String> {
        let rest = &self.pattern[self.at..];
        let end = memchr::memmem::find(rest, b":]").filter(|end| *end > 0);
        match end.and_then(|end| Some((end, std::str::from_utf8(&rest[1..end]).ok()?))) {
            Some((end, name)) if CLASSES.contains(&name) => {
                self.out.push_str("[:");
                self.out.push_str(name);
                self.out.push_str(":]");
                self.at += end + 2;
                Ok(())
            }
            _ => Err("bad regular expression: unknown character class".into()),
        }
    }

    fn literal(&mut self, byte: u8) {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'_'
            | b' '
            | b'"'
            | b'%'
            | b'\''
            | b','
            | b'/'
            | b':'
            | b';'
            | b'='
            | b'@'
            | b'!'
            | b'`' => self.out.push(byte as char),
            _ => self.out.push_str(&format!("\\x{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_of_scripts() {
        let table: &[(&str, &str, bool)] = &[
            ("^1800*", "180", true),
            ("^sip:.*@10\\.10\\.10\\.10", "SIP:a@10.10.10.10", true),
            ("^[[:digit:]]{3}$", "123", true),
            ("^[[:digit:]]{3}$", "12a", false),
            ("INVITE|ACK", "ack", true),
            ("^\\+?[0-9]+$", "+44", true),
            ("[\\.]", "\\", true),
            ("[]a]", "]", true),
            ("[a&&b]", "&", true),
            ("[+-]", "-", true),
            ("a.b", "a\nb", true),
            ("\\<ab\\>", "x ab y", true),
            ("(a|b)+", "b", true),
        ];
        for (pattern, text, matches) in table {
            let regex = compile(pattern.as_bytes()).unwrap();
            assert_eq!(regex.is_match(text.as_bytes()), *matches, "{pattern} {text}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        for pattern in
            ["(a", "[a", "a\\", "(a)\\1", "[[:nope:]]", "a{99999}", "^+49", "*", "a|?", "(?i)x", "a{", "{"]
        {
            let error = compile(pattern.as_bytes()).unwrap_err();
            assert!(error.contains("regular expression"), "{pattern}: {error}");
        }
    }

    #[test]
    fn what_a_message_can_ask_for_is_small() {
        // Each is below 24 bytes, and takes seconds to match with the limit for patterns of the configuration.
        for pattern in ["(a|b)*a(a|b){7000}[^ab]", "(a?b?){2800}[^ab]"] {
            assert!(compile(pattern.as_bytes()).is_ok(), "{pattern}");
            assert_eq!(compile_made(pattern.as_bytes()).unwrap_err(), "the regular expression is too large");
        }
        let words =
            (0..100).map(|number| format!("user{number}@example\\.com")).collect::<Vec<_>>().join("|");
        assert!(compile_made(format!("^({words})$").as_bytes()).unwrap().is_match(b"USER77@example.com"));
    }

    proptest! {
        #[test]
        fn any_pattern_is_answered(pattern in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = compile(&pattern);
        }

        #[test]
        fn escaped_text_matches_itself(text in "[ -~]{0,20}") {
            let pattern: String = text.chars().map(|c| if c.is_ascii_punctuation() && !"<>_".contains(c) { format!("\\{c}") } else { c.to_string() }).collect();
            prop_assume!(!text.contains(['<', '>']));
            let regex = compile(format!("^{pattern}$").as_bytes()).unwrap();
            prop_assert!(regex.is_match(text.as_bytes()));
        }
    }
}
