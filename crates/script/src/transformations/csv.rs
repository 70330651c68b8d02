//! `{csv.*}`: fields between commas, as RFC 4180 has them (manual, "CSV Transformations").

use std::borrow::Cow;

use super::given::{Given, number, position};
use super::row::{Kind, Parameter, Transformation};
use crate::value::{Bytes, Value};

pub(super) const ROWS: &[Transformation] = &[
    Transformation::text(
        "csv.count",
        |text| fields(text).map_or(Value::Null, |fields| Value::Int(fields.count() as i64)),
        "The number of fields. A comma within a quoted field does not separate.",
    ),
    Transformation::with(
        "csv.value",
        &[Parameter::required("index", Kind::Number)],
        value,
        "The field at an index, 0 for the first and -1 for the last; a quoted field without its quotes.",
    ),
];

fn value(text: &[u8], given: &[Given]) -> Value {
    let (Some(index), Some(fields)) = (number(given, 0), fields(text)) else { return Value::Null };
    let found = position(index, fields.clone().count()).and_then(|at| fields.clone().nth(at));
    found.map_or(Value::Null, |field| match plain(field) {
        Cow::Borrowed(field) => Value::str(field),
        Cow::Owned(field) => Value::Str(Bytes::from(field)),
    })
}

/// Nothing for an empty text, and for a quote that is not closed.
fn fields(text: &[u8]) -> Option<Fields<'_>> {
    let even = |text: &[u8]| memchr::memchr_iter(b'"', text).count().is_multiple_of(2);
    (!text.is_empty() && even(text)).then_some(Fields { rest: Some(text) })
}

#[derive(Clone)]
struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let mut quoted = false;
        let end = text.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let end = end.unwrap_or(text.len());
        self.rest = text.get(end + 1..);
        Some(&text[..end])
    }
}

/// The field without its quotes; two quotes in it are one.
fn plain(field: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inside @ .., b'"'] = field else { return Cow::Borrowed(field) };
    if memchr::memchr(b'"', inside).is_none() {
        return Cow::Borrowed(inside);
    }
    let mut after_quote = false;
    let kept = inside.iter().filter(|byte| {
        after_quote = **byte == b'"' && !after_quote;
        !after_quote
    });
    Cow::Owned(kept.copied().collect())
}
