//! Status and reports: what each part of the server says about its own readiness (manual, "Status/Report Interface").
//!
//! A group belongs to the core, to a module or to the script; in it are identifiers, each with a status - a number that
//! is not zero, negative for "not ready" - with details, and with its latest reports. Groups and identifiers are made
//! before the first fork; every process sets statuses and adds reports. Out flows what operators and scripts ask for, and
//! `E_CORE_SR_STATUS_CHANGED` whenever a number changes.

mod core;
mod shared;
#[cfg(test)]
mod tests;

use thiserror::Error;
use tocsin_event::{Events, SrStatusChanged};
use tocsin_shm::{Arena, ArenaFull, Full, Sweep};

pub use self::core::CoreState;
pub use shared::{Report, State};

use crate::events;
use crate::time::unix_seconds;
use shared::Shared;

pub use shared::MAX_IDENTIFIERS;

/// The most bytes of the name of a group or an identifier.
pub const MAX_NAME_BYTES: usize = 128;
/// The most bytes of details and of the text of a report; the rest is cut off.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Reports that an identifier keeps, unless it asks for another number; the oldest goes first.
pub const MAX_REPORTS: u16 = 100;
/// The most reports that an identifier may ask for.
pub const MAX_REPORTS_CONFIGURED: u16 = 1000;
/// The identifier that a group alone stands for.
pub const MAIN: &str = "main";
/// The name that stands for all identifiers of a group.
pub const ALL: &[u8] = b"all";
/// The group of the core.
pub const CORE_GROUP: &str = "core";

/// Who may set the statuses of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The core or the module that made it.
    Server,
    /// The script.
    Script,
}

/// A group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupId(u16);

/// An identifier of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentifierId(u16);

/// An identifier to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identifier<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its first status.
    pub status: i32,
    /// What is said about the first status; empty for nothing.
    pub details: &'a str,
    /// Reports that it keeps.
    pub reports: u16,
}

impl Identifier<'_> {
    /// The identifier of a group that needs only one: ready from the start.
    pub const MAIN: Self = Self { name: MAIN, status: 1, details: "", reports: MAX_REPORTS };
}

/// Why a group or an identifier cannot be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum StatusError {
    /// Two of one name.
    #[error("there is already a status/report group or identifier `{0}`")]
    Twice(String),
    /// A name that cannot be asked for.
    #[error(
        "`{0}` is no name of a status/report group or identifier: 1 to {MAX_NAME_BYTES} bytes, and not `all`"
    )]
    Name(String),
    /// More than there may be.
    #[error("there are more than {MAX_IDENTIFIERS} status/report groups or identifiers")]
    TooMany,
    /// More reports than there may be.
    #[error("{0} reports are too many to keep: 1 to {MAX_REPORTS_CONFIGURED}")]
    Reports(u16),
    /// The shared memory is full.
    #[error("the shared memory is too small: start with a larger -m")]
    Memory,
}

/// All groups of a server.
#[derive(Debug)]
pub struct StatusReports {
    events: Events,
    groups: Vec<GroupEntry>,
    identifiers: Vec<IdentifierEntry>,
    shared: Shared,
}

#[derive(Debug)]
struct GroupEntry {
    name: String,
    owner: Owner,
}

#[derive(Debug)]
struct IdentifierEntry {
    group: GroupId,
    name: String,
    reports: u16,
}

impl StatusReports {
    /// Makes the tables, and the group of the core, which initializes. To be called before the first fork.
    ///
    /// # Errors
    /// [`StatusError::Memory`] when the shared memory is too small.
    pub fn create(arena: &'static Arena, events: Events) -> Result<Self, StatusError> {
        let shared = Shared::create(arena).map_err(|ArenaFull { .. }| StatusError::Memory)?;
        let mut made = Self { events, groups: Vec::new(), identifiers: Vec::new(), shared };
        made.add_core()?;
        Ok(made)
    }

    /// Makes a group without identifiers. Names of groups match whatever the case of their letters.
    ///
    /// # Errors
    /// [`StatusError`] when there is such a group, the name cannot be used, or there are too many.
    pub fn group(&mut self, name: &str, owner: Owner) -> Result<GroupId, StatusError> {
        let name = checked(name)?;
        if self.find_group(name.as_bytes()).is_some() {
            return Err(StatusError::Twice(name.to_owned()));
        }
        let id = next(self.groups.len())?;
        self.groups.push(GroupEntry { name: name.to_owned(), owner });
        Ok(GroupId(id))
    }

