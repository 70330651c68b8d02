//! What a configuration can do without and probably does not mean to: no main route, a route for an event that nobody raises.

use tocsin_event::CORE_EVENTS;
use tocsin_script::{Bytes, Program, RouteKind, did_you_mean};

use crate::context::Context;

/// Warnings about `program`, each a line. `routes` are the events that have a route, `written` those that the script raises or
/// subscribes to, `of_modules` those that modules raise.
pub(super) fn warnings(
    program: &Program<Context>,
    routes: &[Bytes],
    written: &[Bytes],
    of_modules: &[&'static str],
) -> Vec<String> {
    let mut warnings: Vec<_> =
        routes.iter().filter_map(|route| of_silent_event(route, written, of_modules)).collect();
    if program.route(RouteKind::Request, b"").is_none() {
        warnings.push("there is no route {}: every request is dropped".to_owned());
    }
    warnings
}

fn of_silent_event(route: &Bytes, written: &[Bytes], of_modules: &[&'static str]) -> Option<String> {
    let known = CORE_EVENTS.iter().map(|event| event.name).chain(of_modules.iter().copied());
    if written.contains(route) || known.clone().any(|name| name.as_bytes() == &**route) {
        return None;
    }
    let name = route.lossy();
    let hint = did_you_mean(&name.to_uppercase(), known).map(|hint| format!(": {hint}")).unwrap_or_default();
    Some(format!("event_route[{name}]: nothing raises {name} but the management command raise_event{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_for_an_event_that_nobody_raises_is_named() {
        let of =
            |name: &str| of_silent_event(&Bytes::from(name), &[Bytes::from("E_MINE")], &["E_UL_AOR_INSERT"]);
        assert_eq!((of("E_MINE"), of("E_UL_AOR_INSERT"), of("E_CORE_LOG")), (None, None, None));
        let text = of("e_core_proc_exits").unwrap();
        assert!(text.ends_with(": did you mean `E_CORE_PROC_EXIT`?"), "{text}");
        assert_eq!(
            of("E_NOPE").unwrap(),
            "event_route[E_NOPE]: nothing raises E_NOPE but the management command raise_event"
        );
    }
}
