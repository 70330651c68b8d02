//! Declaring and reading the parameters of modules (`modparam`): what kinds there are, and values that several modules
//! take in the same way, each under its own name. A value that cannot be used is an error that says what would be right.

use std::ops::RangeInclusive;
use std::time::Duration;

use tocsin_script::{ModParam, Value};

use crate::module::{Parameters, SetupError};

/// The longest time-out: an hour. More is a mistake of units.
const LONGEST_MS: i64 = 3_600_000;
/// The most reads of one message, and the most messages that wait for one connection.
const MOST_CHUNKS: i64 = 65_535;
/// Bytes of the resource of a WebSocket.
const RESOURCE_LIMIT: usize = 1024;

/// A parameter that takes a number.
pub const fn number(name: &'static str) -> ModParam {
    ModParam::number(name, 0, "")
}

/// A parameter that takes a string.
pub const fn text(name: &'static str) -> ModParam {
    ModParam::text(name, "", "")
}

/// A switch: a number, or a word such as `"no"`.
pub const fn switch(name: &'static str) -> ModParam {
    ModParam::number_or_text(name, "")
}

/// The parameters of one module. What is not given leaves its place as it is.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    module: &'static str,
    given: &'a Parameters,
}

impl<'a> Reader<'a> {
    /// The parameters that `module` was given.
    pub fn new(module: &'static str, given: &'a Parameters) -> Self {
        Self { module, given }
    }

    /// A port to listen on and to send to.
    ///
    /// # Errors
    /// It is no port.
    pub fn port(&self, name: &'static str, place: &mut u16) -> Result<(), SetupError> {
        if let Some(port) = self.within(name, 1..=65_535, "a port")? {
            *place = port as u16;
        }
        Ok(())
    }

    /// A time in milliseconds.
    ///
    /// # Errors
    /// It is no number of milliseconds from 1 to an hour.
    pub fn millis(&self, name: &'static str, place: &mut Duration) -> Result<(), SetupError> {
        if let Some(millis) = self.within(name, 1..=LONGEST_MS, "milliseconds")? {
            *place = Duration::from_millis(millis.unsigned_abs());
        }
        Ok(())
    }

    /// How many pieces there may be.
    ///
    /// # Errors
    /// It is no number from 1 to 65,535.
    pub fn chunks(&self, name: &'static str, place: &mut u32) -> Result<(), SetupError> {
        if let Some(chunks) = self.within(name, 1..=MOST_CHUNKS, "a number")? {
            *place = chunks as u32;
        }
        Ok(())
    }

    /// Yes or no.
    ///
    /// # Errors
    /// It is neither a number nor a word that says yes or no.
    pub fn switch(&self, name: &'static str, place: &mut bool) -> Result<(), SetupError> {
        if let Some(value) = self.given.value(name) {
            *place = truth(value).ok_or_else(|| self.wrong(name, "give 1 or 0".to_owned()))?;
        }
        Ok(())
    }

    /// The path that a WebSocket is asked for.
    ///
    /// # Errors
    /// It is no path, or too long.
    pub fn resource(&self, name: &'static str, place: &mut String) -> Result<(), SetupError> {
        let Some(Value::Str(given)) = self.given.value(name) else { return Ok(()) };
        let fits = given.starts_with(b"/")
            && given.len() <= RESOURCE_LIMIT
            && given.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'#');
        if !fits {
            let problem = format!("`{}` is no path: give one such as /sip", given.escape_ascii());
            return Err(self.wrong(name, problem));
        }
        *place = given.lossy().into_owned();
        Ok(())
    }

    /// A time in milliseconds that is checked and not acted on: it bounds how long a process of OpenSIPS's stands still.
    ///
    /// # Errors
    /// It is no number of milliseconds up to an hour.
    pub fn needless_millis(&self, name: &'static str) -> Result<(), SetupError> {
        self.within(name, 0..=LONGEST_MS, "milliseconds").map(|_| ())
    }

    /// Tracing must be off: `trace_on` not given or 0.
    ///
    /// # Errors
    /// Tracing is asked for.
    pub fn no_tracing(&self) -> Result<(), SetupError> {
        let mut on = false;
        self.switch("trace_on", &mut on)?;
        if on {
            let problem = "connections are traced by the module proto_hep, which this version does not have: \
                           take the line out or set it to 0";
            return Err(self.wrong("trace_on", problem.to_owned()));
        }
        Ok(())
    }

    fn within(
        &self,
        name: &'static str,
        range: RangeInclusive<i64>,
        what: &str,
    ) -> Result<Option<i64>, SetupError> {
        let Some(value) = self.given.value(name) else { return Ok(None) };
        match value.to_int().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, format!("give {what} from {} to {}", range.start(), range.end()))),
        }
    }

    fn wrong(&self, name: &'static str, problem: String) -> SetupError {
        SetupError::Parameter { module: self.module, name, problem }
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Int(number) => Some(*number != 0),
        Value::Str(word) => match word.to_ascii_lowercase().as_slice() {
            b"1" | b"yes" | b"true" | b"on" => Some(true),
            b"0" | b"no" | b"false" | b"off" => Some(false),
            _ => None,
        },
        Value::Null => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Parameters {
        Parameters(vec![(name.to_owned(), value.into())])
    }

    #[test]
    fn what_is_not_given_stays() {
        let none = Parameters::default();
        let reader = Reader::new("proto_x", &none);
        let (mut port, mut time, mut on) = (5, Duration::from_secs(4), true);
        reader.port("p", &mut port).unwrap();
        reader.millis("t", &mut time).unwrap();
        reader.switch("s", &mut on).unwrap();
        assert_eq!((port, time, on), (5, Duration::from_secs(4), true));
        reader.no_tracing().unwrap();
    }

    #[test]
    fn wrong_values_are_named_with_what_would_be_right() {
        for bad in [0, 65_536, -1] {
            let given = given("x_port", bad);
            let problem = Reader::new("proto_x", &given).port("x_port", &mut 1).unwrap_err().to_string();
            assert_eq!(problem, "modparam proto_x:x_port: give a port from 1 to 65535");
        }
        for bad in ["", "sip", "/a b", "/a#b", "/\u{e9}"] {
            let given = given("r", bad);
            assert!(Reader::new("proto_x", &given).resource("r", &mut String::new()).is_err(), "{bad}");
        }
    }

    #[test]
    fn switches_are_numbers_or_words() {
        for (value, expected) in [
            (Value::Int(0), Some(false)),
            (Value::Int(2), Some(true)),
            (Value::str("No"), Some(false)),
            (Value::str("yes"), Some(true)),
            (Value::str("maybe"), None),
        ] {
            assert_eq!(truth(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn tracing_names_what_is_missing() {
        let on = given("trace_on", 1);
        assert!(Reader::new("proto_x", &on).no_tracing().unwrap_err().to_string().contains("proto_hep"));
        assert!(Reader::new("proto_x", &given("trace_on", 0)).no_tracing().is_ok());
        assert!(Reader::new("proto_x", &given("trace_destination", "hep")).no_tracing().is_ok());
    }
}
