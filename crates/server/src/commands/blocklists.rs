//! `list_blacklists`, `check_blacklists`, `check_blacklist`, `add_blacklist_rule`, `del_blacklist_rule`.

use std::net::IpAddr;

use tocsin_json::Value;
use tocsin_mi::{MiError, Outcome, Params, Printed, Reply, Rows};

use super::{list_room, too_long};
use crate::blocklist::{BlocklistError, Blocklists, Probe, Rule, Shown, protocol};
use crate::module::CommandRow;
use crate::server::Server;
use crate::time::now_ms;

/// Who owns the lists of the configuration and the list `dns`.
const OWNER: &str = "core";

/// A destination.
const ANY_LIST: &[&[&str]] = &[
    &["ip"],
    &["ip", "port"],
    &["proto", "ip"],
    &["ip", "pattern"],
    &["proto", "ip", "port"],
    &["ip", "port", "pattern"],
    &["proto", "ip", "pattern"],
    &["proto", "ip", "port", "pattern"],
];
/// A list and a destination.
const ONE_LIST: &[&[&str]] = &[
    &["name", "ip"],
    &["name", "ip", "port"],
    &["name", "proto", "ip"],
    &["name", "ip", "pattern"],
    &["name", "proto", "ip", "port"],
    &["name", "ip", "port", "pattern"],
    &["name", "proto", "ip", "pattern"],
    &["name", "proto", "ip", "port", "pattern"],
];

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::replying(
        "list_blacklists",
        &[&[], &["name"]],
        "Lists the blacklists and their rules.",
        |worker, params| Reply::long(async move { list(worker.server, &params).await }),
    ),
    CommandRow::new(
        "check_blacklists",
        ANY_LIST,
        "Lists the blacklists that match a destination.",
        |worker, params| {
            checked(params, |probe| {
                let matching = worker.server.blocklists.matching(probe);
                Ok(Value::array(matching.into_iter().map(str::to_owned).map(Value::from)))
            })
        },
    ),
    CommandRow::new(
        "check_blacklist",
        ONE_LIST,
        "Shows the rule of a blacklist that matches a destination.",
        |worker, params| {
            let (name, lists) = (params.text("name")?, &worker.server.blocklists);
            checked(params, |probe| match lists.first_match(&name, probe).map_err(|e| refused(&e))? {
                Some(rule) => Ok(rule_value(&rule, None)),
                None => Err(MiError::new(404, "No rule matches")),
            })
        },
    ),
    CommandRow::new(
        "add_blacklist_rule",
        &[&["name", "rule"], &["name", "rule", "expire"]],
        "Adds a rule to a blacklist, for a number of seconds or for good.",
        |worker, params| add_rule(&worker.server.blocklists, params),
    ),
    CommandRow::new(
        "del_blacklist_rule",
        &[&["name", "rule"]],
        "Removes a rule from a blacklist.",
        |worker, params| {
            let (name, rule) = (params.text("name")?, rule_of(params)?);
            match worker.server.blocklists.remove(&name, &rule).map_err(|e| refused(&e))? {
                true => Ok(Value::from("OK")),
                false => Err(MiError::new(404, "No such rule")),
            }
        },
    ),
];

fn add_rule(lists: &Blocklists, params: &Params) -> Outcome {
    let (name, rule) = (params.text("name")?, rule_of(params)?);
    let seconds = match params.optional_int("expire")? {
        None | Some(0) => None,
        Some(seconds) => Some(u32::try_from(seconds).map_err(|_| MiError::bad_value())?),
    };
    lists.add(&name, &rule, seconds, now_ms()).map_err(|e| refused(&e))?;
    Ok(Value::from("OK"))
}

fn rule_of(params: &Params) -> Result<Rule, MiError> {
    let text = params.text("rule")?;
    Rule::parse(&String::from_utf8_lossy(&text)).map_err(|cause| bad(&cause))
}

/// Calls `check` with the destination that the parameters describe. A protocol or port that is left out is matched only
/// by a rule for any.
fn checked(params: &Params, check: impl FnOnce(&Probe<'_>) -> Outcome) -> Outcome {
    let text =
        |name: &str| params.optional_text(name).map(|t| t.map(|t| String::from_utf8_lossy(&t).into_owned()));
    let protocol = match text("proto")? {
        None => None,
        Some(name) => protocol(&name).map_err(|cause| bad(&cause))?,
    };
    let ip: IpAddr = match text("ip")? {
        Some(ip) => ip.parse().map_err(|_| bad(&format!("`{ip}` is not an address")))?,
        None => return Err(MiError::bad_value()),
    };
    let port = match params.optional_int("port")? {
        None => 0,
        Some(port) => u16::try_from(port).map_err(|_| MiError::bad_value())?,
    };
    let pattern = params.optional_text("pattern")?.unwrap_or_default();
    check(&Probe { protocol, ip, port, message: &pattern })
}

/// The lists, or the one that is named, each with its rules.
async fn list(server: &'static Server, params: &Params) -> Result<Printed, MiError> {
    let lists = server.blocklists.show(params.optional_text("name")?.as_deref()).map_err(|e| refused(&e))?;
    let (mut room, now) = (list_room(server), now_ms());
    let mut printed = Printed::default();
    for (nth, Shown { name, flags, rules }) in lists.into_iter().enumerate() {
        printed
            .text(if nth == 0 { "[{\"name\":" } else { ",{\"name\":" })
            .value(&Value::from(name.to_owned()));
        printed.text(",\"owner\":").value(&Value::from(OWNER));
        printed.text(",\"flags\":").value(&Value::from(flags.names())).text(",\"Rules\":");
        let mut rows = Rows::default();
        for (rule, until) in rules {
            let left = until.map(|until| until.saturating_sub(now));
            if !room.add(&mut rows, &rule_value(&rule, left)).await {
                return Err(too_long("name one blacklist"));
            }
        }
        printed.rows(rows).text("}");
    }
    printed.text(if printed.as_bytes().is_empty() { "[]" } else { "]" });
    Ok(printed)
}

/// A rule; `left` milliseconds are left of its time, if it has an end.
fn rule_value(rule: &Rule, left: Option<u64>) -> Value {
    let network = rule.scope.network;
    let mut members = vec![
        ("IP", Value::from(network.address().to_string())),
        ("Mask", Value::from(network.mask().to_string())),
        ("Proto", Value::from(rule.scope.protocol.map_or("any", tocsin_net::Protocol::name))),
        ("Port", Value::Int(rule.scope.port.into())),
        ("Match", Value::from(String::from_utf8_lossy(&rule.pattern).into_owned())),
        ("Flags", Value::from(if rule.scope.negated { "negated" } else { "" })),
    ];
    if let Some(left) = left {
        members.push(("Expires in", Value::Int(i64::try_from(left / 1000).unwrap_or(i64::MAX))));
    }
    Value::object(members)
}

fn refused(cause: &BlocklistError) -> MiError {
    match cause {
        BlocklistError::Unknown(_) => MiError::new(404, "Blacklist not found"),
        other => MiError::new(400, other.to_string()),
    }
}

fn bad(cause: &dyn std::fmt::Display) -> MiError {
    MiError { data: Some(cause.to_string().into()), ..MiError::bad_value() }
}
