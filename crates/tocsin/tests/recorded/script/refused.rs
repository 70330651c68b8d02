//! The statements that keep a server from accepting a configuration.
//!
//! Recorded scripts have a statement on each line. The check of the configuration (`-C`) says whether the rest would do,
//! and halving the lines finds the few that do not.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::super::area::Difference;
use super::case::ScriptCase;
use super::compare;
use super::ground::Ground;
use super::log::first_error;

/// What stands in the place of a statement that was left out.
const NOTHING: &str = "$var(zz) = 1;";

/// A string or a comment.
static ASIDE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""(?:\\.|[^"\\])*"|'[^']*'|#.*"#).unwrap());

/// The lines of the script that the server refuses, by number; `None` if something else is what it refuses.
pub(super) fn lines(case: &ScriptCase) -> Option<Vec<usize>> {
    let statements = statements(&case.routes);
    let all: BTreeSet<_> = statements.iter().copied().collect();
    accepts(case, &all).then(|| {
        let mut refused = Vec::new();
        halve(case, &all, &statements, &mut refused);
        refused
    })
}

/// The script without these lines.
pub(super) fn without(routes: &str, left_out: &BTreeSet<usize>) -> String {
    let keep = |(number, line)| if left_out.contains(&number) { NOTHING } else { line };
    routes.split('\n').enumerate().map(keep).collect::<Vec<_>>().join("\n")
}

/// What the server says of a line that it refuses.
pub(super) fn difference(case: &ScriptCase, line: usize) -> Difference {
    let mut others: BTreeSet<_> = statements(&case.routes).into_iter().collect();
    others.remove(&line);
    let (_, said) = Ground::check(&case.with_routes(&without(&case.routes, &others)));
    let statement = case.routes.split('\n').nth(line).unwrap_or_default().trim();
    compare::difference(&format!("refused {statement}"), "accepted", &first_error(&said))
}

/// Looks for refused lines among `part`, with all other statements of `all` left out.
fn halve(case: &ScriptCase, all: &BTreeSet<usize>, part: &[usize], refused: &mut Vec<usize>) {
    let left_out: BTreeSet<_> = all.iter().filter(|line| !part.contains(line)).copied().collect();
    if part.is_empty() || accepts(case, &left_out) {
        return;
    }
    if let [line] = part {
        refused.push(*line);
        return;
    }
    let (first, second) = part.split_at(part.len() / 2);
    halve(case, all, first, refused);
    halve(case, all, second, refused);
}

fn accepts(case: &ScriptCase, left_out: &BTreeSet<usize>) -> bool {
    Ground::check(&case.with_routes(&without(&case.routes, left_out))).0
}

/// The numbers of the lines that are whole statements within a route.
fn statements(routes: &str) -> Vec<usize> {
    let mut depth = 0;
    let mut statements = Vec::new();
    for (number, line) in routes.split('\n').enumerate() {
        let bare = ASIDE.replace_all(line, "");
        let (opened, closed) = (bare.matches('{').count(), bare.matches('}').count());
        let begins_apart =
            ["}", "else", "case", "default"].iter().any(|word| bare.trim_start().starts_with(word));
        if depth > 0 && opened == closed && bare.trim_end().ends_with([';', '}']) && !begins_apart {
            statements.push(number);
        }
        depth = (depth + opened).saturating_sub(closed);
    }
    statements
}
