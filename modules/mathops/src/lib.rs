//! mathops: arithmetic with fractions. A function takes an expression or a number as text and writes the result into a
//! variable.
#![forbid(unsafe_code)]

mod expression;
mod number;
mod rpn;

use std::rc::Rc;

use tocsin_script::{
    ArgError, Bound, Call, Function, ModParam, ModuleSpec, Outcome, Param, ParamKind, Routes, Store, Value,
};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use number::MAX_DECIMALS;

const DECIMAL_DIGITS: ModParam = ModParam::number(
    "decimal_digits",
    6,
    "How many decimals results that are texts have.",
)
.within(0, MAX_DECIMALS, "decimals");

/// `decimal_digits`.
#[derive(Debug, Clone, Copy)]
struct Decimals(i64);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Mathops;

impl Module for Mathops {
    fn spec(&self) -> ModuleSpec<Context> {
        let mut functions = expressions();
        functions.extend(rounding());
        ModuleSpec { params: &[DECIMAL_DIGITS], functions, ..ModuleSpec::new("mathops") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        setup.registered.states.put(Decimals(setup.parameters.int(&DECIMAL_DIGITS)));
        Ok(())
    }
}

/// `math_eval()`, `math_rpn()` and `math_compare()`.
fn expressions() -> Vec<Function<Context>> {
    const EXPRESSION: &[Param] =
        &[Param::required("expression", ParamKind::Str), Param::required("result_var", ParamKind::Output)];
    const TWO: &[Param] = &[
        Param::required("exp1", ParamKind::Str),
        Param::required("exp2", ParamKind::Str),
        Param::required("result_var", ParamKind::Output),
    ];
    vec![
        function("math_eval", EXPRESSION, 1, |cx, arguments| {
            Some(text(cx, expression::evaluate(bytes(&arguments[0]))?))
        })
        .doc(
            "Writes the value of an expression such as `(1 + 2) * sqrt(3)` into a variable. 1: done; -1: it is \
             no expression, or has no value.",
        ),
        function("math_rpn", EXPRESSION, 1, |cx, arguments| {
            Some(text(cx, rpn::evaluate(bytes(&arguments[0]))?))
        })
        .doc(
            "Writes the value of an expression in reverse Polish notation, such as `1 2 +`, into a variable. \
             1: done; -1: it is no expression, or has no value.",
        ),
        function("math_compare", TWO, 2, |_, arguments| {
            let one = expression::evaluate(bytes(&arguments[0]))?;
            let other = expression::evaluate(bytes(&arguments[1]))?;
            Some(Value::Int(one.total_cmp(&other) as i64))
        })
        .doc(
            "Compares the values of two expressions and writes -1, 0 or 1 into a variable: the first is less, \
             equal or greater. 1: done; -1: one is no expression, or has no value.",
        ),
    ]
}

/// `math_trunc()` and the like.
fn rounding() -> Vec<Function<Context>> {
    const NUMBER: &[Param] =
        &[Param::required("number", ParamKind::Str), Param::required("result_var", ParamKind::Output)];
    const ROUND: &[Param] = &[
        Param::required("number", ParamKind::Str),
        Param::required("result_var", ParamKind::Output),
        Param::optional("decimals", ParamKind::Int),
    ];
    const FIGURES: &[Param] = &[
        Param::required("number", ParamKind::Str),
        Param::required("result_var", ParamKind::Output),
        Param::required("figures", ParamKind::Int),
    ];
    let whole = |name, round: fn(f64) -> f64| {
        function(name, NUMBER, 1, move |_, arguments| {
            Some(Value::Int(number::whole(round(number::leading(bytes(&arguments[0]))))))
        })
    };
    vec![
        whole("math_trunc", f64::trunc).doc(
            "Writes a number without its decimals into a variable. A text without digits is 0. 1: done.",
        ),
        whole("math_floor", f64::floor)
            .doc("Writes the next whole number below into a variable. A text without digits is 0. 1: done."),
        whole("math_ceil", f64::ceil)
            .doc("Writes the next whole number above into a variable. A text without digits is 0. 1: done."),
        function("math_round", ROUND, 1, |_, arguments| {
            let value = number::leading(bytes(&arguments[0]));
            Some(match arguments[2].to_int() {
                None => Value::Int(number::whole(value.round())),
                Some(decimals) => Value::str(number::fixed(number::round(value, decimals), decimals)),
            })
        })
        .doc(
            "Writes the nearest whole number into a variable, or a text with so many `decimals`; halves are \
             rounded away from 0. 1: done.",
        ),
        function("math_round_sf", FIGURES, 1, |cx, arguments| {
            let figures = arguments[2].to_int().unwrap_or(0);
            Some(text(cx, number::round_figures(number::leading(bytes(&arguments[0])), figures)))
        })
        .doc("Writes a number with so many significant `figures` into a variable. 1: done."),
    ]
}

/// A function that writes what it finds into the variable that is its argument `result`.
fn function(
    name: &'static str,
    params: &'static [Param],
    result: usize,
    find: impl Fn(&mut Context, &[Value]) -> Option<Value> + Clone + 'static,
) -> Function<Context> {
    Function::new(name, params, Routes::ANY, move |site| {
        let missing = || ArgError::at(result, "a variable for the result is needed");
        let result = site.variable(result).ok_or_else(missing)?;
        let find = find.clone();
        let call: Call<Context> = Rc::new(move |cx, arguments| match find(cx, arguments) {
            Some(value) => write(cx, name, &result, value),
            None => {
                tracing::error!("{name}: `{}` has no value", bytes(&arguments[0]).escape_ascii());
                Outcome::FALSE
            }
        });
        Ok(call)
    })
}

fn write(cx: &mut Context, name: &str, result: &Bound<Context>, value: Value) -> Outcome<Context> {
    match result.write(cx, value, Store::Set) {
        Ok(()) => Outcome::TRUE,
        Err(cause) => {
            tracing::error!("{name}: the result cannot be set: {cause}");
            Outcome::FALSE
        }
    }
}

fn bytes(argument: &Value) -> &[u8] {
    argument.as_str().unwrap_or_default()
}

/// With the decimals that the parameter asks for.
fn text(cx: &Context, value: f64) -> Value {
    Value::str(number::fixed(value, cx.server().state::<Decimals>().0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_testbench::{TestBed, first_line, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(Mathops), Rc::new(tocsin_sl::Sl)]);

    fn result(parameters: &str, call: &str) -> String {
        let lines = format!("loadmodule \"sl.so\"\nloadmodule \"mathops.so\"\n{parameters}");
        let routes = format!("route {{ $var(r) = \"old\"; {call}; sl_send_reply(200, \"$rc |$var(r)|\"); }}");
        let answer = TEST_BED.bench(&lines, &routes).serve(&request("OPTIONS", "", ""), 1).remove(0);
        first_line(&answer).trim_start_matches("SIP/2.0 200 ").to_owned()
    }

    #[test]
    fn results_are_as_recorded() {
        for (call, expected) in [
            ("math_eval(\"1 + 2 * 3\", $var(r))", "1 |7.000000|"),
            ("math_eval(\"0/0\", $var(r))", "-1 |old|"),
            ("math_eval(\"1/0\", $var(r))", "1 |inf|"),
            ("math_rpn(\"1 exp\", $var(r))", "1 |2.718282|"),
            ("math_rpn(\"1 2\", $var(r))", "-1 |old|"),
            ("math_trunc(\"-2.5\", $var(r))", "1 |-2|"),
            ("math_floor(\"-2.5\", $var(r))", "1 |-3|"),
            ("math_ceil(\"1e10\", $var(r))", "1 |-2147483648|"),
            ("math_round(\"2.5\", $var(r))", "1 |3|"),
            ("math_round(\"-2.555\", $var(r), 2)", "1 |-2.56|"),
            ("math_round(\"1234\", $var(r), -2)", "1 |1234.000000|"),
            ("math_round_sf(\"123456\", $var(r), 3)", "1 |123000.000000|"),
            ("math_compare(\"7/2\", \"3.5\", $var(r))", "1 |0|"),
            ("math_compare(\"1\", \"x\", $var(r))", "-1 |old|"),
        ] {
            assert_eq!(result("", call), expected, "{call}");
        }
    }

    #[test]
    fn results_have_the_decimals_of_the_parameter() {
        let two = "modparam(\"mathops\", \"decimal_digits\", 2)";
        assert_eq!(result(two, "math_eval(\"2/3\", $var(r))"), "1 |0.67|");
        assert_eq!(result(two, "math_round_sf(\"3.14159\", $var(r), 4)"), "1 |3.14|");
        assert_eq!(result(two, "math_round(\"3.14159\", $var(r), 4)"), "1 |3.1416|");
        assert_eq!(result("", "math_round(\"2.5\", $var(r)); $var(r) = $var(r) + 1"), "1 |4|", "a number");
    }
}
