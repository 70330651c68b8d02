//! Expressions as people write them: `(1 + 2) * sqrt(3)`. The operators are `+ - * / % ^`, with the usual ranks; `^` goes
//! from left to right, and a sign binds closer than it (manual, math_eval).

use super::number;

/// How deep parentheses and functions may be nested.
pub(super) const MAX_NESTING: usize = 64;

/// A function of one number.
type Unary = fn(f64) -> f64;

/// The functions that an expression can use.
const FUNCTIONS: &[(&str, Unary)] = &[
    ("abs", f64::abs),
    ("acos", f64::acos),
    ("asin", f64::asin),
    ("atan", f64::atan),
    ("ceil", f64::ceil),
    ("cos", f64::cos),
    ("cosh", f64::cosh),
    ("exp", f64::exp),
    ("floor", f64::floor),
    ("ln", f64::ln),
    ("log", f64::log10),
    ("sin", f64::sin),
    ("sinh", f64::sinh),
    ("sqrt", f64::sqrt),
    ("tan", f64::tan),
    ("tanh", f64::tanh),
];

/// The value of an expression; `None` if it is none, or not a number.
pub(super) fn evaluate(text: &[u8]) -> Option<f64> {
    let mut reader = Reader { rest: text, depth: 0 };
    let value = reader.sum()?;
    reader.skip_blanks();
    (reader.rest.is_empty() && !value.is_nan()).then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl Reader<'_> {
    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        while let Some(operator) = self.take(b"+-") {
            let next = self.product()?;
            value = if operator == b'+' { value + next } else { value - next };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.power()?;
        while let Some(operator) = self.take(b"*/%") {
            let next = self.power()?;
            value = match operator {
                b'*' => value * next,
                b'/' => value / next,
                _ => value % next,
            };
        }
        Some(value)
    }

    fn power(&mut self) -> Option<f64> {
        let mut value = self.signed()?;
        while self.take(b"^").is_some() {
            value = value.powf(self.signed()?);
        }
        Some(value)
    }

    fn signed(&mut self) -> Option<f64> {
        let mut sign = 1.0;
        while let Some(operator) = self.take(b"+-") {
            if operator == b'-' {
                sign = -sign;
            }
        }
        Some(sign * self.operand()?)
    }

    fn operand(&mut self) -> Option<f64> {
        self.skip_blanks();
        if let Some((value, length)) = number::prefix(self.rest) {
            self.rest = &self.rest[length..];
            return Some(value);
        }
        if self.depth == MAX_NESTING {
            return None;
        }
        self.depth += 1;
        let value = if self.take(b"(").is_some() {
            self.sum().filter(|_| self.take(b")").is_some())
        } else {
            self.function()
        };
        self.depth -= 1;
        value
    }

    /// `sqrt(2)` or `sqrt 2`.
    fn function(&mut self) -> Option<f64> {
        let length =
            self.rest.iter().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
        let (name, rest) = self.rest.split_at(length);
        let (_, function) = FUNCTIONS.iter().find(|(known, _)| known.as_bytes() == name)?;
        self.rest = rest;
        self.signed().map(function)
    }

    /// Takes the next byte, behind blanks, if it is one of these.
    fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        self.skip_blanks();
        let (first, rest) = self.rest.split_first()?;
        wanted.contains(first).then(|| {
            self.rest = rest;
            *first
        })
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_ranks() {
        for (text, value) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("2^3^2", 64.0),
            ("-2^2", 4.0),
            ("7 - 2 - 1", 4.0),
            ("7 % 4 * 2", 6.0),
            ("- - 3", 3.0),
            ("abs -5 + 1", 6.0),
            (" sqrt ( 9 ) ", 3.0),
            ("1/0", f64::INFINITY),
        ] {
            assert_eq!(evaluate(text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_has_no_value() {
        for text in ["", "1 +", "1 2", "(1", "1)", "pi", "pow(2,3)", "1,2", "0/0", "nonsense", "SQRT(4)"] {
            assert_eq!(evaluate(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(evaluate(nested(MAX_NESTING).as_bytes()), Some(1.0));
        assert_eq!(evaluate(nested(MAX_NESTING + 1).as_bytes()), None);
        assert_eq!(evaluate("sin ".repeat(100_000).as_bytes()), None);
    }
}
