//! How a variable is written: `$(<context>name(subname)[index]{transformation})` (manual, "Core Variables").
//!
//! This knows the form only; whether there is a variable of that name is seen when the script is checked. Script
//! code, format strings and subnames use it alike.

use crate::value::{Bytes, decimal};

/// Variables within subnames, indexes and transformations nest at most this deep.
pub const MAX_NESTED_VARIABLES: usize = 8;

/// A variable as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    /// All of it, from the dollar sign.
    pub(crate) text: String,
    pub(crate) context: Option<Context>,
    pub(crate) name: String,
    pub(crate) sub: Option<Bytes>,
    pub(crate) index: Option<IndexText>,
    pub(crate) transformations: Vec<TransformationText>,
}

/// Which message a variable speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// `$(<request>...)`: the request, also while a reply is processed.
    Request,
    /// `$(<reply>...)`: the reply, also in a failure route.
    Reply,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum IndexText {
    Nth(i64),
    All,
    Append,
    Variable(Box<Reference>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransformationText {
    pub(crate) name: String,
    /// What follows the first comma, as it stands.
    pub(crate) arguments: Option<Bytes>,
}

/// Why something is not a variable.
#[derive(Debug, PartialEq)]
pub(crate) struct ScanError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// Reads the variable whose dollar sign is at `start`; returns where it ends.
pub(crate) fn scan(text: &[u8], start: usize) -> Result<(Reference, usize), ScanError> {
    scan_known(text, start, &|_| true)
}

/// Like [`scan`], for text that goes on after the variable: of `$si.example`, only `si` is the name if there is no
/// variable `si.example`.
pub(crate) fn scan_known(
    text: &[u8],
    start: usize,
    known: &dyn Fn(&str) -> bool,
) -> Result<(Reference, usize), ScanError> {
    Scanner { text, at: start, known }.variable(0)
}

/// Whether a dollar sign followed by these bytes begins a variable.
pub(crate) fn begins_variable(after_dollar: &[u8]) -> bool {
    matches!(after_dollar.first(), Some(b'(' | b'_' | b'a'..=b'z' | b'A'..=b'Z'))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    known: &'a dyn Fn(&str) -> bool,
}

impl<'a> Scanner<'a> {
    fn variable(&mut self, depth: usize) -> Result<(Reference, usize), ScanError> {
        let start = self.at;
        if depth > MAX_NESTED_VARIABLES {
            return Err(self.error(format!("variables nested more than {MAX_NESTED_VARIABLES} deep")));
        }
        self.at += 1;
        let mut variable = Reference {
            text: String::new(),
            context: None,
            name: String::new(),
            sub: None,
            index: None,
            transformations: Vec::new(),
        };
        if self.peek() == Some(b'(') {
            self.at += 1;
            self.enclosed(&mut variable, depth)?;
        } else {
            variable.name = self.name()?;
            if self.peek() == Some(b'(') {
                variable.sub = Some(self.sub()?);
            } else {
                self.shorten(&mut variable.name);
            }
        }
        variable.text = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        Ok((variable, self.at))
    }

    /// What follows `$(`, with its closing parenthesis.
    fn enclosed(&mut self, variable: &mut Reference, depth: usize) -> Result<(), ScanError> {
        if self.peek() == Some(b'<') {
            variable.context = Some(self.context()?);
        }
        variable.name = self.name()?;
        if self.peek() == Some(b'(') {
            variable.sub = Some(self.sub()?);
        }
        if self.peek() == Some(b'[') {
            variable.index = Some(self.index(depth)?);
        }
        while self.peek() == Some(b'{') {
            variable.transformations.push(self.transformation()?);
        }
        if self.peek() != Some(b')') {
            return Err(self.error("syntax error: `)` expected at the end of the variable"));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn error(&self, message: impl Into<String>) -> ScanError {
        ScanError { at: self.at, message: message.into() }
    }

    /// A dot belongs to the name if the name goes on after it.
    fn name(&mut self) -> Result<String, ScanError> {
        let start = self.at;
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        loop {
            match &self.text[self.at.min(self.text.len())..] {
                [byte, ..] if inner(byte) => self.at += 1,
                [b'.', next, ..] if inner(next) && self.at > start => self.at += 1,
                _ => break,
            }
        }
        if self.at == start {
            return Err(self.error("syntax error: a variable name expected after `$`"));
        }
        Ok(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    fn shorten(&mut self, name: &mut String) {
        if (self.known)(name) {
            return;
        }
        let known = name.match_indices('.').rev().map(|(at, _)| at).find(|at| (self.known)(&name[..*at]));
        if let Some(len) = known {
            self.at -= name.len() - len;
            name.truncate(len);
        }
    }

    fn context(&mut self) -> Result<Context, ScanError> {
        for (word, context) in [("<request>", Context::Request), ("<reply>", Context::Reply)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(context);
            }
        }
        Err(self.error("unknown context of a variable: `<request>` and `<reply>` are known"))
    }

    fn sub(&mut self) -> Result<Bytes, ScanError> {
        self.balanced(b'(', b')').map(Bytes::new)
    }

    fn index(&mut self, depth: usize) -> Result<IndexText, ScanError> {
        let open = self.at;
        let inside = self.balanced(b'[', b']')?.trim_ascii();
        let after = self.at;
        let index = match inside {
            b"*" => IndexText::All,
            b"append" => IndexText::Append,
            [b'$', ..] => {
                let mut inner = Scanner { text: inside, at: 0, known: self.known };
                let (variable, end) =
                    inner.variable(depth + 1).map_err(|error| ScanError { at: open, ..error })?;
                if end != inside.len() {
                    return Err(ScanError { at: open, message: "syntax error: index of a variable".into() });
                }
                IndexText::Variable(Box::new(variable))
            }
            digits => match decimal(digits) {
                Some(number) => IndexText::Nth(number),
                None => {
                    let message =
                        "index of a variable: a number, `*`, `append` or a variable expected".into();
                    return Err(ScanError { at: open, message });
                }
            },
        };
        self.at = after;
        Ok(index)
    }

    fn transformation(&mut self) -> Result<TransformationText, ScanError> {
        let open = self.at;
        let inside = self.balanced(b'{', b'}')?;
        let (name, arguments) = match memchr::memchr(b',', inside) {
            Some(comma) => (&inside[..comma], Some(Bytes::new(&inside[comma + 1..]))),
            None => (inside, None),
        };
        let name = String::from_utf8_lossy(name.trim_ascii_end()).into_owned();
        if name.is_empty() {
            return Err(ScanError {
                at: open,
                message: "syntax error: name of a transformation expected".into(),
            });
        }
        Ok(TransformationText { name, arguments })
    }

    /// What stands between the bracket here and the one that closes it; but for a transformation, in the same line.
    fn balanced(&mut self, open: u8, close: u8) -> Result<&'a [u8], ScanError> {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' if open != b'{' => break,
                // an escaped bracket of a regular expression
                b'\\' => self.at += 1,
                _ if byte == open => depth += 1,
                _ if byte == close => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(&self.text[start + 1..self.at - 1]);
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.text.len());
        Err(self.error(format!("syntax error: `{}` of a variable is missing", close as char)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reference {
        let (variable, end) = scan(text.as_bytes(), 0).unwrap();
        assert_eq!(end, text.len(), "{text}");
        variable
    }

    #[test]
    fn all_parts() {
        let all = read("$(<reply>avp(a b)[-1]{s.select,1,,}{s.len})");
        assert_eq!(all.context, Some(Context::Reply));
        assert_eq!((all.name.as_str(), all.sub), ("avp", Some("a b".into())));
        assert_eq!(all.index, Some(IndexText::Nth(-1)));
        let names: Vec<_> =
            all.transformations.iter().map(|t| (t.name.as_str(), t.arguments.clone())).collect();
        assert_eq!(names, [("s.select", Some("1,,".into())), ("s.len", None)]);
    }

    #[test]
    fn names_with_dots_and_nested_variables() {
        assert_eq!(read("$err.class").name, "err.class");
        assert_eq!(read("$avp($(var(x)))").sub, Some("$(var(x))".into()));
        assert!(matches!(read("$(branch(uri)[$var(i)])").index, Some(IndexText::Variable(_))));
        assert_eq!(read("$(avp(x)[*])").index, Some(IndexText::All));
        assert_eq!(read("$(hdr(X){re.subst,/\\}/x/})").transformations[0].arguments, Some("/\\}/x/".into()));
    }

    #[test]
    fn a_sentence_may_go_on_after_a_variable() {
        let known = |name: &str| name == "si";
        let (variable, end) = scan_known(b"$si.example.org", 0, &known).unwrap();
        assert_eq!((variable.name.as_str(), end), ("si", 3));
        assert_eq!(scan(b"$ru. ", 0).unwrap().1, 3);
    }

    #[test]
    fn errors_say_what_is_missing() {
        let bad = [
            "$",
            "$(",
            "$(ru",
            "$(ru[1)",
            "$(ru[x])",
            "$avp(x",
            "$(<x>ru)",
            "$(ru{})",
            "$(ru{s.len)",
            "$avp(\n)",
        ];
        for text in bad {
            assert!(scan(text.as_bytes(), 0).is_err(), "{text}");
        }
        let deep = "$(a[".repeat(50) + "1" + &"])".repeat(50);
        assert!(scan(deep.as_bytes(), 0).unwrap_err().message.contains("nested"));
    }
}
