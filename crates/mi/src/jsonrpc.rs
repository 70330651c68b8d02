//! JSON-RPC 2.0: from the bytes of a request to those of its reply.
//!
//! Ids are treated as clients of OpenSIPS know it: strings and null are kept, numbers are cut at the fraction. A number
//! beyond 64 bits is no id, as it could not be given back. There are no batches: an array is an `Invalid Request`.

use std::future::Future;
use std::pin::Pin;

use tocsin_json::{Limits, Value, parse_prefix};

use crate::{MiError, Outcome, Printed, Registry, Reply};

/// How many JSON values a request may have, those within others included.
pub const MAX_VALUES: usize = 65_536;

/// What a request's JSON may ask for.
pub(crate) fn limits() -> Limits {
    Limits { values: MAX_VALUES, ..Limits::default() }
}

/// How replies are printed: `pretty_printing` of the transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Without white space.
    #[default]
    Compact,
    /// One member a line, with tabs.
    Pretty,
}

/// The answer to a request.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// This.
    Response(Response),
    /// Nothing: the request had no id.
    Nothing,
    /// The text was no JSON. What a client gets differs by transport; [`Response::parse_error`] is one way.
    NotJson,
    /// The id was neither string nor number nor null. [`Response::invalid_request`] is one way to say so.
    BadId,
}

/// A reply with its id.
#[derive(Debug, PartialEq)]
pub struct Response {
    id: Value,
    outcome: Result<Shown, MiError>,
}

/// A result.
#[derive(Debug, PartialEq)]
enum Shown {
    Value(Value),
    Printed(Printed),
}

impl Shown {
    fn write_compact(&self, out: &mut Vec<u8>) {
        match self {
            Self::Value(value) => value.write_compact(out),
            Self::Printed(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Printed(text) => text.to_value(),
        }
    }
}

impl Response {
    /// -32700, for a text that is no JSON.
    pub fn parse_error() -> Self {
        Self { id: Value::Null, outcome: Err(MiError::new(-32700, "Parse error")) }
    }

    /// -32600, for a request whose id is unknown.
    pub fn invalid_request() -> Self {
        Self { id: Value::Null, outcome: Err(MiError::invalid_request()) }
    }

    /// The same reply, but with this error for an outcome.
    #[must_use]
    pub fn replaced_by(self, error: MiError) -> Self {
        Self { outcome: Err(error), ..self }
    }

    /// The reply's text.
    pub fn to_bytes(&self, style: Style) -> Vec<u8> {
        let printed = match &self.outcome {
            Ok(Shown::Printed(text)) => text.as_bytes().len(),
            _ => 0,
        };
        let mut out = Vec::with_capacity(128 + printed);
        match style {
            Style::Compact => self.write_compact(&mut out),
            // Printed seldom, so it may copy.
            Style::Pretty => self.to_value().write_pretty(&mut out),
        }
        out
    }

    fn write_compact(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
        match &self.outcome {
            Ok(result) => {
                out.extend_from_slice(b"\"result\":");
                result.write_compact(out);
            }
            Err(error) => {
                out.extend_from_slice(b"\"error\":");
                error.to_value().write_compact(out);
            }
        }
        out.extend_from_slice(b",\"id\":");
        self.id.write_compact(out);
        out.push(b'}');
    }

