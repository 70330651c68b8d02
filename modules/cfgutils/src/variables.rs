//! `$RANDOM`, `$env(name)` and `$ctime(part)`.

use std::rc::Rc;

use tocsin_script::{Accessor, ArgError, Bytes, Index, Indexes, Naming, SubName, Value, Variable};
use tocsin_server::{Context, time};

/// `$RANDOM`: 0 to 2^31 - 1.
pub(super) fn random() -> Variable<Context> {
    struct Random;
    impl Accessor<Context> for Random {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            Value::Int((cx.worker.unique() >> 33) as i64)
        }
    }
    Variable::declared(
        "RANDOM",
        "A random number from 0 to 2147483647, another one each time it is read.",
        |_| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Random);
            Ok(accessor)
        },
    )
    .indexed(Indexes::Unchecked)
}

/// `$env(name)`: a variable of the environment that the server was started with.
pub(super) fn environment() -> Variable<Context> {
    struct Environment(SubName<Context>);
    impl Accessor<Context> for Environment {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            let Some(name) = self.0.value(cx).to_bytes() else { return Value::Null };
            variable(&name).map_or(Value::Null, Value::Str)
        }
    }
    Variable::declared("env", "A variable of the environment that the server was started with.", |site| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Environment(site.required_sub()?));
        Ok(accessor)
    })
    .named(Naming::Required("name"))
    .indexed(Indexes::Unchecked)
}

/// A part of the present local time, its format, and what is added to it.
const TIME_PARTS: [(&str, &str, i64); 9] = [
    ("sec", "%S", 0),
    ("min", "%M", 0),
    ("hour", "%H", 0),
    ("mday", "%d", 0),
    ("mon", "%m", 0),
    ("year", "%Y", 0),
    ("wday", "%w", 1),
    ("yday", "%j", 0),
    ("isdst", SUMMER, 0),
];
/// In place of a format: whether the clock is on summer time.
const SUMMER: &str = "summer";

/// How far the clock is behind the one of the winter, in seconds: more than 0 in summer.
fn is_summer(now: u64) -> Option<i64> {
    const HALF_A_YEAR: u64 = 182 * 86_400;
    let offset = |moment: u64| time::formatted(moment, "%z")?.parse::<i64>().ok();
    let year = 1..=2;
    let mut others = year.filter_map(|halves| offset(now.saturating_sub(halves * HALF_A_YEAR)));
    let lowest = others.by_ref().min()?;
    Some(i64::from(offset(now)? > lowest))
}

/// `$ctime(part)`: a part of the present local time; days of the week are counted from Sunday, 1.
pub(super) fn calendar() -> Variable<Context> {
    struct Part(&'static str, i64);
    impl Accessor<Context> for Part {
        fn read(&self, _: &mut Context, _: Index) -> Value {
            let now = time::unix_seconds();
            if self.0 == SUMMER {
                return is_summer(now).map_or(Value::Null, Value::Int);
            }
            let text = time::formatted(now, self.0);
            let number = text.and_then(|text| text.parse::<i64>().ok());
            number.map_or(Value::Null, |number| Value::Int(number + self.1))
        }
    }
    Variable::declared(
        "ctime",
        "A part of the local time, as a number: `sec`, `min`, `hour`, `mday`, `mon`, `year`, \
             `wday`, `yday` or `isdst`.",
        |site| {
            let name = site.literal_sub()?;
            let name = name.lossy();
            let part = TIME_PARTS.iter().find(|(part, ..)| *part == name).ok_or_else(|| {
                ArgError::new(format!("$ctime has no part `{name}`"))
                    .suggest(&name, TIME_PARTS.iter().map(|(part, ..)| *part))
            })?;
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Part(part.1, part.2));
            Ok(accessor)
        },
    )
    .named(Naming::Required("part"))
    .indexed(Indexes::Unchecked)
}

fn variable(name: &[u8]) -> Option<Bytes> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    // No variable has such a name, and asking for one is an error of the system.
    if name.is_empty() || name.iter().any(|byte| matches!(byte, b'=' | 0)) {
        return None;
    }
    std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(|value| Bytes::from(value.into_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_asked_with_care() {
        assert!(variable(b"PATH").is_some_and(|path| !path.is_empty()));
        for none in [&b""[..], b"A=B", b"A\0B", b"NO_SUCH_VARIABLE_HERE", b"\xff"] {
            assert_eq!(variable(none), None);
        }
    }
}
