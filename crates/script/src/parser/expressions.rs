//! Conditions and values (manual, "Script Operators"). Logical operators bind loosest, then `!`, then comparisons,
//! then arithmetic in the order usual elsewhere, so that `$x & 4 == 4` compares the masked value.

use super::{MAX_OPERATORS, Parsed, Parser};
use crate::lexer::Kind;
use crate::operator::Binary;
use crate::tree::{Expr, ExprKind, Spanned, Unary};

/// Signs and words of the binary operators with how tight they bind.
const OPERATORS: &[(&str, Binary, u8)] = &[
    ("||", Binary::Or, 1),
    ("or", Binary::Or, 1),
    ("&&", Binary::And, 2),
    ("and", Binary::And, 2),
    ("==", Binary::Equal, 3),
    ("!=", Binary::Unequal, 3),
    ("=~", Binary::Match, 3),
    ("!~", Binary::NoMatch, 3),
    ("<", Binary::Less, 3),
    ("<=", Binary::LessEqual, 3),
    (">", Binary::Greater, 3),
    (">=", Binary::GreaterEqual, 3),
    ("|", Binary::BitOr, 4),
    ("^", Binary::BitXor, 5),
    ("&", Binary::BitAnd, 6),
    ("<<", Binary::ShiftLeft, 7),
    (">>", Binary::ShiftRight, 7),
    ("+", Binary::Add, 8),
    ("-", Binary::Subtract, 8),
    ("*", Binary::Multiply, 9),
    ("/", Binary::Divide, 9),
    ("%", Binary::Modulo, 9),
];

/// `!` takes a whole comparison: `!$x == 1` asks whether the comparison fails.
const NOT_BINDS: u8 = 3;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        let at = self.peek().span;
        self.nested(at, |parser| parser.binary(1))
    }

    /// Operators that bind at least as tight as `loosest`.
    fn binary(&mut self, loosest: u8) -> Parsed<Expr> {
        let mut left = self.unary(loosest)?;
        let mut operators = 0;
        while let Some((operator, binds)) = self.operator().filter(|(_, binds)| *binds >= loosest) {
            operators += 1;
            if operators > MAX_OPERATORS {
                return self
                    .fail(left.span, format!("more than {MAX_OPERATORS} operators in one expression"));
            }
            self.take();
            let right = self.binary(binds + 1)?;
            let span = left.span.to(right.span);
            left = Spanned { node: ExprKind::Binary(operator, Box::new(left), Box::new(right)), span };
        }
        Ok(left)
    }

    fn operator(&mut self) -> Option<(Binary, u8)> {
        let sign = match &self.peek().kind {
            Kind::Punct(sign) => sign,
            Kind::Word(word) => word.as_str(),
            _ => return None,
        };
        OPERATORS.iter().find(|(known, ..)| *known == sign).map(|(_, operator, binds)| (*operator, *binds))
    }

    fn unary(&mut self, loosest: u8) -> Parsed<Expr> {
        let token = self.peek().clone();
        let (operator, operand_binds) = match &token.kind {
            Kind::Punct("!") => (Unary::Not, NOT_BINDS.max(loosest)),
            Kind::Word(word) if word == "not" => (Unary::Not, NOT_BINDS.max(loosest)),
            Kind::Punct("-") => (Unary::Minus, 10),
            Kind::Punct("~") => (Unary::Complement, 10),
            _ => return self.primary(),
        };
        self.take();
        let operand = self.nested(token.span, |parser| parser.binary(operand_binds))?;
        let span = token.span.to(operand.span);
        Ok(Spanned { node: ExprKind::Unary(operator, Box::new(operand)), span })
    }

    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let token = self.take();
        let span = token.span;
        let node = match token.kind {
            Kind::Int(number) => ExprKind::Int(number),
            Kind::Text(text) => ExprKind::Text(text),
            Kind::Variable(variable) => ExprKind::Variable(variable),
            Kind::Punct("-") => match self.take().kind {
                Kind::Int(number) => ExprKind::Int(-number),
                _ => return self.fail(span, "syntax error: a number expected after `-`"),
            },
            Kind::Punct("(") => {
                let inner = self.expression()?;
                return Ok(Spanned { span: span.to(self.expect(")")?), ..inner });
            }
            // the test operator: a value as a condition
            Kind::Punct("[") => {
                let inner = self.expression()?;
                return Ok(Spanned { span: span.to(self.expect("]")?), ..inner });
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("null") => ExprKind::Null,
            Kind::Word(word) if word == "route" && self.is("(") => ExprKind::Route(self.route_call()?),
            Kind::Word(word) if self.is("(") => {
                let call = self.call(Spanned { node: word, span })?;
                ExprKind::Call(Box::new(call))
            }
            Kind::Word(word) => ExprKind::Word(word),
            _ => return self.unexpected(&token, "a value expected"),
        };
        Ok(Spanned { node, span: span.to(self.last) })
    }

    /// One argument of a function: an expression, or an address without quotes.
    pub(super) fn argument(&mut self) -> Parsed<Expr> {
        if matches!(self.peek().kind, Kind::Word(_)) && self.lexer.adjacent() == Some(b':') {
            let (word, span) = self.raw(b",)");
            let text = crate::lexer::Text { bytes: word.into(), plain: true };
            return Ok(Spanned { node: ExprKind::Text(text), span });
        }
        self.expression()
    }

    /// The name of a route, which may begin with a digit.
    pub(super) fn route_argument(&mut self) -> Parsed<Expr> {
        let value = self.primary()?;
        match value.node {
            ExprKind::Int(number) => {
                Ok(Spanned { node: ExprKind::Word(number.to_string()), span: value.span })
            }
            _ => Ok(value),
        }
    }
}
