//! Statistics over the last while: a profile says how long that is, in how many slots it is cut, and what is made of the
//! values (manual, statistics, "Statistic Series").

use tocsin_server::statistics::Kept;
use tocsin_shm::{
    Alloc, Arena, ArenaFull, Full, Map, MapOptions, ShmBytes, ShmClone, ShmSafe, ShmVec, Sweep,
    monotonic_millis,
};

use super::refusal::{MAX_NAME_BYTES, MAX_STATISTICS, NotCounted};

/// The most slots of a window.
const MAX_SLOTS: u32 = 3600;
/// The longest window, in seconds: 30 days.
const MAX_WINDOW_S: u32 = 30 * 24 * 3600;
const SHARDS: usize = 4;
const MAX_BUCKETS: u32 = 1024;

/// What is made of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Accumulate,
    Average,
    /// The share of values above 0, times the factor.
    Percentage,
}

/// `stat_series_profile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) group: String,
    algorithm: Algorithm,
    buckets: u32,
    slots: u32,
    slot_millis: u64,
    factor: i64,
}

impl Profile {
    /// Reads `name: algorithm=average window=600 slots=10`.
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let (name, rest) = line.split_once(':').unwrap_or((line, ""));
        let name = name.trim();
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(format!("`{line}` is not written as `name: attribute=value ...`"));
        }
        let (mut algorithm, mut group, mut factor) = (Algorithm::Accumulate, name, 100);
        let (mut window, mut slots, mut buckets) = (60, None, 8);
        for part in rest.split([' ', '\t', ';', ',']).filter(|part| !part.is_empty()) {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            let number = |most: u32| {
                let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| format!("`{part}`: give a number from 1 to {most}"))
            };
            match attribute {
                "algorithm" => {
                    algorithm = match value {
                        "accumulate" => Algorithm::Accumulate,
                        "average" => Algorithm::Average,
                        "percentage" => Algorithm::Percentage,
                        _ => return Err(format!("`{part}`: give accumulate, average or percentage")),
                    };
                }
                "group" if !value.is_empty() => group = value,
                "window" => window = number(MAX_WINDOW_S)?,
                "slots" => slots = Some(number(MAX_SLOTS)?),
                "hash_size" => buckets = number(MAX_BUCKETS)?,
                "percentage_factor" => factor = number(i32::MAX as u32)?.into(),
                _ => return Err(format!("`{part}` is no attribute of a profile")),
            }
        }
        let slots = slots.unwrap_or(window.min(MAX_SLOTS));
        let slot_millis = (u64::from(window) * 1000 / u64::from(slots)).max(1);
        let (name, group) = (name.to_owned(), group.to_owned());
        Ok(Self { name, group, algorithm, buckets, slots, slot_millis, factor })
    }
}

/// The values of one slot.
#[derive(Clone, Copy, Default, ShmSafe, ShmClone)]
struct Slot {
    /// Which slot since the machine started; values of an older one are over.
    number: u64,
    sum: i64,
    values: u32,
    above_zero: u32,
}

/// The series of one profile.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) profile: Profile,
    all: Map<ShmBytes, ShmVec<Slot>>,
}

impl Series {
    pub(super) fn create(arena: &'static Arena, profile: Profile) -> Result<Self, ArenaFull> {
        let buckets = (profile.buckets as usize).div_ceil(SHARDS);
        let all = Map::create(arena, &MapOptions { name: "statistic series", shards: SHARDS, buckets })?;
        Ok(Self { profile, all })
    }

    pub(super) fn sweeper(&self) -> &'static dyn Sweep {
        self.all.sweeper()
    }

    /// Adds a value to a series, and makes it if there is none.
    pub(super) fn add(&self, name: &str, value: i64) -> Result<(), NotCounted> {
        self.add_at(name, value, monotonic_millis())
    }

    fn add_at(&self, name: &str, value: i64, now: u64) -> Result<(), NotCounted> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(NotCounted::Name);
        }
        let number = now / self.profile.slot_millis;
        loop {
            let noted = self.all.update(name.as_bytes(), |slots, _| note(slots, number, value));
            if noted.is_some() {
                return Ok(());
            }
            if self.all.len() >= MAX_STATISTICS {
                return Err(NotCounted::TooMany);
            }
            let build = |alloc: Alloc| -> Result<_, Full> {
                let empty = (0..self.profile.slots).map(|_| Slot::default());
                let slots = ShmVec::try_from_iter_in(empty, alloc)?;
                Ok((ShmBytes::try_from_slice_in(name.as_bytes(), alloc)?, slots))
            };
            self.all.insert_new(name.as_bytes(), build).map_err(|Full| NotCounted::Full)?;
        }
    }

    fn reading(&self, slots: &[Slot], now: u64) -> i64 {
        let current = now / self.profile.slot_millis;
        let first = (current + 1).saturating_sub(u64::from(self.profile.slots));
        let (mut sum, mut values, mut above_zero) = (0_i64, 0_i64, 0_i64);
        for slot in slots.iter().filter(|slot| slot.values > 0 && slot.number >= first) {
            sum = sum.saturating_add(slot.sum);
            values += i64::from(slot.values);
            above_zero += i64::from(slot.above_zero);
        }
        match self.profile.algorithm {
            Algorithm::Accumulate => sum,
            Algorithm::Average => sum.checked_div(values).unwrap_or(0),
            Algorithm::Percentage => (above_zero * self.profile.factor).checked_div(values).unwrap_or(0),
        }
    }
}

