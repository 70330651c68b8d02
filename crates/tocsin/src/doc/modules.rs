//! The modules: the names that each brings to a configuration.

use std::fmt::Write as _;
use std::rc::Rc;

use tocsin_json::Value;
use tocsin_script::{Function, ModParam, ModParamDefault, ModParamKind, ModuleSpec, Variable};
use tocsin_server::{Context, Module, manual};

use super::management::{self, Names};
use super::{functions, variables};

/// A module of this build, with all that it declares.
pub(super) struct Documented {
    pub(super) spec: ModuleSpec<Context>,
    pub(super) management: Names,
}

impl Documented {
    /// All names that may stand behind `tocsin doc MODULE`.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let parameters = self.spec.params.iter().map(|row| row.name);
        let functions = self.spec.functions.iter().map(Function::name);
        parameters.chain(functions).chain(self.management.all())
    }
}

/// Each module of this build.
pub(super) fn all() -> Vec<Documented> {
    let documented =
        |module: &Rc<dyn Module>| Documented { spec: module.spec(), management: Names::of(&**module) };
    tocsin_modules::all().iter().map(documented).collect()
}

/// What the script knows of each module.
pub(super) fn specs() -> Vec<ModuleSpec<Context>> {
    tocsin_modules::all().iter().map(|module| module.spec()).collect()
}

/// The page `docs/reference/modules/NAME.md`.
pub(super) fn page(module: &Documented) -> String {
    let (spec, name) = (&module.spec, module.spec.name);
    let mut page = format!(
        "# {name}\n\n<!-- Written by `tocsin doc --pages docs/reference`: change the rows in modules/{name}, not this page. -->\n"
    );
    parameters(&mut page, spec);
    // Writing to a String cannot fail.
    if !spec.functions.is_empty() {
        let _ = write!(page, "\n## Functions\n\n{}", functions::table(&spec.functions));
    }
    if !spec.variables.is_empty() {
        let _ = write!(page, "\n## Variables\n\n{}", variables::table(&spec.variables));
    }
    page.push_str(&module.management.sections());
    let missing = missing(module);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(
            page,
            "\n## Not there yet\n\nThe OpenSIPS 3.4 manual has these names, too; a configuration with one of them is refused: \
             {}.\n",
            names.join(", ")
        );
    }
    page
}

fn parameters(page: &mut String, spec: &ModuleSpec<Context>) {
    let (idle, acting): (Vec<_>, Vec<_>) = spec.params.iter().partition(|row| row.idle.is_some());
    if !acting.is_empty() {
        page.push_str("\n## Parameters\n\n| parameter | takes | default | |\n|---|---|---|---|\n");
        acting.iter().for_each(|row| acting_row(page, row));
    }
    if !idle.is_empty() {
        page.push_str("\n## Parameters without effect\n\n| parameter | | why |\n|---|---|---|\n");
        for row in idle {
            // Writing to a String cannot fail.
            let why = row.idle.unwrap_or_default();
            let _ = writeln!(page, "| `{}` | {} | {} |", row.name, cell(row.doc), cell(why));
        }
    }
}

