//! What the server holds: shared memory, and of each process its private memory and its descriptors.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::harness::{Process, Server, descriptors, until};

/// Who a process is: its ID, which its successors have as well, and its kind.
type Name = (i64, String);

/// At one moment.
#[derive(Debug, Clone)]
pub(super) struct Measures {
    /// Bytes of shared memory in use.
    pub(super) shared: i64,
    pub(super) descriptors: BTreeMap<Name, usize>,
    /// Bytes of private memory in use, as each process counts them itself; of the supervisor, which does not, what is
    /// resident.
    private: BTreeMap<Name, i64>,
    /// Bytes of anonymous memory that are resident, as the kernel counts them.
    resident: BTreeMap<Name, i64>,
}

impl Measures {
    pub(super) fn take(server: &Server) -> Self {
        // A process that begins is in no list yet.
        let (processes, counted) = until("every process is measured", || {
            let processes = server.ps();
            let counted = server.mi().call("get_statistics", json!([["pkmem:", "shmem:"]]));
            let is_counted = |id| counted.get(format!("pkmem:{id}-used_size")).is_some();
            processes
                .iter()
                .all(|process| process.id == 0 || is_counted(process.id))
                .then_some((processes, counted))
        });
        let name = |process: &Process| (process.id, process.kind.clone());
        let private = |process: &Process| match process.id {
            0 => resident(process.pid),
            id => counted[format!("pkmem:{id}-used_size")].as_i64().unwrap(),
        };
        Self {
            shared: counted["shmem:real_used_size"].as_i64().unwrap(),
            descriptors: processes.iter().map(|process| (name(process), descriptors(process.pid))).collect(),
            private: processes.iter().map(|process| (name(process), private(process))).collect(),
            resident: processes.iter().map(|process| (name(process), resident(process.pid))).collect(),
        }
    }

    /// By how many bytes the private memory of each process is larger than the largest of its kind was `before`: it may be
    /// a successor, and those of a kind do not have the same share of the load at every moment.
    pub(super) fn growth_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (String, i64)> + 'a {
        self.private.iter().map(|((id, kind), now)| {
            let of_kind = before.private.iter().filter(|((_, other), _)| other == kind);
            let then = of_kind.map(|(_, bytes)| *bytes).max().unwrap_or(0);
            (format!("{id} {kind}"), now - then)
        })
    }
}

impl fmt::Display for Measures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "  shared memory {}", self.shared)?;
        for (name, private) in &self.private {
            let (id, kind) = name;
            let (open, resident) = (self.descriptors[name], self.resident[name]);
            writeln!(
                out,
                "  {id:>2} {kind:<36} private {private:>9}, resident {resident:>9}, {open} descriptors"
            )?;
        }
        Ok(())
    }
}

/// Bytes of anonymous memory that are resident.
fn resident(pid: i32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok()).map_or(0, |kib| kib << 10)
}

/// How much of each thing is left that a load makes and that ends by itself.
pub(super) fn left_of_the_load(server: &Server) -> Value {
    let names = ["tm:inuse_transactions", "usrloc:location-contacts", "events:waiting"];
    let mut left = server.mi().call("get_statistics", json!([names]));
    let connections = server.mi().call("list_tcp_conns", Value::Null);
    left["connections"] = json!(connections["Connections"].as_array().unwrap().len());
    let subscribers = server.mi().call("subscribers_list", Value::Null).to_string();
    left["subscriptions"] = json!(subscribers.matches("\"socket\":").count() - STANDING);
    left
}

/// Subscriptions of the configuration.
const STANDING: usize = 3;

/// What became of each event is known, and none was lost.
pub(super) fn accounts_add_up(server: &Server) {
    let sums = server.mi().call("get_statistics", json!([["events:"]]));
    let of = |name: &str| sums[format!("events:{name}")].as_i64().unwrap();
    let parts = ["delivered", "dropped", "lost", "waiting"].map(of);
    assert_eq!(of("due"), parts.iter().sum::<i64>(), "{sums}");
    assert_eq!((of("lost"), of("waiting")), (0, 0), "{sums}");
}
