//! `{s.*}`: lengths, parts, searching and filling (manual, "String Transformations").

use super::given::{Given, number, position, text as text_of};
use super::row::{Effect, Kind, Parameter, Transformation};
use crate::value::{Bytes, MAX_STRING_BYTES, Value};

const SEARCH: &[Parameter] =
    &[Parameter::required("text", Kind::Text), Parameter::optional("offset", Kind::Number)];
const FILL: &[Parameter] =
    &[Parameter::required("padding", Kind::FixedText), Parameter::required("length", Kind::FixedNumber)];

pub(super) const ROWS: &[Transformation] = &[
    Transformation::text("s.len", |text| Value::Int(text.len() as i64), "The length of the text in bytes."),
    Transformation {
        name: "s.int",
        parameters: &[],
        doc: "The number at the start of the text, or 0, for calculations and comparisons. When printed, the text \
              stays as it is.",
        effect: Effect::LeadingNumber,
    },
    Transformation::text("s.reverse", reverse, "The bytes in reverse order."),
    Transformation::with(
        "s.substr",
        &[Parameter::required("offset", Kind::Number), Parameter::required("length", Kind::Number)],
        substr,
        "Part of the text. A negative offset counts from the end. A length of 0 takes everything up to the end; a \
         negative length leaves that many bytes out at the end.",
    ),
    Transformation::with(
        "s.select",
        &[Parameter::required("index", Kind::Number), Parameter::required("separator", Kind::Separator)],
        select,
        "The field at an index: 0 is the first, -1 the last. The separator is a single character.",
    ),
    Transformation::text(
        "s.tolower",
        |text| Value::Str(Bytes::from(text.to_ascii_lowercase())),
        "The text in lower case (ASCII letters only).",
    ),
    Transformation::text(
        "s.toupper",
        |text| Value::Str(Bytes::from(text.to_ascii_uppercase())),
        "The text in upper case (ASCII letters only).",
    ),
    Transformation::with(
        "s.index",
        SEARCH,
        |text, given| search(text, given, index),
        "The position of the first occurrence of another text at or after the offset, counted from 0; NULL if \
         there is none. A negative offset counts from the end and wraps around.",
    ),
    Transformation::with(
        "s.rindex",
        SEARCH,
        |text, given| search(text, given, rindex),
        "The position of the last occurrence of another text that starts at or before the offset, counted from 0; \
         NULL if there is none. A negative offset counts from the end and wraps around.",
    ),
    Transformation::with(
        "s.fill.left",
        FILL,
        |text, given| fill(text, given, true),
        "The text, padded on the left to the given length. The padding is repeated so that its last character \
         comes right before the text.",
    ),
    Transformation::with(
        "s.fill.right",
        FILL,
        |text, given| fill(text, given, false),
        "The text, padded on the right to the given length.",
    ),
    Transformation::with(
        "s.width",
        &[Parameter::required("length", Kind::Length)],
        width,
        "The text, cut off or padded with spaces at its end to the given length. NULL for a length of 0.",
    ),
    Transformation::text(
        "s.trim",
        |text| Value::str(trim_right(trim_left(text))),
        "The text without white space around it.",
    ),
    Transformation::text(
        "s.trimr",
        |text| Value::str(trim_right(text)),
        "The text without white space at its end.",
    ),
    Transformation::text(
        "s.triml",
        |text| Value::str(trim_left(text)),
        "The text without white space at its start.",
    ),
    Transformation::with(
        "s.xor",
        &[Parameter::required("secret", Kind::Text)],
        xor,
        "The exclusive or of the text and the secret, byte by byte. A short secret is repeated.",
    ),
    Transformation {
        name: "s.eval",
        parameters: &[],
        doc: "The text as a format string: variables in it are replaced by their values. NULL if a variable does \
              not exist.",
        effect: Effect::Format,
    },
];

/// The number that a text begins with; 0 if it begins with none.
pub(super) fn leading_number(text: &[u8]) -> i64 {
    let text = trim_left(text);
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    crate::value::decimal(&text[..sign + digits]).unwrap_or(0)
}

fn reverse(text: &[u8]) -> Value {
    Value::Str(Bytes::from(text.iter().rev().copied().collect::<Vec<_>>()))
}

