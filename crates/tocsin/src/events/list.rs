//! The events and their parameters, for people and as JSON.

use std::fmt::Write as _;

use tocsin_event::{CORE_EVENTS, Description, Field, FieldKind};
use tocsin_json::Value;
use tocsin_mi::client::{self, Place};

use super::output::pretty;
use super::tail;

/// The core's events.
fn core(json: bool) -> Vec<u8> {
    if json { pretty(&Value::array(CORE_EVENTS.iter().map(as_json))) } else { as_text().into_bytes() }
}

/// The list that is asked for: the core's events, or those that a running server knows.
pub(super) fn text(json: bool, server: Option<&Place>) -> Result<Vec<u8>, String> {
    match server {
        None => Ok(core(json)),
        Some(place) => known(json, place),
    }
}

/// The events that the server at `place` knows.
fn known(json: bool, place: &Place) -> Result<Vec<u8>, String> {
    let listing = client::call(place, "events_list", Value::array([0; 0]));
    let list = tail::in_runtime(listing)?.map_err(|cause| format!("{place}: {cause}"))?;
    if json {
        return Ok(pretty(&list));
    }
    let mut text = String::new();
    for (name, id) in tail::events_of(&list) {
        let cause = CORE_EVENTS.iter().find(|event| event.name == name).map_or("", |event| event.cause);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{id:>4}  {name:<26} {cause}");
    }
    Ok(text.into_bytes())
}

fn as_text() -> String {
    let mut text = String::new();
    for event in CORE_EVENTS {
        let _ = writeln!(text, "{}\n    {}\n", event.name, event.cause);
        let width = event.fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
        for field in event.fields {
            let _ = writeln!(text, "    {:<width$}  {:<7} {}", field.name, kind(field), meaning(field));
        }
        text.push('\n');
    }
    text
}

fn meaning(field: &Field) -> String {
    let more = if field.optional { " Left out when there is nothing to say." } else { "" };
    format!("{}{more}", field.meaning)
}

fn kind(field: &Field) -> &'static str {
    match field.kind {
        FieldKind::Number => "number",
        FieldKind::Text => "string",
        FieldKind::TextOrNull => "string or null",
    }
}

fn as_json(event: &Description) -> Value {
    let field = |field: &Field| {
        Value::object([
            ("name", Value::from(field.name)),
            ("type", Value::from(kind(field))),
            ("optional", Value::from(field.optional)),
            ("meaning", Value::from(field.meaning)),
        ])
    };
    Value::object([
        ("name", Value::from(event.name)),
        ("cause", Value::from(event.cause)),
        ("params", Value::array(event.fields.iter().map(field))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_and_parameter_is_listed() {
        let (text, json) = (as_text(), String::from_utf8(core(true)).unwrap());
        for event in CORE_EVENTS {
            assert!(text.contains(event.name) && json.contains(event.name), "{}", event.name);
            for field in event.fields {
                assert!(text.contains(field.meaning), "{}", field.name);
            }
        }
    }
}