    fn to_value(&self) -> Value {
        let outcome = match &self.outcome {
            Ok(result) => ("result", result.to_value()),
            Err(error) => ("error", error.to_value()),
        };
        Value::object([("jsonrpc", Value::from("2.0")), outcome, ("id", self.id.clone())])
    }
}

/// A request that was begun.
pub enum Progress {
    /// The command answered at once.
    Done(Answer),
    /// The command is waiting for something.
    Waiting(Waiting),
}

/// A request whose command is waiting for something.
pub struct Waiting {
    id: Option<Value>,
    outcome: Awaited,
}

/// What a command has promised.
enum Awaited {
    Value(Pin<Box<dyn Future<Output = Outcome>>>),
    Printed(Pin<Box<dyn Future<Output = Result<Printed, MiError>>>>),
}

impl Waiting {
    /// Waits for the command's outcome.
    pub async fn finish(self) -> Answer {
        let outcome = match self.outcome {
            Awaited::Value(value) => value.await.map(Shown::Value),
            Awaited::Printed(text) => text.await.map(Shown::Printed),
        };
        respond(self.id, outcome)
    }
}

/// Answers the request in `text`, waiting if its command does.
pub async fn answer(registry: &Registry, text: &[u8]) -> Answer {
    match begin(registry, text) {
        Progress::Done(answer) => answer,
        Progress::Waiting(waiting) => waiting.finish().await,
    }
}

/// Begins the request in `text`. What follows its first JSON value is ignored.
pub fn begin(registry: &Registry, text: &[u8]) -> Progress {
    match parse_prefix(text, limits()) {
        Ok((request, _)) => begin_value(registry, request),
        Err(error) => {
            tracing::info!("MI request is not JSON: {error}");
            Progress::Done(Answer::NotJson)
        }
    }
}

/// Begins a request that was already read.
pub fn begin_value(registry: &Registry, request: Value) -> Progress {
    let id = match request.member("id").map(kept_id) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(answer)) => return Progress::Done(answer),
    };
    let Some((method, params)) = read(request) else {
        // Without an id this is no notification either, and JSON-RPC wants an error response.
        let response = Response { id: id.unwrap_or(Value::Null), outcome: Err(MiError::invalid_request()) };
        return Progress::Done(Answer::Response(response));
    };
    match registry.call(&method, params) {
        Reply::Now(outcome) => Progress::Done(respond(id, outcome.map(Shown::Value))),
        Reply::Later(outcome) => Progress::Waiting(Waiting { id, outcome: Awaited::Value(outcome) }),
        Reply::Long(outcome) => Progress::Waiting(Waiting { id, outcome: Awaited::Printed(outcome) }),
    }
}

/// Method and parameters, if this is a request at all.
fn read(request: Value) -> Option<(Vec<u8>, Option<Value>)> {
    if request.member("jsonrpc").and_then(Value::as_bytes) != Some(b"2.0") {
        return None;
    }
    let Value::Object(members) = request else { return None };
    let (mut method, mut params) = (None, None);
    for (key, value) in members {
        match key.as_bytes() {
            b"method" if method.is_none() => method = Some(value),
            b"params" if params.is_none() => params = Some(value),
            _ => {}
        }
    }
    let Value::Str(method) = method? else { return None };
    match params {
        None | Some(Value::Array(_) | Value::Object(_)) => Some((method.into_bytes(), params)),
        Some(_) => None,
    }
}

/// The id as it is given back; the answer to the request when it cannot be.
fn kept_id(id: &Value) -> Result<Value, Answer> {
    match id {
        Value::Null | Value::Str(_) | Value::Int(_) => Ok(id.clone()),
        // Up to here all numbers without a fraction are exact; a larger one was rounded when it was read.
        Value::Float(number) if number.abs() < 9_007_199_254_740_992.0 => Ok(Value::Int(*number as i64)),
        Value::Float(_) => Err(Answer::Response(Response {
            id: Value::Null,
            outcome: Err(MiError {
                data: Some("The id is a number beyond 64 bits".into()),
                ..MiError::invalid_request()
            }),
        })),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(Answer::BadId),
    }
}

