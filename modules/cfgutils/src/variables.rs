//! `$RANDOM` and `$env(name)`.

use std::rc::Rc;

use tocsin_script::{Accessor, Bytes, Index, SubName, Value, Variable};
use tocsin_server::Context;

/// `$RANDOM`: 0 to 2^31 - 1.
pub(super) fn random() -> Variable<Context> {
    struct Random;
    impl Accessor<Context> for Random {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            Value::Int((cx.worker.unique() >> 33) as i64)
        }
    }
    Variable::new("RANDOM", |site| {
        site.no_sub()?;
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Random);
        Ok(accessor)
    })
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
    Variable::new("env", |site| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Environment(site.required_sub()?));
        Ok(accessor)
    })
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
