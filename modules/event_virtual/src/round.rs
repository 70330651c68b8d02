//! The events of one call of FAILOVER: what became of each so far, and what can be reported in order.

use std::rc::Rc;

use tocsin_event::Event;

/// Events that one member after the other is asked to take.
pub(crate) struct Round<'a> {
    events: &'a [Rc<Event>],
    taken: Vec<bool>,
    /// How many from the front on were reported.
    reported: usize,
}

impl<'a> Round<'a> {
    pub(crate) fn new(events: &'a [Rc<Event>]) -> Self {
        Self { events, taken: vec![false; events.len()], reported: 0 }
    }

    /// Those that nobody took, by their place.
    pub(crate) fn open(&self) -> Vec<usize> {
        (0..self.events.len()).filter(|at| !self.taken[*at]).collect()
    }

    pub(crate) fn event(&self, at: usize) -> &Rc<Event> {
        &self.events[at]
    }

    /// The event at this place was taken. Returns how many can be reported now as delivered.
    pub(crate) fn take(&mut self, at: usize) -> usize {
        self.taken[at] = true;
        let count = self.taken[self.reported..].iter().take_while(|taken| **taken).count();
        self.reported += count;
        count
    }

    /// Nobody is left to ask: the rest, in order, as runs of those taken and those not.
    pub(crate) fn rest(&self) -> Vec<(bool, usize)> {
        let runs = self.taken[self.reported..].chunk_by(|one, next| one == next);
        runs.map(|run| (run[0], run.len())).collect()
    }
}
