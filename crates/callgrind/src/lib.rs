//! Counts instructions, for tests that bound what something costs: a count that does not depend on what else the machine does.
//!
//! A test binary runs itself under `valgrind --tool=callgrind`, for some work and for more of it, and compares.
#![forbid(unsafe_code)]

use std::process::Command;

/// The instructions that this test binary takes for its ignored test `test`, with `count` and `kind` in its environment
/// ([`asked_for`]).
///
/// # Panics
/// Valgrind is not installed, or the test fails.
#[expect(clippy::expect_used, reason = "for tests, which fail by panicking")]
pub fn instructions(test: &str, kind: &str, count: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("a test binary"))
        .args(["--exact", test, "--ignored", "--test-threads=1"])
        .env("KIND", kind)
        .env("COUNT", count.to_string())
        .output()
        .expect("valgrind is installed");
    let report = String::from_utf8_lossy(&output.stderr);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{shown}");
    let total = report.lines().find_map(|line| line.split_once("Collected :")).expect("a count").1;
    total.trim().parse().expect("a number")
}

/// What the ignored test is asked to do: the kind of work, and how often.
///
/// # Panics
/// It was not started by [`instructions`].
#[expect(clippy::expect_used, reason = "for tests, which fail by panicking")]
pub fn asked_for() -> (String, u64) {
    let kind = std::env::var("KIND").expect("a kind");
    let count = std::env::var("COUNT").ok().and_then(|count| count.parse().ok()).expect("a count");
    (kind, count)
}
