//! The variables that belong to the language itself (manual, "Core Variables").

use std::rc::Rc;

use crate::call::Host;
use crate::library::{Indexes, Naming, Slots, Variable};
use crate::route::{RouteId, RouteKind, RouteTable};
use crate::value::{Bytes, Value};
use crate::variable::{Accessor, Index, Store, SubName, WriteError};
use crate::vars::Run;

/// `$var`, `$rc` and what else the machine itself answers for.
pub(crate) fn variables<C: Host>(slots: Slots) -> Vec<Variable<C>> {
    vec![
        Variable::declared(
            "var",
            "A variable of the script. It belongs to the process: it keeps its value from one message to the next, so give it \
             one before you read it.",
            move |site| {
                let name = site.literal_sub()?;
                let mut slots = slots.borrow_mut();
                let next = slots.len() as u32;
                Ok(Rc::new(ScriptVariable { slot: *slots.entry(name).or_insert(next) }))
            },
        )
        .named(Naming::Plain("name"))
        .settable(),
        answered("rc", "The return code of the last statement: 1 or more is success, -1 or less is failure.", |run, _| {
            Value::Int(run.rc)
        })
        .also(&["retcode"]),
        answered("cfg_line", "The line of the configuration that runs.", |run, _| {
            Value::Int(i64::from(run.place().line))
        }),
        answered("cfg_file", "The file of the configuration that runs.", |run, _| {
            let file = run.place().file;
            if file.is_empty() { Value::Null } else { Value::str(file) }
        }),
        answered("route", "The route that runs, as `route[NAME]`; with an index, its callers.", |run, index| {
            route_text(run, index, |table, id| table.text(id))
        })
        .indexed(Indexes::List),
        answered("route.name", "The name of the route that runs; with an index, of its callers.", |run, index| {
            route_text(run, index, |table, id| table.name(id).map(Bytes::as_slice).unwrap_or_default())
        })
        .indexed(Indexes::List),
        answered("route.type", "The type of the route that runs; with an index, of its callers.", |run, index| {
            // of all routes it is NULL, as in OpenSIPS
            if index == Index::All {
                return Value::Null;
            }
            route_text(run, index, |table, id| match table.kind(id) {
                // as recorded: it is the type of the route that came to the error
                RouteKind::Error => RouteKind::Request.keyword().as_bytes(),
                kind => kind.keyword().as_bytes(),
            })
        })
        .indexed(Indexes::List),
        Variable::declared(
            "param",
            "A parameter of the route that runs, by its number from 1; of an event route, by its name, too.",
            |site| Ok(Rc::new(Parameter { sub: site.required_sub()? })),
        )
        .named(Naming::Required("number")),
    ]
}

/// What stands between the routes of `$(route[*])`.
const BETWEEN_ROUTES: &[u8] = b" > ";

/// `$var(name)`
struct ScriptVariable {
    slot: u32,
}

impl<C: Host> Accessor<C> for ScriptVariable {
    fn read(&self, host: &mut C, _: Index) -> Value {
        host.vars().slot(self.slot)
    }

    fn print(&self, host: &mut C, _: Index, out: &mut Vec<u8>) {
        host.vars().slot_ref(self.slot).append_to(out);
    }

    fn write(&self, host: &mut C, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
        host.vars().set_slot(self.slot, value);
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

/// `$param(n)` and `$param(name)`
struct Parameter<C> {
    sub: SubName<C>,
}

impl<C: Host> Accessor<C> for Parameter<C> {
    fn read(&self, host: &mut C, _: Index) -> Value {
        let sub = self.sub.value(host);
        let run = &host.vars().run;
        let found = match sub.to_int() {
            Some(number) => run.param(number),
            None => sub.as_str().map_or(Value::Null, |name| run.named_param(name)),
        };
        if found.is_null()
            && let Some(event) = run.event_without(&sub)
        {
            let (event, most) = (event.clone(), run.params.len());
            host.parameter_missing(&event, &sub, most);
        }
        found
    }
}

struct Answered {
    answer: fn(&Run, Index) -> Value,
}

fn answered<C: Host>(name: &'static str, doc: &'static str, answer: fn(&Run, Index) -> Value) -> Variable<C> {
    Variable::declared(name, doc, move |_| Ok(Rc::new(Answered { answer })))
}

impl<C: Host> Accessor<C> for Answered {
    fn read(&self, host: &mut C, index: Index) -> Value {
        (self.answer)(&host.vars().run, index)
    }
}

/// The call stack counts from the route under way; negative indexes from the topmost.
fn route_text(run: &Run, index: Index, text: fn(&RouteTable, RouteId) -> &[u8]) -> Value {
    let Some(table) = &run.table else { return Value::Null };
    let nth = match index {
        Index::Unset => 0,
        Index::Nth(nth) => nth,
        Index::Append => return Value::Null,
        Index::All => {
            // the main route has come to the error
            let is_error =
                run.levels.first().is_some_and(|level| table.kind(level.route) == RouteKind::Error);
            let main = is_error.then(|| RouteKind::Request.keyword().as_bytes());
            let levels = run.levels.iter().map(|level| text(table, level.route));
            let names: Vec<&[u8]> = main.into_iter().chain(levels).collect();
            return Value::str(names.join(BETWEEN_ROUTES));
        }
    };
    let levels = run.levels.len() as i64;
    let at = if nth >= 0 {
        levels.checked_sub(1).and_then(|last| last.checked_sub(nth))
    } else {
        nth.checked_neg().map(|nth| nth - 1)
    };
    let level = at.and_then(|at| usize::try_from(at).ok()).and_then(|at| run.levels.get(at));
    match level.map(|level| text(table, level.route)) {
        Some(text) => Value::str(text),
        None => Value::Null,
    }
}
