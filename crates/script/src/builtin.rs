//! The names that belong to the language itself.

use std::collections::BTreeMap;

use crate::call::Host;
use crate::global::MAX_WHILE_LOOPS;
use crate::language;
use crate::library::{Global, GlobalKind, Library, ModuleSpec, Slots};
use crate::program::Program;

impl<C: Host> Library<C> {
    /// A library with what belongs to the language itself: the parameter `max_while_loops`, the variables `$var`,
    /// `$rc`, `$retcode`, `$param`, `$return`, `$route`, `$route.name`, `$route.type`, `$cfg_line` and `$cfg_file`.
    pub fn new() -> Self {
        Self::with_slots(Slots::default())
    }

    /// The same for a further version of `program`: `$var(name)` is the same variable in the scripts of both.
    pub fn for_version_of(program: &Program<C>) -> Self {
        Self::with_slots(program.slots.clone())
    }

    fn with_slots(slots: Slots) -> Self {
        let mut library = Self {
            globals: BTreeMap::new(),
            core: ModuleSpec::new("core"),
            slots: slots.clone(),
            modules: BTreeMap::new(),
            absent: Vec::new(),
            moved: BTreeMap::new(),
        };
        library.global(Global {
            name: MAX_WHILE_LOOPS,
            kind: GlobalKind::Int,
            doc: "how often a loop may run before it is stopped",
        });
        library.core.variables = language::variables(slots);
        library
    }
}

impl<C: Host> Default for Library<C> {
    fn default() -> Self {
        Self::new()
    }
}
