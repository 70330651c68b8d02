//! Conformance: what OpenSIPS 3.4 was seen to do on the wire, replayed against the real program, byte for byte.
//!
//! A case is a text file `<topic>/<case>.txt`: a configuration, what is sent, and what must come back, with typed
//! placeholders for what differs from run to run ([`replay`] describes the language). Where the recording shows a defect
//! of OpenSIPS, the file keeps the bytes in a `waived` part with the reason, and says what is required instead. A case
//! that cannot pass yet is named in `not-yet.toml` with the reason, and must not pass.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../program/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the black-box tests beside these use the rest")]
mod harness;
mod replay;

/// One test for each topic, so that topics run side by side.
macro_rules! topics {
    ($($topic:ident),* $(,)?) => {
        const TOPICS: &[&str] = &[$(stringify!($topic)),*];
        $(
            #[test]
            fn $topic() {
                replay::topic(stringify!($topic));
            }
        )*
    };
}

topics![
    core_autoscale,
    module_events,
    transports,
    core_all_transports,
    cli,
    mi,
    core_log,
    core_pkg,
    core_shm,
    core_sr,
    core_tcp,
    core_threshold,
    event_list,
    script_events,
    subscriptions
];

#[test]
fn every_file_belongs_to_a_topic() {
    replay::check_files(TOPICS);
}
