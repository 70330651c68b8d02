//! What passes between the machine and the host's functions.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;

use crate::reference::Context;
use crate::route::RouteId;
use crate::source::Place;
use crate::value::{Bytes, Value};
use crate::vars::ScriptVars;

/// A function prepared for one place of the script: given the host and the arguments that are known only now.
pub type Call<C> = Rc<dyn Fn(&mut C, &[Value]) -> Outcome<C>>;

/// What a function came to.
pub enum Outcome<C> {
    /// It is done. Above 0 is true and below 0 false; 0 ends the script, as `exit` does.
    Done(i64),
    /// The script ends.
    Exit,
    /// The script ends, and what would follow it is not done (manual, "Core functions", drop).
    Drop,
    /// The answer comes later.
    Wait(Waiting<C>),
}

impl<C> Outcome<C> {
    /// Success.
    pub const TRUE: Self = Self::Done(1);
    /// Failure.
    pub const FALSE: Self = Self::Done(-1);
}

impl<C> From<bool> for Outcome<C> {
    fn from(truth: bool) -> Self {
        if truth { Self::TRUE } else { Self::FALSE }
    }
}

/// Something a function waits for. It has no hold of the host; what it yields is run with it.
pub type Waiting<C> = Pin<Box<dyn Future<Output = Resume<C>>>>;

/// The rest of a function that has waited.
pub type Resume<C> = Box<dyn FnOnce(&mut C) -> Outcome<C>>;

/// What `launch()` set going (manual, "Script Async"): the host drives it beside the script.
pub struct Launch<C> {
    /// What the function came to, perhaps something to wait for.
    pub outcome: Outcome<C>,
    /// The route to run when it is done, with the function's return code in `$rc`: see
    /// [`Execution::report`](crate::Execution::report).
    pub report: Option<RouteId>,
    /// What that route finds in `$param(1)`; [`Value::Null`] if nothing was given.
    pub text: Value,
}

/// What a script runs for: the message under way, or the event, or nothing at all.
pub trait Host: Sized + 'static {
    /// The variables of the script, kept by the process from one message to the next.
    fn vars(&mut self) -> &mut ScriptVars;

    /// A word that says which statement runs, for those who watch this process from outside:
    /// [`Program::statement`](crate::Program::statement) reads it. 0 while no script runs.
    fn position(&self) -> &'static AtomicU32 {
        static NOBODY_WATCHES: AtomicU32 = AtomicU32::new(0);
        &NOBODY_WATCHES
    }

    /// Milliseconds of a clock that never goes back; a few of them do not matter. Asked every few operations, so that a
    /// script that does not end is ended ([`Program::limit_stretch`](crate::Program::limit_stretch)). By default it stands
    /// still.
    fn now_ms(&self) -> u64 {
        0
    }

    /// Something went wrong while running: a loop without end, a division by zero. The statement had no effect (a
    /// condition is false, a function or route has the return code -1), and the script goes on.
    fn script_error(&mut self, place: Place<'_>, message: &str);

    /// The same about a run as a whole: it was ended here, or had more errors than were reported one by one.
    fn run_error(&mut self, place: Place<'_>, message: &str) {
        self.script_error(place, message);
    }

    /// `launch()` was run: carry on with `launch.outcome` beside the script, then run `launch.report`.
    fn launch(&mut self, launch: Launch<Self>);

    /// Reads a variable of another message than the one under way: `$(<reply>...)`. By default there is no other.
    fn in_context(&mut self, which: Context, read: &mut dyn FnMut(&mut Self) -> Value) -> Value {
        let _ = which;
        read(self)
    }

    /// An assignment or a function has been done, and what follows is not yet: nothing of the script is under way. True if the
    /// script ends here.
    fn between_statements(&mut self) -> bool {
        false
    }

    /// Time before a function is called, in a unit of the host's choice. Asked only while
    /// [`Program::trace_actions`](crate::Program::trace_actions) is on.
    fn action_starts(&mut self) -> u64 {
        0
    }

    /// A function has returned; `started` is what [`Host::action_starts`] said.
    fn action_done(&mut self, name: &str, line: u32, started: u64) {
        let _ = (name, line, started);
    }

    /// The address of a name, for `{ip.resolve}`, if it is known. If it is not, [`Host::look_up`] may be asked for it.
    fn address_of(&mut self, name: &Bytes) -> Option<IpAddr> {
        let _ = name;
        None
    }

    /// Looks up what [`Host::address_of`] did not know when it was asked last; nothing if it knew.
    fn look_up(&mut self) -> Option<Waiting<Self>> {
        None
    }

    /// The route of `event` asked for a parameter, by name or by number, that is not among the `given` ones it has.
    fn parameter_missing(&mut self, event: &Bytes, wanted: &Value, given: usize) {
        let _ = (event, wanted, given);
    }
}

/// Names and values of the parameters an event route finds in `$param(name)` and `$param(1)`.
pub type NamedParams = Vec<(Option<Bytes>, Value)>;
