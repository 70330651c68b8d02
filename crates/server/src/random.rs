//! Identifiers: tags, branches, Call-IDs. Each process draws a key from the system after its fork, so that siblings
//! never make the same and the next cannot be guessed from the last.

use std::cell::Cell;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tocsin_process::Member;

/// A keyed counter: the keyed hash of 1, 2, 3 ...
#[derive(Debug)]
pub(crate) struct Identifiers {
    key: (u64, u64),
    count: Cell<u64>,
}

impl Identifiers {
    /// A key from the system's random source, with the identity of the process mixed in.
    pub(crate) fn new(member: Member) -> Self {
        let random = || getrandom::u64().unwrap_or_else(|_| crate::time::now_ns());
        let own = (u64::from(member.slot) << 48) ^ u64::from(member.generation);
        Self { key: (random() ^ own, random()), count: Cell::new(0) }
    }

    pub(crate) fn next(&self) -> u64 {
        let count = self.count.get() + 1;
        self.count.set(count);
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(count);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_and_successors_make_different_numbers() {
        let member = |slot, generation| Member { slot, generation, group: 0, index: 0 };
        let all = [member(1, 0), member(2, 0), member(1, 1)].map(Identifiers::new);
        let mut seen = std::collections::HashSet::new();
        assert!((0..1000).all(|_| all.iter().all(|ids| seen.insert(ids.next()))));
    }
}
