//! The parameters of one call, matched against the sets that the command takes.

use std::borrow::Cow;

use tocsin_json::{Text, Value};

use crate::MiError;

/// The parameters of a call, by name.
#[derive(Debug)]
pub struct Params {
    names: &'static [&'static str],
    values: Vec<Value>,
}

impl Params {
    /// Matches what a request carries against `forms`: an array by its length, an object by its names.
    ///
    /// # Errors
    /// -32602 "Too few or too many parameters" when no form has as many, "Named parameters do not match" when none of
    /// those that have has the same names; -32600 when `given` is neither array nor object.
    pub(crate) fn bind(
        forms: &'static [&'static [&'static str]],
        given: Option<Value>,
    ) -> Result<Self, MiError> {
        match given {
            None => Self::positional(forms, Vec::new()),
            Some(Value::Array(values)) => Self::positional(forms, values),
            Some(Value::Object(members)) => Self::named(forms, members),
            Some(_) => Err(MiError::invalid_request()),
        }
    }

    fn positional(forms: &'static [&'static [&'static str]], values: Vec<Value>) -> Result<Self, MiError> {
        let names = forms.iter().find(|form| form.len() == values.len()).ok_or_else(wrong_count)?;
        Ok(Self { names, values })
    }

    fn named(
        forms: &'static [&'static [&'static str]],
        mut members: Vec<(Text, Value)>,
    ) -> Result<Self, MiError> {
        let mut candidates = forms.iter().filter(|form| form.len() == members.len()).peekable();
        candidates.peek().ok_or_else(wrong_count)?;
        let names =
            candidates.find(|form| form.iter().all(|name| members.iter().any(|(key, _)| key == name)));
        let names = names.ok_or_else(|| MiError::invalid_params("Named parameters do not match"))?;
        let mut take = |name: &&str| {
            let found = members.iter().position(|(key, _)| key == name);
            found.map_or(Value::Null, |at| members.swap_remove(at).1)
        };
        Ok(Self { names, values: names.iter().map(&mut take).collect() })
    }

    /// The value of a parameter as it came; `None` when the form used does not have it.
    pub fn value(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.values.get(at)
    }

    /// Whether the call has that parameter.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A string parameter. A number counts as its digits, without fraction.
    ///
    /// # Errors
    /// -32602 "Bad type for parameter"; -32000 "Failed to handle parameter" when it is empty; -32602 when it is missing.
    pub fn text(&self, name: &str) -> Result<Cow<'_, [u8]>, MiError> {
        self.optional_text(name)?.ok_or_else(wrong_count)
    }

    /// [`Self::text`] of a parameter that not every form has.
    ///
    /// # Errors
    /// As [`Self::text`], but for a missing one.
    pub fn optional_text(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, MiError> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = text_of(value).ok_or_else(|| bad_type(name))?;
        if text.is_empty() {
            return Err(MiError::server_error("Failed to handle parameter"));
        }
        Ok(Some(text))
    }

    /// A number parameter: cut at the fraction, held within 32 bits. A string of digits counts as the number.
    ///
    /// # Errors
    /// -32602 "Bad type for parameter"; -32602 when it is missing.
    pub fn int(&self, name: &str) -> Result<i32, MiError> {
        self.optional_int(name)?.ok_or_else(wrong_count)
    }

    /// [`Self::int`] of a parameter that not every form has.
    ///
    /// # Errors
    /// As [`Self::int`], but for a missing one.
    pub fn optional_int(&self, name: &str) -> Result<Option<i32>, MiError> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = integer_of(value).ok_or_else(|| bad_type(name))?;
        // Held within the range, so the narrowing loses nothing.
        Ok(Some(number.clamp(i32::MIN.into(), i32::MAX.into()) as i32))
    }

    /// A number parameter of 64 bits, for what is counted beyond 32.
    ///
    /// # Errors
    /// As [`Self::int`].
    pub fn int64(&self, name: &str) -> Result<i64, MiError> {
        let value = self.value(name).ok_or_else(wrong_count)?;
        integer_of(value).ok_or_else(|| bad_type(name))
    }

    /// An array parameter.
    ///
    /// # Errors
    /// -32602 "Bad type for parameter"; -32602 when it is missing.
    pub fn array(&self, name: &str) -> Result<&[Value], MiError> {
        self.optional_array(name)?.ok_or_else(wrong_count)
    }

    /// [`Self::array`] of a parameter that not every form has.
    ///
    /// # Errors
    /// As [`Self::array`], but for a missing one.
    pub fn optional_array(&self, name: &str) -> Result<Option<&[Value]>, MiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(elements)) => Ok(Some(elements)),
            Some(_) => Err(bad_type(name)),
        }
    }

    /// An array of strings, one at least; numbers count as their digits.
    ///
    /// # Errors
    /// As [`Self::array`]; -32602 "Empty array in parameter", and "Bad type for parameter" when an element is neither
    /// string nor number.
    pub fn texts(&self, name: &str) -> Result<Vec<Cow<'_, [u8]>>, MiError> {
        let elements = self.array(name)?;
        if elements.is_empty() {
            return Err(MiError::invalid_params(format!("Empty array in parameter '{name}'")));
        }
        elements.iter().map(|element| text_of(element).ok_or_else(|| bad_type(name))).collect()
    }
}

