//! The machine: it runs flat code, one operation after the other, with a stack of routes and no other.
//!
//! It stops where a function waits and goes on when it is given what the wait came to. Conditions leave their truth
//! in one register, functions and routes their code in another: `$rc`.

mod call;
mod failure;
mod step;
mod stretch;

use crate::call::{Host, Launch, NamedParams, Outcome, Resume};
use crate::code::{Assignment, Async, Each, Launched, Op, RouteCall, RouteTarget, Switch};
use crate::expression::Expr;
use crate::program::{Entry, Program};
use crate::route::RouteId;
use crate::route::RouteKind;
use crate::value::{Bytes, Value};
use crate::variable::{Bound, Index, Store};
use crate::vars::{Level, Run};
use smallvec::SmallVec;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

pub use failure::MAX_REPORTED_ERRORS;
pub use step::{Pause, PauseKind, Step, Verdict};
pub use stretch::DEFAULT_MAX_STRETCH;

/// Routes call each other at most this deep.
pub const MAX_ROUTE_DEPTH: usize = 100;
/// A route is given at most this many arguments. The manual says 7; 3.4.18 takes 8 and more.
pub const MAX_ROUTE_ARGUMENTS: usize = 16;

/// A script runs at most this many operations between two waits; one that needs more would hold up its process.
pub const DEFAULT_MAX_OPERATIONS: u64 = 100_000_000;

/// Where a suspended script goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Nothing,
    Start(RouteId),
    /// Behind the call before this operation.
    After(u32),
    /// At this operation, with the codes as they were.
    At(u32),
    Route(RouteId),
}

/// One run of a script. It can be used again: its buffers stay.
#[derive(Default)]
pub struct Execution {
    run: Run,
    next: Next,
}

impl<C: Host> Program<C> {
    /// A run of a route, not yet begun: see [`Execution::run`].
    pub fn start(&self, route: RouteId) -> Execution {
        let mut execution = Execution::new();
        execution.restart(route, NamedParams::new());
        execution
    }
}

impl Execution {
    /// A run of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins anew at a route, which finds these parameters in `$param(name)` and `$param(1)`.
    pub fn restart(&mut self, route: RouteId, params: NamedParams) {
        self.run.clear();
        for (name, value) in params {
            self.run.names.push(name);
            self.run.params.push(value);
        }
        self.next = Next::Start(route);
    }

    /// Begins anew at the report route of a [`Launch`] that came to `rc`.
    pub fn report(&mut self, route: RouteId, rc: i64, text: Value) {
        self.run.clear();
        self.run.rc = rc;
        if !text.is_null() {
            self.run.params.push(text);
        }
        self.next = Next::Start(route);
    }

    /// Runs until the end or the first wait. A run that has ended, or waits, does nothing; nor does that of a route which
    /// `program` does not have. A route of another version of the program is found by its type and name.
    pub fn run<C: Host>(&mut self, program: &Program<C>, host: &mut C) -> Step<C> {
        let Next::Start(route) = self.next else { return self.ended() };
        self.next = Next::Nothing;
        let Some(route) = program.table.own(route) else { return self.ended() };
        let Some(entry) = program.entries.get(route.index as usize) else { return self.ended() };
        if !self.run.table.as_ref().is_some_and(|table| std::rc::Rc::ptr_eq(table, &program.table)) {
            self.run.table = Some(program.table.clone());
        }
        self.run.levels.push(Level { route, back: 0, params: 0, counters: 0 });
        self.run.counters.resize(entry.counters as usize, 0);
        self.within(host, true, |machine| machine.go(program, entry.start, true))
    }

    /// Goes on with what the wait came to.
    pub fn resume<C: Host>(&mut self, resume: Resume<C>, program: &Program<C>, host: &mut C) -> Step<C> {
        self.go_on(resume, true, program, host)
    }

    /// As [`Self::resume`], where the wait was none: it was over when it was first looked at, and the process has done
    /// nothing else. The script has no more time than it had.
    pub fn resume_at_once<C: Host>(
        &mut self,
        resume: Resume<C>,
        program: &Program<C>,
        host: &mut C,
    ) -> Step<C> {
        self.go_on(resume, false, program, host)
    }

    fn go_on<C: Host>(
        &mut self,
        resume: Resume<C>,
        has_waited: bool,
        program: &Program<C>,
        host: &mut C,
    ) -> Step<C> {
        let next = std::mem::take(&mut self.next);
        self.within(host, has_waited, |machine| {
            let outcome = resume(machine.host);
            machine.resumed(program, next, outcome)
        })
    }

    fn ended<C>(&self) -> Step<C> {
        Step::Done(Verdict { rc: self.run.rc, exit: true, drop: false, cut: false })
    }

