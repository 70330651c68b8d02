//! Helpers of the core's variables and functions.

use std::rc::Rc;

use tocsin_script::{Accessor, Bound, Bytes, Index, Store, Value, Variable, WriteError};

use crate::context::Context;

/// Reads a variable.
pub(super) type Read = fn(&Context) -> Value;
/// Assigns one.
pub(super) type Write = fn(&mut Context, &Value) -> Result<(), WriteError>;

struct Plain {
    read: Read,
    number: fn(&Context) -> Option<i64>,
    write: Option<Write>,
}

impl Accessor<Context> for Plain {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        (self.read)(cx)
    }

    fn number(&self, cx: &mut Context) -> Option<i64> {
        (self.number)(cx)
    }

    fn write(&self, cx: &mut Context, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
        self.write.map_or(Err(WriteError::ReadOnly), |write| write(cx, &value))
    }

    fn writable(&self) -> bool {
        self.write.is_some()
    }
}

fn plain(name: &'static str, doc: &'static str, texts: Texts, write: Option<Write>) -> Variable<Context> {
    let variable = Variable::declared(name, doc, move |_| {
        let accessor: Rc<dyn Accessor<Context>> =
            Rc::new(Plain { read: texts.text, number: texts.number, write });
        Ok(accessor)
    });
    if write.is_some() { variable.settable() } else { variable }
}

/// A variable that is computed from the context and cannot be set.
pub fn readable(name: &'static str, doc: &'static str, read: Read) -> Variable<Context> {
    plain(name, doc, Texts { text: read, number: |_| None }, None)
}

/// A variable that can be read and set.
pub fn settable(name: &'static str, doc: &'static str, read: Read, write: Write) -> Variable<Context> {
    plain(name, doc, Texts { text: read, number: |_| None }, Some(write))
}

/// A text with the number that stands beside it, for comparisons with numbers.
#[derive(Clone, Copy)]
pub(super) struct Texts {
    /// The text.
    pub text: Read,
    /// The number, if there is one.
    pub number: fn(&Context) -> Option<i64>,
}

/// A text with a number beside it.
pub(super) fn texts(name: &'static str, doc: &'static str, texts: Texts) -> Variable<Context> {
    plain(name, doc, texts, None)
}

/// The same, to be set.
pub(super) fn settable_texts(
    name: &'static str,
    doc: &'static str,
    texts: Texts,
    write: Write,
) -> Variable<Context> {
    plain(name, doc, texts, Some(write))
}

/// What stands between the values of a list that is printed as a whole.
pub(super) const BETWEEN: &[u8] = b", ";

/// All values in one text; NULL if there are none.
pub(super) fn joined<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Value {
    let mut values = values.into_iter();
    let Some(first) = values.next() else { return Value::Null };
    let mut out = first.to_vec();
    for value in values {
        // what begins with empty values begins with no separator
        if !out.is_empty() {
            out.extend_from_slice(BETWEEN);
        }
        out.extend_from_slice(value);
    }
    Value::Str(Bytes::from(out))
}

/// The nth of `count` things: from the front for 0 and more, from the back for less.
pub(super) fn nth(index: Index, count: usize) -> Option<usize> {
    match index {
        Index::Nth(n) if n < 0 => count.checked_sub(usize::try_from(n.unsigned_abs()).ok()?),
        Index::Nth(n) => usize::try_from(n).ok().filter(|n| *n < count),
        _ => (count > 0).then_some(0),
    }
}

/// One of many texts by its index, or all of them in one.
pub(super) fn chosen(values: &[&[u8]], index: Index) -> Value {
    match index {
        Index::All => joined(values.iter().copied()),
        _ => text(nth(index, values.len()).map(|at| values[at])),
    }
}

/// A string that may be missing.
pub fn text(found: Option<&[u8]>) -> Value {
    found.map_or(Value::Null, |text| Value::Str(Bytes::new(text)))
}

/// The string that a value stands for; `None` for NULL.
pub fn as_text(value: &Value) -> Option<Bytes> {
    match value {
        Value::Null => None,
        Value::Int(number) => Some(Bytes::decimal(*number)),
        Value::Str(text) => Some(text.clone()),
    }
}

/// Refuses an assignment, with the reason for the log.
pub fn refused(reason: &'static str) -> WriteError {
    WriteError::Refused(reason.into())
}

/// Gives a function's result to the variable it was asked to, if it was. `false`, and a line in the log, if the variable does not
/// take it.
pub(super) fn put(cx: &mut Context, to: Option<&Bound<Context>>, value: Value) -> bool {
    let Some(to) = to else { return true };
    match to.write(cx, value, Store::Set) {
        Ok(()) => true,
        Err(cause) => {
            tracing::error!("{}: {cause}", to.text());
            false
        }
    }
}
