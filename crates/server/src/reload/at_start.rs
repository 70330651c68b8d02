//! What the server was started with beside its routes: a reload does not change it.

use tocsin_script::{GlobalSetting, GlobalValue, Host, ModuleSetting, Program, Value};

/// The settings of the configuration that the server was started with.
#[derive(Debug)]
pub(crate) struct AtStart {
    globals: Vec<GlobalSetting>,
    modules: Vec<String>,
    parameters: Vec<ModuleSetting>,
}

impl AtStart {
    /// Those of `program`.
    pub(crate) fn of<C: Host>(program: &Program<C>) -> Self {
        Self {
            globals: program.globals().to_vec(),
            modules: program.modules().to_vec(),
            parameters: program.module_settings().to_vec(),
        }
    }

    /// Whether the server was started with a module.
    pub(crate) fn has_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module == name)
    }

    /// The first module of `program` that the server was started without.
    pub(super) fn new_module<'a, C: Host>(&self, program: &'a Program<C>) -> Option<&'a str> {
        program.modules().iter().find(|name| !self.has_module(name)).map(String::as_str)
    }

    /// What is set otherwise in `program`, and takes effect when the server starts with it: `udp_workers`,
    /// `modparam tm fr_timeout`, `loadmodule rr`.
    pub(super) fn changed<C: Host>(&self, program: &Program<C>) -> Vec<String> {
        let globals = names(self.globals.iter().chain(program.globals()).map(|global| global.name.clone()));
        let globals =
            globals.into_iter().filter(|name| of(&self.globals, name) != of(program.globals(), name));
        let parameters = self.parameters.iter().chain(program.module_settings());
        let parameters = names(parameters.map(|set| (set.module.clone(), set.name.clone())));
        let parameters = parameters
            .into_iter()
            .filter(|name| given(&self.parameters, name) != given(program.module_settings(), name));
        let gone = self.modules.iter().filter(|name| !program.modules().contains(name));
        let parameters = parameters.map(|(module, name)| format!("modparam {module} {name}"));
        globals.chain(parameters).chain(gone.map(|name| format!("loadmodule {name}"))).collect()
    }
}

/// Each of them once, in the order in which they come.
fn names<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut names = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn of<'a>(globals: &'a [GlobalSetting], name: &str) -> Vec<&'a GlobalValue> {
    globals.iter().filter(|global| global.name == name).map(|global| &global.value).collect()
}

fn given<'a>(parameters: &'a [ModuleSetting], (module, name): &(String, String)) -> Vec<&'a Value> {
    let of = parameters.iter().filter(|set| set.module == *module && set.name == *name);
    of.map(|set| &set.value).collect()
}
