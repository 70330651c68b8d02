//! Variables: one of them, and `docs/reference/variables.md`.

use std::fmt::Write as _;

use tocsin_json::Value;
use tocsin_script::{Indexes, ModuleSpec, Naming, Variable};
use tocsin_server::Context;

const HEAD: &str = "# Core variables

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/server/src/core and crates/script, not this page. -->

The variables that need no module. `$(name)` is the same as `$name`; `$(name[index])` chooses one of several values, from 0 or
from -1 backwards, and `[*]` is all of them with `, ` between. `$(name{transformation})` changes what is read. A variable without a
value is NULL, and prints as `<null>`. `tocsin doc '$name'` shows one of them.

";

/// The page.
pub(super) fn page() -> String {
    let names = tocsin_server::core::names();
    let mut variables: Vec<_> = names.variables().iter().collect();
    variables.sort_by_key(|variable| (variable.name().to_ascii_lowercase(), variable.name()));
    HEAD.to_owned() + &table(variables)
}

/// A table of variables.
pub(super) fn table<'a>(variables: impl IntoIterator<Item = &'a Variable<Context>>) -> String {
    let mut page = "| variable | index | assigned | |\n|---|---|---|---|\n".to_owned();
    for variable in variables {
        let index = match variable.indexes() {
            Indexes::None | Indexes::Unchecked => "",
            Indexes::List => "`[n]`, `[*]`",
            Indexes::Append => "`[n]`, `[*]`, `[append]`",
        };
        let assigned = if variable.is_settable() { "yes" } else { "" };
        let doc = variable.doc().replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {} | {index} | {assigned} | {doc} |", names(variable));
    }
    page
}

/// All about one variable of the core or of a module, which is named with its dollar sign.
pub(super) fn show(name: &str, modules: &[ModuleSpec<Context>]) -> Result<String, String> {
    let wanted = bare(name);
    if let Some(variable) = tocsin_server::core::names().variables().iter().find(|row| is(row, wanted)) {
        return Ok(text(variable));
    }
    let found = modules.iter().flat_map(|module| &module.variables).find(|row| is(row, wanted));
    found.map(text).ok_or_else(|| format!("there is no variable ${wanted}"))
}

/// The name within `$name`, `$(name)` or `$name(of it)`.
fn bare(name: &str) -> &str {
    let name = name.trim_start_matches('$').trim_matches(['(', ')']);
    name.split('(').next().unwrap_or_default()
}

fn is(variable: &Variable<Context>, name: &str) -> bool {
    variable.name() == name || variable.other_names().contains(&name)
}

/// All about one variable.
pub(super) fn text(variable: &Variable<Context>) -> String {
    let mut text = format!("{}\n  {}\n", names(variable).replace('`', ""), variable.doc());
    if variable.is_settable() {
        text.push_str("  It can be assigned.\n");
    }
    text
}

/// A variable for machines.
pub(super) fn as_json(variable: &Variable<Context>) -> Value {
    Value::object([
        ("name", Value::from(variable.name())),
        ("usage", Value::from(names(variable).replace('`', ""))),
        ("settable", Value::from(variable.is_settable())),
        ("doc", Value::from(variable.doc())),
    ])
}

/// Its names, each as it is written.
pub(super) fn names(variable: &Variable<Context>) -> String {
    let form = match variable.naming() {
        Naming::Nothing | Naming::Unchecked => String::new(),
        Naming::Required(what) | Naming::Plain(what) => format!("({what})"),
        Naming::Optional(what) => format!("[({what})]"),
    };
    let others = variable.other_names().iter().map(|other| format!(", `${other}{form}`"));
    format!("`${}{form}`{}", variable.name(), others.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_is_documented() {
        for variable in tocsin_server::core::names().variables() {
            assert!(!variable.doc().is_empty(), "{}", variable.name());
            assert_ne!(variable.naming(), Naming::Unchecked, "{}", variable.name());
        }
        let modules = super::super::modules::specs();
        assert!(show("$ruri", &[]).unwrap().starts_with("$ru, $ruri\n"));
        assert!(show("$uuid", &modules).unwrap().contains("A new identifier"));
        assert!(show("$nope", &modules).is_err());
    }
}
