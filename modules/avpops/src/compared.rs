//! `avp_check()` and `avp_op()`: AVPs compared and calculated with a value.

use std::rc::Rc;

use regex::bytes::Regex;
use tocsin_script::{
    ArgError, Bound, Call, Function, Index, Param, ParamKind, Part, Routes, Site, Value,
    compile_made_regex_with, compile_regex_within_lines,
};
use tocsin_server::Context;
use tocsin_server::blocklist::pattern;

use super::written::{Avp, Operand, Operation, two_avps};

/// How long a pattern of `fm` may be, in bytes: to match takes time in the product of both lengths at worst.
const MAX_PATTERN_BYTES: usize = 256;
/// The most values of one variable that are compared.
const MAX_VALUES: i64 = 1024;

const NAME_AND_OPERATION: &[Param] =
    &[Param::required("name", ParamKind::Parts), Param::required("op_value", ParamKind::Parts)];

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![check(), calculate()]
}

/// How two values are compared.
#[derive(Clone)]
enum Check {
    /// By their order: which ones are right.
    Order(fn(std::cmp::Ordering) -> bool),
    /// By their bits.
    Bits(fn(i64, i64) -> i64),
    /// By a regular expression, compiled if it is known.
    Matches(Option<Regex>),
    /// As file names are matched.
    Pattern,
}

fn check() -> Function<Context> {
    Function::new("avp_check", NAME_AND_OPERATION, Routes::ANY, |site| {
        let variable = one_variable(site)?;
        let operation = Operation::read(site, 1, b"gi")?;
        let check = check_of(&operation)?;
        let (all, any_case) = (operation.flags.has(b'g'), operation.flags.has(b'i'));
        let call: Call<Context> = Rc::new(move |cx, _| {
            let wanted = operation.operand.now(cx);
            if wanted.is_null() {
                return false.into();
            }
            if !all {
                let value = variable.read(cx);
                return check.holds(&value, &wanted, any_case).into();
            }
            let single = variable.is_single(cx);
            let most = if single { 1 } else { MAX_VALUES };
            let mut values = (0..most).map(|nth| variable.read_at(cx, Index::Nth(nth)));
            let mut present = values.by_ref().take_while(|value| !value.is_null());
            present.any(|value| check.holds(&value, &wanted, any_case)).into()
        });
        Ok(call)
    })
    .doc(
        "Compares a variable with a value: `operator/value/flags`. Operators: eq, ne, lt, le, gt, ge, re (regular \
         expression), fm (pattern as for file names), and, or, xor. Values: a variable, `i:number`, `s:text` or a \
         text; a number never equals a text. Flags: `g` any of the values will do, `i` any case. 1: it is so; -1: it \
         is not.",
    )
}

fn one_variable(site: &Site<'_, Context>) -> Result<Rc<Bound<Context>>, ArgError> {
    match &*site.parts(0) {
        [Part::Variable(bound)] => Ok(Rc::clone(bound)),
        _ => Err(ArgError::at(0, "a variable is needed")),
    }
}

fn check_of(operation: &Operation) -> Result<Check, ArgError> {
    use std::cmp::Ordering;
    Ok(match operation.operator.as_str() {
        "eq" => Check::Order(Ordering::is_eq),
        "ne" => Check::Order(Ordering::is_ne),
        "lt" => Check::Order(Ordering::is_lt),
        "le" => Check::Order(Ordering::is_le),
        "gt" => Check::Order(Ordering::is_gt),
        "ge" => Check::Order(Ordering::is_ge),
        "and" => Check::Bits(|one, other| one & other),
        "or" => Check::Bits(|one, other| one | other),
        "xor" => Check::Bits(|one, other| one ^ other),
        "fm" => Check::Pattern,
        "re" => match &operation.operand {
            Operand::Fixed(Value::Str(text)) => {
                Check::Matches(Some(compile_regex_within_lines(text).map_err(|why| ArgError::at(1, why))?))
            }
            Operand::Fixed(_) => return Err(ArgError::at(1, "a regular expression is a text")),
            Operand::Variable(_) => Check::Matches(None),
        },
        other => {
            let known = ["eq", "ne", "lt", "le", "gt", "ge", "re", "fm", "and", "or", "xor"];
            return Err(ArgError::at(1, format!("unknown operator `{other}`")).suggest(other, known));
        }
    })
}