    /// Makes an identifier of a group.
    ///
    /// # Errors
    /// [`StatusError`] when the group has it already, or it cannot be created.
    pub fn identifier(
        &mut self,
        group: GroupId,
        identifier: &Identifier<'_>,
    ) -> Result<IdentifierId, StatusError> {
        let name = checked(identifier.name)?;
        if self.find(group, Some(name.as_bytes())).is_some() {
            return Err(StatusError::Twice(name.to_owned()));
        }
        let reports = identifier.reports;
        if !(1..=MAX_REPORTS_CONFIGURED).contains(&reports) {
            return Err(StatusError::Reports(reports));
        }
        let id = next(self.identifiers.len())?;
        let details = Some(cut(identifier.details.as_bytes())).filter(|details| !details.is_empty());
        self.shared.begin(id, stored(identifier.status), details).map_err(|Full| StatusError::Memory)?;
        self.identifiers.push(IdentifierEntry { group, name: name.to_owned(), reports });
        Ok(IdentifierId(id))
    }

    /// The groups, the newest first.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        (0..self.groups.len() as u16).rev().map(GroupId)
    }

    /// The identifiers of a group, the newest first.
    pub fn identifiers(&self, group: GroupId) -> impl Iterator<Item = IdentifierId> {
        let all = (0..self.identifiers.len() as u16).rev().map(IdentifierId);
        all.filter(move |identifier| self.entry(*identifier).group == group)
    }

    /// The group called `name`, whatever the case of its letters.
    pub fn find_group(&self, name: &[u8]) -> Option<GroupId> {
        self.groups().find(|group| self.group_name(*group).as_bytes().eq_ignore_ascii_case(name))
    }

    /// The identifier of a group called `name`, or without a name its [`MAIN`] one.
    pub fn find(&self, group: GroupId, name: Option<&[u8]>) -> Option<IdentifierId> {
        let name = name.unwrap_or(MAIN.as_bytes());
        self.identifiers(group).find(|identifier| self.name(*identifier).as_bytes() == name)
    }

    /// The name of a group.
    pub fn group_name(&self, group: GroupId) -> &str {
        &self.groups[usize::from(group.0)].name
    }

    /// Who may set statuses in a group.
    pub fn owner(&self, group: GroupId) -> Owner {
        self.groups[usize::from(group.0)].owner
    }

    /// The name of an identifier.
    pub fn name(&self, identifier: IdentifierId) -> &str {
        &self.entry(identifier).name
    }

    /// The status of an identifier, with its details.
    pub fn state(&self, identifier: IdentifierId) -> State {
        self.shared.state(identifier.0)
    }

    /// The status of a group as a whole: -1 if one of its identifiers is not ready, 1 otherwise.
    pub fn aggregated(&self, group: GroupId) -> i32 {
        let ready = self.identifiers(group).all(|identifier| self.state(identifier).is_ready());
        if ready { 1 } else { -1 }
    }

    /// The reports of an identifier, the oldest first.
    pub fn reports(&self, identifier: IdentifierId) -> Vec<Report> {
        self.shared.reports(identifier.0, self.entry(identifier).reports)
    }

    /// Sets a status with its details, and raises `E_CORE_SR_STATUS_CHANGED` if the number is another
    /// one. 0 is no status: it becomes 1. Empty details are shown as such, `None` is left out.
    pub fn set(&self, identifier: IdentifierId, status: i32, details: Option<&[u8]>) {
        let (status, details) = (stored(status), details.map(cut));
        let old = self.shared.set(identifier.0, status, details);
        if old != status {
            let event = SrStatusChanged {
                group: self.group_name(self.entry(identifier).group),
                identifier: self.name(identifier),
                status,
                details,
                old_status: old,
            };
            events::status_changed(&self.events, &event);
        }
    }

    /// Adds a report, of this moment.
    ///
    /// # Errors
    /// [`Full`] when the shared memory is full: the report is lost.
    pub fn report(&self, identifier: IdentifierId, report: &[u8]) -> Result<(), Full> {
        let kept = self.entry(identifier).reports;
        self.shared.report(identifier.0, kept, unix_seconds(), cut(report))
    }

    /// The tables whose locks the supervisor sweeps after a death.
    pub fn sweepers(&self) -> [&'static dyn Sweep; 2] {
        self.shared.sweepers()
    }

    fn entry(&self, identifier: IdentifierId) -> &IdentifierEntry {
        &self.identifiers[usize::from(identifier.0)]
    }
}

fn checked(name: &str) -> Result<&str, StatusError> {
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.as_bytes() != ALL;
    if fits { Ok(name) } else { Err(StatusError::Name(name.to_owned())) }
}

fn next(used: usize) -> Result<u16, StatusError> {
    u16::try_from(used).ok().filter(|_| used < MAX_IDENTIFIERS).ok_or(StatusError::TooMany)
}

/// A status as it is kept.
fn stored(status: i32) -> i32 {
    if status == 0 { 1 } else { status }
}

/// At most [`MAX_TEXT_BYTES`] bytes, without a piece of a character at the end.
fn cut(text: &[u8]) -> &[u8] {
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    let is_inside = |at: &usize| text[*at] & 0xc0 == 0x80;
    let end = (MAX_TEXT_BYTES - 3..=MAX_TEXT_BYTES).rev().find(|at| !is_inside(at)).unwrap_or(MAX_TEXT_BYTES);
    &text[..end]
}
