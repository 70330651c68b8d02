//! Hashes that nobody outside can compute.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tocsin_shm::Arena;

/// SipHash-1-3 with the key of the shared memory, which is random at each start: the same in every process.
#[derive(Clone, Copy)]
pub struct KeyedHash([u64; 2]);

impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHash")
    }
}

impl KeyedHash {
    /// With the key of `arena`.
    pub fn of(arena: &Arena) -> Self {
        Self(arena.hash_key())
    }

    /// A hash of `parts` that nobody outside can compute: for identifiers that must be the same each time.
    pub fn hash(self, parts: &[&[u8]]) -> u64 {
        let [k0, k1] = self.0;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        for part in parts {
            hasher.write(part);
            // Keeps "ab","c" apart from "a","bc".
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }
}