fn respond(id: Option<Value>, outcome: Result<Shown, MiError>) -> Answer {
    match id {
        Some(id) => Answer::Response(Response { id, outcome }),
        None => {
            if let Err(error) = outcome {
                tracing::info!("MI notification failed: {error}");
            }
            Answer::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, CommandRow, Room, Rows};
    use proptest::prelude::*;
    use tocsin_json::parse;

    fn registry() -> Registry {
        let mut registry = Registry::new();
        registry.add_rows("core", &[CommandRow::WHICH, CommandRow::HELP], ());
        registry.add(Command::new("core", "echo", &[&[], &["text"]], "gives back its parameter", |params| {
            params.optional_text("text").map(|text| Value::from(text.map(std::borrow::Cow::into_owned)))
        }));
        registry.add(Command::new("core", "list", &[&[]], "prints a list", |_| {
            Reply::long(async {
                let (mut room, mut rows, mut printed) = (Room::new(99), Rows::default(), Printed::default());
                room.add(&mut rows, &Value::from(1)).await;
                room.add(&mut rows, &Value::object([("a", Value::from(2))])).await;
                printed.rows(rows);
                Ok(printed)
            })
        }));
        registry.add(Command::new("core", "wait", &[&[]], "answers later", |_| {
            Reply::later(async { Ok("late".into()) })
        }));
        registry
    }

    fn answered(text: &str) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(answer(&registry(), text.as_bytes()))
    }

    fn response(text: &str) -> String {
        let Answer::Response(response) = answered(text) else { panic!("no response to {text}") };
        String::from_utf8(response.to_bytes(Style::Compact)).unwrap()
    }

    #[test]
    fn at_once_and_later() {
        let text = r#"{"jsonrpc":"2.0","method":"echo","params":{"text":"a"},"id":7}"#;
        assert_eq!(response(text), r#"{"jsonrpc":"2.0","result":"a","id":7}"#);
        let text = r#"{"jsonrpc":"2.0","method":"wait","id":"x"}"#;
        assert_eq!(response(text), r#"{"jsonrpc":"2.0","result":"late","id":"x"}"#);
        assert_eq!(answered(r#"{"jsonrpc":"2.0","method":"wait"}"#), Answer::Nothing);
    }

    #[test]
    fn a_request_without_id_that_is_none_is_told() {
        for text in [r#"{"jsonrpc":"1.0","method":"echo"}"#, r#"{"jsonrpc":"2.0"}"#, "{}", "[]", "1", "{}x"] {
            assert_eq!(
                response(text),
                r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}"#
            );
        }
    }

    #[test]
    fn ids_come_back_as_they_were_or_are_refused() {
        let with = |id: &str| response(&format!(r#"{{"jsonrpc":"2.0","method":"echo","id":{id}}}"#));
        for id in ["0", "-3", "4294967296", "9223372036854775807", "-9223372036854775808", "\"abc\"", "null"]
        {
            assert_eq!(with(id), format!(r#"{{"jsonrpc":"2.0","result":null,"id":{id}}}"#));
        }
        assert!(with("1.5").ends_with(r#","id":1}"#), "as recorded");
        for id in ["12345678901234567890", "9223372036854775808", "1e300", "-1e19"] {
            let refused = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request","data":"The id is a number beyond 64 bits"},"id":null}"#;
            assert_eq!(with(id), refused, "{id}");
        }
    }

    #[test]
    fn a_long_list_is_printed_in_both_styles() {
        let Answer::Response(list) = answered(r#"{"jsonrpc":"2.0","method":"list","id":1}"#) else {
            panic!()
        };
        assert_eq!(list.to_bytes(Style::Compact), br#"{"jsonrpc":"2.0","result":[1,{"a":2}],"id":1}"#);
        let pretty = list.to_bytes(Style::Pretty);
        assert_eq!(
            parse(&pretty, Limits::default()),
            parse(&list.to_bytes(Style::Compact), Limits::default())
        );
        assert!(pretty.contains(&b'\n'));
    }

    #[test]
    fn a_request_of_too_many_values_is_no_request() {
        let params = vec!["0"; MAX_VALUES].join(",");
        let text = format!(r#"{{"jsonrpc":"2.0","method":"echo","params":[{params}],"id":1}}"#);
        assert_eq!(answered(&text), Answer::NotJson);
    }

    #[test]
    fn the_first_of_two_members_counts() {
        let text = r#"{"jsonrpc":"2.0","method":"echo","method":"nosuch","id":1,"id":2}"#;
        assert_eq!(response(text), r#"{"jsonrpc":"2.0","result":null,"id":1}"#);
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "\"jsonrpc\":\"2.0\"",
            "\"method\":\"echo\"",
            "\"method\":\"wait\"",
            "\"method\":1",
            "\"params\":",
            "[1]",
            "{\"text\":\"x\"}",
            "\"id\":",
            "1",
            "1.5",
            "null",
            "true",
            "\"a\"",
            ",",
            ":",
            "\u{0}",
            "\\",
        ]);
        let known = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes());
        prop_oneof![any::<Vec<u8>>(), known]
    }

    proptest! {
        #[test]
        fn any_bytes_get_a_valid_reply_or_none(bytes in pieces()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let answer = runtime.block_on(answer(&registry(), &bytes));
            if let Answer::Response(response) = answer {
                let mut values = Vec::new();
                for style in [Style::Compact, Style::Pretty] {
                    values.push(parse(&response.to_bytes(style), Limits::default()).unwrap());
                }
                prop_assert_eq!(&values[0], &values[1]);
                prop_assert_eq!(values[0].member("jsonrpc"), Some(&Value::from("2.0")));
                prop_assert!(values[0].member("result").is_some() != values[0].member("error").is_some());
                prop_assert!(values[0].member("id").is_some());
            }
        }
    }
}
