//! The documents of a connection that were acknowledged and are not kept any more: how many end among its last bytes.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::transport::Receipts;

/// Bytes of documents that are counted together.
const STEP_BYTES: u64 = 64 << 10;

/// How far back they are counted: as much as a system holds for a reader, unless its operator lets it hold more (tcp(7),
/// `tcp_rmem`).
const REACH_BYTES: u64 = 6 << 20;

/// The documents that are not kept any more.
#[derive(Default)]
pub(crate) struct Passed {
    steps: VecDeque<Step>,
}

struct Step {
    /// Where the first of its documents ended among the bytes of the connection, and the last.
    first: u64,
    last: u64,
    documents: usize,
    receipts: Rc<dyn Receipts>,
}

impl Passed {
    /// Counts a document that ended there. True if a step begins with it.
    pub(crate) fn push(&mut self, end: u64, receipts: &Rc<dyn Receipts>) -> bool {
        if let Some(step) = self.steps.back_mut().filter(|step| end < step.first + STEP_BYTES) {
            (step.last, step.documents) = (end, step.documents + 1);
            return false;
        }
        self.steps.push_back(Step { first: end, last: end, documents: 1, receipts: Rc::clone(receipts) });
        while self.steps.front().is_some_and(|step| step.last + REACH_BYTES < end) {
            self.steps.pop_front();
        }
        true
    }

    /// Reports those that ended behind `from` as unconfirmed, perhaps some before it as well. Returns how many that are. The
    /// connection is over.
    pub(crate) fn doubt(&mut self, from: u64) -> usize {
        let steps = self.steps.drain(..).filter(|step| step.last > from);
        steps
            .map(|step| {
                step.receipts.unconfirmed(step.documents);
                step.documents
            })
            .sum()
    }

    pub(crate) fn clear(&mut self) {
        self.steps.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Sent;

    #[test]
    fn those_among_the_last_bytes_are_counted() {
        let sent = Rc::new(Sent::default());
        let receipts: Rc<dyn Receipts> = Rc::clone(&sent) as _;
        let fill = |to: u64| {
            let mut passed = Passed::default();
            let steps = (1..=to / 1000).filter(|n| passed.push(n * 1000, &receipts)).count();
            (passed, steps)
        };
        let (mut passed, steps) = fill(1_000_000);
        assert_eq!(steps, 16, "one for each 64 KiB");
        let count = passed.doubt(900_000);
        assert!((100..=166).contains(&count), "{count}");
        assert_eq!((sent.unconfirmed(), passed.doubt(0)), (count, 0));
        let (mut passed, _) = fill(20_000_000);
        let count = passed.doubt(0) as u64 * 1000;
        assert!((REACH_BYTES..=REACH_BYTES + 2 * STEP_BYTES).contains(&count), "{count}");
    }
}
