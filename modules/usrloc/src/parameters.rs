//! The module's parameters.

use tocsin_script::{ModParam};
use tocsin_server::module::{Parameters, SetupError};

use super::bindings::Order;

const fn number(name: &'static str) -> ModParam {
    ModParam::number(name, 0, "")
}

const fn text(name: &'static str) -> ModParam {
    ModParam::text(name, "", "")
}

const fn either(name: &'static str) -> ModParam {
    ModParam::number_or_text(name, "")
}

/// What `modparam("usrloc", ...)` may set.
pub(super) const NAMES: &[ModParam] = &[
    // Not acted on: nothing pings yet, and a flag's name is known to the core alone.
    either("nat_bflag"),
    // Not acted on: names of database columns.
    text("contact_id_column"),
    text("user_column"),
    text("domain_column"),
    text("contact_column"),
    text("expires_column"),
    text("q_column"),
    text("callid_column"),
    text("cseq_column"),
    text("methods_column"),
    text("flags_column"),
    text("cflags_column"),
    text("user_agent_column"),
    text("received_column"),
    text("socket_column"),
    text("path_column"),
    text("sip_instance_column"),
    text("kv_store_column"),
    text("attr_column"),
    number("use_domain"),
    number("desc_time_order"),
    // Not acted on: a contact expires at its own time, not at the next tick.
    number("timer_interval"),
    // Not acted on: nothing is kept in a database.
    text("db_url"),
    text("cachedb_url"),
    number("db_mode"),
    text("working_mode_preset"),
    text("cluster_mode"),
    text("restart_persistency"),
    text("sql_write_mode"),
    number("matching_mode"),
    number("cseq_delay"),
    number("location_cluster"),
    // Not acted on: there is neither database nor cluster.
    number("skip_replicated_db_ops"),
    number("max_contact_delete"),
    number("hash_size"),
    number("regen_broken_contactid"),
    // Not acted on: nothing pings yet.
    number("latency_event_min_us"),
    number("latency_event_min_us_delta"),
    text("pinging_mode"),
    number("shared_pinging"),
    number("mi_dump_kv_store"),
    // Not acted on: no contact is refreshed by push notification yet.
    either("contact_refresh_timer"),
];

/// `hash_size` when none is given: two to this power chains.
const DEFAULT_HASH_SIZE: i64 = 9;
/// The largest `hash_size` of the manual.
const LARGEST_HASH_SIZE: i64 = 16;

/// The parameters that are acted on.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `use_domain`: an AOR is user and domain, not the user alone.
    pub use_domain: bool,
    /// `desc_time_order`.
    pub order: Order,
    /// `matching_mode` 1: a contact is the same if its Call-ID is the same, too.
    pub match_call_id: bool,
    /// `cseq_delay`: seconds in which a request with the same Call-ID and CSeq is a retransmission; 0 is never.
    pub cseq_delay: u64,
    /// Two to the power of `hash_size`: hash chains at least.
    pub hash_size: usize,
}

impl Settings {
    pub(super) fn new(given: &Parameters) -> Result<Self, SetupError> {
        in_memory_only(given)?;
        let within = |name: &'static str, default: i64, low: i64, high: i64| {
            let value = given.number(name, default);
            if (low..=high).contains(&value) {
                Ok(value)
            } else {
                Err(wrong(name, format!("{value} is out of range: give {low} to {high}")))
            }
        };
        Ok(Self {
            use_domain: given.number("use_domain", 0) != 0,
            order: if given.number("desc_time_order", 0) != 0 { Order::Newest } else { Order::Preference },
            match_call_id: within("matching_mode", 0, 0, 1)? == 1,
            cseq_delay: within("cseq_delay", 20, 0, i64::from(u32::MAX))?.unsigned_abs(),
            hash_size: 1 << within("hash_size", DEFAULT_HASH_SIZE, 0, LARGEST_HASH_SIZE)?,
        })
    }
}

/// Refuses to start where the operator wants locations kept elsewhere than in memory: they would be lost without a word.
fn in_memory_only(given: &Parameters) -> Result<(), SetupError> {
    let refuse = |name, value: &str| {
        let why = "this version keeps locations in memory alone, without database or cluster";
        Err(wrong(
            name,
            format!("`{value}` cannot be had: {why}; use working_mode_preset single-instance-no-db"),
        ))
    };
    for (name, only) in [
        ("working_mode_preset", "single-instance-no-db"),
        ("cluster_mode", "none"),
        ("restart_persistency", "none"),
        ("sql_write_mode", "none"),
    ] {
        let value = given.text(name, only);
        if value != only {
            return refuse(name, &value);
        }
    }
    for name in ["db_mode", "location_cluster"] {
        let value = given.number(name, 0);
        if value != 0 {
            return refuse(name, &value.to_string());
        }
    }
    Ok(())
}

fn wrong(name: &'static str, problem: String) -> SetupError {
    SetupError::Parameter { module: "usrloc", name, problem }
}

#[cfg(test)]
mod tests {
    use tocsin_script::Value;

    use super::*;

    fn settings(given: &[(&str, Value)]) -> Result<Settings, String> {
        let list = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Settings::new(&Parameters(list)).map_err(|cause| cause.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let settings = settings(&[]).unwrap();
        assert!(!settings.use_domain && !settings.match_call_id);
        assert_eq!((settings.order, settings.cseq_delay, settings.hash_size), (Order::Preference, 20, 512));
    }

    #[test]
    fn a_database_is_refused_in_words() {
        assert!(settings(&[("working_mode_preset", "single-instance-no-db".into())]).is_ok());
        assert!(settings(&[("db_mode", Value::Int(0)), ("db_url", "mysql://x".into())]).is_ok());
        for (name, value) in [
            ("working_mode_preset", Value::from("sql-only")),
            ("db_mode", Value::Int(2)),
            ("cluster_mode", "full-sharing".into()),
            ("restart_persistency", "load-from-sql".into()),
        ] {
            let problem = settings(&[(name, value)]).unwrap_err();
            assert!(problem.contains(name) && problem.contains("in memory"), "{problem}");
        }
    }

    #[test]
    fn numbers_have_ranges() {
        assert!(settings(&[("hash_size", Value::Int(17))]).is_err());
        assert!(settings(&[("matching_mode", Value::Int(2))]).is_err());
        assert!(settings(&[("cseq_delay", Value::Int(-1))]).is_err());
        assert_eq!(settings(&[("hash_size", Value::Int(4))]).unwrap().hash_size, 16);
    }
}
