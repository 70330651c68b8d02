//! Core parameters: each is declared in one row of a table, and the tables are here, one a topic. A configuration's values
//! flow in and become [`Settings`]; the language, `tocsin doc` and the reference page read the rows.

mod databases;
mod dns;
mod identity;
mod language;
mod logging;
mod memory;
mod messages;
mod scaling;
mod sockets;
mod tcp;
mod thresholds;
mod values;

use tocsin_script::{Diagnostic, Global, GlobalSetting, GlobalValue, Host, Program};

use crate::declared::Declared;
use crate::flag_names::FlagNames;
use crate::logging::{Level, line};

pub use values::{DEFAULT_PRIVATE_MIB, DEFAULT_SHARED_MIB, Overrides, Parameter, Settings, SocketSetting};

/// Core parameters of one topic.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// What they are about.
    pub title: &'static str,
    /// The parameters.
    pub parameters: &'static [Parameter],
}

/// All core parameters, by topic.
pub const TOPICS: &[Topic] = &[
    Topic { title: "Addresses and processes", parameters: sockets::PARAMETERS },
    Topic { title: "Scaling", parameters: scaling::PARAMETERS },
    Topic { title: "Connections", parameters: tcp::PARAMETERS },
    Topic { title: "DNS and destinations", parameters: dns::PARAMETERS },
    Topic { title: "Messages", parameters: messages::PARAMETERS },
    Topic { title: "Log", parameters: logging::PARAMETERS },
    Topic { title: "Thresholds", parameters: thresholds::PARAMETERS },
    Topic { title: "Memory", parameters: memory::PARAMETERS },
    Topic { title: "Databases", parameters: databases::PARAMETERS },
    Topic { title: "User and folders", parameters: identity::PARAMETERS },
    Topic { title: "Language and modules", parameters: language::PARAMETERS },
];

/// All core parameters.
pub fn parameters() -> impl Iterator<Item = &'static Parameter> {
    TOPICS.iter().flat_map(|topic| topic.parameters)
}

/// The core parameter that may be written as `name`.
pub fn parameter(name: &str) -> Option<&'static Parameter> {
    parameters().find(|parameter| parameter.is_spelled(name))
}

/// The core parameters as the language knows them, under each spelling.
pub fn globals() -> impl Iterator<Item = Global> {
    parameters().flat_map(Declared::globals)
}

/// A core parameter that a configuration sets, and of which nothing comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// As it is written there.
    pub name: String,
    /// File, line and column.
    pub place: String,
    /// Why.
    pub why: &'static str,
}

/// The parameters of the core and of modules that `program` sets and that have no effect, once each, at the first place.
pub fn idle_parameters<C: Host>(program: &Program<C>) -> Vec<Idle> {
    let of_core = program.globals().iter().filter_map(|global| {
        let why = parameter(&global.name)?.idle_because()?;
        Some((global.name.clone(), global.span, why))
    });
    let of_modules = program.module_settings().iter().filter_map(|setting| {
        Some((format!("{}:{}", setting.module, setting.name), setting.span, setting.idle?))
    });
    let mut found: Vec<Idle> = Vec::new();
    for (name, span, why) in of_core.chain(of_modules) {
        if !found.iter().any(|idle| idle.name == name) {
            found.push(Idle { name, place: program.place(span), why });
        }
    }
    found
}

/// Logs which core parameters of `program` have no effect, in one line.
pub(crate) fn note_idle<C: Host>(program: &Program<C>) {
    let idle = idle_parameters(program);
    if !idle.is_empty() {
        let names: Vec<_> = idle.iter().map(|idle| format!("{} ({})", idle.name, idle.place)).collect();
        let names = names.join(", ");
        let text = format!("core:main: parameters without effect: {names}; tocsin -C says why");
        line(Level::Notice, &text);
    }
}

