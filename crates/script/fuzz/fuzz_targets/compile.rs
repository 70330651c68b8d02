//! Any bytes as a configuration: a program, or messages about what is wrong that can be printed.
//!
//! Nothing is included from files: `include_file` and `import_file` are cut out of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_script::{Host, Launch, Library, Place, ScriptVars, SourceMap, compile};

#[derive(Default)]
struct Quiet {
    vars: ScriptVars,
}

impl Host for Quiet {
    fn vars(&mut self) -> &mut ScriptVars {
        &mut self.vars
    }

    fn script_error(&mut self, _: Place<'_>, _: &str) {}

    fn now_ms(&self) -> u64 {
        0
    }

    fn launch(&mut self, _: Launch<Self>) {}
}

fuzz_target!(|bytes: &[u8]| {
    if [&b"include"[..], b"import"].iter().any(|word| bytes.windows(word.len()).any(|part| part == *word)) {
        return;
    }
    if let Err(diagnostics) = compile(SourceMap::from_text("fuzz.cfg", bytes), &Library::<Quiet>::new()) {
        assert!(!diagnostics.to_string().is_empty());
    }
});
