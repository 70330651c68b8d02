//! The limits table of ARCHITECTURE.md says what the code says.
//!
//! A row has figures in its second column and names constants in its third. Each constant is looked up in the sources and
//! evaluated, and the figures must be its values, in the same order. A change of a constant is a change of the table, and
//! a constant that moves or gets another name takes its row along.
//!
//! A constant is named in one of three ways, and always so that there is only one of that name:
//!
//! | in the table | what it is |
//! |---|---|
//! | `net::MAX_MAILBOX_MESSAGE_BYTES`, `mi::fifo::{MAX_REQUEST_BYTES, PART_TIMEOUT}` | a constant of a crate or module, in a file of the path named |
//! | `LINES` (`event/src/courier.rs`) | a constant of that file, below `crates` unless it begins with `modules` |
//! | `sip::Limits::uri`, `streams::TcpSettings::lifetime` | a field of a type, as its `DEFAULT` or its `Default` sets it |

#![expect(clippy::unwrap_used, reason = "it fails by panicking")]

mod constants;
mod figures;
mod table;

use std::path::{Path, PathBuf};

use constants::{Constant, Constants};
use figures::{Figure, figures};
use table::{Row, rows};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[test]
fn the_limits_table_agrees_with_the_constants() {
    let text = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let rows = rows(&text);
    assert!(rows.len() > 100, "the table has {} rows", rows.len());
    let mut constants = Constants::new(&workspace());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| check(row, &mut constants).err())
        .map(|line| format!("  {line}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} rows of ARCHITECTURE.md:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

/// What is wrong with a row.
fn check(row: &Row, constants: &mut Constants) -> Result<(), String> {
    let named = row.references().and_then(|references| {
        references.iter().map(|reference| constants.find(reference)).collect::<Result<Vec<_>, _>>()
    });
    let named = named.map_err(|cause| format!("{}: {cause}", row.limit))?;
    if named.is_empty() {
        return Err(format!("{}: names no constant", row.limit));
    }
    compare(&figures(&row.value), &named).map_err(|cause| format!("{}: {cause}", row.limit))
}

/// Whether the figures are the values of the constants. Where a figure is said once, constants of the same value that
/// follow each other may share it.
fn compare(figures: &[Figure], constants: &[Constant]) -> Result<(), String> {
    let mut spare = constants.len().saturating_sub(figures.len());
    let mut at = 0;
    for constant in constants {
        match figures.get(at) {
            Some(figure) if figure.is(constant) => at += 1,
            _ if spare > 0 && at > 0 && figures[at - 1].is(constant) => spare -= 1,
            Some(figure) => return Err(format!("says {}, but {constant}", figure.text)),
            None => return Err(format!("has no figure for {constant}")),
        }
    }
    match figures.get(at) {
        Some(figure) => Err(format!("names no constant for {}", figure.text)),
        None => Ok(()),
    }
}

#[test]
fn a_row_that_drifted_is_found() {
    let mut constants = Constants::new(&workspace());
    let mut check = |line: &str| {
        let text = format!("| limit | value | named | when it is reached |\n|---|---|---|---|\n{line}\n");
        check(&rows(&text)[0], &mut constants)
    };
    assert_eq!(check("| depth | 32 | `json::MAX_DEPTH` | - |"), Ok(()));
    assert_eq!(check("| depth | 32 | `MAX_DEPTH` (`json/src/parse.rs`) | - |"), Ok(()));
    let cause = check("| depth | 33 | `json::MAX_DEPTH` | - |").unwrap_err();
    assert_eq!(cause, "depth: says 33, but MAX_DEPTH (json/src/parse.rs) is 32");
    for drifted in [
        "| depth | 32 KiB | `json::MAX_DEPTH` | - |",
        "| depth | 32 s | `json::MAX_DEPTH` | - |",
        "| depth | 32; 32 | `json::MAX_DEPTH` | - |",
        "| depth | deep | `json::MAX_DEPTH` | - |",
        "| depth | 32 | `json::NO_SUCH_LIMIT` | - |",
        "| depth | 32 | `nowhere::MAX_DEPTH` | - |",
        "| depth | 32 | `MAX_DEPTH` (`json/src/lib.rs`) | - |",
        "| depth | 32 | `MAX_DEPTH` | - |",
        "| depth | 32 | in the code | - |",
        "| request | 128 KiB | `mi::MAX_REQUEST_BYTES` | two of them |",
    ] {
        assert!(check(drifted).is_err(), "{drifted}");
    }
}
