//! `sr_get_status`, `sr_list_status`, `sr_list_reports`, `sr_list_identifiers` (manual, "Core MI Functions").

use tocsin_json::Value;
use tocsin_mi::{MiError, Outcome, Params, Printed, Reply, Room, Rows};

use super::{list_room, too_long};
use crate::module::CommandRow;
use crate::status_report::{ALL, GroupId, IdentifierId, Report, State, StatusReports};
use crate::time;
use crate::worker::Worker;

/// What stands for details where a group is seen as a whole.
const AGGREGATED: &[u8] = b"aggregated";

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::new(
        "sr_get_status",
        &[&["group"], &["group", "identifier"]],
        "Shows the status of an identifier, or of a group as a whole.",
        |worker, params| one_status(status(worker), params),
    ),
    CommandRow::new(
        "sr_list_status",
        &[&[], &["group"]],
        "Lists the statuses of all identifiers, or of those of a group.",
        |worker, params| {
            let status = status(worker);
            list(status, params, |group| {
                Value::array(status.identifiers(group).map(|identifier| {
                    let name = ("Name", Value::from(status.name(identifier).to_owned()));
                    Value::object(std::iter::once(name).chain(members(&status.state(identifier))))
                }))
            })
        },
    ),
    CommandRow::replying(
        "sr_list_reports",
        &[&[], &["group"], &["group", "identifier"]],
        "Lists the reports of all identifiers, of those of a group, or of one.",
        |worker, params| {
            let room = list_room(worker.server);
            Reply::long(async move { list_reports(status(worker), &params, room).await })
        },
    ),
    CommandRow::new(
        "sr_list_identifiers",
        &[&[], &["group"]],
        "Lists the identifiers of all groups, or of one.",
        |worker, params| {
            let status = status(worker);
            Ok(match wanted(status, params)? {
                Some(group) => names(status, group),
                None => Value::array(status.groups().map(|group| names(status, group))),
            })
        },
    ),
];

fn status(worker: &'static Worker) -> &'static StatusReports {
    &worker.server.registered.status
}

fn one_status(status: &StatusReports, params: &Params) -> Outcome {
    let group = wanted(status, params)?.ok_or_else(no_group)?;
    let name = params.optional_text("identifier")?;
    if name.as_deref() == Some(ALL) {
        let whole = State { status: status.aggregated(group), details: Some(AGGREGATED.to_vec()) };
        return Ok(Value::object(members(&whole)));
    }
    let identifier = status.find(group, name.as_deref());
    let identifier = identifier.ok_or_else(|| MiError::new(404, "Identity not found"))?;
    Ok(Value::object(members(&status.state(identifier))))
}

/// The reports that were asked for: of one identifier, or of all identifiers of one group or of each group.
async fn list_reports(status: &StatusReports, params: &Params, mut room: Room) -> Result<Printed, MiError> {
    let mut printed = Printed::default();
    let group = wanted(status, params)?;
    if let (Some(group), Some(name)) = (group, params.optional_text("identifier")?) {
        let identifier = status.find(group, Some(&name));
        let identifier = identifier.ok_or_else(|| MiError::new(404, "Identifier not found"))?;
        printed.value(&reports(status, identifier));
        return Ok(printed);
    }
    if let Some(group) = group {
        printed.rows(reports_of(status, group, &mut room).await?);
        return Ok(printed);
    }
    for (nth, group) in status.groups().enumerate() {
        printed.text(if nth == 0 { "[{\"Name\":" } else { ",{\"Name\":" });
        printed.value(&Value::from(status.group_name(group).to_owned())).text(",\"Identifiers\":");
        printed.rows(reports_of(status, group, &mut room).await?).text("}");
    }
    // The core has a group, so there is one at least.
    printed.text("]");
    Ok(printed)
}

/// A row for each identifier of the group.
async fn reports_of(status: &StatusReports, group: GroupId, room: &mut Room) -> Result<Rows, MiError> {
    let mut rows = Rows::default();
    for identifier in status.identifiers(group) {
        let name = Value::from(status.name(identifier).to_owned());
        let row = Value::object([("Name", name), ("Reports", reports(status, identifier))]);
        if !room.add(&mut rows, &row).await {
            return Err(too_long("name a group, or a group and an identifier"));
        }
    }
    Ok(rows)
}

fn reports(status: &StatusReports, identifier: IdentifierId) -> Value {
    Value::array(status.reports(identifier).iter().map(report_value))
}

/// What `of` makes of the group that was asked for, or of each group beside its name.
fn list(status: &StatusReports, params: &Params, of: impl Fn(GroupId) -> Value) -> Outcome {
    Ok(match wanted(status, params)? {
        Some(group) => of(group),
        None => Value::array(status.groups().map(|group| {
            let name = Value::from(status.group_name(group).to_owned());
            Value::object([("Name", name), ("Identifiers", of(group))])
        })),
    })
}

fn names(status: &StatusReports, group: GroupId) -> Value {
    let name = |identifier: IdentifierId| Value::from(status.name(identifier).to_owned());
    Value::object([
        ("Group", Value::from(status.group_name(group).to_owned())),
        ("Identifiers", Value::array(status.identifiers(group).map(name))),
    ])
}

/// The group that the parameters name, if they name one.
fn wanted(status: &StatusReports, params: &Params) -> Result<Option<GroupId>, MiError> {
    match params.optional_text("group")? {
        None => Ok(None),
        Some(name) => status.find_group(&name).map(Some).ok_or_else(no_group),
    }
}

fn no_group() -> MiError {
    MiError::new(404, "Group not found")
}

fn members(state: &State) -> impl Iterator<Item = (&'static str, Value)> {
    let details = state.details.as_ref().map(|details| ("Details", text(details)));
    let numbers = [("Readiness", Value::from(state.is_ready())), ("Status", Value::Int(state.status.into()))];
    numbers.into_iter().chain(details)
}

fn report_value(report: &Report) -> Value {
    Value::object([
        ("Timestamp", Value::from(report.at)),
        ("Date", Value::from(time::calendar(report.at))),
        ("Log", text(&report.text)),
    ])
}

fn text(bytes: &[u8]) -> Value {
    Value::Str(bytes.to_vec().into())
}
