//! What a test leaves to chance, and how the same run is had again.

/// Numbers that are different in each run, unless `TOCSIN_SEED` says where they begin.
pub(crate) struct Chance(u64);

impl Chance {
    /// Prints the seed, which a test shows when it fails.
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let given =
            std::env::var("TOCSIN_SEED").ok().map(|seed| seed.parse().expect("TOCSIN_SEED: a number"));
        let seed = given.unwrap_or(now.as_nanos() as u64) | 1;
        eprintln!("seed of the kills: TOCSIN_SEED={seed}");
        Self(seed)
    }

    /// A number below `limit` (xorshift).
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}