    /// The state changes places with the host's while the script runs, so that variables find it there. A script
    /// that runs within a function of another one does the same.
    fn within<C: Host>(
        &mut self,
        host: &mut C,
        has_waited: bool,
        act: impl FnOnce(&mut Machine<'_, C>) -> Step<C>,
    ) -> Step<C> {
        let _running = stretch::Running::begin(has_waited);
        std::mem::swap(&mut self.run, &mut host.vars().run);
        let position = host.position();
        let outer = position.load(Relaxed);
        let mut machine = Machine { host, next: Next::Nothing, position, has_waited };
        let step = act(&mut machine);
        if let Step::Done(_) = step {
            machine.report_the_rest();
        }
        self.next = machine.next;
        std::mem::swap(&mut self.run, &mut host.vars().run);
        position.store(outer, Relaxed);
        step
    }
}

struct Machine<'a, C: Host> {
    host: &'a mut C,
    next: Next,
    position: &'static AtomicU32,
    has_waited: bool,
}

/// What follows an operation.
enum Flow<C> {
    Next,
    Jump(u32),
    Stop(Step<C>),
}

impl<C: Host> Machine<'_, C> {
    fn run(&mut self) -> &mut Run {
        &mut self.host.vars().run
    }

    /// Runs from `pc`; `truth` is the register conditions leave their result in.
    fn go(&mut self, program: &Program<C>, mut pc: u32, mut truth: bool) -> Step<C> {
        let mut left = program.max_operations;
        // Where a wait was none, many short pieces would never come to their first look.
        let mut piece = if self.has_waited { left.min(stretch::LOOK_EVERY) } else { 0 };
        let mut until_look = piece;
        loop {
            if until_look == 0 {
                left -= piece;
                if let Some(ended) = self.look(left, program) {
                    return ended;
                }
                piece = left.min(stretch::LOOK_EVERY);
                until_look = piece;
            }
            until_look -= 1;
            self.run().at = pc;
            self.position.store(program.positions | (pc + 1), Relaxed);
            let flow = match &program.code[pc as usize] {
                Op::Test(condition) => {
                    truth = self.truth(condition);
                    Flow::Next
                }
                Op::Invert => {
                    truth = !truth;
                    Flow::Next
                }
                Op::Unless(target) => {
                    if truth {
                        Flow::Next
                    } else {
                        Flow::Jump(*target)
                    }
                }
                Op::When(target) => {
                    if truth {
                        Flow::Jump(*target)
                    } else {
                        Flow::Next
                    }
                }
                Op::Jump(target) => Flow::Jump(*target),
                Op::LookUp(variable) => self.look_up(variable, pc + 1),
                Op::Call(site) => {
                    let outcome = self.call(site, program);
                    let outcome = if self.host.between_statements() { Outcome::Exit } else { outcome };
                    let flow = self.settle(outcome, pc + 1);
                    truth = self.run().rc > 0;
                    flow
                }
                Op::Assign(assignment) => {
                    truth = self.assign(assignment);
                    self.run().rc = if truth { 1 } else { -1 };
                    if self.host.between_statements() { self.stop(true, false) } else { Flow::Next }
                }
                Op::Route(call) => {
                    let flow = self.enter(call, program, pc + 1);
                    truth = self.run().rc > 0;
                    flow
                }
                Op::Return(code) => {
                    let flow = self.leave(*code);
                    truth = *code > 0;
                    flow
                }
                Op::ReturnValue(value) => {
                    let code = self.returned(value);
                    truth = code > 0;
                    self.leave(code)
                }
                Op::ReturnLast => {
                    // 0 ends a script only where a function or a return says so
                    let code = if self.run().rc == 0 { 1 } else { self.run().rc };
                    truth = code > 0;
                    self.leave(code)
                }
                Op::SetCode(code) => {
                    self.run().rc = *code;
                    Flow::Next
                }
                Op::Keep => {
                    let run = self.run();
                    run.kept.push(run.rc);
                    Flow::Next
                }
                Op::Forget(calls) => {
                    let run = self.run();
                    run.kept.truncate(run.kept.len().saturating_sub(*calls as usize));
                    Flow::Next
                }
                Op::Switch(switch) => Flow::Jump(self.choose(switch)),
                Op::LoopStart(slot) => {
                    *self.counter(*slot) = 0;
                    Flow::Next
                }
                Op::LoopCount { slot, exit } => self.count(*slot, *exit, program),
                Op::Each(each) => self.each(each),
                Op::Exit => self.stop(true, false),
                Op::Drop => self.stop(true, true),
                Op::Async(call) => self.begin_async(call, program),
                Op::Launch(launch) => self.launch(launch, program),
            };
            match flow {
                Flow::Next => pc += 1,
                Flow::Jump(target) => pc = target,
                Flow::Stop(step) => return step,
            }
        }
    }

    /// Whether a script that may run `left` operations more, may; its end if not.
    #[cold]
    fn look(&mut self, left: u64, program: &Program<C>) -> Option<Step<C>> {
        let message = if left == 0 {
            format!("script ended after {} operations", program.max_operations)
        } else if stretch::look(self.host.now_ms()) > program.max_stretch {
            format!("script ended after {} s without a wait", program.max_stretch.as_secs_f32())
        } else {
            return None;
        };
        self.report(&message);
        self.run().levels.clear();
        Some(Step::Done(Verdict { rc: -1, exit: true, drop: false, cut: true }))
    }

    fn resumed(&mut self, program: &Program<C>, next: Next, outcome: Outcome<C>) -> Step<C> {
        match next {
            Next::After(pc) => match self.settle(outcome, pc) {
                Flow::Stop(step) => step,
                _ => {
                    let truth = self.run().rc > 0;
                    self.go(program, pc, truth)
                }
            },
            Next::At(pc) => self.go(program, pc, true),
            Next::Route(route) => match self.settle_async(outcome, route, None, program) {
                Flow::Stop(step) => step,
                _ => self.go(program, program.entries[route.index as usize].start, true),
            },
            Next::Nothing | Next::Start(_) => {
                let rc = self.run().rc;
                Step::Done(Verdict { rc, exit: true, drop: false, cut: false })
            }
        }
    }

    fn settle(&mut self, outcome: Outcome<C>, next: u32) -> Flow<C> {
        match outcome {
            Outcome::Done(rc) => {
                self.run().rc = rc;
                if rc == 0 { self.stop(true, false) } else { Flow::Next }
            }
            Outcome::Exit => self.stop(true, false),
            Outcome::Drop => self.stop(true, true),
            Outcome::Wait(waiting) => {
                self.next = Next::After(next);
                Flow::Stop(Step::Wait(Pause { waiting, kind: PauseKind::Call }))
            }
        }
    }

    /// Reads the variable, so that the host sees which name it asks for, and waits for its address if it has to be
    /// looked up. What comes of it is the host's to keep.
    fn look_up(&mut self, variable: &Bound<C>, next: u32) -> Flow<C> {
        variable.read(self.host);
        match self.host.look_up() {
            Some(waiting) => {
                self.next = Next::At(next);
                Flow::Stop(Step::Wait(Pause { waiting, kind: PauseKind::Call }))
            }
            None => Flow::Next,
        }
    }

    fn stop(&mut self, exit: bool, drop: bool) -> Flow<C> {
        Flow::Stop(self.end(exit, drop))
    }

    fn end(&mut self, exit: bool, drop: bool) -> Step<C> {
        let run = self.run();
        let rc = run.rc;
        run.levels.clear();
        Step::Done(Verdict { rc, exit, drop, cut: false })
    }

    fn begin_async(&mut self, call: &Async<C>, program: &Program<C>) -> Flow<C> {
        let timeout = call.timeout.as_ref().and_then(|timeout| self.value(timeout).to_int());
        let timeout = timeout.and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        let outcome = self.call(&call.site, program);
        self.settle_async(outcome, call.route, timeout, program)
    }

    /// After an asynchronous function, the script starts over at the resume route with the function's code in `$rc`.
    fn settle_async(
        &mut self,
        outcome: Outcome<C>,
        route: RouteId,
        timeout: Option<u32>,
        program: &Program<C>,
    ) -> Flow<C> {
        match outcome {
            Outcome::Done(rc) => {
                let entry = program.entries[route.index as usize];
                let run = self.run();
                run.clear();
                run.rc = rc;
                run.levels.push(Level { route, back: 0, params: 0, counters: 0 });
                run.counters.resize(entry.counters as usize, 0);
                Flow::Jump(entry.start)
            }
            Outcome::Exit => self.stop(true, false),
            Outcome::Drop => self.stop(true, true),
            Outcome::Wait(waiting) => {
                self.next = Next::Route(route);
                Flow::Stop(Step::Wait(Pause { waiting, kind: PauseKind::Async { timeout } }))
            }
        }
    }

    fn launch(&mut self, launch: &Launched<C>, program: &Program<C>) -> Flow<C> {
        let text = launch.text.as_ref().map_or(Value::Null, |text| self.value(text));
        let outcome = self.call(&launch.site, program);
        self.host.launch(Launch { outcome, report: launch.report, text });
        self.run().rc = 1;
        Flow::Next
    }

    /// Whether the variable has the value now.
    fn assign(&mut self, assignment: &Assignment<C>) -> bool {
        let result = assignment.value(self.host);
        let result = match result {
            Ok(value) => {
                assignment.target.write(self.host, value, assignment.store).map_err(|error| error.to_string())
            }
            Err(fault) => Err(fault.to_string()),
        };
        if let Err(error) = &result {
            self.fail(&format!("{} is not assigned: {error}", assignment.target.text()));
        }
        result.is_ok()
    }

    /// Goes into another route. A route that cannot be called is an error and the code -1.
    fn enter(&mut self, call: &RouteCall<C>, program: &Program<C>, back: u32) -> Flow<C> {
        let Some(route) = self.target(&call.target) else {
            self.run().rc = -1;
            return Flow::Next;
        };
        if self.run().levels.len() >= MAX_ROUTE_DEPTH {
            self.fail(&format!("routes call each other more than {MAX_ROUTE_DEPTH} deep"));
            self.run().rc = -1;
            return Flow::Next;
        }
        let mut values = SmallVec::<[Value; MAX_ROUTE_ARGUMENTS]>::new();
        for argument in &call.arguments {
            values.push(self.value(argument));
        }
        let entry = program.entries[route.index as usize];
        let run = self.run();
        let level =
            Level { route, back, params: run.params.len() as u32, counters: run.counters.len() as u32 };
        run.levels.push(level);
        run.params.extend(values);
        run.counters.resize(run.counters.len() + entry.counters as usize, 0);
        Flow::Jump(entry.start)
    }

    fn target(&mut self, target: &RouteTarget<C>) -> Option<RouteId> {
        match target {
            RouteTarget::Fixed(route) => Some(*route),
            RouteTarget::Named(name) => {
                let name = self.value(name).to_bytes().unwrap_or_default();
                self.find_route(RouteKind::Request, &name)
            }
        }
    }

    fn find_route(&mut self, kind: RouteKind, name: &Bytes) -> Option<RouteId> {
        let route = self.run().table.as_ref().and_then(|table| table.find(kind, name));
        if route.is_none() {
            self.fail(&format!("no {}[{}]", kind.keyword(), name.lossy()));
        }
        route
    }

    /// Goes back to the caller; the code 0 ends the script.
    fn leave(&mut self, code: i64) -> Flow<C> {
        let run = self.run();
        run.rc = code;
        if code == 0 {
            return self.stop(true, false);
        }
        let level = run.levels.pop();
        match level.filter(|_| !run.levels.is_empty()) {
            Some(level) => {
                run.params.truncate(level.params as usize);
                run.counters.truncate(level.counters as usize);
                Flow::Jump(level.back)
            }
            None => self.stop(false, false),
        }
    }

    /// The code that a value stands for.
    fn returned(&mut self, value: &Expr<C>) -> i64 {
        match self.value(value) {
            Value::Int(code) => code,
            Value::Str(_) => 1,
            Value::Null => -1,
        }
    }

    fn choose(&mut self, switch: &Switch<C>) -> u32 {
        match switch.subject.value(self.host) {
            Ok(value) => switch.target(&value),
            Err(fault) => {
                self.fail(&fault.to_string());
                switch.otherwise
            }
        }
    }

    fn counter(&mut self, slot: u32) -> &mut u32 {
        let run = self.run();
        let base = run.levels.last().map_or(0, |level| level.counters);
        let at = (base + slot) as usize;
        if at >= run.counters.len() {
            run.counters.resize(at + 1, 0);
        }
        &mut run.counters[at]
    }

    fn count(&mut self, slot: u32, exit: u32, program: &Program<C>) -> Flow<C> {
        let most = program.max_while_loops;
        let counter = self.counter(slot);
        if *counter < most {
            *counter += 1;
            return Flow::Next;
        }
        self.fail(&format!("loop stopped after {most} rounds (max_while_loops)"));
        Flow::Jump(exit)
    }

    /// The next value of a list, if there is one.
    fn each(&mut self, each: &Each<C>) -> Flow<C> {
        let round = *self.counter(each.slot);
        if round == 1 && each.source.is_single(self.host) {
            return Flow::Jump(each.exit);
        }
        let value = each.source.read_at(self.host, Index::Nth(i64::from(round)));
        if value.is_null() {
            return Flow::Jump(each.exit);
        }
        if let Err(error) = each.target.write(self.host, value, Store::Set) {
            self.fail(&format!("{} is not assigned: {error}", each.target.text()));
            return Flow::Jump(each.exit);
        }
        Flow::Next
    }

    fn truth(&mut self, condition: &Expr<C>) -> bool {
        condition.truth(self.host).unwrap_or_else(|fault| {
            self.fail(&fault.to_string());
            false
        })
    }

    fn value(&mut self, expr: &Expr<C>) -> Value {
        match expr.value(self.host) {
            Ok(value) => value.into_owned(),
            Err(fault) => {
                self.fail(&fault.to_string());
                Value::Null
            }
        }
    }
}

impl Entry {
    pub(crate) fn new(start: usize, interval: Option<u32>) -> Self {
        Self { start: start as u32, counters: 0, interval }
    }
}

#[cfg(test)]
mod tests;
