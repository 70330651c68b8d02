//! Statements to operations.

use std::rc::Rc;

use super::{Checked, Compiler, Reported};
use crate::call::Host;
use crate::code::{Assignment, Async, Each, Launched, Op, RouteCall, RouteTarget, Switch};
use crate::expression::Operator;
use crate::reference::{IndexText, Reference};
use crate::route::{RouteKind, Routes};
use crate::source::Span;
use crate::tree::{
    AssignOperator, CallTree, Case, Expr, ExprKind, RouteCallTree, Spanned, Statement, StatementKind,
};
use crate::value::Value;
use crate::variable::{Bound, Store};
use crate::vm::MAX_ROUTE_ARGUMENTS;

/// `$rc` after `break`.
const BREAK_CODE: i64 = -5;
/// What may go through a list.
const LOOP_VARIABLES: &[&str] = &["var", "avp", "bavp", "shv", "json", "xml"];

impl<C: Host> Compiler<'_, C> {
    /// A block; what is wrong in one statement does not keep the next from being checked.
    pub(super) fn block(&mut self, statements: &[Statement]) {
        for statement in statements {
            if self.errors.is_full() {
                return;
            }
            self.at(statement.span);
            // an error has been reported; the code will not be used
            let _ = self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) -> Checked<()> {
        match &statement.node {
            StatementKind::If { arms, otherwise } => self.if_statement(arms, otherwise),
            StatementKind::While { condition, body } => self.while_statement(condition, body),
            StatementKind::ForEach { target, source, body } => self.for_statement(target, source, body)?,
            StatementKind::Switch { subject, cases } => self.switch_statement(subject, cases)?,
            StatementKind::Do(call) => self.call_statement(call)?,
            StatementKind::Route(call) => {
                let call = self.route_call(call)?;
                self.emit(Op::Route(Box::new(call)));
            }
            StatementKind::Assign { target, operator, value } => self.assignment(target, *operator, value)?,
            StatementKind::Return(code) => self.return_statement(code.as_ref())?,
            StatementKind::Exit => {
                self.emit(Op::Exit);
            }
            StatementKind::Drop => {
                self.emit(Op::Drop);
            }
            StatementKind::Break => {
                self.emit(Op::SetCode(BREAK_CODE));
                let jump = self.emit(Op::Jump(0));
                match self.breaks.last_mut() {
                    Some(breaks) => breaks.push(jump),
                    None => {
                        return self.fail(statement.span, "break outside of a switch or loop: use return");
                    }
                }
            }
            StatementKind::Assert { condition, failed } => {
                self.condition(condition)?;
                let holds = self.emit(Op::When(0));
                self.call_statement(failed)?;
                self.land(holds);
                self.emit(Op::SetCode(1));
            }
            StatementKind::Async { call, route, timeout } => {
                self.async_statement(call, route, timeout.as_ref(), statement.span)?;
            }
            StatementKind::Launch { call, route, text } => {
                self.launch_statement(call, route.as_ref(), text.as_ref())?;
            }
        }
        Ok(())
    }

    fn if_statement(&mut self, arms: &[(Expr, Vec<Statement>)], otherwise: &[Statement]) {
        let mut ends = Vec::new();
        for (condition, body) in arms {
            self.condition_reported(condition);
            let skip = self.emit(Op::Unless(0));
            self.block(body);
            ends.push(self.emit(Op::Jump(0)));
            self.land(skip);
        }
        if otherwise.is_empty() {
            self.emit(Op::SetCode(1));
        }
        self.block(otherwise);
        for end in ends {
            self.land(end);
        }
    }

    fn condition_reported(&mut self, condition: &Expr) {
        self.at(condition.span);
        if self.condition(condition).is_err() {
            self.emit(Op::Invert);
        }
    }

    fn while_statement(&mut self, condition: &Expr, body: &[Statement]) {
        let slot = self.begin_loop();
        let top = self.here();
        self.condition_reported(condition);
        let skip = self.emit(Op::Unless(0));
        let count = self.emit(Op::LoopCount { slot, exit: 0 });
        self.block(body);
        self.emit(Op::Jump(top));
        self.land(skip);
        // the condition that ended it is no result of its own, as with `if`
        self.emit(Op::SetCode(1));
        self.land(count);
        self.end_loop();
    }

    fn begin_loop(&mut self) -> u32 {
        let slot = self.loops;
        self.loops += 1;
        self.counters = self.counters.max(self.loops);
        self.emit(Op::LoopStart(slot));
        self.breaks.push(Vec::new());
        slot
    }

    fn end_loop(&mut self) {
        self.loops -= 1;
        self.land_breaks();
    }

    fn land_breaks(&mut self) {
        for jump in self.breaks.pop().unwrap_or_default() {
            self.land(jump);
        }
    }

    /// The counter of the loop is the index of the value in hand.
    fn for_statement(
        &mut self,
        target: &Spanned<Reference>,
        source: &Spanned<Reference>,
        body: &[Statement],
    ) -> Checked<()> {
        if !LOOP_VARIABLES.contains(&target.node.name.as_str()) {
            let help = "use a variable of the script, as $var(x), or an AVP".to_owned();
            self.errors.add_with_help(
                target.span,
                format!("{} cannot go through a list", target.node.text),
                Some(help),
            );
            return Err(Reported);
        }
        let target = self.writable(target)?;
        let is_list = source.node.index == Some(IndexText::All);
        let source = self.bound(&source.node, source.span)?;
        let slot = self.begin_loop();
        let top = self.emit(Op::Each(Box::new(Each { slot, target, source, exit: 0 })));
        let count = self.emit(Op::LoopCount { slot, exit: 0 });
        self.block(body);
        self.emit(Op::Jump(top as u32));
        self.land(top);
        self.land(count);
        if !is_list {
            // what has no `[*]` is no list, and nothing is done
            let exit = self.here();
            self.code[top] = Op::Jump(exit);
        }
        self.end_loop();
        Ok(())
    }

    fn switch_statement(&mut self, subject: &Expr, cases: &[Case]) -> Checked<()> {
        let subject = self.value(subject)?;
        let head = self.emit(Op::Jump(0));
        self.breaks.push(Vec::new());
        let mut targets: Vec<(Value, u32)> = Vec::new();
        let mut otherwise = None;
        for case in cases {
            let here = self.here();
            match &case.value {
                Some(value) => {
                    if let Ok(value) = self.case_value(value) {
                        targets.push((value, here));
                    }
                }
                None if otherwise.is_some() => {
                    self.errors.add(case.span, "a switch has one default only");
                }
                None => otherwise = Some(here),
            }
            self.block(&case.body);
        }
        let otherwise = otherwise.unwrap_or(self.here());
        self.land_breaks();
        self.code[head] = Op::Switch(Box::new(Switch { subject, cases: targets.into(), otherwise }));
        Ok(())
    }

    /// Of two equal ones the first counts.
    fn case_value(&mut self, expr: &Expr) -> Checked<Value> {
        let value = self.value(expr)?;
        match value.constant() {
            Some(value) => Ok(value.clone()),
            None => self.fail(expr.span, "a case needs a constant"),
        }
    }

    pub(super) fn call_statement(&mut self, call: &CallTree) -> Checked<()> {
        let site = self.call_site(call, false)?;
        self.emit(Op::Call(Box::new(site)));
        Ok(())
    }

    pub(super) fn route_call(&mut self, call: &RouteCallTree) -> Checked<RouteCall<C>> {
        if call.arguments.len() > MAX_ROUTE_ARGUMENTS {
            let message = format!("a route takes at most {MAX_ROUTE_ARGUMENTS} arguments");
            return self.fail(call.name.span, message);
        }
        let target = match self.route_name(&call.name)? {
            Ok(id) => RouteTarget::Fixed(id),
            Err(name) => RouteTarget::Named(name),
        };
        let arguments = call.arguments.iter().map(|argument| self.parameter_value(argument));
        let arguments = arguments.collect::<Vec<_>>().into_iter().collect::<Result<_, Reported>>()?;
        Ok(RouteCall { target, arguments })
    }

    /// A route named by a word or string, or an expression that names one at run time.
    fn route_name(
        &mut self,
        name: &Expr,
    ) -> Checked<Result<crate::route::RouteId, crate::expression::Expr<C>>> {
        let expr = self.argument_value(name)?;
        match expr.constant().map(|value| value.to_bytes().unwrap_or_default()) {
            Some(text) => Ok(Ok(self.find_route(RouteKind::Request, &text, name.span)?)),
            None => Ok(Err(expr)),
        }
    }

    fn fixed_route(&mut self, name: &Expr) -> Checked<crate::route::RouteId> {
        match self.route_name(name)? {
            Ok(id) => Ok(id),
            Err(_) => self.fail(name.span, "the name of a route expected"),
        }
    }

    fn assignment(
        &mut self,
        target: &Spanned<Reference>,
        operator: AssignOperator,
        value: &Expr,
    ) -> Checked<()> {
        let bound = self.writable(target);
        let tree = value;
        let value = self.value_with_calls(tree)?;
        let (store, combine) = match operator {
            AssignOperator::Set => (Store::Set, None),
            AssignOperator::Replace => (Store::Replace, None),
            AssignOperator::Combine(operator) => (Store::Set, Some(Operator(operator))),
        };
        self.emit(Op::Assign(Box::new(Assignment { target: bound?, store, combine, value })));
        self.forget(tree);
        Ok(())
    }

    fn writable(&mut self, target: &Spanned<Reference>) -> Checked<Rc<Bound<C>>> {
        let bound = self.bound(&target.node, target.span)?;
        if bound.writable() {
            return Ok(bound);
        }
        let why =
            if bound.transforms.is_empty() { "is read-only" } else { "with a transformation is read-only" };
        self.fail(target.span, format!("{} {why}", bound.text()))
    }

    fn return_statement(&mut self, code: Option<&Expr>) -> Checked<()> {
        let Some(tree) = code else {
            self.emit(Op::Return(1));
            return Ok(());
        };
        let value = self.value(tree)?;
        match value.constant() {
            Some(Value::Int(code)) => self.emit(Op::Return(*code)),
            Some(_) => return self.fail(tree.span, "the return code is a number"),
            None => self.emit(Op::ReturnValue(Box::new(value))),
        };
        Ok(())
    }

    /// Only where there is a transaction to keep (manual, "Script Async", allowed routes).
    fn async_statement(
        &mut self,
        call: &CallTree,
        route: &Expr,
        timeout: Option<&Expr>,
        span: Span,
    ) -> Checked<()> {
        if !self.routes.intersects(Routes::REQUEST | Routes::REPLY) {
            return self.fail(span, "async() cannot be used in this type of route: launch() can");
        }
        let site = self.call_site(call, true);
        let route = self.fixed_route(route)?;
        let timeout = timeout.map(|timeout| self.value(timeout)).transpose()?;
        self.emit(Op::Async(Box::new(Async { site: site?, route, timeout })));
        Ok(())
    }

    fn launch_statement(
        &mut self,
        call: &CallTree,
        route: Option<&Expr>,
        text: Option<&Expr>,
    ) -> Checked<()> {
        let site = self.call_site(call, true);
        let report = route.map(|route| self.fixed_route(route)).transpose()?;
        let text = text.map(|text| self.argument_value(text)).transpose()?;
        self.emit(Op::Launch(Box::new(Launched { site: site?, report, text })));
        Ok(())
    }

    /// Leaves the truth of a condition in the register. Functions and routes are called in turn, as far as the
    /// operators around need them; what has no calls is one test.
    pub(super) fn condition(&mut self, condition: &Expr) -> Checked<()> {
        use crate::operator::Binary;
        use crate::tree::Unary;
        match &condition.node {
            _ if !has_calls(condition) => {
                let test = self.value(condition)?;
                self.emit(Op::Test(test));
                Ok(())
            }
            ExprKind::Assign { target, operator, value } => self.assignment(target, *operator, value),
            ExprKind::Call(call) => self.call_statement(call),
            ExprKind::Route(call) => {
                let call = self.route_call(call)?;
                self.emit(Op::Route(Box::new(call)));
                Ok(())
            }
            ExprKind::Unary(Unary::Not, inner) => {
                self.condition(inner)?;
                self.emit(Op::Invert);
                Ok(())
            }
            ExprKind::Binary(operator @ (Binary::And | Binary::Or), left, right) => {
                let first = self.condition(left);
                let skip = self.emit(if *operator == Binary::And { Op::Unless(0) } else { Op::When(0) });
                self.condition(right)?;
                self.land(skip);
                first
            }
            _ => {
                let test = self.value_with_calls(condition)?;
                self.emit(Op::Test(test));
                self.forget(condition);
                Ok(())
            }
        }
    }
}

/// Whether there is something in it that is more than a test: a call, or an assignment.
fn has_calls(expr: &Expr) -> bool {
    match &expr.node {
        ExprKind::Call(_) | ExprKind::Route(_) | ExprKind::Assign { .. } => true,
        ExprKind::Unary(_, inner) => has_calls(inner),
        ExprKind::Binary(_, left, right) => has_calls(left) || has_calls(right),
        _ => false,
    }
}
