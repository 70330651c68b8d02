//! All about one core parameter or transformation.

use std::fmt::Write as _;

use tocsin_script::{TRANSFORMATIONS, Transformation, find_transformation};
use tocsin_server::declared::Declared;
use tocsin_server::settings::{Parameter, parameter, parameters};

/// A name further away than this is not suggested (1 is the same name).
const SIMILAR_ENOUGH: f64 = 0.7;

/// What there is to say about `name`; a transformation may stand in its braces.
///
/// # Errors
/// There is no such name. The text names the nearest one.
pub(super) fn text(name: &str) -> Result<String, String> {
    let bare = name.trim_start_matches('{').trim_end_matches('}');
    if let Some((row, _)) = find_transformation(bare) {
        return Ok(transformation(row));
    }
    parameter(name).map(|found| shown(name, found)).ok_or_else(|| {
        let nearest = nearest(bare).map(|known| format!(": did you mean `{known}`?"));
        let kind = if bare.contains('.') { "transformation" } else { "core parameter" };
        format!("there is no {kind} `{name}`{}", nearest.unwrap_or_default())
    })
}

fn transformations() -> impl Iterator<Item = &'static Transformation> {
    TRANSFORMATIONS.iter().flat_map(|class| class.rows)
}

fn nearest(name: &str) -> Option<&'static str> {
    parameters()
        .flat_map(Declared::spellings)
        .chain(transformations().map(|row| row.name))
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
    fn all_is_told_about_a_parameter() {
        let text = text("tcp_max_msg_time").unwrap();
        assert!(text.contains("takes    seconds, 1 to 31536000") && text.contains("default  4\n"), "{text}");
    }

    #[test]
    fn what_has_no_effect_says_why() {
        assert!(text("mpath").unwrap().contains("effect   none: the modules are built in"));
    }

    #[test]
    fn older_spellings_lead_to_the_parameter() {
        assert!(text("children").unwrap().starts_with("udp_workers (`children` is an older spelling)"));
        assert!(text("udp_workers").unwrap().starts_with("udp_workers (older: children)"));
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_known_one() {
        assert_eq!(
            text("log_levle").unwrap_err(),
            "there is no core parameter `log_levle`: did you mean `log_level`?"
        );
        assert_eq!(text("qqq").unwrap_err(), "there is no core parameter `qqq`");
        assert_eq!(
            text("uri.hots").unwrap_err(),
            "there is no transformation `uri.hots`: did you mean `uri.host`?"
        );
    }

    #[test]
    fn a_transformation_may_stand_in_its_braces() {
        assert!(text("{nameaddr.1.uri}").unwrap().starts_with("{nameaddr[.index].uri}\n"));
        for name in ["s.substr", "{s.substr}", "S.SUBSTR"] {
            let text = text(name).unwrap();
            assert!(
                text.starts_with("{s.substr,offset,length}\n")
                    && text.contains("offset  number or variable\n"),
                "{text}"
            );
        }
    }
}
