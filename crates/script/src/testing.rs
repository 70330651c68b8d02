//! A host for the tests of this crate: it logs what functions are given.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::call::{Host, Launch, Outcome};
use crate::compile::compile;
use crate::diagnostics::Diagnostics;
use crate::expression::Part;
use crate::library::{Function, Library, Param, ParamKind, Variable};
use crate::program::Program;
use crate::route::{RouteKind, Routes};
use crate::source::Place;
use crate::source::SourceMap;
use crate::value::Value;
use crate::variable::{Accessor, Index, Store, WriteError};
use crate::vars::ScriptVars;
use crate::vm::{Step, Verdict};

#[derive(Default)]
pub(crate) struct TestHost {
    pub(crate) vars: ScriptVars,
    pub(crate) log: Vec<String>,
    pub(crate) errors: Vec<String>,
    pub(crate) launched: Vec<Launch<TestHost>>,
    pub(crate) list: Vec<Value>,
    pub(crate) out: Value,
    /// Names that are known, and the one that was asked for last.
    pub(crate) hosts: Vec<(crate::Bytes, std::net::IpAddr)>,
    pub(crate) wanted: Option<crate::Bytes>,
    /// What the clock shows, and how far it goes with each look.
    pub(crate) now_ms: Cell<u64>,
    pub(crate) tick_ms: u64,
    pub(crate) watched: Option<&'static AtomicU32>,
    /// What `watched` said before each function.
    pub(crate) positions: Vec<u32>,
}

impl Host for TestHost {
    fn vars(&mut self) -> &mut ScriptVars {
        &mut self.vars
    }

    fn script_error(&mut self, place: Place<'_>, message: &str) {
        self.errors.push(format!("{}:{}: {message}", place.file, place.line));
    }

    fn launch(&mut self, launch: Launch<Self>) {
        self.launched.push(launch);
    }

    fn action_done(&mut self, name: &str, _: u32, started: u64) {
        self.log.push(format!("took {name} {started}"));
    }

    fn address_of(&mut self, name: &crate::Bytes) -> Option<std::net::IpAddr> {
        let known = self.hosts.iter().find(|(known, _)| known == name).map(|(_, address)| *address);
        self.wanted = known.is_none().then(|| name.clone());
        known
    }

    fn look_up(&mut self) -> Option<crate::Waiting<Self>> {
        let name = self.wanted.take()?;
        let resume: crate::Resume<Self> = Box::new(move |host: &mut Self| {
            host.log.push(format!("looked up {}", name.lossy()));
            host.hosts.push((name, std::net::Ipv4Addr::LOCALHOST.into()));
            Outcome::TRUE
        });
        Some(Box::pin(Later(Some(resume), false)))
    }

    fn now_ms(&self) -> u64 {
        self.now_ms.replace(self.now_ms.get() + self.tick_ms)
    }

    fn position(&self) -> &'static AtomicU32 {
        static NOBODY_WATCHES: AtomicU32 = AtomicU32::new(0);
        self.watched.unwrap_or(&NOBODY_WATCHES)
    }

    fn action_starts(&mut self) -> u64 {
        self.positions.extend(self.watched.map(|position| position.load(Relaxed)));
        1
    }
}

/// `$avp(any)`: one list, the newest value first.
struct List;

impl Accessor<TestHost> for List {
    fn read(&self, host: &mut TestHost, index: Index) -> Value {
        let at = match index {
            Index::Nth(at) => at,
            _ => 0,
        };
        usize::try_from(at).ok().and_then(|at| host.list.get(at)).cloned().unwrap_or_default()
    }

