//! What the core's events look like, for machines: from the types that raise them.

use tocsin_event::{CORE_EVENTS, Description, Field, FieldKind};
use tocsin_json::Value;

/// A JSON Schema (draft 2020-12) of any of the core's events.
pub(super) fn json_schema() -> Value {
    let refer = |event: &Description| reference(&format!("#/$defs/{}", event.name));
    Value::object([
        ("$schema", Value::from("https://json-schema.org/draft/2020-12/schema")),
        ("$id", Value::from("urn:tocsin:core-events")),
        ("title", Value::from("An event of Tocsin's core")),
        ("oneOf", Value::array(CORE_EVENTS.iter().map(refer))),
        ("$defs", Value::object(CORE_EVENTS.iter().map(|event| (event.name, schema_of(event))))),
    ])
}

/// An AsyncAPI 3.0 document: a channel for each event, on which this server sends.
pub(super) fn asyncapi() -> Value {
    let by_name = |make: fn(&Description) -> Value| {
        Value::object(CORE_EVENTS.iter().map(move |event| (event.name, make(event))))
    };
    Value::object([
        ("asyncapi", Value::from("3.0.0")),
        (
            "info",
            Value::object([
                ("title", Value::from("Core events of Tocsin")),
                ("version", Value::from(env!("CARGO_PKG_VERSION"))),
                ("description", Value::from("Subscribe with the management command event_subscribe.")),
            ]),
        ),
        ("defaultContentType", Value::from("application/json")),
        ("channels", by_name(channel)),
        ("operations", by_name(operation)),
        ("components", Value::object([("messages", by_name(message)), ("schemas", by_name(schema_of))])),
    ])
}

fn channel(event: &Description) -> Value {
    let message = reference(&format!("#/components/messages/{}", event.name));
    Value::object([
        ("address", Value::from(event.name)),
        ("messages", Value::object([(event.name, message)])),
    ])
}

fn operation(event: &Description) -> Value {
    Value::object([
        ("action", Value::from("send")),
        ("channel", reference(&format!("#/channels/{}", event.name))),
        ("summary", Value::from(event.cause)),
    ])
}

fn message(event: &Description) -> Value {
    Value::object([
        ("name", Value::from(event.name)),
        ("summary", Value::from(event.cause)),
        ("payload", reference(&format!("#/components/schemas/{}", event.name))),
    ])
}

fn schema_of(event: &Description) -> Value {
    let required = event.fields.iter().filter(|field| !field.optional).map(|field| field.name);
    let params = Value::object([
        ("type", Value::from("object")),
        ("properties", Value::object(event.fields.iter().map(|field| (field.name, schema_of_field(field))))),
        ("required", Value::array(required)),
        ("additionalProperties", Value::from(false)),
    ]);
    Value::object([
        ("title", Value::from(event.name)),
        ("description", Value::from(event.cause)),
        ("type", Value::from("object")),
        (
            "properties",
            Value::object([
                ("jsonrpc", constant("2.0")),
                ("method", constant(event.name)),
                ("params", params),
            ]),
        ),
        ("required", Value::array(["jsonrpc", "method", "params"])),
    ])
}

fn schema_of_field(field: &Field) -> Value {
    let kind = match field.kind {
        FieldKind::Number => Value::from("integer"),
        FieldKind::Text => Value::from("string"),
        FieldKind::TextOrNull => Value::array(["string", "null"]),
    };
    Value::object([("type", kind), ("description", Value::from(field.meaning))])
}

fn constant(value: &'static str) -> Value {
    Value::object([("const", value)].map(|(key, value)| (key, Value::from(value))))
}

fn reference(target: &str) -> Value {
    Value::object([("$ref", Value::from(target.to_owned()))])
}
