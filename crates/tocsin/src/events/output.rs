//! What the commands print.

use std::io::{self, Write};

pub(super) fn pretty(value: &tocsin_json::Value) -> Vec<u8> {
    let mut text = Vec::new();
    value.write_pretty(&mut text);
    text.push(b'\n');
    text
}

/// Writes to standard output. `false`: the reader is gone, which is no failure.
pub(super) fn print(text: &[u8]) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(cause) => Err(cause.to_string()),
    }
}
