//! What is counted, chosen and measured: `set_count()`, `set_select_weight()`, `ts_usec_delta()`, `get_accurate_time()`.

use std::rc::Rc;

use tocsin_script::{
    ArgError, Bound, Call, Function, Index, Outcome, Param, ParamKind, Routes, Site, Store, Value,
};
use tocsin_server::{Context, time};

/// The most values of one variable that are looked at.
const MAX_VALUES: i64 = 65_536;

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![count(), select_weight(), delta(), accurate_time()]
}

fn needed(site: &Site<'_, Context>, argument: usize) -> Result<Rc<Bound<Context>>, ArgError> {
    site.variable(argument).ok_or_else(|| ArgError::at(argument, "a variable is needed"))
}

/// Writes each value to its variable, if there is one.
fn write<const N: usize>(
    cx: &mut Context,
    results: &[Option<Rc<Bound<Context>>>; N],
    values: [Value; N],
) -> Outcome<Context> {
    for (result, value) in results.iter().zip(values) {
        let written = result.as_ref().map_or(Ok(()), |result| result.write(cx, value, Store::Set));
        if let Err(cause) = written {
            tracing::error!("the result cannot be set: {cause}");
            return Outcome::FALSE;
        }
    }
    Outcome::TRUE
}

/// The values of a variable, in order.
fn values(cx: &mut Context, variable: &Bound<Context>) -> Vec<Value> {
    let read = |nth| variable.read_at(cx, Index::Nth(nth));
    (0..MAX_VALUES).map(read).take_while(|value| !value.is_null()).collect()
}

fn count() -> Function<Context> {
    const COUNT: &[Param] =
        &[Param::required("variable", ParamKind::Variable), Param::required("result", ParamKind::Output)];
    Function::new("set_count", COUNT, Routes::ANY, |site| {
        let (counted, result) = (needed(site, 0)?, [Some(needed(site, 1)?)]);
        let call: Call<Context> = Rc::new(move |cx, _| {
            let count = values(cx, &counted).len() as i64;
            write(cx, &result, [Value::Int(count)])
        });
        Ok(call)
    })
    .doc("Writes into `result` how many values `variable` has. 1: done; -1: `result` cannot be set.")
}

fn select_weight() -> Function<Context> {
    const WEIGHTS: &[Param] = &[Param::required("int_list_var", ParamKind::Variable)];
    Function::new("set_select_weight", WEIGHTS, Routes::ANY, |site| {
        let weights = needed(site, 0)?;
        let call: Call<Context> = Rc::new(move |cx, _| {
            let weights = values(cx, &weights).iter().map(weight).collect::<Vec<_>>();
            Outcome::Done(chosen(&weights, cx.worker.unique()))
        });
        Ok(call)
    })
    .doc(
        "Chooses one of the values of a variable by chance, as often as its weight says, which is the value itself. The \
         return code is its index; -1: there is none with a weight. As any code, the index 0 ends the script.",
    )
}

fn weight(value: &Value) -> u64 {
    value.to_int().and_then(|weight| u64::try_from(weight).ok()).unwrap_or(0)
}

/// The index of the weight that a random number falls on.
fn chosen(weights: &[u64], random: u64) -> i64 {
    let sum = weights.iter().fold(0_u64, |sum, weight| sum.saturating_add(*weight));
    if sum == 0 {
        return -1;
    }
    let mut left = random % sum;
    for (index, weight) in weights.iter().enumerate() {
        if left < *weight {
            return index as i64;
        }
        left -= weight;
    }
    -1
}

fn delta() -> Function<Context> {
    const TIMES: &[Param] = &[
        Param::required("t1_sec", ParamKind::Int),
        Param::required("t1_usec", ParamKind::Int),
        Param::required("t2_sec", ParamKind::Int),
        Param::required("t2_usec", ParamKind::Int),
        Param::optional("delta_str", ParamKind::Output),
        Param::optional("delta_int", ParamKind::Output),
    ];
    Function::new("ts_usec_delta", TIMES, Routes::ANY, |site| {
        let results = [site.variable(4), site.variable(5)];
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let number = |at: usize| arguments.get(at).and_then(Value::to_int).unwrap_or(0);
            let delta = micros_between((number(0), number(1)), (number(2), number(3)));
            write(cx, &results, [Value::str(delta.to_string()), Value::Int(delta)])
        });
        Ok(call)
    })
    .doc(
        "Writes how many microseconds lie between two times of seconds and microseconds: into `delta_str` as a text, \
         into `delta_int` as a number. 1: done; -1: one of them cannot be set.",
    )
}

/// Microseconds between two moments of seconds and microseconds.
fn micros_between(one: (i64, i64), two: (i64, i64)) -> i64 {
    let micros = |(seconds, micros): (i64, i64)| seconds.saturating_mul(1_000_000).saturating_add(micros);
    micros(one).saturating_sub(micros(two)).saturating_abs()
}

fn accurate_time() -> Function<Context> {
    const PARTS: &[Param] = &[
        Param::required("sec", ParamKind::Output),
        Param::required("usec", ParamKind::Output),
        Param::optional("str_sec_usec", ParamKind::Output),
    ];
    Function::new("get_accurate_time", PARTS, Routes::ANY, |site| {
        let results = [site.variable(0), site.variable(1), site.variable(2)];
        let call: Call<Context> = Rc::new(move |cx, _| {
            let micros = time::unix_micros();
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
            let text = Value::str(format!("{seconds}.{rest:06}"));
            write(cx, &results, [Value::Int(seconds as i64), Value::Int(rest as i64), text])
        });
        Ok(call)
    })
    .doc(
        "Writes the present moment into variables: seconds since 1970, microseconds within the second, and both as a \
         text such as `1580485384.001203`. 1: done; -1: one cannot be set.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_apart() {
        assert_eq!(micros_between((10, 300), (10, 100)), 200);
        assert_eq!(micros_between((10, 0), (11, 5)), 1_000_005);
        assert_eq!(micros_between((i64::MAX, 0), (0, 0)), i64::MAX);
    }

    #[test]
    fn weights_are_chosen_as_often_as_they_weigh() {
        let times =
            |weights: &[u64], index| (0..100).filter(|random| chosen(weights, *random) == index).count();
        assert_eq!([times(&[10, 30, 60], 0), times(&[10, 30, 60], 1), times(&[10, 30, 60], 2)], [10, 30, 60]);
        assert_eq!([chosen(&[], 7), chosen(&[0, 0], 7), chosen(&[0, 10, 0], 7)], [-1, -1, 1]);
    }
}
