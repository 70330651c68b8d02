//! Tables of the server itself whose records end: the rules of blocklists.

use crate::blocklist::Expiring;
use crate::module::Deadlines;
use crate::worker::Worker;

impl Deadlines for Expiring {
    fn shards(&self) -> usize {
        self.shards()
    }

    fn next_due(&self, shard: usize) -> u64 {
        self.next_due(shard)
    }

    fn expire(&self, _: &'static Worker, shard: usize, now: u64) {
        self.expire(shard, now);
    }
}
