//! One line of the log.

use super::facility::Facility;
use super::level::Level;

/// One line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) level: Level,
    /// Who wrote it: a module or the core; the script has no name.
    pub(super) module: Option<&'a str>,
    pub(super) place: Option<&'a str>,
    /// Where it goes in the system's log, if not where the others go.
    pub(super) facility: Option<Facility>,
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    /// A line that the script asked for.
    pub(super) fn of_script(level: Level, text: &'a str) -> Self {
        Self { level, module: None, place: None, facility: None, text: text.trim_end_matches('\n') }
    }
}

/// The packages of the server's core. Each other package `tocsin_NAME` is the module NAME.
const CORE: [&str; 17] = [
    "callgrind",
    "db",
    "event",
    "json",
    "mi",
    "modules",
    "net",
    "process",
    "script",
    "server",
    "shm",
    "shm-derive",
    "sip",
    "streams",
    "telemetry",
    "testbench",
    "tocsin",
];

/// The module as an operator knows it, and the place in it: `tocsin_tm::relay` is `relay` in the module tm, all that is
/// no module is the core.
pub(super) fn origin(target: &str) -> (&str, Option<&str>) {
    let (package, place) = target.split_once("::").unwrap_or((target, ""));
    let module = package.strip_prefix("tocsin_").filter(|name| !CORE.contains(name));
    (module.unwrap_or("core"), (!place.is_empty()).then_some(place))
}

/// The first line of a SIP message, for the log; all of a text that has one line.
pub fn first_line(message: &[u8]) -> &[u8] {
    message.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_module_is_the_one_that_operators_know() {
        assert_eq!(origin("tocsin_tm::relay"), ("tm", Some("relay")));
        assert_eq!(origin("tocsin_tm"), ("tm", None));
        assert_eq!(origin("tocsin_server::commands::events"), ("core", Some("commands::events")));
        assert_eq!(origin("hyper"), ("core", None));
    }

    #[test]
    fn each_package_of_the_core_is_known_as_such() {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut found: Vec<_> = fs::read_dir(packages)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, CORE);
    }
}
