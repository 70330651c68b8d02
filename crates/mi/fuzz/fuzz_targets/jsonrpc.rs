//! Any bytes as a management request: no reply, or one that is JSON-RPC 2.0 and the same in both styles.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_json::{Limits, Value, parse};
use tocsin_mi::jsonrpc::{Answer, Style, answer};
use tocsin_mi::{CommandRow, Registry};

fuzz_target!(|bytes: &[u8]| {
    let mut registry = Registry::new();
    registry.add_rows("core", &[CommandRow::WHICH, CommandRow::HELP], ());
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    let Answer::Response(response) = runtime.block_on(answer(&registry, bytes)) else { return };
    let [compact, pretty] = [Style::Compact, Style::Pretty]
        .map(|style| parse(&response.to_bytes(style), Limits { depth: 64, ..Limits::default() }));
    assert_eq!(compact, pretty);
    let Ok(reply) = compact else { panic!("{compact:?}") };
    assert_eq!(reply.member("jsonrpc"), Some(&Value::from("2.0")));
    assert!(reply.member("result").is_some() != reply.member("error").is_some());
    assert!(reply.member("id").is_some());
});
