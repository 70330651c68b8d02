//! One line of the log.

use super::level::Level;

/// One line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) level: Level,
    /// Who wrote it: a module or the core; the script has no name.
    pub(super) module: Option<&'a str>,
    pub(super) place: Option<&'a str>,
    pub(super) text: &'a str,
}

/// The module as an operator knows it, and the place in it: `tocsin_modules::tm::relay` is `relay` in the module tm, all
/// that is no module is the core.
pub(super) fn origin(target: &str) -> (&str, Option<&str>) {
    let (room, place) = target.split_once("::").unwrap_or((target, ""));
    let (module, place) = match room {
        "tocsin_modules" => place.split_once("::").unwrap_or((place, "")),
        _ => ("core", place),
    };
    (module, (!place.is_empty()).then_some(place))
}

/// The first line of a SIP message, for the log; all of a text that has one line.
pub fn first_line(message: &[u8]) -> &[u8] {
    message.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_one_that_operators_know() {
        assert_eq!(origin("tocsin_modules::tm::relay"), ("tm", Some("relay")));
        assert_eq!(origin("tocsin_modules::tm"), ("tm", None));
        assert_eq!(origin("tocsin_server::commands::events"), ("core", Some("commands::events")));
        assert_eq!(origin("hyper"), ("core", None));
    }
}
