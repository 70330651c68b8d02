//! Lists of parameters as OpenSIPS reads them: `name=value;name`, up to the end of the text or a comma.
//!
//! That is not the grammar of RFC 3261: a name may be empty (`;;lr` has one without a name), a list may not end with a
//! semicolon or an equals sign, and nothing but white space may stand around them.

/// One parameter; its value is empty if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Param<'a> {
    pub(super) name: &'a [u8],
    /// Without the quotes around it.
    pub(super) value: &'a [u8],
}

/// The first parameter of this name, if the whole text is a list.
pub(super) fn named<'a>(text: &'a [u8], name: &[u8]) -> Option<Param<'a>> {
    let mut found = None;
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (first, after) = param(text)?;
        if found.is_none() && first.name.eq_ignore_ascii_case(name) {
            found = Some(first);
        }
        rest = after;
    }
    found
}

/// The parameters of a list.
#[derive(Clone)]
pub(super) struct Params<'a> {
    /// What is left; nothing after the last one.
    rest: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// Nothing if the text is no list as a whole.
    pub(super) fn checked(text: &'a [u8]) -> Option<Self> {
        let mut rest = Some(text);
        while let Some(text) = rest {
            rest = param(text)?.1;
        }
        Some(Self { rest: Some(text) })
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let (param, rest) = param(self.rest?)?;
        self.rest = rest;
        Some(param)
    }
}

/// The first parameter, and what follows the semicolon after it.
fn param(text: &[u8]) -> Option<(Param<'_>, Option<&[u8]>)> {
    if text.is_empty() {
        return None;
    }
    let (name, after) = split(text, |byte| matches!(byte, b'=' | b';' | b',') || is_white(byte));
    let mut after = skip_white(after);
    let mut value: &[u8] = &[];
    if let [b'=', rest @ ..] = after {
        (value, after) = value_of(skip_white(rest))?;
        after = skip_white(after);
    }
    let rest = match after {
        [] | [b',', ..] => None,
        // one more has to follow
        [b';', rest @ ..] => Some(Some(skip_white(rest)).filter(|rest| !rest.is_empty())?),
        _ => return None,
    };
    Some((Param { name, value }, rest))
}

/// The value a text begins with, and what follows it.
fn value_of(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match text {
        [] => None,
        [quote @ (b'"' | b'\''), inside @ ..] => {
            let end = closing(inside, *quote)?;
            Some((&inside[..end], &inside[end + 1..]))
        }
        _ => Some(split(text, |byte| matches!(byte, b';' | b',') || is_white(byte))),
    }
}

/// Where the quote is that closes: one after a backslash does not.
fn closing(text: &[u8], quote: u8) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let closes = *byte == quote && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    })
}

fn split(text: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| ends(*byte)).unwrap_or(text.len());
    text.split_at(end)
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip_white(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_white(*byte)).unwrap_or(text.len());
    &text[start..]
}
