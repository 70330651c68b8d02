//! A scaled group in words and numbers: its rule, what it has come to, and what happens next.

use tocsin_json::Value;
use tocsin_process::{Profile, Shrink, Standing};
use tocsin_shm::SlotState;

use super::ScaledGroup;
use crate::server::Server;

/// All scaled groups, as `autoscale_explain` answers.
pub(crate) fn explain(server: &Server) -> Value {
    let groups = server.scaling.iter().filter_map(|scaled| group(server, scaled));
    Value::object([
        ("Cycle", Value::Int(server.settings.scaling.cycle_s().into())),
        ("Groups", Value::Array(groups.collect())),
    ])
}

fn group(server: &Server, scaled: &ScaledGroup) -> Option<Value> {
    let profile = server.plan.groups[scaled.group].profile.as_ref()?;
    let members = server.plan.members();
    let slots = members.iter().filter(|member| member.group == scaled.group);
    let (vacant, serving): (Vec<_>, Vec<_>) =
        slots.map(|member| server.table.slot(member.slot)).partition(|slot| slot.is_vacant());
    let leaving = vacant.iter().filter(|slot| slot.state() != SlotState::Free).count();
    let cycles = scaled.history.cycles();
    let standing = scaled.history.standing();
    let numbers = |of: fn(&super::Cycle) -> u8| {
        Value::Array(cycles.iter().map(|cycle| Value::Int(of(cycle).into())).collect())
    };
    let cycle_s = server.settings.scaling.cycle_s();
    Some(Value::object([
        ("Group", Value::from(scaled.kind)),
        ("Filter", Value::from(scaled.filter.clone())),
        ("Profile", Value::from(profile.name.clone())),
        ("Rule", Value::from(rule(profile))),
        ("Processes", Value::Int(serving.len() as i64)),
        ("Leaving", Value::Int(leaving as i64)),
        ("Loads", numbers(|cycle| cycle.occupation)),
        ("Processor loads", numbers(|cycle| cycle.processor)),
        ("Up", Value::from(up(profile, standing, serving.len(), leaving))),
        ("Down", Value::from(down(profile, standing, serving.len(), cycle_s))),
    ]))
}

/// The profile as it is written.
fn rule(profile: &Profile) -> String {
    let Profile { most, up_percent, up_cycles, up_window, .. } = profile;
    let up = format!("scale up to {most} on {up_percent}% for {up_cycles} cycles within {up_window}");
    match profile.down {
        None => up,
        Some(Shrink { least, percent, cycles }) => {
            format!("{up} scale down to {least} on {percent}% for {cycles} cycles")
        }
    }
}

fn up(profile: &Profile, standing: Standing, processes: usize, leaving: usize) -> String {
    let Profile { most, up_percent, up_cycles, up_window, .. } = profile;
    if processes >= *most {
        return format!("not beyond {most} processes");
    }
    let score = standing.up_score;
    let has_place = processes + leaving < tocsin_process::capacity(*most, None);
    let until = if has_place { "" } else { ", and not before a process that leaves is gone" };
    format!("{score} of {up_cycles} cycles above {up_percent}% within the last {up_window}{until}")
}

fn down(profile: &Profile, standing: Standing, processes: usize, cycle_s: u32) -> String {
    let Some(Shrink { least, percent, cycles }) = profile.down else {
        return "never: the profile has no `scale down`".to_owned();
    };
    if processes <= least {
        return format!("not below {least} processes");
    }
    let score = standing.down_score.min(cycles);
    let scored = format!("{score} of {cycles} cycles in a row below {percent}%");
    match standing.rest.saturating_mul(cycle_s) {
        0 => scored,
        wait => format!("{scored}, not before {wait} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        let down = Some(Shrink { least: 1, percent: 10, cycles: 2 });
        Profile { name: "PA".into(), most: 4, up_percent: 30, up_cycles: 2, up_window: 3, down }
    }

    #[test]
    fn what_happens_next_is_said_in_numbers() {
        let standing = Standing { up_score: 1, down_score: 7, rest: 14 };
        assert_eq!(up(&profile(), standing, 1, 0), "1 of 2 cycles above 30% within the last 3");
        assert_eq!(up(&profile(), standing, 4, 0), "not beyond 4 processes");
        assert_eq!(down(&profile(), standing, 1, 1), "not below 1 processes");
        assert_eq!(down(&profile(), standing, 2, 3), "2 of 2 cycles in a row below 10%, not before 42 s");
        assert_eq!(
            down(&Profile { down: None, ..profile() }, standing, 2, 1),
            "never: the profile has no `scale down`"
        );
    }

    #[test]
    fn the_rule_reads_as_it_is_written() {
        let written = "scale up to 4 on 30% for 2 cycles within 3 scale down to 1 on 10% for 2 cycles";
        assert_eq!(rule(&profile()), written);
    }
}
