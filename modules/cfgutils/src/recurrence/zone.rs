//! The clock on the wall in a time zone: that of the server, or one of the system's database (RFC 9636).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};

/// Where the system keeps its time zones.
const FOLDER: &str = "/usr/share/zoneinfo";
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// How many zones a process keeps.
const MAX_ZONES: usize = 64;

thread_local! {
    /// The zones that were asked for, and those that are not there.
    static ZONES: RefCell<HashMap<String, Option<Rc<Table>>>> = RefCell::new(HashMap::new());
}

/// A time zone.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    Local,
    #[cfg(test)]
    Utc,
    Named(Rc<Table>),
}

/// When the clock changes, and how far it is before UTC from then on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Before the first change, in seconds.
    first: i64,
    changes: Vec<(i64, i64)>,
}

impl Zone {
    /// A zone of the system's database, such as `Europe/Berlin`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
        if !name.bytes().all(is_sign) || name.len() > 64 {
            return None;
        }
        ZONES.with_borrow_mut(|zones| {
            if let Some(known) = zones.get(name) {
                return known.clone().map(Self::Named);
            }
            let table = read(&format!("{FOLDER}/{name}")).map(Rc::new);
            if zones.len() < MAX_ZONES {
                zones.insert(name.to_owned(), table.clone());
            }
            table.map(Self::Named)
        })
    }

    /// What the clock shows at a moment, in seconds since 1970.
    pub(super) fn wall_clock(&self, moment: i64) -> Option<NaiveDateTime> {
        match self {
            Self::Local => Local.timestamp_opt(moment, 0).earliest().map(|time| time.naive_local()),
            #[cfg(test)]
            Self::Utc => utc(moment),
            Self::Named(table) => utc(moment.checked_add(table.offset(moment))?),
        }
    }
}

fn utc(moment: i64) -> Option<NaiveDateTime> {
    DateTime::<Utc>::from_timestamp(moment, 0).map(|time| time.naive_utc())
}

impl Table {
    fn offset(&self, moment: i64) -> i64 {
        let behind = self.changes.partition_point(|(at, _)| *at <= moment);
        behind.checked_sub(1).map_or(self.first, |last| self.changes[last].1)
    }
}

fn read(path: &str) -> Option<Table> {
    if std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len() > MAX_FILE_BYTES {
        return None;
    }
    parse(&std::fs::read(path).ok()?)
}

/// The second part of a file, with moments of 64 bits. What it says of the time behind its last change is left out: the
/// tables of today's systems reach to 2037.
fn parse(file: &[u8]) -> Option<Table> {
    let first = Header::read(file)?;
    let rest = file.get(Header::BYTES + first.data_bytes(4)..)?;
    let header = Header::read(rest)?;
    let data = rest.get(Header::BYTES..)?;
    let moments = data.get(..header.times * 8)?;
    let kinds = data.get(header.times * 8..header.times * 9)?;
    let types = data.get(header.times * 9..header.times * 9 + header.types * 6)?;
    let offset = |kind: usize| {
        let bytes = types.get(kind * 6..kind * 6 + 4)?;
        Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
    };
    let mut changes = Vec::with_capacity(header.times);
    for (moment, kind) in moments.chunks_exact(8).zip(kinds) {
        changes.push((i64::from_be_bytes(moment.try_into().ok()?), offset(usize::from(*kind))?));
    }
    Some(Table { first: offset(0)?, changes })
}

/// The counts at the beginning of a part.
struct Header {
    is_ut: usize,
    is_std: usize,
    leaps: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Header {
    const BYTES: usize = 44;

    fn read(part: &[u8]) -> Option<Self> {
        if !part.starts_with(b"TZif") || *part.get(4)? < b'2' {
            return None;
        }
        let count = |nth: usize| {
            let bytes = part.get(20 + nth * 4..24 + nth * 4)?;
            let count = u32::from_be_bytes(bytes.try_into().ok()?) as usize;
            (count as u64 <= MAX_FILE_BYTES).then_some(count)
        };
        let (is_ut, is_std, leaps) = (count(0)?, count(1)?, count(2)?);
        Some(Self { is_ut, is_std, leaps, times: count(3)?, types: count(4)?, letters: count(5)? })
    }

    /// Bytes of the part behind the header, with moments of so many bytes.
    fn data_bytes(&self, moment: usize) -> usize {
        self.times * (moment + 1)
            + self.types * 6
            + self.letters
            + self.leaps * (moment + 4)
            + self.is_std
            + self.is_ut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part with one change, to an hour and to two hours before UTC.
    fn part(moment: &[u8]) -> Vec<u8> {
        let mut part = b"TZif2".to_vec();
        part.resize(20, 0);
        for count in [0_u32, 0, 0, 1, 2, 4] {
            part.extend_from_slice(&count.to_be_bytes());
        }
        part.extend_from_slice(moment);
        part.push(1);
        for offset in [3600_i32, 7200] {
            part.extend_from_slice(&offset.to_be_bytes());
            part.extend_from_slice(&[0, 0]);
        }
        part.extend_from_slice(b"CET\0");
        part
    }

    #[test]
    fn tables_say_how_far_the_clock_is_ahead() {
        let file = [part(&1000_i32.to_be_bytes()), part(&1000_i64.to_be_bytes())].concat();
        let table = parse(&file).unwrap();
        assert_eq!([table.offset(999), table.offset(1000), table.offset(i64::MAX)], [3600, 7200, 7200]);
        for cut in 0..file.len() - 4 {
            assert_eq!(parse(&file[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn names_lead_into_the_folder_only() {
        assert!(Zone::named("Etc/UTC").is_some());
        for name in ["../../etc/passwd", "Nowhere", "", "Europe"] {
            assert!(Zone::named(name).is_none(), "{name}");
        }
        let berlin = Zone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.wall_clock(1_577_880_000).unwrap().to_string(), "2020-01-01 13:00:00");
        assert_eq!(berlin.wall_clock(1_593_604_800).unwrap().to_string(), "2020-07-01 14:00:00");
    }
}
