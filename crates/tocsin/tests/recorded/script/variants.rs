//! A case of many configurations that start or do not.

use super::super::area::Difference;
use super::case::Variant;
use super::compare::difference;
use super::ground::Ground;
use super::log::first_error;
use super::{ScriptCase, stage};

/// Starts each of them. The first is the control: it must start and print what it should, or the others say nothing.
pub(super) fn play(case: &ScriptCase) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (index, variant) in case.variants.iter().enumerate() {
        let Some(found) = play_one(variant) else { continue };
        if index == 0 {
            return vec![difference("start the control configuration", &wanted(variant), &found)];
        }
        differences.push(difference(&format!("start {}", variant.title), &wanted(variant), &found));
    }
    differences
}

/// What is not as it should be.
fn play_one(variant: &Variant) -> Option<String> {
    let case = &variant.case;
    if !case.starts {
        let (accepted, _) = Ground::check(case);
        if !accepted {
            return None;
        }
    }
    let observed = stage::play(case);
    let is_right = observed.starts == case.starts && (!case.starts || observed.log == case.log);
    (!is_right).then(|| {
        if observed.starts { format!("starts, {:?}", observed.log) } else { first_error(&observed.text) }
    })
}

fn wanted(variant: &Variant) -> String {
    if variant.case.starts { format!("starts, {:?}", variant.case.log) } else { "does not start".to_owned() }
}