    fn write(&self, host: &mut TestHost, index: Index, value: Value, store: Store) -> Result<(), WriteError> {
        match (index, value) {
            (_, Value::Str(text)) if text == "refused" => {
                return Err(WriteError::Refused("it is refused".into()));
            }
            (_, Value::Null) => drop(host.list.drain(..host.list.len().min(1))),
            (Index::Append, value) => host.list.push(value),
            (_, value) => {
                if store == Store::Replace {
                    host.list.clear();
                }
                host.list.insert(0, value);
            }
        }
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

struct Fixed(Value);

impl Accessor<TestHost> for Fixed {
    fn read(&self, _: &mut TestHost, _: Index) -> Value {
        self.0.clone()
    }
}

/// Gives what it holds at the second look.
pub(crate) struct Later<T>(pub(crate) Option<T>, pub(crate) bool);

impl<T: Unpin> Future for Later<T> {
    type Output = T;
    fn poll(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<T> {
        if !std::mem::replace(&mut self.1, true) {
            return std::task::Poll::Pending;
        }
        self.0.take().map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    }
}

const CODE: &[Param] = &[Param::required("code", ParamKind::Int)];
const TEXT: &[Param] = &[Param::required("text", ParamKind::Str)];
const REPLY: &[Param] = &[Param::required("code", ParamKind::Int), Param::optional("reason", ParamKind::Str)];
const ANY: &[Param] = &[
    Param::optional("a", ParamKind::StrOrInt),
    Param::optional("b", ParamKind::StrOrInt),
    Param::optional("c", ParamKind::StrOrInt),
];
const EVENT: &[Param] = &[
    Param::required("event", ParamKind::Str),
    Param::optional("names", ParamKind::Variable),
    Param::optional("values", ParamKind::Variable),
];
const OUTPUT: &[Param] = &[Param::required("to", ParamKind::Output)];
const FAILURE: &[Param] = &[Param::required("route", ParamKind::Route(RouteKind::Failure))];
const PARTS: &[Param] = &[Param::required("parts", ParamKind::Parts)];
const SUBSTITUTE: &[Param] =
    &[Param::required("text", ParamKind::Str), Param::required("subst", ParamKind::Substitution)];
const PATTERN: &[Param] = &[Param::required("pattern", ParamKind::Regex)];

/// A function that logs its arguments and returns 1.
fn logs(name: &'static str, params: &'static [Param], routes: Routes) -> Function<TestHost> {
    Function::new(name, params, routes, move |_| {
        Ok(Rc::new(move |host: &mut TestHost, values: &[Value]| {
            host.log.push(format!("{name}{values:?}"));
            Outcome::TRUE
        }))
    })
}

pub(crate) fn library() -> Library<TestHost> {
    let mut library = Library::new();
    for (name, value) in
        [("ru", Value::from("sip:alice@example.org")), ("rm", "INVITE".into()), ("five", Value::Int(5))]
    {
        library.variable(Variable::new(name, move |site| {
            site.no_sub()?;
            Ok(Rc::new(Fixed(value.clone())))
        }));
    }
    library.variable(Variable::new("avp", |site| {
        site.required_sub()?;
        Ok(Rc::new(List))
    }));
    library.function(Function::new("code", CODE, Routes::ANY, |_| {
        Ok(Rc::new(|host: &mut TestHost, values: &[Value]| {
            host.log.push(format!("code{values:?}"));
            Outcome::Done(values[0].to_int().unwrap_or(0))
        }))
    }));
    library.function(Function::new("keep_text", TEXT, Routes::ANY, |_| {
        Ok(Rc::new(|host: &mut TestHost, values: &[Value]| {
            host.out = values[0].clone();
            Outcome::TRUE
        }))
    }));
    library.function(Function::new("keep", ANY, Routes::ANY, |_| {
        Ok(Rc::new(|host: &mut TestHost, values: &[Value]| {
            host.out = values[0].clone();
            Outcome::TRUE
        }))
    }));
    library.function(
        Function::new("wait", CODE, Routes::ANY, |_| {
            Ok(Rc::new(|_: &mut TestHost, values: &[Value]| {
                let rc = values[0].to_int().unwrap_or(0);
                let resume: crate::Resume<TestHost> = Box::new(move |host: &mut TestHost| {
                    host.log.push(format!("waited {rc}"));
                    Outcome::Done(rc)
                });
                Outcome::Wait(Box::pin(Later(Some(resume), false)))
            }))
        })
        .asynchronous(),
    );
    library.function(Function::new("put", OUTPUT, Routes::ANY, |site| {
        let to = site.variable(0).ok_or_else(|| crate::ArgError::at(0, "a variable expected"))?;
        Ok(Rc::new(move |host: &mut TestHost, _: &[Value]| {
            match to.write(host, Value::Int(42), Store::Set) {
                Ok(()) => Outcome::TRUE,
                Err(_) => Outcome::FALSE,
            }
        }))
    }));
    library.function(Function::new("take_apart", PARTS, Routes::ANY, |site| {
        let parts = site.parts(0);
        let shown = parts.iter().map(|part| match part {
            Part::Text(text) => format!("`{}`", text.lossy()),
            Part::Variable(bound) => bound.text().to_owned(),
        });
        let shown = shown.collect::<Vec<_>>().join(" ");
        Ok(Rc::new(move |host: &mut TestHost, _: &[Value]| {
            host.log.push(shown.clone());
            Outcome::TRUE
        }))
    }));
    library.function(Function::new("replace", SUBSTITUTE, Routes::ANY, |site| {
        let substitution =
            site.substitution(1).ok_or_else(|| crate::ArgError::at(1, "a substitution expected"))?;
        Ok(Rc::new(move |host: &mut TestHost, values: &[Value]| {
            let replaced = substitution.replaced(host, values[0].as_str().unwrap_or_default());
            let is_changed = replaced.is_some();
            host.out = replaced.map_or(Value::Null, Value::Str);
            is_changed.into()
        }))
    }));
    library.function(logs("say", TEXT, Routes::ANY));
    library.function(logs("send_reply", REPLY, Routes::REQUEST | Routes::FAILURE));
    library.function(logs("note", ANY, Routes::ANY));
    library.function(logs("raise_event", EVENT, Routes::ANY));
    library.function(logs("t_on_failure", FAILURE, Routes::ANY));
    library.function(logs("like", PATTERN, Routes::ANY));
    library
}

pub(crate) fn check(text: &str) -> Result<Program<TestHost>, Diagnostics> {
    compile(SourceMap::from_text("x.cfg", text), &library())
}

#[track_caller]
pub(crate) fn program(text: &str) -> Program<TestHost> {
    check(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Runs `route { ... }` to its end.
#[track_caller]
pub(crate) fn run(text: &str) -> (TestHost, Verdict) {
    let program = program(text);
    let mut host = TestHost::default();
    let route = program.route(RouteKind::Request, b"").unwrap();
    match program.start(route).run(&program, &mut host) {
        Step::Done(verdict) => (host, verdict),
        Step::Wait(_) => panic!("the script waits"),
    }
}

/// The value of `$var(out)` after these statements.
#[track_caller]
pub(crate) fn evaluate(statements: &str) -> Value {
    let (host, _) = run(&format!("route {{ $var(out) = NULL; {statements} keep($var(out)); }}"));
    host.out
}
