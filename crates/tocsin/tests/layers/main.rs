//! Layers: inside a crate, too, imports run downwards only.
//!
//! Reads the sources of every crate, finds which file names which, and fails on a circle of files that is larger than the
//! crate may have. Tests are left out. A facade (`pub use`) is followed to the file that defines the name.

#![expect(clippy::unwrap_used, reason = "it fails by panicking")]

mod circles;
mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sources::Sources;

/// Crates, by their folder, and the largest circle of files that each may have. What is left in `script` is recursion of
/// the language: the index of a variable is an expression, whose parts are texts with variables in them. What is left in
/// `server` is the knot around the context of a message.
const LARGEST: [(&str, usize); 13] = [
    ("crates/shm", 4),
    ("crates/sip", 3),
    ("crates/json", 1),
    ("crates/net", 1),
    ("crates/process", 1),
    ("crates/db", 1),
    ("crates/mi", 1),
    ("crates/event", 1),
    ("crates/telemetry", 1),
    ("crates/streams", 1),
    ("crates/script", 5),
    ("crates/server", 6),
    ("crates/tocsin", 1),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Modules that may have a circle. What is left in `tm` is recursion: a branch that fails leads to the next address, which
/// is sent, and sending may fail.
const LARGEST_IN_MODULES: [(&str, usize); 1] = [("tm", 4)];

/// Each package and the largest circle it may have.
fn packages() -> Vec<(String, usize)> {
    let mut packages: Vec<_> = LARGEST.map(|(folder, largest)| (folder.to_owned(), largest)).into();
    for entry in std::fs::read_dir(workspace().join("modules")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = LARGEST_IN_MODULES.iter().find(|(module, _)| *module == name);
        packages.push((format!("modules/{name}"), known.map_or(1, |(_, largest)| *largest)));
    }
    packages
}

#[test]
fn imports_run_downwards() {
    let mut failures = Vec::new();
    for (folder, largest) in packages() {
        let sources = Sources::read(&workspace().join(&folder).join("src"));
        assert!(sources.len() > 0, "{folder} has no sources");
        let circles = circles::circles(&sources.imports());
        let widest = circles.iter().map(Vec::len).max().unwrap_or(1);
        println!("{folder}: {} files, largest circle {widest}", sources.len());
        for circle in circles.iter().filter(|circle| circle.len() > largest) {
            let members: BTreeSet<_> = circle.iter().copied().collect();
            failures.push(format!("{folder}: a circle of {} files (at most {largest}):", circle.len()));
            failures.extend(sources.describe(&members));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
