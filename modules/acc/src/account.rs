//! What to account of a request, as notes that live with its transaction.

use std::fmt;

use tocsin_script::{Bytes, Value};
use tocsin_server::avps::MAX_AVPS;
use tocsin_server::notes::Notes;
use tocsin_server::time;

/// Tags of `extra_fields`, and of `leg_fields`.
pub(crate) const MAX_FIELDS: usize = 30;
/// Legs of one call. All values of all of them find room in the notes of a request.
pub(crate) const MAX_LEGS: usize = 32;
const _: () = assert!(MAX_FIELDS * (MAX_LEGS + 1) + 3 <= MAX_AVPS);

/// Where reports go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// `log`
    Log,
    /// `evi`
    Events,
}

impl Backend {
    pub(crate) const COUNT: usize = 2;
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Log, Self::Events];
}

/// Backends that a function names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backends(u32);

/// What is accounted beside answered transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(u32);

const ON: u32 = 1;
const MISSED: u32 = 2;
const FAILED: u32 = 4;
/// Noted for the module dialog: without it the transaction is accounted, as recorded.
const CDR: u32 = 8;
const BITS_PER_BACKEND: u32 = 4;
/// The request goes from the callee to the caller, and `detect_direction` is on.
const UPSTREAM: u32 = 1 << 31;

/// Why the argument of a function cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// There is no such word.
    Word(String),
    /// There is such a backend, and it is not there yet.
    Missing(&'static str),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}` is not known here"),
            Self::Missing(backend) => {
                write!(f, "accounting with `{backend}` is not there yet: `log` and `evi` are")
            }
        }
    }
}

/// The words between `|`, in small letters.
fn words(text: &[u8]) -> impl Iterator<Item = String> {
    text.split(|byte| *byte == b'|').map(|word| String::from_utf8_lossy(word.trim_ascii()).to_lowercase())
}

impl Backends {
    /// Reads `log|evi`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Unknown> {
        words(text).try_fold(Self(0), |Self(all), word| match word.as_str() {
            "log" => Ok(Self(all | 1 << Backend::Log as u32)),
            "evi" => Ok(Self(all | 1 << Backend::Events as u32)),
            "db" => Err(Unknown::Missing("db")),
            "aaa" => Err(Unknown::Missing("aaa")),
            _ => Err(Unknown::Word(word)),
        })
    }

    fn each(self) -> impl Iterator<Item = Backend> {
        Backend::ALL.into_iter().filter(move |backend| self.0 & 1 << *backend as u32 != 0)
    }
}

impl Flags {
    pub(crate) const NAMES: [&str; 3] = ["cdr", "missed", "failed"];

    /// Reads `missed|failed`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Unknown> {
        words(text).try_fold(Self(0), |Self(all), word| match word.as_str() {
            "cdr" => Ok(Self(all | CDR)),
            "missed" => Ok(Self(all | MISSED)),
            "failed" => Ok(Self(all | FAILED)),
            _ => Err(Unknown::Word(word)),
        })
    }

    /// Whether CDRs are asked for.
    pub(crate) fn has_cdr(self) -> bool {
        self.0 & CDR != 0
    }
}

/// What is wanted of a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted(u32);

impl Wanted {
    fn with(self, backends: Backends, flags: Flags) -> Self {
        let add = |all, backend| all | (ON | flags.0) << shift(backend);
        Self(backends.each().fold(self.0, add))
    }

    fn without(self, backends: Option<Backends>, flags: Option<Flags>) -> Self {
        let taken = flags.map_or((1 << BITS_PER_BACKEND) - 1, |flags| flags.0);
        match backends {
            None => Self(self.0 & UPSTREAM),
            Some(backends) => {
                Self(backends.each().fold(self.0, |all, backend| all & !(taken << shift(backend))))
            }
        }
    }

    fn without_missed(self) -> Self {
        Self(Backend::ALL.into_iter().fold(self.0, |all, backend| all & !(MISSED << shift(backend))))
    }

    fn has(self, backend: Backend, bits: u32) -> bool {
        self.0 >> shift(backend) & bits == bits
    }

    /// Whether the transaction is accounted with `backend` when it ends with this status.
    pub(crate) fn accounts(self, backend: Backend, status: u16) -> bool {
        self.has(backend, if status < 300 { ON } else { ON | FAILED })
    }

    /// Whether a missed call is accounted with `backend`.
    pub(crate) fn accounts_missed(self, backend: Backend) -> bool {
        self.has(backend, ON | MISSED)
    }

    /// Whether the From of the request is the callee's.
    pub(crate) fn is_upstream(self) -> bool {
        self.0 & UPSTREAM != 0
    }
}

fn shift(backend: Backend) -> u32 {
    backend as u32 * BITS_PER_BACKEND
}

const WANTED: &[u8] = b"acc";
const CREATED: &[u8] = b"acc.created";
const LEGS: &[u8] = b"acc.legs";

fn extra_name(field: usize) -> Vec<u8> {
    format!("acc.x{field}").into_bytes()
}

fn leg_name(leg: usize, field: usize) -> Vec<u8> {
    format!("acc.l{leg}.{field}").into_bytes()
}

/// What is wanted, if the script has said anything about accounting.
pub(crate) fn wanted(notes: &Notes) -> Option<Wanted> {
    int(notes, WANTED).map(|bits| Wanted(u32::try_from(bits).unwrap_or(0)))
}

/// When accounting was asked for first, in seconds since 1970; 0 before.
pub(crate) fn created(notes: &Notes) -> u64 {
    int(notes, CREATED).and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0)
}

