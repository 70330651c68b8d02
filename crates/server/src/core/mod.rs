//! What the language has without any module: functions and variables of the core.

mod blocklists;
mod caches;
mod events;
mod flags;
mod log;
mod messages;
mod network;
mod request_uri;
mod routing;
mod status_report;

use std::rc::Rc;

use tocsin_script::{Accessor, Bytes, Index, Library, Store, Value, Variable, WriteError};

use crate::context::Context;
use crate::flag_names::FlagNames;

pub(crate) use events::WrittenNames;
pub use log::write_xlog;
pub use routing::destination_uri;

/// A library with the language's own names and the core's.
pub(crate) fn library(written: &WrittenNames, flags: &FlagNames) -> Library<Context> {
    let mut library = Library::new();
    crate::settings::globals().for_each(|global| library.global(global));
    let functions = [
        routing::functions(),
        blocklists::functions(),
        caches::functions(),
        request_uri::functions(),
        flags::functions(flags),
        log::functions(),
        events::functions(written),
        status_report::functions(),
    ];
    functions.into_iter().flatten().for_each(|function| library.function(function));
    let variables =
        [messages::variables(), request_uri::variables(), network::variables(), flags::variables()];
    variables.into_iter().flatten().for_each(|variable| library.variable(variable));
    library
}

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
