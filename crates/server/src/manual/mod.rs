//! What the manual of OpenSIPS 3.4 names, by module: the measure of what is there, and of what is not there yet.

use std::collections::BTreeMap;

use tocsin_script::AbsentModule;

/// Lines of `module kind name`, where kind is `parameters`, `functions`, `variables`, `mi`, `statistics` or `events`.
const NAMES: &str = include_str!("names.txt");

/// All that the manual names: module, kind and name.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    NAMES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    })
}

/// Names as the manual writes them, module by module, and as OpenSIPS answers to them.
pub const SPELLED: [(&str, &str, &str); 3] = [
    ("cfgutils", "rand_set_prop", "rand_set_prob"),
    ("cfgutils", "rand_reset_prop", "rand_reset_prob"),
    ("registrar", "defaults_expires", "default_expire"),
];

/// Modules of earlier versions, and what became of them.
pub(crate) const MOVED: [(&str, &str); 5] = [
    ("uri", "has_totag() and is_user() are in sipmsgops, db_check_to() and db_check_from() in auth_db"),
    ("mi_json", "mi_http answers the same commands"),
    ("mi_xmlrpc", "mi_http answers the same commands"),
    ("siptrace", "it is called tracer"),
    ("sqlops", "avpops has sql_query() as avp_db_query()"),
];

/// All modules, with the functions and variables by which a script uses them.
pub(crate) fn modules() -> impl Iterator<Item = AbsentModule> {
    let mut modules: BTreeMap<_, AbsentModule> = BTreeMap::new();
    for (module, kind, name) in names() {
        let module = modules.entry(module).or_insert_with(|| AbsentModule::new(module));
        match kind {
            "functions" => module.functions.push(name),
            "variables" => module.variables.push(name.trim_start_matches('$')),
            _ => {}
        }
    }
    modules.into_values()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_its_functions_and_variables() {
        let dialog = modules().find(|module| module.name == "dialog").unwrap();
        assert!(dialog.functions.contains(&"create_dialog"), "{dialog:?}");
        assert!(dialog.variables.contains(&"DLG_status"), "{dialog:?}");
    }

    #[test]
    fn what_has_moved_is_no_module_any_more() {
        assert!(MOVED.iter().all(|(moved, _)| names().all(|(module, ..)| module != *moved)));
    }
}
