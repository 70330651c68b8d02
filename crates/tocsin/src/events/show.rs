//! One event on one line, for people.

use std::fmt::Write as _;

use tocsin_json::Value;

/// Characters of a text that are shown.
const TEXT_SHOWN: usize = 100;

/// The event `value` at `time`, on a line of its own; with colours if wanted.
pub(super) fn line(value: &Value, time: &str, colours: bool) -> String {
    let (dim, bold, plain) = if colours { ("\x1b[2m", "\x1b[1;33m", "\x1b[0m") } else { ("", "", "") };
    let name = value.member("method").and_then(Value::as_bytes).map(shown);
    let mut line = format!("{dim}{time}{plain}  {bold}{:<24}{plain}", name.unwrap_or_default());
    match value.member("params") {
        Some(Value::Object(params)) => {
            for (key, param) in params {
                // Writing to a String cannot fail.
                let _ = write!(line, "  {dim}{}={plain}{}", shown(key.as_bytes()), text_of(param));
            }
        }
        Some(Value::Array(params)) => {
            params.iter().for_each(|param| line.extend(["  ", &text_of(param)]));
        }
        _ => {}
    }
    line.push('\n');
    line
}

fn text_of(value: &Value) -> String {
    match value.as_bytes() {
        Some(bytes) => shown(bytes),
        None => String::from_utf8_lossy(&value.to_compact()).into_owned(),
    }
}

/// Text that may hold anything, as one piece of one line: what a terminal would act on is escaped, what is long is cut.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == TEXT_SHOWN {
            out.push('…');
            break;
        }
        if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out
}

#[cfg(test)]
mod tests {
    use tocsin_json::{Limits, parse};

    use super::*;

    fn shown_of(text: &str, colours: bool) -> String {
        line(&parse(text.as_bytes(), Limits::default()).unwrap(), "14:05:41", colours)
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let text = r#"{"jsonrpc":"2.0","method":"E_X","params":{"source":"dns","time":7,"extra":"a\r\nb\u001b[31m"}}"#;
        assert_eq!(
            shown_of(text, false),
            format!("14:05:41  {:<24}  source=dns  time=7  extra=a\\r\\nb\\u{{1b}}[31m\n", "E_X")
        );
        assert_eq!(
            shown_of(r#"{"method":"E_X","params":["a",null]}"#, false),
            format!("14:05:41  {:<24}  a  null\n", "E_X")
        );
        assert!(shown_of(r#"{"method":"\u001b]2;x"}"#, false).contains("\\u{1b}]2;x "));
        assert_eq!(shown_of(r#"{"method":"E_X"}"#, false), format!("14:05:41  {:<24}\n", "E_X"));
        let long = format!(r#"{{"method":"E_X","params":["{}"]}}"#, "x".repeat(500));
        assert!(shown_of(&long, true).len() < 200);
    }
}