/// How many legs the call has.
pub(crate) fn legs(notes: &Notes) -> usize {
    int(notes, LEGS).and_then(|legs| usize::try_from(legs).ok()).unwrap_or(1)
}

/// The value of a field of `extra_fields`.
pub(crate) fn extra(notes: &Notes, field: usize) -> Option<Bytes> {
    text(notes, &extra_name(field))
}

/// The value of a field of `leg_fields` in a leg.
pub(crate) fn leg(notes: &Notes, leg: usize, field: usize) -> Option<Bytes> {
    text(notes, &leg_name(leg, field))
}

/// `do_accounting()`.
pub(crate) fn begin(notes: &mut Notes, backends: Backends, flags: Flags, upstream: bool) {
    let Wanted(bits) = wanted(notes).unwrap_or_default().with(backends, flags);
    put(notes, WANTED, Value::Int(i64::from(if upstream { bits | UPSTREAM } else { bits })));
    if created(notes) == 0 {
        put(notes, CREATED, Value::Int(time::unix_seconds() as i64));
    }
}

/// `drop_accounting()`.
pub(crate) fn drop(notes: &mut Notes, backends: Option<Backends>, flags: Option<Flags>) {
    let Wanted(bits) = wanted(notes).unwrap_or_default().without(backends, flags);
    put(notes, WANTED, Value::Int(bits.into()));
}

/// A missed call was accounted: the next one only if the script asks again.
pub(crate) fn forget_missed(notes: &mut Notes) {
    let Wanted(bits) = wanted(notes).unwrap_or_default().without_missed();
    put(notes, WANTED, Value::Int(bits.into()));
}

/// Adds a leg without values. There are at most [`MAX_LEGS`].
pub(crate) fn add_leg(notes: &mut Notes) {
    touch(notes);
    put(notes, LEGS, Value::Int((legs(notes) + 1).min(MAX_LEGS) as i64));
}

/// Sets the value of a field of `extra_fields`, or takes it away.
pub(crate) fn set_extra(notes: &mut Notes, field: usize, value: Value) {
    touch(notes);
    put(notes, &extra_name(field), value);
}

/// The same for a field of `leg_fields` in a leg.
pub(crate) fn set_leg(notes: &mut Notes, leg: usize, field: usize, value: Value) {
    touch(notes);
    put(notes, &leg_name(leg, field), value);
}

/// From here on there is something to account, if only because values were set.
fn touch(notes: &mut Notes) {
    if wanted(notes).is_none() {
        put(notes, WANTED, Value::Int(0));
    }
}

fn put(notes: &mut Notes, name: &[u8], value: Value) {
    notes.clear(name);
    if value != Value::Null {
        notes.push(name, value);
    }
}

fn int(notes: &Notes, name: &[u8]) -> Option<i64> {
    notes.values(name).next().and_then(Value::to_int)
}

fn text(notes: &Notes, name: &[u8]) -> Option<Bytes> {
    notes.values(name).next().and_then(Value::to_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(text: &str) -> Backends {
        Backends::parse(text.as_bytes()).unwrap()
    }

    fn flags(text: &str) -> Flags {
        Flags::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn functions_add_to_what_was_wanted_and_take_from_it() {
        let wanted = Wanted::default().with(backends("log"), Flags::default());
        assert!(wanted.accounts(Backend::Log, 200) && !wanted.accounts(Backend::Log, 486));
        assert!(!wanted.accounts(Backend::Events, 200) && !wanted.accounts_missed(Backend::Log));
        let wanted = wanted.with(backends("LOG | evi"), flags("missed|Failed"));
        assert!(wanted.accounts(Backend::Log, 486) && wanted.accounts_missed(Backend::Events));
        let less = wanted.without(Some(backends("log")), Some(flags("missed")));
        assert!(less.accounts(Backend::Log, 486) && !less.accounts_missed(Backend::Log));
        assert!(
            less.accounts_missed(Backend::Events) && !less.without_missed().accounts_missed(Backend::Events)
        );
        let less = wanted.without(Some(backends("log")), None);
        assert!(!less.accounts(Backend::Log, 200) && less.accounts(Backend::Events, 200));
        assert_eq!(wanted.without(None, None), Wanted::default());
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        assert_eq!(Backends::parse(b"log|paper"), Err(Unknown::Word("paper".to_owned())));
        assert_eq!(Backends::parse(b"db"), Err(Unknown::Missing("db")));
        assert_eq!(Flags::parse(b"lost"), Err(Unknown::Word("lost".to_owned())));
    }

    #[test]
    fn notes_keep_values_and_legs() {
        let mut notes = Notes::default();
        assert_eq!((wanted(&notes), legs(&notes), created(&notes)), (None, 1, 0));
        set_extra(&mut notes, 3, Value::str("x"));
        set_extra(&mut notes, 3, Value::str("y"));
        add_leg(&mut notes);
        set_leg(&mut notes, 1, 0, Value::str("callee"));
        let kept = Notes::decode(&notes.encode());
        assert_eq!((extra(&kept, 3), extra(&kept, 0)), (Some(Bytes::from("y")), None));
        assert_eq!((legs(&kept), leg(&kept, 1, 0), leg(&kept, 0, 0)), (2, Some(Bytes::from("callee")), None));
        set_extra(&mut notes, 3, Value::Null);
        assert_eq!((extra(&notes, 3), wanted(&notes)), (None, Some(Wanted::default())));
        (0..MAX_LEGS).for_each(|_| add_leg(&mut notes));
        assert_eq!(legs(&notes), MAX_LEGS);
    }
}
