//! `sleep()` and `usleep()`: the script waits, the process serves other messages meanwhile.

use std::rc::Rc;
use std::time::Duration;

use tocsin_script::{Call, Function, Outcome, Param, ParamKind, Resume, Routes, Value};
use tocsin_server::Context;

/// The longest that one call may wait; more is cut to it.
const MAX_SLEEP: Duration = Duration::from_secs(3600);

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![
        waiting("sleep", Duration::from_secs)
            .doc("Waits for `time` seconds; the process serves other messages meanwhile. 1: always."),
        waiting("usleep", Duration::from_micros)
            .doc("Waits for `time` microseconds; the process serves other messages meanwhile. 1: always."),
    ]
}

fn waiting(name: &'static str, unit: fn(u64) -> Duration) -> Function<Context> {
    const TIME: &[Param] = &[Param::required("time", ParamKind::StrOrInt)];
    Function::new(name, TIME, Routes::ANY, move |_| {
        let call: Call<Context> = Rc::new(move |_, arguments| {
            let time = time(&arguments[0], unit);
            if time.is_zero() {
                return Outcome::TRUE;
            }
            Outcome::Wait(Box::pin(async move {
                tokio::time::sleep(time).await;
                let rest: Resume<Context> = Box::new(|_| Outcome::TRUE);
                rest
            }))
        });
        Ok(call)
    })
    .asynchronous()
}

/// What is no number is no time.
fn time(value: &Value, unit: fn(u64) -> Duration) -> Duration {
    let number = value.to_int().and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
    unit(number).min(MAX_SLEEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_within_the_limit() {
        let seconds = |value: Value| time(&value, Duration::from_secs);
        assert_eq!(seconds(Value::Int(2)), Duration::from_secs(2));
        assert_eq!(seconds(Value::from("3")), Duration::from_secs(3));
        for none in [Value::Null, Value::Int(-1), Value::from("soon")] {
            assert_eq!(seconds(none), Duration::ZERO);
        }
        assert_eq!(seconds(Value::Int(i64::MAX)), MAX_SLEEP);
        assert_eq!(time(&Value::Int(1500), Duration::from_micros), Duration::from_micros(1500));
    }
}