impl Settings {
    /// Reads the values of `globals`, with `overrides` on top. `flag_names` are those that the script uses.
    ///
    /// # Errors
    /// All values that cannot be used, each with its place and what would be right.
    pub fn new(
        globals: &[GlobalSetting],
        overrides: &Overrides,
        flag_names: FlagNames,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut settings = Self::blank(flag_names);
        let mut wrong = Vec::new();
        for parameter in parameters() {
            let Some(value) = parameter.default.value() else { continue };
            // A default fits its own parameter, as the test below says.
            let _ = parameter.apply(&mut settings, &value);
        }
        // Profiles may stand behind their use.
        let is_profile = |global: &&GlobalSetting| matches!(global.value, GlobalValue::Profile(_));
        let (profiles, others): (Vec<_>, Vec<_>) = globals.iter().partition(is_profile);
        for global in profiles.into_iter().chain(others) {
            let Some(parameter) = parameter(&global.name) else { continue };
            if let Err(problem) = parameter.apply(&mut settings, &global.value) {
                let message = format!("{}: {problem}", global.name);
                let help = Some(format!("tocsin doc {} says what it takes", parameter.name));
                wrong.push(Diagnostic::new(global.value_span, message).with_help(help));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        settings.finish(overrides);
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tocsin_script::{GlobalKind, Span};

    use super::*;
    use crate::declared::Effect;

    /// What the value of a core parameter leads to.
    pub(super) fn with(name: &str, value: GlobalValue) -> Result<Settings, String> {
        let at = Span::default();
        let global = GlobalSetting { name: name.to_owned(), value, span: at, value_span: at };
        let settings = Settings::new(&[global], &Overrides::default(), FlagNames::default());
        settings.map_err(|wrong| wrong[0].message.clone())
    }

    pub(super) fn number(name: &str, value: i64) -> Result<Settings, String> {
        with(name, GlobalValue::Int(value))
    }

    pub(super) fn switch(name: &str, value: bool) -> Settings {
        with(name, GlobalValue::Bool(value)).unwrap()
    }

    pub(super) fn text(name: &str, value: &str) -> Result<Settings, String> {
        with(name, GlobalValue::Str(value.into()))
    }

    #[test]
    fn each_name_is_declared_once() {
        let mut seen = BTreeSet::new();
        for name in parameters().flat_map(Declared::spellings) {
            assert!(seen.insert(name), "{name} is declared twice");
        }
    }

    #[test]
    fn each_row_says_what_an_operator_wants_to_know() {
        for parameter in parameters() {
            let name = parameter.name;
            assert!(parameter.doc.ends_with('.'), "the documentation of {name} is no sentence");
            match parameter.effect {
                Effect::NoEffect(why) => assert!(!why.is_empty(), "{name}"),
                _ => assert!(!parameter.default.to_string().is_empty(), "{name} has no default"),
            }
        }
    }

    #[test]
    fn defaults_fit_their_parameters_and_are_those_of_the_settings() {
        let mut settings = Settings::blank(FlagNames::default());
        for parameter in parameters() {
            let Some(value) = parameter.default.value() else { continue };
            let fits = match parameter.kind.grammar() {
                GlobalKind::Int => matches!(value, GlobalValue::Int(_)),
                GlobalKind::Bool => matches!(value, GlobalValue::Bool(_)),
                GlobalKind::Workers => matches!(value, GlobalValue::Int(_)),
                _ => matches!(value, GlobalValue::Str(_)),
            };
            assert!(fits, "{}", parameter.name);
            assert_eq!(parameter.apply(&mut settings, &value), Ok(()), "{}", parameter.name);
        }
        let blank = Settings::blank(FlagNames::default());
        assert_eq!(format!("{settings:?}"), format!("{blank:?}"));
    }

    #[test]
    fn all_wrong_values_are_reported_at_once_with_their_places() {
        let global = |name: &str, value: i64, at: u32| GlobalSetting {
            name: name.to_owned(),
            value: GlobalValue::Int(value),
            span: Span { file: 0, start: at, end: at + 1 },
            value_span: Span { file: 0, start: at + 5, end: at + 6 },
        };
        let globals =
            [global("dns_retr_no", 99, 0), global("log_level", 3, 10), global("tcp_max_connections", 0, 20)];
        let wrong = Settings::new(&globals, &Overrides::default(), FlagNames::default()).unwrap_err();
        let found: Vec<_> = wrong.iter().map(|error| (error.span.start, error.message.as_str())).collect();
        assert_eq!(found[0], (5, "dns_retr_no: 99 is out of range: 0 to 32 tries are possible"));
        assert_eq!(found[1].0, 25);
    }
}
