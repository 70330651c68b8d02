//! What TIMER workers do when a contact's time is over.

use tocsin_server::Worker;
use tocsin_server::module::Deadlines;

use super::locations::Locations;
use super::table::{CommitError, Table};

/// The deadlines of the table.
#[derive(Debug)]
pub(super) struct Expiry(pub(super) Table);

impl Deadlines for Expiry {
    fn shards(&self) -> usize {
        self.0.shards()
    }

    fn next_due(&self, shard: usize) -> u64 {
        self.0.next_due(shard)
    }

    fn expire(&self, worker: &'static Worker, shard: usize, now: u64) {
        let server = worker.server;
        let locations = server.state::<Locations>();
        for key in self.0.due(shard, now) {
            let Some((domain, aor)) = key.split_first() else { continue };
            match locations.change_numbered(server, *domain, aor, |_| ()) {
                // Without room even for less than there was: the record is due again in a second.
                Ok(()) | Err(CommitError::Full) => {}
                Err(cause) => tracing::error!("usrloc: {}: {cause}", aor.escape_ascii()),
            }
        }
    }
}