/// The names that the manual has and `module` has not.
fn missing(module: &Documented) -> Vec<&'static str> {
    let spec = &module.spec;
    let named = manual::names().filter(|(of, ..)| *of == spec.name).map(|(_, kind, name)| (kind, name));
    let is_missing = |(kind, name): &(&str, &'static str)| match *kind {
        "parameters" => spec.params.iter().all(|row| row.name != *name),
        "functions" => spec.functions.iter().all(|row| row.name() != *name),
        "variables" => spec.variables.iter().all(|row| Some(row.name()) != name.strip_prefix('$')),
        _ => !module.management.has(kind, management::spelled(spec.name, name)),
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
pub(super) fn list(module: &Documented) -> String {
    let spec = &module.spec;
    let mark = |row: &ModParam| if row.idle.is_some() { "(no effect) " } else { "" };
    let parameters = spec.params.iter().map(|row| (row.name.to_owned(), format!("{}{}", mark(row), row.doc)));
    let functions = spec.functions.iter().map(|row| (row.usage(), row.documentation().to_owned()));
    let named = |row: &Variable<Context>| variables::names(row).replace('`', "");
    let variables = spec.variables.iter().map(|row| (named(row), row.doc().to_owned()));
    let mut parts = vec![
        ("Parameters", parameters.collect::<Vec<_>>()),
        ("Functions", functions.collect()),
        ("Variables", variables.collect()),
    ];
    let owned = |(name, doc): (String, &str)| (name, doc.to_owned());
    let management =
        module.management.parts().map(|(title, rows)| (title, rows.into_iter().map(owned).collect()));
    parts.extend(management);
    let width = parts.iter().flat_map(|(_, rows)| rows).map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = format!("{}\n", spec.name);
    for (title, rows) in parts.iter().filter(|(_, rows)| !rows.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{title}\n");
        for (name, doc) in rows {
            let line = format!("  {name:<width$}  {doc}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

/// All about each name `name` of `module`: a command may be called as a function is.
pub(super) fn show(module: &Documented, name: &str) -> Vec<String> {
    let spec = &module.spec;
    let parameters = spec.params.iter().filter(|row| row.name == name).map(|row| {
        let effect = match row.idle {
            Some(why) => format!("  effect   none: {why}\n"),
            None => format!("  default  {}\n", row.default),
        };
        format!("{}:{name}\n\n  {}\n\n  takes    {}\n{effect}", spec.name, row.doc, row.kind)
    });
    let functions = spec.functions.iter().filter(|row| row.name() == name).map(functions::show);
    parameters.chain(functions).chain(module.management.show(name)).collect()
}

/// A module for machines.
pub(super) fn as_json(module: &Documented) -> Value {
    let spec = &module.spec;
    let members = [
        ("name", Value::from(spec.name)),
        ("parameters", Value::array(spec.params.iter().map(parameter))),
        ("functions", Value::array(spec.functions.iter().map(functions::as_json))),
        ("variables", Value::array(spec.variables.iter().map(variables::as_json))),
    ];
    Value::object(members.into_iter().chain(module.management.members()))
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
    use tocsin_script::ModParam;

    use super::*;

    fn module(name: &str) -> Documented {
        all().into_iter().find(|module| module.spec.name == name).unwrap()
    }

    #[test]
    fn each_name_of_a_script_is_documented() {
        let mut bare = Vec::new();
        for module in specs() {
            let parameters = module.params.iter().map(|row| (row.name, row.doc));
            let functions = module.functions.iter().map(|row| (row.name(), row.documentation()));
            let variables = module.variables.iter().map(|row| (row.name(), row.doc()));
            let undocumented =
                parameters.chain(functions).chain(variables).filter(|(_, doc)| !doc.ends_with('.'));
            bare.extend(undocumented.map(|(name, _)| format!("{}: {name}", module.name)));
        }
        assert!(bare.is_empty(), "without documentation: {}", bare.join(", "));
    }

    #[test]
    fn defaults_fit_their_own_parameter() {
        for module in specs() {
            for row in module.params {
                if let Some(default) = default_of(row) {
                    assert_eq!(row.accepts(&default), Ok(()), "{}:{}", module.name, row.name);
                }
            }
        }
    }

    /// The default as a configuration writes it.
    fn default_of(row: &ModParam) -> Option<tocsin_script::Value> {
        Some(match row.default {
            ModParamDefault::Number(number) => number.into(),
            ModParamDefault::Switch(on) => i64::from(on).into(),
            ModParamDefault::Text(text) if matches!(row.kind, ModParamKind::Keyed { .. }) => {
                format!("[d]{text}").as_str().into()
            }
            ModParamDefault::Text(text) => text.into(),
            ModParamDefault::Unset(_) => return None,
        })
    }

    #[test]
    fn what_is_missing_is_in_the_manual_and_not_here() {
        let missing = missing(&module("tm"));
        assert!(missing.contains(&"t_anycast_replicate") && !missing.contains(&"t_relay"), "{missing:?}");
        assert!(!missing.contains(&"t_uac_dlg") && !missing.contains(&"UAS_transactions"), "{missing:?}");
    }

    #[test]
    fn names_are_shown() {
        let maxfwd = module("maxfwd");
        assert!(show(&maxfwd, "max_limit")[0].contains("takes    hops, 1 to 256\n  default  256\n"));
        let function = show(&maxfwd, "mf_process_maxfwd_header").remove(0);
        assert!(function.starts_with("mf_process_maxfwd_header(max_value)\n"), "{function}");
        assert!(show(&maxfwd, "no_such").is_empty());
        assert!(list(&maxfwd).contains("\nParameters\n  max_limit"));
    }
}
