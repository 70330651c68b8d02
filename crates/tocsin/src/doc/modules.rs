//! The modules: the names that each brings to a configuration.

use std::fmt::Write as _;

use tocsin_json::Value;
use tocsin_script::{Function, ModParam, ModParamDefault, ModParamKind, ModuleSpec, RouteKind};
use tocsin_server::{Context, manual};

/// Each module of this build.
pub(super) fn all() -> Vec<ModuleSpec<Context>> {
    tocsin_modules::all().iter().map(|module| module.spec()).collect()
}

/// The page `docs/reference/modules/NAME.md`.
pub(super) fn page(module: &ModuleSpec<Context>) -> String {
    let name = module.name;
    let mut page = format!(
        "# {name}\n\n<!-- Written by `tocsin doc --pages docs/reference`: change the rows in modules/{name}, not this page. -->\n"
    );
    let (idle, acting): (Vec<_>, Vec<_>) = module.params.iter().partition(|row| row.idle.is_some());
    if !acting.is_empty() {
        page.push_str("\n## Parameters\n\n| parameter | takes | default | |\n|---|---|---|---|\n");
        acting.iter().for_each(|row| acting_row(&mut page, row));
    }
    if !idle.is_empty() {
        page.push_str("\n## Parameters without effect\n\n| parameter | | why |\n|---|---|---|\n");
        for row in idle {
            // Writing to a String cannot fail.
            let why = row.idle.unwrap_or_default();
            let _ = writeln!(page, "| `{}` | {} | {} |", row.name, cell(row.doc), cell(why));
        }
    }
    if !module.functions.is_empty() {
        page.push_str("\n## Functions\n\n| function | | in |\n|---|---|---|\n");
        for function in &module.functions {
            let (usage, doc) = (cell(&function.usage()), cell(function.documentation()));
            let _ = writeln!(page, "| `{usage}` | {doc} | {} |", function.routes().list());
        }
    }
    if !module.variables.is_empty() {
        let names: Vec<_> = module.variables.iter().map(|row| format!("`${}`", row.name())).collect();
        let _ = write!(page, "\n## Variables\n\n{}.\n", names.join(", "));
    }
    let missing = missing(module);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(
            page,
            "\n## Not there yet\n\nThe OpenSIPS 3.4 manual has these parameters, functions and variables, and a configuration \
             with one of them is refused: {}.\n",
            names.join(", ")
        );
    }
    page
}

/// The parameters, functions and variables that the manual has and `module` has not.
fn missing(module: &ModuleSpec<Context>) -> Vec<&'static str> {
    let named = manual::names().filter(|(of, ..)| *of == module.name).map(|(_, kind, name)| (kind, name));
    let is_missing = |(kind, name): &(&str, &str)| match *kind {
        "parameters" => module.params.iter().all(|row| row.name != *name),
        "functions" => module.functions.iter().all(|row| row.name() != *name),
        "variables" => module.variables.iter().all(|row| Some(row.name()) != name.strip_prefix('$')),
        _ => false,
    };
    named.filter(is_missing).map(|(_, name)| name).collect()
}

