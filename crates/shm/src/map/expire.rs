//! Records whose time has come.

use std::hash::Hash;

use super::shard::{Held, Record};
use super::wheel::NEVER;
use super::{Edit, Map, Millis};
use crate::ShmClone;

impl<K: ShmClone + Hash + Eq, V: ShmClone> Map<K, V> {
    /// When a record of `shard` may be due: perhaps early, never late; `u64::MAX` when none has a deadline. Reads one
    /// word, without a lock.
    pub fn next_due(&self, shard: usize) -> Millis {
        self.table.shards.get(shard).map_or(NEVER, |shard| shard.wheel.next_due())
    }

    /// Calls `decide` for at most `limit` records of `shard` whose deadline is `now` or before. The deadline is
    /// cleared before the call; `decide` may set a new one, change the record, or remove it. It only decides: what
    /// follows from it is done after this returns, without the lock. Returns how many records were due.
    ///
    /// A deadline that `decide` sets in the past is due again, at the latest in the next call.
    pub fn expire(
        &self,
        shard: usize,
        now: Millis,
        limit: usize,
        mut decide: impl FnMut(&K, &mut V, &mut Edit<'_>),
    ) -> usize {
        let Some(shard) = self.table.shards.get(shard) else { return 0 };
        if shard.wheel.next_due() > now {
            return 0;
        }
        let mut held = Held::take(shard);
        held.begin_write();
        let mut fired = 0;
        // SAFETY: all linked records are valid while the lock is held.
        unsafe {
            shard.wheel.begin(now);
            while fired < limit
                && let Some(due) = shard.wheel.pop_due(now)
            {
                held.fire(due.cast(), &mut decide);
                fired += 1;
            }
            shard.wheel.settle();
        }
        fired
    }
}

impl<K, V> Held<K, V> {
    /// # Safety
    /// `record` is in its chain, and was just taken out of the wheel.
    unsafe fn fire(&mut self, record: *mut Record<K, V>, decide: &mut impl FnMut(&K, &mut V, &mut Edit<'_>)) {
        // SAFETY: as the caller says.
        let hash = unsafe { &*record }.hash;
        let found = self.find_record(record, hash);
        if !found.record.is_null() {
            self.edit(&found, NEVER, decide);
        }
    }
}
