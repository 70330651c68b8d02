//! What the manual of OpenSIPS 3.4 names, by module: the measure of what is there, and of what is not there yet.

use std::collections::BTreeMap;

use tocsin_script::AbsentModule;

/// Lines of `module kind name`, where kind is `parameters`, `functions` or `variables`.
const NAMES: &str = include_str!("names.txt");

/// All that the manual names: module, kind and name.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    NAMES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    })
}

/// The modules of OpenSIPS but for those that `is_there`, with the functions and variables by which a script uses them.
pub(crate) fn absent_modules(is_there: impl Fn(&str) -> bool) -> impl Iterator<Item = AbsentModule> {
    let mut modules: BTreeMap<_, AbsentModule> = BTreeMap::new();
    for (module, kind, name) in names().filter(|(module, ..)| !is_there(module)) {
        let absent = modules.entry(module).or_insert_with(|| AbsentModule::new(module));
        match kind {
            "functions" => absent.functions.push(name),
            "variables" => absent.variables.push(name.trim_start_matches('$')),
            _ => {}
        }
    }
    modules.into_values()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_there_is_not_absent() {
        let dialog = absent_modules(|_| false).find(|module| module.name == "dialog").unwrap();
        assert!(dialog.functions.contains(&"create_dialog"), "{dialog:?}");
        assert!(dialog.variables.contains(&"DLG_status"), "{dialog:?}");
        assert!(absent_modules(|name| name == "dialog").all(|module| module.name != "dialog"));
    }
}
