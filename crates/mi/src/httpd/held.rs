//! What requests that are not read to their end, and replies whose readers take their time, hold in memory together.

use std::cell::Cell;
use std::rc::Rc;

/// What every request and every reply may hold, whatever others do: one long reply that nobody reads refuses nobody a
/// short one.
pub const SMALL: usize = 32 * 1024;

/// All that is held. A copy counts the same.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    bytes: Rc<Cell<usize>>,
    limit: usize,
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Held {
    all: Holding,
    bytes: usize,
}

impl Holding {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Rc::default(), limit }
    }

    /// A part without bytes.
    pub(super) fn part(&self) -> Held {
        Held { all: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Takes up more bytes; `false` if all parts would hold too much. What holds alone may hold more than the limit: each
    /// request and each reply has a limit of its own.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let is_small = self.bytes.saturating_add(bytes) <= SMALL;
        let is_alone = self.all.bytes.get() == self.bytes;
        if !is_small && !is_alone && self.all.bytes.get().saturating_add(bytes) > self.all.limit {
            return false;
        }
        self.all.bytes.set(self.all.bytes.get() + bytes);
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.bytes.set(self.all.bytes.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_they_hold_so_much_and_one_alone_what_it_has() {
        let all = Holding::new(10 * SMALL);
        let (mut one, mut two) = (all.part(), all.part());
        assert!(one.grow(20 * SMALL) && one.grow(5), "alone");
        assert!(two.grow(SMALL) && !two.grow(1), "small");
        drop(one);
        assert!(two.grow(3 * SMALL));
        let mut three = all.part();
        assert!(three.grow(6 * SMALL) && !three.grow(1) && !two.grow(1));
        drop((two, three));
        assert_eq!(all.bytes.get(), 0);
    }
}