fn acting_row(page: &mut String, row: &ModParam) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "| `{}` | {} | {} | {} |",
        row.name,
        row.kind,
        cell(&row.default.to_string()),
        cell(row.doc)
    );
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What there is to say about a module: each name on a line.
pub(super) fn list(module: &ModuleSpec<Context>) -> String {
    let mut text = format!("{}\n", module.name);
    let usages: Vec<_> = module.functions.iter().map(Function::usage).collect();
    let width = module.params.iter().map(|row| row.name.len()).chain(usages.iter().map(String::len)).max();
    let width = width.unwrap_or_default();
    let mut part = |title: &str, rows: Vec<(&str, String)>| {
        if !rows.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{title}\n");
        }
        for (name, doc) in rows {
            let line = format!("  {name:<width$}  {doc}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    };
    let parameters = module.params.iter().map(|row| {
        let mark = if row.idle.is_some() { "(no effect) " } else { "" };
        (row.name, format!("{mark}{}", row.doc))
    });
    part("Parameters", parameters.collect());
    let functions = usages.iter().zip(&module.functions);
    part(
        "Functions",
        functions.map(|(usage, row)| (usage.as_str(), row.documentation().to_owned())).collect(),
    );
    let variables: Vec<_> = module.variables.iter().map(|row| format!("${}", row.name())).collect();
    part("Variables", variables.iter().map(|name| (name.as_str(), String::new())).collect());
    text
}

/// All about a parameter or function of `module`.
pub(super) fn show(module: &ModuleSpec<Context>, name: &str) -> Option<String> {
    if let Some(row) = module.params.iter().find(|row| row.name == name) {
        let effect = match row.idle {
            Some(why) => format!("  effect   none: {why}\n"),
            None => format!("  default  {}\n", row.default),
        };
        return Some(format!("{}:{name}\n\n  {}\n\n  takes    {}\n{effect}", module.name, row.doc, row.kind));
    }
    let row = module.functions.iter().find(|row| row.name() == name)?;
    Some(format!("{}\n\n  {}\n\n  in       {}\n", row.usage(), row.documentation(), row.routes().list()))
}

/// A module for machines.
pub(super) fn as_json(module: &ModuleSpec<Context>) -> Value {
    let functions = module.functions.iter().map(|row| {
        let routes = RouteKind::ALL.into_iter().filter(|kind| row.routes().contains((*kind).into()));
        Value::object([
            ("name", Value::from(row.name())),
            ("usage", Value::from(row.usage())),
            ("routes", Value::array(routes.map(|kind| Value::from(kind.keyword())))),
            ("doc", Value::from(row.documentation())),
        ])
    });
    Value::object([
        ("name", Value::from(module.name)),
        ("parameters", Value::array(module.params.iter().map(parameter))),
        ("functions", Value::array(functions)),
        ("variables", Value::array(module.variables.iter().map(|row| Value::from(row.name())))),
    ])
}

fn parameter(row: &ModParam) -> Value {
    let mut members = vec![("name", Value::from(row.name)), ("takes", Value::from(row.kind.to_string()))];
    if let ModParamKind::Number { least, most, unit } = row.kind {
        members.extend((least > i64::MIN).then(|| ("least", Value::from(least))));
        members.extend((most < i64::MAX).then(|| ("most", Value::from(most))));
        members.extend((!unit.is_empty()).then(|| ("unit", Value::from(unit))));
    }
    match row.default {
        ModParamDefault::Number(number) => members.push(("default", Value::from(number))),
        ModParamDefault::Switch(on) => members.push(("default", Value::from(on))),
        ModParamDefault::Text(text) => members.push(("default", Value::from(text))),
        ModParamDefault::Unset("") => {}
        ModParamDefault::Unset(words) => members.push(("unset", Value::from(words))),
    }
    members.push(("doc", Value::from(row.doc)));
    members.push(("effect", Value::from(row.idle.is_none())));
    members.extend(row.idle.map(|why| ("why_not", Value::from(why))));
    Value::object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str) -> ModuleSpec<Context> {
        all().into_iter().find(|module| module.name == name).unwrap()
    }

    #[test]
    fn each_parameter_and_function_is_documented() {
        let mut bare = Vec::new();
        for module in all() {
            let parameters = module.params.iter().map(|row| (row.name, row.doc));
            let functions = module.functions.iter().map(|row| (row.name(), row.documentation()));
            let undocumented = parameters.chain(functions).filter(|(_, doc)| !doc.ends_with('.'));
            bare.extend(undocumented.map(|(name, _)| format!("{}: {name}", module.name)));
        }
        assert!(bare.is_empty(), "without documentation: {}", bare.join(", "));
    }

    #[test]
    fn defaults_fit_their_own_parameter() {
        for module in all() {
            for row in module.params {
                let default = match row.default {
                    ModParamDefault::Number(number) => number.into(),
                    ModParamDefault::Switch(on) => i64::from(on).into(),
                    ModParamDefault::Text(text) => match row.kind {
                        ModParamKind::Keyed { .. } => format!("[d]{text}").as_str().into(),
                        _ => text.into(),
                    },
                    ModParamDefault::Unset(_) => continue,
                };
                assert_eq!(row.accepts(&default), Ok(()), "{}:{}", module.name, row.name);
            }
        }
    }

    #[test]
    fn what_is_missing_is_in_the_manual_and_not_here() {
        let missing = missing(&module("tm"));
        assert!(missing.contains(&"t_anycast_replicate") && !missing.contains(&"t_relay"), "{missing:?}");
    }

    #[test]
    fn names_are_shown() {
        let maxfwd = module("maxfwd");
        assert!(show(&maxfwd, "max_limit").unwrap().contains("takes    hops, 1 to 256\n  default  256\n"));
        let function = show(&maxfwd, "mf_process_maxfwd_header").unwrap();
        assert!(function.starts_with("mf_process_maxfwd_header(max_value)\n"), "{function}");
        assert!(show(&maxfwd, "no_such").is_none());
        assert!(list(&maxfwd).contains("\nParameters\n  max_limit"));
    }
}
