//! Variables that show the time, and the colours of the log.

use std::io::IsTerminal;
use std::rc::Rc;

use tocsin_script::{Accessor, ArgError, Bytes, Index, Naming, Value, VarSite, Variable};

use super::values::readable;
use crate::context::Context;
use crate::time;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        readable("Ts", "Seconds since 1970.", |_| Value::Int(time::unix_seconds() as i64)).also(&["TS"]),
        readable("Tsm", "Microseconds within the present second.", |_| {
            Value::Int(time::microseconds().into())
        }),
        readable("Tf", "The present time, such as `Sun Nov 22 14:05:41 2026`.", |_| {
            Value::Str(Bytes::from(time::calendar(time::unix_seconds())))
        }),
        Variable::declared("time", "The present time in a format of `strftime`.", format)
            .named(Naming::Plain("format")),
        Variable::declared(
            "C",
            "A colour of the terminal for what follows, named by two letters for foreground and background: `x` is the usual \
             one, `s r g y b p c w` are black, red, green, yellow, blue, purple, cyan and white, capitals are bright. \
             Nothing where the log does not go to a terminal.",
            colour,
        )
        .named(Naming::Required("xx")),
    ]
}

/// `$time(format)`
struct Formatted(Box<str>);

fn format(site: &VarSite<'_, Context>) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    let format = site.literal_sub()?.lossy().into_owned();
    match time::formatted(0, &format) {
        Some(_) => Ok(Rc::new(Formatted(format.into()))),
        None => Err(ArgError::new(format!("$time: `{format}` is not a format of strftime"))),
    }
}

impl Accessor<Context> for Formatted {
    fn read(&self, _: &mut Context, _: Index) -> Value {
        let text = time::formatted(time::unix_seconds(), &self.0);
        text.map_or(Value::Null, |text| Value::Str(Bytes::from(text)))
    }
}

/// The letters of colours, in the order of their codes.
const COLOURS: &[u8] = b"srgybpcw";

/// `$C(xx)`
struct Colour(Bytes);

fn colour(site: &VarSite<'_, Context>) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    let letters = site.literal_sub()?;
    let (foreground, background) = match &*letters {
        [foreground, background] => (code(*foreground, 30), code(*background, 40)),
        _ => (None, None),
    };
    let (Some(foreground), Some(background)) = (foreground, background) else {
        return Err(ArgError::new(format!("$C: `{}` is not a pair of colours", letters.lossy())));
    };
    let sequence = match std::io::stderr().is_terminal() {
        true => Bytes::from(format!("\u{1b}[{foreground};{background}m")),
        false => Bytes::EMPTY,
    };
    Ok(Rc::new(Colour(sequence)))
}

/// The code of a colour; `first` is that of black.
fn code(letter: u8, first: usize) -> Option<String> {
    if letter == b'x' {
        return Some((first + 9).to_string());
    }
    let at = COLOURS.iter().position(|known| known.eq_ignore_ascii_case(&letter))?;
    let bright = if letter.is_ascii_uppercase() { "1;" } else { "" };
    Some(format!("{bright}{}", first + at))
}

impl Accessor<Context> for Colour {
    fn read(&self, _: &mut Context, _: Index) -> Value {
        Value::Str(self.0.clone())
    }
}
