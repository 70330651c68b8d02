//! Calling the host's functions: arguments are made what the function's parameters say before it sees them.

use smallvec::SmallVec;

use super::Machine;
use crate::call::{Host, Outcome, Resume, Waiting};
use crate::code::{Argument, ArgumentKind, Arguments, CallSite};
use crate::fault::Fault;
use crate::program::Program;
use crate::value::Value;

/// Arguments of this many parameters are kept on the stack.
const USUAL_ARGUMENTS: usize = 6;

enum Wrong {
    Fault(Fault),
    Null,
    NotANumber,
    /// It has been reported.
    NoRoute,
}

/// A function that waits is done when it has waited.
fn traced<C: Host>(waiting: Waiting<C>, name: &'static str, line: u32, started: u64) -> Waiting<C> {
    Box::pin(async move {
        let resume = waiting.await;
        let reported: Resume<C> = Box::new(move |host: &mut C| match resume(host) {
            Outcome::Wait(again) => Outcome::Wait(traced(again, name, line, started)),
            outcome => {
                host.action_done(name, line, started);
                outcome
            }
        });
        reported
    })
}

impl<C: Host> Machine<'_, C> {
    /// Calls the function; an argument that cannot be used is an error and the code -1 instead.
    pub(super) fn call(&mut self, site: &CallSite<C>, program: &Program<C>) -> Outcome<C> {
        if !program.traced {
            return self.call_untraced(site);
        }
        let started = self.host.action_starts();
        let line = self.run().place().line;
        match self.call_untraced(site) {
            Outcome::Wait(waiting) => Outcome::Wait(traced(waiting, site.name, line, started)),
            outcome => {
                self.host.action_done(site.name, line, started);
                outcome
            }
        }
    }

    fn call_untraced(&mut self, site: &CallSite<C>) -> Outcome<C> {
        let arguments = match &site.arguments {
            Arguments::Fixed(values) => return (site.call)(self.host, values),
            Arguments::Mixed(arguments) => arguments,
        };
        let mut values = SmallVec::<[Value; USUAL_ARGUMENTS]>::new();
        for (position, argument) in arguments.iter().enumerate() {
            match self.argument(argument) {
                Ok(value) => values.push(value),
                Err(wrong) => {
                    let what = match wrong {
                        Wrong::Fault(fault) => fault.to_string(),
                        Wrong::Null => "is NULL".into(),
                        Wrong::NotANumber => "is not a number".into(),
                        Wrong::NoRoute => return Outcome::FALSE,
                    };
                    self.fail(&format!("<{}> is not called: Param [{}] {what}", site.name, position + 1));
                    return Outcome::FALSE;
                }
            }
        }
        (site.call)(self.host, &values)
    }

    fn argument(&mut self, argument: &Argument<C>) -> Result<Value, Wrong> {
        let value = argument.value.value(self.host).map_err(Wrong::Fault)?;
        if argument.kind == ArgumentKind::Ready {
            return Ok(value.into_owned());
        }
        if value.is_null() {
            return if argument.optional { Ok(Value::Null) } else { Err(Wrong::Null) };
        }
        match argument.kind {
            ArgumentKind::Ready | ArgumentKind::StrOrInt => Ok(value.into_owned()),
            ArgumentKind::Str => match &*value {
                Value::Str(_) => Ok(value.into_owned()),
                other => other.to_bytes().map(Value::Str).ok_or(Wrong::Null),
            },
            ArgumentKind::Int => value.to_int().map(Value::Int).ok_or(Wrong::NotANumber),
            ArgumentKind::Route(kind) => {
                let name = value.to_bytes().unwrap_or_default();
                let route = self.find_route(kind, &name).ok_or(Wrong::NoRoute)?;
                Ok(route.to_value())
            }
        }
    }
}
