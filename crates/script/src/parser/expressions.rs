//! Conditions and values (manual, "Script Operators").
//!
//! The two have grammars of their own, as in OpenSIPS 3.4: a condition compares a variable with one operand, and arithmetic
//! in it stands in brackets, `[ $var(x) & 4 ]`. `&&` and `||` bind equally tight there, and so do all the operators of
//! arithmetic but the shifts, which are looser: each chain is read from the left. Where that differs from what is usual
//! elsewhere, a warning says so.

use super::{MAX_OPERATORS, Parsed, Parser};
use crate::lexer::{Kind, Text};
use crate::operator::Binary;
use crate::source::Span;
use crate::tree::{AssignOperator, Expr, ExprKind, Spanned, Unary};

/// Signs and words of binary operators.
type Operators = [(&'static str, Binary)];

const LOGICAL: &Operators =
    &[("||", Binary::Or), ("or", Binary::Or), ("&&", Binary::And), ("and", Binary::And)];

const COMPARING: &Operators = &[
    ("==", Binary::Equal),
    ("!=", Binary::Unequal),
    ("=~", Binary::Match),
    ("!~", Binary::NoMatch),
    ("<", Binary::Less),
    ("<=", Binary::LessEqual),
    (">", Binary::Greater),
    (">=", Binary::GreaterEqual),
];

const SHIFTING: &Operators = &[("<<", Binary::ShiftLeft), (">>", Binary::ShiftRight)];

const CALCULATING: &Operators = &[
    ("|", Binary::BitOr),
    ("^", Binary::BitXor),
    ("&", Binary::BitAnd),
    ("+", Binary::Add),
    ("-", Binary::Subtract),
    ("*", Binary::Multiply),
    ("/", Binary::Divide),
    ("%", Binary::Modulo),
];

/// Words that stood on the left of comparisons in earlier versions, and what is written now.
const OLDER_WORDS: [(&str, &str); 10] = [
    ("uri", "write `is_myself(\"$rd\")`, or compare `$ru`"),
    ("from_uri", "write `is_myself(\"$fd\")`, or compare `$fu`"),
    ("to_uri", "write `is_myself(\"$td\")`, or compare `$tu`"),
    ("method", "write `is_method(\"INVITE\")`, or compare `$rm`"),
    ("src_ip", "compare `$si`"),
    ("dst_ip", "compare `$socket_in(ip)`"),
    ("src_port", "compare `$sp`"),
    ("dst_port", "compare `$socket_in(port)`"),
    ("proto", "compare `$socket_in(proto)`"),
    ("retcode", "compare `$rc`"),
];

impl Parser<'_> {
    /// What stands in `if (...)` and `while (...)`.
    pub(super) fn condition_expression(&mut self) -> Parsed<Expr> {
        let at = self.peek().span;
        self.nested(at, |parser| parser.chain(LOGICAL, &Self::negation))
    }

    /// `!` takes a whole comparison: `!$x == 1` asks whether the comparison fails.
    fn negation(&mut self) -> Parsed<Expr> {
        let token = self.peek().clone();
        let negates = match &token.kind {
            Kind::Punct(sign) => *sign == "!",
            Kind::Word(word) => word == "not",
            _ => false,
        };
        if !negates {
            return self.condition_operand();
        }
        self.take();
        let operand = self.nested(token.span, Self::negation)?;
        let span = token.span.to(operand.span);
        Ok(Spanned { node: ExprKind::Unary(Unary::Not, Box::new(operand)), span })
    }

    fn condition_operand(&mut self) -> Parsed<Expr> {
        let token = self.peek().clone();
        match &token.kind {
            Kind::Punct("(") => {
                self.take();
                let inner = self.condition_expression()?;
                Ok(Spanned { span: token.span.to(self.expect(")")?), ..inner })
            }
            Kind::Punct("[") => self.bracketed(token.span),
            Kind::Variable(_) => self.variable_condition(),
            Kind::Text(_) => {
                let help = "compare a variable with it, as `$var(x) == \"text\"`".to_owned();
                self.fail_with_help(token.span, "a string is not a condition", help)
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("null") => {
                let help = "compare a variable with it, as `$var(x) == NULL`".to_owned();
                self.fail_with_help(token.span, "NULL is not a condition", help)
            }
            _ => {
                let operand = self.primary()?;
                self.no_operator_follows(&operand)?;
                Ok(operand)
            }
        }
    }

    /// `[ VALUE ]`: a value as a condition. A variable that stands there alone is true if it has a value.
    fn bracketed(&mut self, open: Span) -> Parsed<Expr> {
        self.take();
        if let Kind::Word(word) = &self.peek().kind
            && word.eq_ignore_ascii_case("null")
        {
            let span = self.peek().span;
            return self.fail(span, "NULL is not a condition");
        }
        let inner = self.value_expression()?;
        let span = open.to(self.expect("]")?);
        let node = match inner.node {
            ExprKind::Variable(reference) => ExprKind::Present(reference),
            other => other,
        };
        Ok(Spanned { node, span })
    }

    /// A variable alone, compared with an operand, or assigned a value.
    fn variable_condition(&mut self) -> Parsed<Expr> {
        let left = self.primary()?;
        if let Some(operator) = self.operator_of(COMPARING) {
            self.take();
            let right = self.compared_with(operator)?;
            self.no_operator_follows(&right)?;
            let span = left.span.to(right.span);
            return Ok(Spanned { node: ExprKind::Binary(operator, Box::new(left), Box::new(right)), span });
        }
        if self.is("=") || self.is(":=") {
            let operator = if self.accept(":=") { AssignOperator::Replace } else { AssignOperator::Set };
            self.accept("=");
            return self.assigning_condition(left, operator);
        }
        self.no_operator_follows(&left)?;
        Ok(left)
    }

    fn assigning_condition(&mut self, target: Expr, operator: AssignOperator) -> Parsed<Expr> {
        let value = self.assigned_value()?;
        let span = target.span.to(value.span);
        self.warnings.add_with_help(
            span,
            "this assigns a value, and is true if that works",
            Some("write `==` to compare".to_owned()),
        );
        let ExprKind::Variable(reference) = target.node else {
            return self.fail(target.span, "syntax error: a variable expected before `=`");
        };
        let target = Spanned { node: *reference, span: target.span };
        Ok(Spanned { node: ExprKind::Assign { target, operator, value: Box::new(value) }, span })
    }

    /// The right side of a comparison; NULL has no order.
    fn compared_with(&mut self, operator: Binary) -> Parsed<Expr> {
        let right = self.unary()?;
        let orders = !matches!(operator, Binary::Equal | Binary::Unequal);
        match &right.node {
            ExprKind::Null if orders => {
                let help = "compare it by `==` or `!=`".to_owned();
                self.fail_with_help(
                    right.span,
                    format!("`{}` cannot be used with NULL", operator.sign()),
                    help,
                )
            }
            ExprKind::Word(word) => {
                let message = format!("syntax error: unknown word <{word}>: strings are written in quotes");
                self.fail(right.span, message)
            }
            _ => Ok(right),
        }
    }

    /// In a condition arithmetic and comparisons of results need brackets.
    fn no_operator_follows(&mut self, operand: &Expr) -> Parsed<()> {
        let next = [COMPARING, SHIFTING, CALCULATING].into_iter().find_map(|signs| self.operator_of(signs));
        let Some(operator) = next else { return Ok(()) };
        let span = self.peek().span;
        let calls = matches!(operand.node, ExprKind::Call(_) | ExprKind::Route(_));
        let older = match &operand.node {
            ExprKind::Word(word) => OLDER_WORDS.iter().find(|(older, _)| older == word),
            _ => None,
        };
        let help = match (is_comparing(operator), calls) {
            _ if older.is_some() => older.map_or("", |(_, newer)| newer),
            (true, true) => "assign it first, as `$var(rc) = function(...)`, and compare that",
            (true, false) => "the variable stands on the left, as `$var(x) == 5`",
            (false, _) => "a calculation stands in brackets: `if ([ $var(x) & 4 ])`",
        };
        let message = format!("syntax error: `{}` cannot be used here in a condition", operator.sign());
        self.fail_with_help(span, message, help.to_owned())
    }

    /// What may be assigned: NULL, or a value.
    pub(super) fn assigned_value(&mut self) -> Parsed<Expr> {
        if let Kind::Word(word) = &self.peek().kind
            && word.eq_ignore_ascii_case("null")
        {
            let span = self.take().span;
            return Ok(Spanned { node: ExprKind::Null, span });
        }
        self.value_expression()
    }

    /// A value: arithmetic, or the truth of a comparison.
    pub(super) fn value_expression(&mut self) -> Parsed<Expr> {
        let at = self.peek().span;
        self.nested(at, |parser| {
            parser.chain(COMPARING, &|parser: &mut Self| {
                parser.chain(SHIFTING, &|parser: &mut Self| parser.chain(CALCULATING, &Self::calculated))
            })
        })
    }

    /// An operand of arithmetic.
    fn calculated(&mut self) -> Parsed<Expr> {
        let operand = self.unary()?;
        match operand.node {
            ExprKind::Null => self.fail(operand.span, "NULL cannot be calculated with"),
            _ => Ok(operand),
        }
    }

    /// Operands with operators of one rank between them, taken from the left.
    fn chain(&mut self, operators: &Operators, operand: &dyn Fn(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        let mut left = operand(self)?;
        let mut count = 0;
        let mut before: Option<(Binary, Span)> = None;
        while let Some(operator) = self.operator_of(operators) {
            count += 1;
            if count > MAX_OPERATORS {
                return self
                    .fail(left.span, format!("more than {MAX_OPERATORS} operators in one expression"));
            }
            self.take();
            let right = operand(self)?;
            if let Some((looser, last)) = before
                && looser.usual_rank() < operator.usual_rank()
            {
                self.warn_of_order(left.span, looser, last, operator, right.span);
            }
            before = Some((operator, right.span));
            let span = left.span.to(right.span);
            left = Spanned { node: ExprKind::Binary(operator, Box::new(left), Box::new(right)), span };
        }
        Ok(left)
    }

    /// `7 - 2 * 3` is `(7 - 2) * 3`: that is said once, with both readings.
    fn warn_of_order(&mut self, left: Span, looser: Binary, last: Span, operator: Binary, right: Span) {
        let (left_text, last_text, right_text) = (self.shown(left), self.shown(last), self.shown(right));
        let sign = operator.sign();
        let message = format!("read from the left: `{}` comes before `{sign}` here", looser.sign());
        let help = format!(
            "`({left_text}) {sign} {right_text}` says the same; `... {} ({last_text} {sign} {right_text})` is the other reading",
            looser.sign()
        );
        self.warnings.add_with_help(left.to(right), message, Some(help));
    }

    /// A piece of the configuration, for a message.
    fn shown(&self, span: Span) -> String {
        let text = self.lexer.source.file(span).text();
        let piece = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        String::from_utf8_lossy(piece).into_owned()
    }

    fn operator_of(&mut self, operators: &Operators) -> Option<Binary> {
        let sign = match &self.peek().kind {
            Kind::Punct(sign) => sign,
            Kind::Word(word) => word.as_str(),
            _ => return None,
        };
        operators.iter().find(|(known, _)| *known == sign).map(|(_, operator)| *operator)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let token = self.peek().clone();
        if token.kind != Kind::Punct("~") {
            return self.primary();
        }
        self.take();
        let operand = self.nested(token.span, Self::unary)?;
        let span = token.span.to(operand.span);
        Ok(Spanned { node: ExprKind::Unary(Unary::Complement, Box::new(operand)), span })
    }

    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let token = self.take();
        let span = token.span;
        let node = match token.kind {
            Kind::Int(_) if self.lexer.adjacent() == Some(b'.') => return self.address(span),
            Kind::Int(number) => ExprKind::Int(number),
            Kind::Text(text) => ExprKind::Text(text),
            Kind::Variable(variable) => ExprKind::Variable(variable),
            Kind::Punct("-") => match self.take().kind {
                Kind::Int(number) => ExprKind::Int(-number),
                _ => return self.fail(span, "syntax error: a number expected after `-`"),
            },
            Kind::Punct("(") => {
                let inner = self.value_expression()?;
                return Ok(Spanned { span: span.to(self.expect(")")?), ..inner });
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("null") => ExprKind::Null,
            Kind::Word(word) if word == "route" && self.is("(") => {
                ExprKind::Route(self.nested(span, Self::route_call)?)
            }
            Kind::Word(word) if self.is("(") => {
                let call = self.nested(span, |parser| parser.call(Spanned { node: word, span }))?;
                ExprKind::Call(Box::new(call))
            }
            Kind::Word(word) => ExprKind::Word(word),
            _ => return self.unexpected(&token, "a value expected"),
        };
        Ok(Spanned { node, span: span.to(self.last) })
    }

    /// An IPv4 address without quotes; it stands for its text.
    fn address(&mut self, begin: Span) -> Parsed<Expr> {
        self.lexer.rewind(begin);
        let (word, span) = self.raw(b";,)]}{=!<>&|");
        if word.parse::<std::net::Ipv4Addr>().is_err() {
            return self.fail(span, format!("syntax error: `{word}` is not a number and not an address"));
        }
        Ok(Spanned { node: ExprKind::Text(Text { bytes: word.into(), plain: false }), span })
    }

    /// One argument of a function: a constant or a variable, or an address without quotes. Strings side by side are one.
    pub(super) fn argument(&mut self) -> Parsed<Expr> {
        if matches!(self.peek().kind, Kind::Word(_)) && self.lexer.adjacent() == Some(b':') {
            let (word, span) = self.raw(b",)");
            let text = Text { bytes: word.into(), plain: true };
            return Ok(Spanned { node: ExprKind::Text(text), span });
        }
        let first = self.primary()?;
        let ExprKind::Text(mut text) = first.node else { return Ok(first) };
        let mut span = first.span;
        while let Kind::Text(next) = &self.peek().kind {
            text.bytes = [&*text.bytes, &*next.bytes].concat().into();
            text.plain = false;
            span = span.to(self.take().span);
        }
        Ok(Spanned { node: ExprKind::Text(text), span })
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

fn is_comparing(operator: Binary) -> bool {
    COMPARING.iter().any(|(_, known)| *known == operator)
}
