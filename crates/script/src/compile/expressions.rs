//! Values. A call within one is made before it, and its code is kept for it.

use std::rc::Rc;

use super::{Checked, Compiler};
use crate::arithmetic::{Right, arithmetic, compare, complement, is_arithmetic, narrow};
use crate::call::Host;
use crate::code::Op;
use crate::ere;
use crate::expression::{Expr, Operator, Pattern};
use crate::format;
use crate::lexer::Text;
use crate::operator::Binary;
use crate::reference::Reference;
use crate::source::Span;
use crate::tree::{self, ExprKind, Spanned, Unary};
use crate::value::{Bytes, Value};
use crate::variable::Bound;

impl<C: Host> Compiler<'_, C> {
    /// A value, with the code of its calls: [`Self::forget`] has to follow the operation that reads it.
    pub(super) fn value_with_calls(&mut self, expr: &tree::Expr) -> Checked<Expr<C>> {
        let calls = count_calls(expr);
        let outer = (std::mem::replace(&mut self.calls, calls), std::mem::take(&mut self.called));
        let value = self.value(expr);
        (self.calls, self.called) = outer;
        value
    }

    /// Takes back what was kept for the calls of an expression.
    pub(super) fn forget(&mut self, expr: &tree::Expr) {
        let calls = count_calls(expr);
        if calls > 0 {
            self.emit(Op::Forget(calls));
        }
    }

    /// The code of a call that is made before the expression.
    fn call_value(&mut self, expr: &tree::Expr) -> Checked<Expr<C>> {
        if self.calls == 0 {
            return self.fail(expr.span, "a call cannot stand here: assign its value to a variable first");
        }
        // within its arguments there are no further calls
        let calls = std::mem::take(&mut self.calls);
        match &expr.node {
            ExprKind::Call(call) => self.call_statement(call)?,
            ExprKind::Route(call) => {
                let call = self.route_call(call)?;
                self.emit(Op::Route(Box::new(call)));
            }
            _ => {}
        }
        self.calls = calls;
        self.emit(Op::Keep);
        self.called += 1;
        Ok(Expr::Kept(self.calls - self.called))
    }

    /// A value. A string stands for itself, a word is a number's name.
    pub(super) fn value(&mut self, expr: &tree::Expr) -> Checked<Expr<C>> {
        match &expr.node {
            ExprKind::Int(number) => Ok(Expr::Const(Value::Int(i64::from(narrow(*number))))),
            ExprKind::Null => Ok(Expr::Const(Value::Null)),
            ExprKind::Text(text) => Ok(Expr::Const(Value::Str(text.bytes.clone()))),
            ExprKind::Word(word) => self.word(&Spanned { node: word, span: expr.span }).map(Expr::Const),
            ExprKind::Variable(reference) => self.bound(reference, expr.span).map(Expr::Variable),
            ExprKind::Unary(operator, inner) => self.unary(*operator, inner, expr.span),
            ExprKind::Binary(operator, left, right) => self.binary(*operator, left, right),
            ExprKind::Present(reference) => self.bound(reference, expr.span).map(Expr::Present),
            ExprKind::Call(_) | ExprKind::Route(_) => self.call_value(expr),
            ExprKind::Assign { .. } => self.fail(expr.span, "an assignment is not a value"),
        }
    }

    /// An argument of a function: a string is a format string, and a word stands for itself.
    pub(super) fn argument_value(&mut self, expr: &tree::Expr) -> Checked<Expr<C>> {
        match &expr.node {
            ExprKind::Word(word) => Ok(Expr::Const(Value::str(word.as_str()))),
            ExprKind::Text(text) => self.text(text, expr.span),
            _ => self.value(expr),
        }
    }

    /// A parameter of a route: a string stands for itself, and so does a word.
    pub(super) fn parameter_value(&mut self, expr: &tree::Expr) -> Checked<Expr<C>> {
        match &expr.node {
            ExprKind::Word(_) => self.argument_value(expr),
            _ => self.value(expr),
        }
    }

    pub(super) fn bound(&mut self, reference: &Reference, span: Span) -> Checked<Rc<Bound<C>>> {
        self.names.bind_shared(reference, self.routes).or_else(|error| self.reject(span, error))
    }

    pub(super) fn text(&mut self, text: &Text, span: Span) -> Checked<Expr<C>> {
        match format::parse(&text.bytes, &self.names, self.routes) {
            Ok(expr) => Ok(expr),
            Err(error) => {
                // the text begins behind its quote
                let span = if text.plain { span.part(1 + error.at, error.len) } else { span };
                self.reject(span, error.error)
            }
        }
    }

    fn unary(&mut self, operator: Unary, inner: &tree::Expr, span: Span) -> Checked<Expr<C>> {
        let inner = self.value(inner)?;
        let folded = match (operator, inner.constant()) {
            (_, None) => None,
            (Unary::Not, Some(value)) => Some(Ok(Value::from(!value.is_true()))),
            (Unary::Complement, Some(value)) => Some(complement(value)),
        };
        match folded {
            Some(Ok(value)) => Ok(Expr::Const(value)),
            Some(Err(fault)) => self.fail(span, fault.to_string()),
            None => Ok(match operator {
                Unary::Not => Expr::Not(Box::new(inner)),
                Unary::Complement => Expr::Complement(Box::new(inner)),
            }),
        }
    }

    fn binary(&mut self, operator: Binary, left: &tree::Expr, right: &tree::Expr) -> Checked<Expr<C>> {
        if matches!(operator, Binary::Match | Binary::NoMatch) {
            let subject = Box::new(self.value(left)?);
            let pattern = self.pattern(right)?;
            return Ok(Expr::Match { subject, pattern, negated: operator == Binary::NoMatch });
        }
        let left = self.value(left);
        let right = self.value(right)?;
        let left = left?;
        let folded = match (left.constant(), right.constant()) {
            (Some(_), Some(_)) if matches!(operator, Binary::And | Binary::Or) => None,
            (Some(left), Some(right)) if is_arithmetic(operator) => {
                arithmetic(operator, left, right, Right::Other).ok()
            }
            (Some(left), Some(right)) => Some(Value::from(compare(operator, left, right, Right::Other))),
            _ => None,
        };
        match folded {
            Some(value) => Ok(Expr::Const(value)),
            // what fails is said when it runs
            None => Ok(Expr::Binary(Operator(operator), Box::new((left, right)))),
        }
    }

    /// The right side of a match; a constant one is compiled now.
    fn pattern(&mut self, expr: &tree::Expr) -> Checked<Pattern<C>> {
        let value = self.value(expr)?;
        match value.constant() {
            Some(Value::Str(pattern)) => self.regex(pattern, expr.span).map(Pattern::Fixed),
            Some(_) => self.fail(expr.span, "a regular expression in quotes expected"),
            None => Ok(Pattern::Dynamic(Box::new(value))),
        }
    }

    pub(super) fn regex(&mut self, pattern: &Bytes, span: Span) -> Checked<regex::bytes::Regex> {
        match ere::compile_located(pattern) {
            Ok(regex) => Ok(regex),
            Err(bad) => {
                let span = self.within_text(pattern, span, bad.at);
                self.fail(span, bad.message)
            }
        }
    }

    /// The place of a byte of a string in the configuration, if the string stands there as it is, without escapes.
    fn within_text(&self, text: &[u8], span: Span, at: Option<usize>) -> Span {
        let (start, end) = (span.start as usize + 1, (span.end as usize).saturating_sub(1));
        let written = self.source.file(span).text().get(start..end);
        match at {
            Some(at) if written == Some(text) => span.part(at + 1, 1),
            _ => span,
        }
    }
}

fn count_calls(expr: &tree::Expr) -> u32 {
    match &expr.node {
        ExprKind::Call(_) | ExprKind::Route(_) => 1,
        ExprKind::Unary(_, inner) => count_calls(inner),
        ExprKind::Binary(_, left, right) => count_calls(left) + count_calls(right),
        _ => 0,
    }
}