fn note(slots: &mut [Slot], number: u64, value: i64) {
    let at = (number % (slots.len().max(1) as u64)) as usize;
    let Some(slot) = slots.get_mut(at) else { return };
    if slot.number != number {
        *slot = Slot { number, ..Slot::default() };
    }
    slot.sum = slot.sum.saturating_add(value);
    slot.values = slot.values.saturating_add(1);
    slot.above_zero = slot.above_zero.saturating_add(u32::from(value > 0));
}

impl Kept for Series {
    fn each(&self, each: &mut dyn FnMut(&str, i64, bool)) {
        let now = monotonic_millis();
        let mut all = Vec::new();
        self.all.for_each(|name, slots| all.push((name.to_vec(), self.reading(slots, now))));
        all.sort();
        for (name, value) in all {
            each(&String::from_utf8_lossy(&name), value, false);
        }
    }

    fn value(&self, name: &str) -> Option<i64> {
        let now = monotonic_millis();
        self.all.get(name.as_bytes(), |slots| self.reading(slots, now))
    }

    fn reset(&self, name: &str) -> bool {
        let clear = |slots: &mut [Slot]| slots.fill(Slot::default());
        self.all.update(name.as_bytes(), |slots, _| clear(slots)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_shm::ArenaOptions;

    fn series(profile: &str) -> Series {
        let arena = Arena::create(&ArenaOptions { bytes: 8 << 20, boot_bytes: 1 << 20 }).unwrap();
        Series::create(arena, Profile::read(profile).unwrap()).unwrap()
    }

    fn value(series: &Series, now: u64) -> i64 {
        series.all.get(&b"x"[..], |slots| series.reading(slots, now)).unwrap()
    }

    #[test]
    fn values_are_over_after_the_window() {
        for (profile, values, then, later) in [
            ("a: window=10", [4, -1, 7], 10, 7),
            ("a: algorithm=average window=10 slots=5", [4, 0, 8], 4, 8),
            ("a: algorithm=percentage window=10", [1, -1, -1], 33, 0),
            ("a: algorithm=percentage window=10 percentage_factor=1000", [1, -1, -1], 333, 0),
        ] {
            let series = series(profile);
            for (at, value) in values.into_iter().enumerate() {
                series.add_at("x", value, 100_000 + at as u64 * 4000).unwrap();
            }
            assert_eq!(value(&series, 108_500), then, "{profile}");
            assert_eq!(value(&series, 116_500), later, "{profile}");
            assert_eq!(value(&series, 200_000), 0, "{profile}");
        }
    }

    #[test]
    fn a_series_begins_anew() {
        let series = series("a");
        series.add("x", 5).unwrap();
        assert_eq!(Kept::value(&series, "x"), Some(5));
        assert!(series.reset("x") && !series.reset("y"));
        assert_eq!(Kept::value(&series, "x"), Some(0));
        assert_eq!(series.add("", 1), Err(NotCounted::Name));
    }

    #[test]
    fn profiles_are_read() {
        let profile =
            Profile::read("perc_1h: algorithm=percentage window=3600 slots=6 group=g hash_size=16").unwrap();
        assert_eq!((profile.name.as_str(), profile.group.as_str()), ("perc_1h", "g"));
        assert_eq!((profile.slot_millis, profile.slots, profile.buckets), (600_000, 6, 16));
        let default = Profile::read("avg").unwrap();
        assert_eq!((default.group.as_str(), default.slots, default.slot_millis), ("avg", 60, 1000));
        for bad in
            ["", ": window=1", "a: window=0", "a: slots=x", "a: algorithm=odd", "a: colour=red", "a: group="]
        {
            assert!(Profile::read(bad).is_err(), "{bad}");
        }
    }
}
