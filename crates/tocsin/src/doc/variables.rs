//! The core variables: one of them, and `docs/reference/variables.md`.

use std::fmt::Write as _;

use tocsin_script::{Indexes, Naming, Variable};
use tocsin_server::Context;

const HEAD: &str = "# Core variables

<!-- Written by `tocsin doc --pages docs/reference`: change the rows in crates/server/src/core and crates/script, not this page. -->

The variables that need no module. `$(name)` is the same as `$name`; `$(name[index])` chooses one of several values, from 0 or
from -1 backwards, and `[*]` is all of them with `, ` between. `$(name{transformation})` changes what is read. A variable without a
value is NULL, and prints as `<null>`. `tocsin doc '$name'` shows one of them.

| variable | index | assigned | |
|---|---|---|---|
";

/// The page.
pub(super) fn page() -> String {
    let mut variables = tocsin_server::core::variables();
    variables.sort_by_key(|variable| (variable.name().to_ascii_lowercase(), variable.name()));
    let mut page = HEAD.to_owned();
    for variable in &variables {
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

/// All about one variable, which is named with its dollar sign.
pub(super) fn show(name: &str) -> Result<String, String> {
    let wanted = name.trim_start_matches('$').trim_matches(['(', ')']);
    let wanted = wanted.split('(').next().unwrap_or_default();
    let variables = tocsin_server::core::variables();
    let is_wanted =
        |variable: &&Variable<Context>| variable.name() == wanted || variable.other_names().contains(&wanted);
    let Some(variable) = variables.iter().find(is_wanted) else {
        return Err(format!("there is no core variable ${wanted}"));
    };
    let mut text = format!("{}\n  {}\n", names(variable).replace('`', ""), variable.doc());
    if variable.is_settable() {
        text.push_str("  It can be assigned.\n");
    }
    Ok(text)
}

fn names(variable: &Variable<Context>) -> String {
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
        for variable in tocsin_server::core::variables() {
            assert!(!variable.doc().is_empty(), "{}", variable.name());
            assert_ne!(variable.naming(), Naming::Unchecked, "{}", variable.name());
        }
        assert!(show("$ruri").unwrap().starts_with("$ru, $ruri\n"));
        assert!(show("$nope").is_err());
    }
}