fn text_of(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Str(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Int(_) | Value::Float(_) => {
            value.as_integer().map(|number| number.to_string().into_bytes().into())
        }
        _ => None,
    }
}

/// The number that a value stands for; of a string the digits, which may pass 64 bits.
fn integer_of(value: &Value) -> Option<i64> {
    let Value::Str(text) = value else { return value.as_integer() };
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |byte: &u8| i64::from(byte - b'0');
    Some(if negative {
        digits.iter().fold(0_i64, |number, byte| number.saturating_mul(10).saturating_sub(digit(byte)))
    } else {
        digits.iter().fold(0_i64, |number, byte| number.saturating_mul(10).saturating_add(digit(byte)))
    })
}

fn wrong_count() -> MiError {
    MiError::invalid_params("Too few or too many parameters")
}

fn bad_type(name: &str) -> MiError {
    MiError::invalid_params(format!("Bad type for parameter '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: &[&[&str]] = &[&["event", "socket"], &["event", "socket", "expire"]];

    fn bind(given: Value) -> Result<Params, String> {
        Params::bind(FORMS, Some(given)).map_err(|error| error.data.unwrap_or(error.message).into_owned())
    }

    #[test]
    fn positions_and_names() {
        let params = bind(Value::array(["E", "udp:x", "20"])).unwrap();
        assert_eq!((&*params.text("socket").unwrap(), params.int("expire")), (&b"udp:x"[..], Ok(20)));
        let params = bind(Value::object([("socket", Value::from("s")), ("event", 5.into())])).unwrap();
        assert_eq!(&*params.text("event").unwrap(), b"5");
        assert_eq!(params.optional_int("expire"), Ok(None));
    }

    #[test]
    fn what_does_not_match() {
        let count = "Too few or too many parameters";
        let names = "Named parameters do not match";
        let object = |keys: &[&'static str]| Value::object(keys.iter().map(|key| (*key, Value::Null)));
        for (given, expected) in [
            (Value::Array(vec![]), count),
            (Value::array([1, 2, 3, 4]), count),
            (object(&["event"]), count),
            (object(&["event", "socket", "expire", "x"]), count),
            (object(&["event", "sock"]), names),
            (object(&["event", "event"]), names),
            (Value::Int(1), "Invalid Request"),
            (Value::Null, "Invalid Request"),
        ] {
            assert_eq!(bind(given).unwrap_err(), expected);
        }
    }

    #[test]
    fn numbers_are_cut_and_held() {
        for (given, expected) in [
            (Value::Float(2.9), Some(2)),
            (Value::Int(4_294_967_300), Some(i32::MAX)),
            (Value::from("20"), Some(20)),
            (Value::from("-1"), Some(-1)),
            (Value::from("99999999999999999999"), Some(i32::MAX)),
            (Value::from("-99999999999999999999"), Some(i32::MIN)),
            (Value::from("abc"), None),
            (Value::from("2x"), None),
            (Value::from(""), None),
            (Value::from("-"), None),
            (Value::Bool(true), None),
        ] {
            let params = bind(Value::array([Value::from("a"), Value::from("b"), given.clone()])).unwrap();
            assert_eq!(params.int("expire").ok(), expected, "{given:?}");
        }
    }

    #[test]
    fn arrays_of_strings() {
        let texts = |list: Value| {
            let params = bind(Value::array([list, Value::Null])).unwrap();
            let texts = params.texts("event").map(|texts| texts.concat());
            texts.map_err(|error| error.data.unwrap_or_default().into_owned())
        };
        assert_eq!(texts(Value::array([Value::from("a"), Value::from(1)])), Ok(b"a1".to_vec()));
        assert_eq!(texts(Value::Array(vec![])), Err("Empty array in parameter 'event'".to_owned()));
        assert_eq!(texts(Value::array([Value::Null])), Err("Bad type for parameter 'event'".to_owned()));
        assert_eq!(texts(Value::from("a")), Err("Bad type for parameter 'event'".to_owned()));
    }

    #[test]
    fn strings() {
        let params = bind(Value::array([Value::from(""), Value::Float(1.5), Value::Null])).unwrap();
        assert_eq!(params.text("event"), Err(MiError::server_error("Failed to handle parameter")));
        assert_eq!(&*params.text("socket").unwrap(), b"1");
        assert_eq!(params.text("expire"), Err(MiError::invalid_params("Bad type for parameter 'expire'")));
        assert!(params.array("event").is_err());
    }
}
