//! Helpers of the core's variables and functions.

use std::rc::Rc;

use tocsin_script::{Accessor, Bytes, Index, Store, Value, Variable, WriteError};

use crate::context::Context;

/// A variable that is computed from the context and cannot be set.
pub fn computed(name: &'static str, read: fn(&Context) -> Value) -> Variable<Context> {
    struct Computed(fn(&Context) -> Value);
    impl Accessor<Context> for Computed {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            (self.0)(cx)
        }
    }
    Variable::new(name, move |site| {
        site.no_sub()?;
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Computed(read));
        Ok(accessor)
    })
}

/// A variable that can be read and set.
pub fn settable(
    name: &'static str,
    read: fn(&Context) -> Value,
    write: fn(&mut Context, Value) -> Result<(), WriteError>,
) -> Variable<Context> {
    struct Settable(fn(&Context) -> Value, fn(&mut Context, Value) -> Result<(), WriteError>);
    impl Accessor<Context> for Settable {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            (self.0)(cx)
        }
        fn write(&self, cx: &mut Context, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
            (self.1)(cx, value)
        }
        fn writable(&self) -> bool {
            true
        }
    }
    Variable::new(name, move |site| {
        site.no_sub()?;
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Settable(read, write));
        Ok(accessor)
    })
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
