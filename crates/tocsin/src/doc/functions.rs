//! The core functions: one of them, and `docs/reference/core-functions.md`.

use std::fmt::Write as _;

use tocsin_json::Value;
use tocsin_script::{Function, RouteKind};
use tocsin_server::Context;

const HEAD: &str = "# Core functions

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/server/src/core, not this page. -->

The functions that need no module. What stands in square brackets may be left out. A return code above 0 is true, one below 0
is false; `$retcode` gives it. `tocsin doc NAME` shows one of them.

";

/// The page.
pub(super) fn page() -> String {
    let names = tocsin_server::core::names();
    let mut functions: Vec<_> = names.functions().iter().collect();
    functions.sort_by_key(|function| function.name());
    HEAD.to_owned() + &table(functions)
}

/// A table of functions.
pub(super) fn table<'a>(functions: impl IntoIterator<Item = &'a Function<Context>>) -> String {
    let mut table = "| function | | in |\n|---|---|---|\n".to_owned();
    for function in functions {
        let usage = function.usage().replace('|', "\\|");
        let doc = function.documentation().replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{usage}` | {doc} | {} |", function.routes().list());
    }
    table
}

/// All about one function.
pub(super) fn show(function: &Function<Context>) -> String {
    let (usage, doc) = (function.usage(), function.documentation());
    format!("{usage}\n\n  {doc}\n\n  in       {}\n", function.routes().list())
}

/// A function for machines.
pub(super) fn as_json(function: &Function<Context>) -> Value {
    let routes = RouteKind::ALL.into_iter().filter(|kind| function.routes().contains((*kind).into()));
    Value::object([
        ("name", Value::from(function.name())),
        ("usage", Value::from(function.usage())),
        ("routes", Value::array(routes.map(|kind| Value::from(kind.keyword())))),
        ("doc", Value::from(function.documentation())),
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_core_function_is_documented() {
        let names = tocsin_server::core::names();
        let bare = names.functions().iter().filter(|row| !row.documentation().ends_with('.'));
        let bare: Vec<_> = bare.map(tocsin_script::Function::name).collect();
        assert!(bare.is_empty(), "without documentation: {bare:?}");
        assert!(super::page().contains("| `append_branch([uri][, q])` | "));
    }
}
