//! Connections that have ended and still hold a descriptor, so that their last words are read: no more than a few.

use std::cell::Cell;
use std::rc::Rc;

/// Connections of one process that may wait for their peers to end them too. Their rows are free by then, so that no limit
/// of connections counts them.
const MAX_LINGERING: usize = 64;

/// The places of one process.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    taken: Rc<Cell<usize>>,
}

/// A place; it is free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Rc<Cell<usize>>,
}

impl Lingering {
    /// A place, if one is free: without one a connection closes at once.
    pub(super) fn take(&self) -> Option<Place> {
        if self.taken.get() >= MAX_LINGERING {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        Some(Place { taken: Rc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.set(self.taken.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_and_no_more() {
        let lingering = Lingering::default();
        let mut places: Vec<_> = std::iter::from_fn(|| lingering.take()).take(MAX_LINGERING + 1).collect();
        assert_eq!(places.len(), MAX_LINGERING);
        places.pop();
        assert!(lingering.take().is_some());
        assert_eq!(lingering.taken.get(), MAX_LINGERING - 1);
    }
}