impl Check {
    fn holds(&self, value: &Value, wanted: &Value, any_case: bool) -> bool {
        match (self, value, wanted) {
            (Self::Order(is_right), Value::Int(one), Value::Int(other)) => is_right(one.cmp(other)),
            (Self::Order(is_right), Value::Str(one), Value::Str(other)) if any_case => {
                is_right(one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()))
            }
            (Self::Order(is_right), Value::Str(one), Value::Str(other)) => is_right(one.cmp(other)),
            (Self::Bits(bits), Value::Int(one), Value::Int(other)) => bits(*one, *other) != 0,
            (Self::Matches(Some(regex)), Value::Str(text), _) => regex.is_match(text),
            (Self::Matches(None), Value::Str(text), Value::Str(expression)) => {
                match compile_made_regex_with(expression, true, true) {
                    Ok(regex) => regex.is_match(text),
                    Err(problem) => {
                        tracing::error!("avp_check: `{}`: {problem}", expression.escape_ascii());
                        false
                    }
                }
            }
            (Self::Pattern, Value::Str(text), Value::Str(wanted)) if wanted.len() <= MAX_PATTERN_BYTES => {
                if any_case {
                    pattern::matches(&wanted.to_ascii_lowercase(), &text.to_ascii_lowercase())
                } else {
                    pattern::matches(wanted, text)
                }
            }
            _ => false,
        }
    }
}

/// A call of `avp_op()`.
struct Calculation {
    source: Avp,
    /// Where the results go, if not in place of the numbers.
    destination: Option<Avp>,
    operation: Operation,
    calculate: Calculate,
}

impl Calculation {
    /// `false` if there is no result.
    fn run(&self, cx: &mut Context) -> bool {
        let Some(operand) = self.operation.operand.now(cx).to_int() else { return false };
        let numbers_wanted = if self.operation.flags.has(b'g') { usize::MAX } else { 1 };
        let values = self.source.all(cx);
        let numbers = values.iter().enumerate().filter_map(|(nth, value)| match value {
            Value::Int(number) => Some((nth, *number)),
            _ => None,
        });
        let (mut any, mut removed) = (false, 0);
        for (nth, number) in numbers.take(numbers_wanted) {
            if let Some(result) = (self.calculate)(number, operand) {
                any = true;
                removed += usize::from(self.put(cx, nth - removed, Value::Int(result)));
            }
        }
        any
    }

    /// Puts a result in place of the number at `at`, or into the destination. `true` if the number was removed.
    fn put(&self, cx: &mut Context, at: usize, result: Value) -> bool {
        let Some(destination) = &self.destination else {
            self.source.replace(cx, at, result);
            return false;
        };
        let removes = destination.push(cx, result) && self.operation.flags.has(b'd');
        if removes {
            self.source.remove(cx, at);
        }
        removes
    }
}

/// The result of a calculation; `None` if it has none.
type Calculate = fn(i64, i64) -> Option<i64>;

fn calculate() -> Function<Context> {
    Function::new("avp_op", NAME_AND_OPERATION, Routes::ANY, |site| {
        let (source, destination, _) = two_avps(site, 0, b"")?;
        let operation = Operation::read(site, 1, b"gd")?;
        let calculate = calculation(&operation)?;
        let calculation = Calculation { source, destination, operation, calculate };
        let call: Call<Context> = Rc::new(move |cx, _| calculation.run(cx).into());
        Ok(call)
    })
    .doc(
        "Calculates with the newest number of an AVP and a value, and puts the result in its place or into another \
         AVP: `$avp(a)/$avp(b)`. The second argument is `operator/value/flags`. Operators: add, sub, mul, div, mod, and, \
         or, xor, not. Values: a variable or `i:number`. Flags: `g` all numbers, `d` the source is removed. 1: done; -1: \
         there is no number, or a division by 0.",
    )
}

fn calculation(operation: &Operation) -> Result<Calculate, ArgError> {
    if matches!(operation.operand, Operand::Fixed(Value::Str(_))) {
        return Err(ArgError::at(1, "a number is written as `i:5`"));
    }
    Ok(match operation.operator.as_str() {
        "add" => |one, other| Some(one.wrapping_add(other)),
        "sub" => |one, other| Some(one.wrapping_sub(other)),
        "mul" => |one, other| Some(one.wrapping_mul(other)),
        "div" => i64::checked_div,
        "mod" => i64::checked_rem,
        "and" => |one, other| Some(one & other),
        "or" => |one, other| Some(one | other),
        "xor" => |one, other| Some(one ^ other),
        "not" => |one, _| Some(!one),
        other => {
            let known = ["add", "sub", "mul", "div", "mod", "and", "or", "xor", "not"];
            return Err(ArgError::at(1, format!("unknown operator `{other}`")).suggest(other, known));
        }
    })
}
