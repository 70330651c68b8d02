//! All about one core parameter, transformation, module or name of a module.

use std::fmt::Write as _;

use tocsin_script::{Function, TRANSFORMATIONS, Transformation, find_transformation};
use tocsin_server::declared::Declared;
use tocsin_server::settings::{Parameter, parameter, parameters};

use super::functions;
use super::management::Names;
use super::modules::{self, Documented};

/// A name further away than this is not suggested (1 is the same name).
const SIMILAR_ENOUGH: f64 = 0.7;

/// What there is to say about `name`; a transformation may stand in its braces. With `of_it`, about a name of the module.
///
/// # Errors
/// There is no such name. The text names the nearest one.
pub(super) fn text(name: &str, of_it: Option<&str>) -> Result<String, String> {
    let modules = modules::all();
    let module = modules.iter().find(|module| module.spec.name == name);
    match (module, of_it) {
        (Some(module), Some(of_it)) => joined(&modules::show(module, of_it)).ok_or_else(|| {
            let known = suggestion(nearest(of_it, module.names()));
            format!("the module {name} has no name `{of_it}`{known}")
        }),
        (Some(module), None) => Ok(modules::list(module)),
        (None, Some(_)) => {
            let known = nearest(name, modules.iter().map(|module| module.spec.name));
            Err(format!("there is no module `{name}`{}", suggestion(known)))
        }
        (None, None) => of_any(name, &modules),
    }
}

/// One behind the other: the same name may stand for a function and for a command.
fn joined(texts: &[String]) -> Option<String> {
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn suggestion(known: Option<&str>) -> String {
    known.map(|known| format!(": did you mean `{known}`?")).unwrap_or_default()
}

/// All about each name `name`, of the core or of any module.
fn of_any(name: &str, modules: &[Documented]) -> Result<String, String> {
    let bare = name.trim_start_matches('{').trim_end_matches('}');
    if let Some((row, _)) = find_transformation(bare) {
        return Ok(transformation(row));
    }
    let (core, management) = (tocsin_server::core::names(), Names::of_core());
    let mut texts: Vec<_> = parameter(name).map(|found| shown(name, found)).into_iter().collect();
    texts.extend(core.functions().iter().filter(|row| row.name() == name).map(functions::show));
    texts.extend(management.show(name));
    texts.extend(modules.iter().flat_map(|module| modules::show(module, name)));
    joined(&texts).ok_or_else(|| {
        let of_core = parameters().flat_map(Declared::spellings).chain(transformations().map(|row| row.name));
        let of_core = of_core.chain(core.functions().iter().map(Function::name)).chain(management.all());
        let of_modules = modules.iter().flat_map(|module| module.names().chain([module.spec.name]));
        let known = nearest(bare, of_core.chain(of_modules));
        let kind =
            if bare.contains('.') { "transformation" } else { "parameter, function, command or module" };
        format!("there is no {kind} `{name}`{}", suggestion(known))
    })
}

fn transformations() -> impl Iterator<Item = &'static Transformation> {
    TRANSFORMATIONS.iter().flat_map(|class| class.rows)
}

fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness >= SIMILAR_ENOUGH)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

fn transformation(row: &Transformation) -> String {
    let mut text = format!("{}\n\n  {}\n\n", row.usage(), row.doc);
    let width = row.parameters.iter().map(|parameter| parameter.name.len()).max().unwrap_or_default();
    for parameter in row.parameters {
        let variable = if parameter.kind.takes_variables() { " or variable" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<width$}  {}{variable}", parameter.name, parameter.kind);
    }
    text
}

fn shown(asked: &str, parameter: &Parameter) -> String {
    let mut text = parameter.name.to_owned();
    if asked != parameter.name {
        // Writing to a String cannot fail.
        let _ = write!(text, " (`{asked}` is an older spelling)");
    } else if !parameter.older.is_empty() {
        let _ = write!(text, " (older: {})", parameter.older.join(", "));
    }
    let _ = write!(text, "\n\n  {}\n\n", parameter.doc);
    let _ = writeln!(text, "  takes    {}", parameter.kind);
    match parameter.idle_because() {
        Some(why) => {
            let _ = writeln!(text, "  effect   none: {why}");
        }
        None => {
            let _ = writeln!(text, "  default  {}", parameter.default);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_shown() {
        let text = text("tcp_max_msg_time", None).unwrap();
        assert!(text.contains("takes    seconds, 1 to 31536000") && text.contains("default  4\n"), "{text}");
    }

    #[test]
    fn what_has_no_effect_says_why() {
        assert!(text("mpath", None).unwrap().contains("effect   none: the modules are built in"));
    }

    #[test]
    fn older_spellings_lead_to_the_parameter() {
        assert!(text("children", None).unwrap().starts_with("udp_workers (`children` is an older spelling)"));
        assert!(text("udp_workers", None).unwrap().starts_with("udp_workers (older: children)"));
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_known_one() {
        assert_eq!(
            text("log_levle", None).unwrap_err(),
            "there is no parameter, function, command or module `log_levle`: did you mean `log_level`?"
        );
        let nothing = text("qqq", None).unwrap_err();
        assert_eq!(nothing, "there is no parameter, function, command or module `qqq`");
        assert_eq!(
            text("uri.hots", None).unwrap_err(),
            "there is no transformation `uri.hots`: did you mean `uri.host`?"
        );
    }

    #[test]
    fn a_name_of_two_kinds_shows_both() {
        let both = text("cache_remove", None).unwrap();
        assert!(both.starts_with("cache_remove(storage_id, attribute_name)\n"), "{both}");
        assert!(both.contains("\ncache_remove (command)\n"), "{both}");
        assert!(text("t_hash", None).unwrap().starts_with("t_hash (command)\n"));
        assert!(text("tm", Some("tm:inuse_transactions")).unwrap().contains("kind     value"));
    }

    #[test]
    fn names_of_modules_are_shown() {
        assert!(text("maxfwd", None).unwrap().contains("max_limit"));
        assert!(text("maxfwd", Some("max_limit")).unwrap().starts_with("maxfwd:max_limit\n"));
        assert_eq!(
            text("maxfwd", Some("max_limits")).unwrap_err(),
            "the module maxfwd has no name `max_limits`: did you mean `max_limit`?"
        );
        assert_eq!(
            text("maxfw", Some("x")).unwrap_err(),
            "there is no module `maxfw`: did you mean `maxfwd`?"
        );
    }

    #[test]
    fn a_transformation_may_stand_in_its_braces() {
        assert!(text("{nameaddr.1.uri}", None).unwrap().starts_with("{nameaddr[.index].uri}\n"));
        for name in ["s.substr", "{s.substr}", "S.SUBSTR"] {
            let text = text(name, None).unwrap();
            assert!(
                text.starts_with("{s.substr,offset,length}\n")
                    && text.contains("offset  number or variable\n"),
                "{text}"
            );
        }
    }
}
