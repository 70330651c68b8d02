//! Values and conditions without calls.

use std::rc::Rc;

use super::{Checked, Compiler};
use crate::call::Host;
use crate::ere;
use crate::expression::{Expr, Operator, Pattern, arithmetic, compare, complement, is_arithmetic};
use crate::format;
use crate::lexer::Text;
use crate::operator::Binary;
use crate::reference::Reference;
use crate::source::Span;
use crate::tree::{self, ExprKind, Spanned, Unary};
use crate::value::{Bytes, Value};
use crate::variable::Bound;

impl<C: Host> Compiler<'_, C> {
    /// A value. Strings are format strings; a word is a number's name.
    pub(super) fn value(&mut self, expr: &tree::Expr) -> Checked<Expr<C>> {
        match &expr.node {
            ExprKind::Int(number) => Ok(Expr::Const(Value::Int(*number))),
            ExprKind::Null => Ok(Expr::Const(Value::Null)),
            ExprKind::Text(text) => self.text(text, expr.span),
            ExprKind::Word(word) => self.word(&Spanned { node: word, span: expr.span }).map(Expr::Const),
            ExprKind::Variable(reference) => self.bound(reference, expr.span).map(Expr::Variable),
            ExprKind::Unary(operator, inner) => self.unary(*operator, inner, expr.span),
            ExprKind::Binary(operator, left, right) => self.binary(*operator, left, right, expr.span),
            ExprKind::Call(_) | ExprKind::Route(_) => {
                self.fail(expr.span, "a function has no value: call it first and use $rc")
            }
        }
    }

    /// The same, but a word stands for itself, as it does in the arguments of functions.
    pub(super) fn argument_value(&mut self, expr: &tree::Expr) -> Checked<Expr<C>> {
        match &expr.node {
            ExprKind::Word(word) => Ok(Expr::Const(Value::str(word.as_str()))),
            _ => self.value(expr),
        }
    }

    pub(super) fn bound(&mut self, reference: &Reference, span: Span) -> Checked<Rc<Bound<C>>> {
        match self.names.bind(reference, self.routes) {
            Ok(bound) => Ok(Rc::new(bound)),
            Err(error) => self.reject(span, error),
        }
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
            (Unary::Minus, Some(value)) => Some(arithmetic(Binary::Subtract, &Value::Int(0), value)),
            (Unary::Complement, Some(value)) => Some(complement(value)),
        };
        match folded {
            Some(Ok(value)) => Ok(Expr::Const(value)),
            Some(Err(fault)) => self.fail(span, fault.to_string()),
            None => Ok(match operator {
                Unary::Not => Expr::Not(Box::new(inner)),
                Unary::Complement => Expr::Complement(Box::new(inner)),
                Unary::Minus => {
                    Expr::Binary(Operator(Binary::Subtract), Box::new((Expr::Const(Value::Int(0)), inner)))
                }
            }),
        }
    }

    fn binary(
        &mut self,
        operator: Binary,
        left: &tree::Expr,
        right: &tree::Expr,
        span: Span,
    ) -> Checked<Expr<C>> {
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
            (Some(left), Some(right)) if is_arithmetic(operator) => Some(arithmetic(operator, left, right)),
            (Some(left), Some(right)) => Some(Ok(Value::from(compare(operator, left, right)))),
            _ => None,
        };
        match folded {
            Some(Ok(value)) => Ok(Expr::Const(value)),
            Some(Err(fault)) => self.fail(span, fault.to_string()),
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
        match ere::compile(pattern) {
            Ok(regex) => Ok(regex),
            Err(message) => self.fail(span, message),
        }
    }
}
