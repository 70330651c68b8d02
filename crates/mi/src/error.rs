//! The error of a command, as JSON-RPC carries it.

use std::borrow::Cow;

use tocsin_json::Value;

/// Why a command failed: a code, a message, and sometimes more about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {message}")]
pub struct MiError {
    /// A JSON-RPC code (-32768..-32000), or one modelled on SIP: 400, 404, 480, 500.
    pub code: i64,
    /// One line for the operator.
    pub message: Cow<'static, str>,
    /// What exactly was wrong; left out of the reply when there is nothing to add.
    pub data: Option<Cow<'static, str>>,
}

impl MiError {
    /// An error of the command's own.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// -32600: the text is JSON but no request (JSON-RPC 2.0, section 5.1).
    pub fn invalid_request() -> Self {
        Self::new(-32600, "Invalid Request")
    }

    /// -32601: there is no such command.
    pub fn method_not_found() -> Self {
        Self::new(-32601, "Method not found")
    }

    /// -32602: the parameters do not fit the command.
    pub fn invalid_params(data: impl Into<Cow<'static, str>>) -> Self {
        Self { data: Some(data.into()), ..Self::new(-32602, "Invalid params") }
    }

    /// -32000: the server could not do it.
    pub fn server_error(data: impl Into<Cow<'static, str>>) -> Self {
        Self { data: Some(data.into()), ..Self::new(-32000, "Server error") }
    }

    /// 400: a parameter has the right type but a value that does not do.
    pub fn bad_value() -> Self {
        Self::new(400, "Bad parameter value")
    }

    /// The object under `error` in a reply.
    pub(crate) fn to_value(&self) -> Value {
        let mut members = vec![("code", Value::Int(self.code)), ("message", self.message.clone().into())];
        if let Some(data) = &self.data {
            members.push(("data", data.clone().into()));
        }
        Value::object(members)
    }
}
