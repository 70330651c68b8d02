//! Lines that the server's own code writes: from `tracing` to the log.

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::control::wanted;
use super::flood;
use super::level::Level;
use super::line::{Line, origin};
use super::output::write;

/// Takes the events of `tracing`.
pub(super) struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        wanted(level_of(*metadata.level()))
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level can change at any time: ask each time.
        tracing::subscriber::Interest::sometimes()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let level = level_of(*metadata.level());
        // There is one for each place in the code.
        let key = std::ptr::from_ref(metadata).addr() as u64;
        let place = flood::Place { key, level, target: Some(metadata.target()) };
        flood::pass(
            place,
            || words(event),
            |text| {
                let (module, place) = origin(metadata.target());
                write(&Line { level, module: Some(module), place, facility: None, text });
            },
        );
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What `event` says, on one line.
fn words(event: &Event<'_>) -> String {
    let mut text = String::new();
    event.record(&mut Words(&mut text));
    if text.contains(char::is_control) {
        text = escaped(&text);
    }
    text.trim_start().to_owned()
}

/// Text that may quote what came from the network, on one line: nobody forges a line of the log.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(escaped("a\r\nNov 22 CRITICAL\u{1b}[31mé"), "a\\r\\nNov 22 CRITICAL\\u{1b}[31mé");
    }
}
