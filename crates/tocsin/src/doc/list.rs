//! Each name of the core on a line, and the modules.

use std::fmt::Write as _;

use tocsin_script::TRANSFORMATIONS;
use tocsin_server::settings::{TOPICS, parameters};

use super::management::Names;
use super::modules;

/// The list, by topic. What has no effect is marked.
pub(super) fn text() -> String {
    let mut text = String::new();
    let width = parameters().map(|parameter| parameter.name.len()).max().unwrap_or_default();
    for topic in TOPICS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", topic.title);
        for parameter in topic.parameters {
            let mark = if parameter.idle_because().is_some() { "(no effect) " } else { "" };
            let _ = writeln!(text, "  {:<width$}  {mark}{}", parameter.name, first_sentence(parameter.doc));
        }
        text.push('\n');
    }
    let usages =
        || TRANSFORMATIONS.iter().flat_map(|class| class.rows).map(|row| row.usage().to_string().len());
    let width = usages().max().unwrap_or_default();
    for class in TRANSFORMATIONS {
        let _ = writeln!(text, "Transformations: {}", class.title);
        for row in class.rows {
            let _ = writeln!(text, "  {:<width$}  {}", row.usage().to_string(), first_sentence(row.doc));
        }
        text.push('\n');
    }
    let core = tocsin_server::core::names();
    let functions = core.functions().iter().map(|row| (row.usage(), row.documentation())).collect();
    for (title, rows) in [("Functions", functions)].into_iter().chain(Names::of_core().parts()) {
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let _ = writeln!(text, "{title}");
        for (name, doc) in rows {
            let _ = writeln!(text, "  {name:<width$}  {}", first_sentence(doc));
        }
        text.push('\n');
    }
    let names: Vec<_> = modules::specs().iter().map(|module| module.name).collect();
    let _ = writeln!(text, "Modules\n  {}\n", names.join(", "));
    text.push_str("tocsin doc NAME shows one of them, tocsin doc MODULE NAME a name of a module.\n");
    text
}

fn first_sentence(doc: &str) -> &str {
    doc.find(". ").map_or(doc, |end| &doc[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_a_line() {
        let text = text();
        assert!(text.contains("\n  {s.substr,offset,length} "), "{text}");
        for parameter in parameters() {
            let line =
                text.lines().find(|line| line.trim_start().starts_with(&format!("{} ", parameter.name)));
            assert!(line.is_some_and(|line| line.ends_with('.')), "{}: {line:?}", parameter.name);
        }
    }
}
