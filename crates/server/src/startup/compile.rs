//! From text to a program, with the names of the core and of the modules: at the start, and for each reload.

use std::rc::Rc;

use tocsin_script::{Bytes, Diagnostics, Library, Program, SourceMap};

use crate::context::Context;
use crate::core;
use crate::flag_names::FlagNames;
use crate::module::Module;

/// A program, and what was found on the way.
pub(crate) struct Compiled {
    pub(crate) program: Program<Context>,
    /// Events that the script names.
    pub(crate) events: Vec<Bytes>,
    /// Blocklists that the script names, each with its place.
    pub(crate) lists: Vec<(Bytes, String)>,
}

/// Compiles a configuration over the language that `base` begins with. The script's flags are added to `flags`.
pub(crate) fn compile(
    source: SourceMap,
    modules: &[Rc<dyn Module>],
    base: Library<Context>,
    flags: &FlagNames,
) -> Result<Compiled, Diagnostics> {
    let written = core::WrittenNames::default();
    let lists = core::WrittenLists::default();
    let mut library = core::library(base, &written, &lists, flags);
    modules.iter().for_each(|module| library.module(module.spec()));
    crate::manual::modules().for_each(|module| library.module_of_manual(module));
    crate::manual::MOVED.iter().for_each(|(name, hint)| library.moved_module(name, hint));
    let program = tocsin_script::compile(source, &library)?;
    Ok(Compiled { program, events: written.take(), lists: lists.take() })
}
