//! Reading events beside the courier: in the process that is interested, from now on.

use tocsin_shm::{Cursor, Read};

use crate::events::{Events, Shared};
use crate::params::Params;
use crate::registry::EventId;

/// Reads the event log.
pub struct Reader {
    shared: &'static Shared,
    cursor: Cursor,
    next: u64,
    params: Vec<u8>,
}

/// One event of the log.
#[derive(Debug)]
pub struct ReadEvent<'r> {
    /// Which event.
    pub event: EventId,
    /// Its number.
    pub number: u64,
    /// Its parameters.
    pub params: Params<'r>,
}

impl Events {
    /// Reads what is raised from now on. Only events that somebody is subscribed to are in the log.
    pub fn read_on(&self) -> Reader {
        let shared = self.shared();
        let next = shared.log.head();
        Reader { shared, cursor: Cursor::at(next), next, params: Vec::new() }
    }
}

impl Reader {
    /// The first number that it was to read.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The next event; none if there is none for now. A reader that is too slow misses some.
    #[expect(clippy::should_implement_trait, reason = "what it gives is borrowed from it")]
    pub fn next(&mut self) -> Option<ReadEvent<'_>> {
        loop {
            match self.shared.log.read(&mut self.cursor, &mut self.params) {
                Read::Record { number, kind, .. } => {
                    let (event, _) = EventId::from_kind(kind);
                    return Some(ReadEvent { event, number, params: Params::new(&self.params) });
                }
                Read::Lost { .. } => {}
                Read::Pending | Read::Empty => return None,
            }
        }
    }
}