fn substr(text: &[u8], given: &[Given]) -> Value {
    let (Some(offset), Some(length)) = (number(given, 0), number(given, 1)) else { return Value::Null };
    position(offset, text.len())
        .and_then(|start| {
            let rest = &text[start..];
            let length = usize::try_from(length.unsigned_abs()).ok()?;
            match given.get(1) {
                Some(Given::Number(..=-1)) => rest.get(..rest.len().checked_sub(length)?),
                Some(Given::Number(0)) => Some(rest),
                _ => Some(&rest[..length.min(rest.len())]),
            }
        })
        .map_or(Value::Null, Value::str)
}

fn select(text: &[u8], given: &[Given]) -> Value {
    let (Some(at), Some(Given::Byte(separator))) = (number(given, 0), given.get(1)) else {
        return Value::Null;
    };
    let mut fields = text.split(|byte| byte == separator);
    let field = match usize::try_from(at) {
        Ok(at) => fields.nth(at),
        Err(_) => usize::try_from(at.unsigned_abs() - 1).ok().and_then(|back| fields.rev().nth(back)),
    };
    field.map_or(Value::Null, Value::str)
}

type Search = fn(text: &[u8], wanted: &[u8], from: Option<usize>) -> Option<usize>;

fn search(text: &[u8], given: &[Given], search: Search) -> Value {
    let Some(wanted @ [_, ..]) = text_of(given, 0) else { return Value::Null };
    let from = match given.get(1) {
        None => None,
        Some(_) => match number(given, 1).and_then(|offset| wrapped(offset, text.len())) {
            None => return Value::Null,
            from => from,
        },
    };
    search(text, wanted, from).map_or(Value::Null, |at| Value::Int(at as i64))
}

/// A negative offset counts from the end, and around.
fn wrapped(offset: i64, len: usize) -> Option<usize> {
    match usize::try_from(offset) {
        Ok(offset) => Some(offset),
        Err(_) if len == 0 => None,
        Err(_) => usize::try_from(offset.rem_euclid(len as i64)).ok(),
    }
}

fn index(text: &[u8], wanted: &[u8], from: Option<usize>) -> Option<usize> {
    let from = from.unwrap_or(0);
    memchr::memmem::find(text.get(from..)?, wanted).map(|at| from + at)
}

fn rindex(text: &[u8], wanted: &[u8], from: Option<usize>) -> Option<usize> {
    let end = from.map_or(text.len(), |from| from.saturating_add(wanted.len()).min(text.len()));
    memchr::memmem::rfind(&text[..end], wanted)
}

fn fill(text: &[u8], given: &[Given], left: bool) -> Value {
    let (Some(filling @ [_, ..]), Some(length)) = (text_of(given, 0), number(given, 1)) else {
        return Value::Null;
    };
    let length = usize::try_from(length).unwrap_or(0).min(MAX_STRING_BYTES);
    let Some(missing) = length.checked_sub(text.len()) else { return Value::str(text) };
    // filled from the left, the end of the filling touches the text
    let skipped = if left { (filling.len() - missing % filling.len()) % filling.len() } else { 0 };
    let filling = filling.iter().copied().cycle().skip(skipped).take(missing);
    let mut filled = Vec::with_capacity(length);
    if left {
        filled.extend(filling);
        filled.extend_from_slice(text);
    } else {
        filled.extend_from_slice(text);
        filled.extend(filling);
    }
    Value::Str(Bytes::from(filled))
}

fn width(text: &[u8], given: &[Given]) -> Value {
    let length = number(given, 0).and_then(|length| usize::try_from(length).ok());
    let Some(length @ 1..=MAX_STRING_BYTES) = length else { return Value::Null };
    let mut filled = Vec::with_capacity(length);
    filled.extend_from_slice(&text[..length.min(text.len())]);
    filled.resize(length, b' ');
    Value::Str(Bytes::from(filled))
}

fn xor(text: &[u8], given: &[Given]) -> Value {
    let Some(secret @ [_, ..]) = text_of(given, 0) else { return Value::Null };
    let bytes: Vec<u8> = text.iter().zip(secret.iter().cycle()).map(|(a, b)| a ^ b).collect();
    Value::Str(Bytes::from(bytes))
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn trim_left(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !blank(*byte)).unwrap_or(text.len());
    &text[start..]
}

fn trim_right(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !blank(*byte)).map_or(0, |last| last + 1);
    &text[..end]
}
