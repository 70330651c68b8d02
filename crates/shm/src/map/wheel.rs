//! The deadlines of a shard: a wheel of three levels whose links run through the records.
//!
//! A record is linked into the slot of its deadline; a later deadline is only noted, and the record moves when its
//! slot is visited. So a change of a deadline costs a store in most cases, a removal is constant, and a record is
//! visited at most once a level. All of it is derived from the deadlines in the records: after a death it is built
//! anew, so it may be left half-changed. Everything here happens under the shard's lock, except reading [`Wheel::next_due`].

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Milliseconds of the monotonic clock.
pub type Millis = u64;

/// No deadline.
pub(crate) const NEVER: Millis = Millis::MAX;
/// A tick is 2^7 = 128 ms.
const TICK_BITS: u32 = 7;
const SLOT_BITS: u32 = 5;
/// Slots of a level: they span 4 s, 131 s and 70 minutes. What is due later waits in the last slot.
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 3;
/// The list of what an expiry has begun to look through.
const PENDING: usize = LEVELS * SLOTS;
const UNLINKED: usize = PENDING + 1;

/// What a record has of the wheel.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Timer {
    deadline: Cell<Millis>,
    /// The deadline under which it was linked: not later than `deadline`.
    linked_for: Cell<Millis>,
    slot: Cell<usize>,
    next: Cell<*mut Timer>,
    prev: Cell<*mut Timer>,
}

impl Timer {
    pub(crate) fn new(deadline: Millis) -> Self {
        Self {
            deadline: Cell::new(deadline),
            linked_for: Cell::new(NEVER),
            slot: Cell::new(UNLINKED),
            next: Cell::new(null_mut()),
            prev: Cell::new(null_mut()),
        }
    }

    pub(crate) fn deadline(&self) -> Millis {
        self.deadline.get()
    }
}

/// The wheel of a shard.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The tick whose slot is looked at; the slots of earlier ones are empty.
    tick: Cell<u64>,
    /// Of each level, the slots that have a record.
    filled: [Cell<u32>; LEVELS],
    lists: [Cell<*mut Timer>; LEVELS * SLOTS + 1],
    next_due: AtomicU64,
}

impl Wheel {
    /// An empty wheel that starts at `now`. Any start is right; one near the first deadlines is fast.
    pub(crate) fn new(now: Millis) -> Self {
        Self {
            tick: Cell::new(now >> TICK_BITS),
            filled: [const { Cell::new(0) }; LEVELS],
            lists: [const { Cell::new(null_mut()) }; LEVELS * SLOTS + 1],
            next_due: AtomicU64::new(NEVER),
        }
    }

    /// When something may be due: perhaps early, never late. Readable without the lock.
    pub(crate) fn next_due(&self) -> Millis {
        self.next_due.load(Relaxed)
    }

    /// Says that the shard wants a visit at once.
    pub(crate) fn make_due(&self) {
        self.next_due.store(0, Relaxed);
    }

    /// Forgets every link, reading none. Records must be put in again; until [`Self::settle`] the shard counts as due.
    pub(crate) fn reset(&self) {
        self.make_due();
        for list in &self.lists {
            list.set(null_mut());
        }
        for filled in &self.filled {
            filled.set(0);
        }
    }

    /// Links a record that is in no list.
    ///
    /// # Safety
    /// `timer` stays valid until it is unlinked.
    pub(crate) unsafe fn insert(&self, timer: *mut Timer) {
        // SAFETY: valid, says the caller.
        let deadline = unsafe { &*timer }.deadline.get();
        if deadline != NEVER {
            // The hint goes first: a death after it leaves it early, not late.
            if deadline < self.next_due() {
                self.next_due.store(deadline, Relaxed);
            }
            // SAFETY: as above.
            unsafe { self.link(timer, self.slot_of(deadline)) };
        }
    }

    /// Gives a record another deadline.
    ///
    /// # Safety
    /// As [`Self::insert`], and every linked record is still valid.
    pub(crate) unsafe fn change(&self, timer: *mut Timer, deadline: Millis) {
        // SAFETY: valid, says the caller.
        let it = unsafe { &*timer };
        let linked = it.slot.get() != UNLINKED;
        it.deadline.set(deadline);
        let stays =
            if linked { deadline != NEVER && deadline >= it.linked_for.get() } else { deadline == NEVER };
        if stays {
            return;
        }
        // SAFETY: as above.
        unsafe {
            self.remove(timer);
            self.insert(timer);
        }
    }

    /// Takes a record out, if it is in.
    ///
    /// # Safety
    /// As [`Self::change`].
    pub(crate) unsafe fn remove(&self, timer: *mut Timer) {
        // SAFETY: valid, says the caller.
        let it = unsafe { &*timer };
        let slot = it.slot.replace(UNLINKED);
        if slot == UNLINKED {
            return;
        }
        let (prev, next) = (it.prev.get(), it.next.get());
        // SAFETY: neighbours in the list are linked, so valid.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.set(next),
            None => {
                self.lists[slot].set(next);
                if next.is_null() && slot < PENDING {
                    let filled = &self.filled[slot / SLOTS];
                    filled.set(filled.get() & !(1 << (slot % SLOTS)));
                }
            }
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.prev.set(prev);
        }
    }

    /// Begins a visit: looks through the present tick.
    ///
    /// # Safety
    /// Every linked record is valid.
    pub(crate) unsafe fn begin(&self, now: Millis) {
        if self.tick.get() >= now >> TICK_BITS {
            // SAFETY: linked records are valid.
            unsafe { self.take_up(now) };
        }
    }

    /// Takes out a record that is due at `now`; `None` when there is no other one.
    ///
    /// # Safety
    /// Every linked record is valid.
    pub(crate) unsafe fn pop_due(&self, now: Millis) -> Option<*mut Timer> {
        let last = now >> TICK_BITS;
        loop {
            // SAFETY: linked records are valid.
            if let Some(due) = unsafe { self.pop_pending(now) } {
                return Some(due);
            }
            if self.tick.get() >= last {
                return None;
            }
            // SAFETY: as above.
            unsafe {
                if self.lists[self.present_slot()].get().is_null() {
                    self.advance(self.next_tick().map_or(last, |tick| tick.min(last)));
                }
                self.take_up(now);
            }
        }
    }

    /// Ends a visit: says when the next one is due.
    ///
    /// # Safety
    /// Every linked record is valid.
    pub(crate) unsafe fn settle(&self) {
        let due = if !self.lists[PENDING].get().is_null() {
            0
        } else {
            let mut earliest = NEVER;
            let mut at = self.lists[self.present_slot()].get();
            // SAFETY: linked records are valid.
            while let Some(timer) = unsafe { at.as_ref() } {
                earliest = earliest.min(timer.deadline.get());
                at = timer.next.get();
            }
            if earliest == NEVER {
                self.next_tick().map_or(NEVER, |tick| tick << TICK_BITS)
            } else {
                earliest
            }
        };
        self.next_due.store(due, Relaxed);
    }

    fn present_slot(&self) -> usize {
        self.tick.get() as usize % SLOTS
    }

    /// Where a deadline belongs, as seen from the present tick.
    fn slot_of(&self, deadline: Millis) -> usize {
        let now = self.tick.get();
        let tick = (deadline >> TICK_BITS).max(now);
        for level in 0..LEVELS {
            let shift = SLOT_BITS * level as u32;
            let (block, present) = (tick >> shift, now >> shift);
            if block - present < SLOTS as u64 {
                return level * SLOTS + block as usize % SLOTS;
            }
        }
        let farthest = (now >> (SLOT_BITS * (LEVELS as u32 - 1))) + SLOTS as u64 - 1;
        (LEVELS - 1) * SLOTS + farthest as usize % SLOTS
    }

    unsafe fn link(&self, timer: *mut Timer, slot: usize) {
        // SAFETY: the caller's timer is valid.
        let it = unsafe { &*timer };
        let next = self.lists[slot].get();
        it.linked_for.set(it.deadline.get());
        it.slot.set(slot);
        it.prev.set(null_mut());
        it.next.set(next);
        // SAFETY: the first record of a list is valid.
        if let Some(next) = unsafe { next.as_ref() } {
            next.prev.set(timer);
        }
        self.lists[slot].set(timer);
        if slot < PENDING {
            let filled = &self.filled[slot / SLOTS];
            filled.set(filled.get() | 1 << (slot % SLOTS));
        }
    }

    /// The next tick at which there is something to do.
    fn next_tick(&self) -> Option<u64> {
        let next_of = |level: usize| {
            let shift = SLOT_BITS * level as u32;
            let block = (self.tick.get() >> shift) + 1;
            let ahead = self.filled[level].get().rotate_right(block as u32 % SLOTS as u32).trailing_zeros();
            // The last one of the circle is the present slot.
            (ahead < SLOTS as u32 - 1).then(|| (block + u64::from(ahead)) << shift)
        };
        (0..LEVELS).filter_map(next_of).min()
    }

    /// Goes to `tick`, over empty slots, and spreads the slots of the upper levels that begin there.
    unsafe fn advance(&self, tick: u64) {
        self.tick.set(tick);
        for level in (1..LEVELS).rev() {
            let shift = SLOT_BITS * level as u32;
            if tick.trailing_zeros() >= shift {
                let slot = level * SLOTS + (tick >> shift) as usize % SLOTS;
                // SAFETY: linked records are valid, as for the caller.
                unsafe { self.spread(slot, NEVER) };
            }
        }
    }

    /// Takes up the present tick: what is due comes into the pending list.
    unsafe fn take_up(&self, now: Millis) {
        // SAFETY: linked records are valid, as for the caller.
        unsafe { self.spread(self.present_slot(), now) };
    }

    /// Empties a slot: what is due at `now` goes to the pending list, the rest where it belongs.
    unsafe fn spread(&self, slot: usize, now: Millis) {
        let mut at = self.lists[slot].replace(null_mut());
        let filled = &self.filled[slot / SLOTS];
        filled.set(filled.get() & !(1 << (slot % SLOTS)));
        // SAFETY: linked records are valid.
        while let Some(timer) = unsafe { at.as_ref() } {
            let next = timer.next.get();
            timer.slot.set(UNLINKED);
            let to = if now != NEVER && timer.deadline.get() <= now {
                PENDING
            } else {
                self.slot_of(timer.deadline.get())
            };
            // SAFETY: as above.
            unsafe { self.link(at, to) };
            at = next;
        }
    }

    /// Takes the first of the pending records that is still due.
    unsafe fn pop_pending(&self, now: Millis) -> Option<*mut Timer> {
        loop {
            let first = self.lists[PENDING].get();
            // SAFETY: linked records are valid.
            let timer = unsafe { first.as_ref() }?;
            // SAFETY: as above.
            unsafe { self.remove(first) };
            if timer.deadline.get() <= now {
                return Some(first);
            }
            // SAFETY: as above.
            unsafe { self.insert(first) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fire(wheel: &Wheel, now: Millis) -> Vec<Millis> {
        let mut fired = Vec::new();
        // SAFETY: the timers of each test live through it.
        unsafe {
            wheel.begin(now);
            while let Some(timer) = wheel.pop_due(now) {
                fired.push((*timer).deadline());
            }
            wheel.settle();
        }
        fired
    }

    fn timers(deadlines: &[Millis]) -> Vec<*mut Timer> {
        deadlines.iter().map(|deadline| Box::into_raw(Box::new(Timer::new(*deadline)))).collect()
    }

    fn free(timers: Vec<*mut Timer>) {
        for timer in timers {
            // SAFETY: made by `timers`, and no wheel is used after this.
            drop(unsafe { Box::from_raw(timer) });
        }
    }

    proptest! {
        #[test]
        fn each_fires_in_time_and_once(
            start in prop_oneof![Just(0_u64), 0_u64..100_000, Just(u64::from(u32::MAX))],
            delays in prop::collection::vec(prop_oneof![0_u64..300, 0_u64..10_000, 0_u64..10_000_000, 0_u64..100_000_000], 1..40),
            later in prop::collection::vec((0_usize..40, prop::option::of(0_u64..20_000_000)), 0..20),
            clock_offset in prop_oneof![Just(0_u64), 0_u64..1_000_000],
        ) {
            let wheel = Wheel::new(start + clock_offset);
            let all = timers(&delays.iter().map(|delay| start + delay).collect::<Vec<_>>());
            for timer in &all {
                // SAFETY: lives until the end of the test.
                unsafe { wheel.insert(*timer) };
            }
            for (at, delay) in later {
                // SAFETY: as above.
                unsafe { wheel.change(all[at % all.len()], delay.map_or(NEVER, |delay| start + delay)) };
            }
            // SAFETY: as above.
            let mut expected: Vec<_> = all.iter().map(|t| unsafe { &**t }.deadline()).filter(|d| *d != NEVER).collect();
            expected.sort_unstable();
            let mut now = start;
            let mut visits = 0;
            while wheel.next_due() != NEVER {
                prop_assert!(expected.first().is_none_or(|first| wheel.next_due() <= *first));
                now = now.max(wheel.next_due());
                let mut fired = fire(&wheel, now);
                fired.sort_unstable();
                let due = expected.iter().take_while(|deadline| **deadline <= now).count();
                prop_assert_eq!(&fired[..], &expected[..due]);
                expected.drain(..due);
                visits += 1;
                prop_assert!(visits < 10_000);
            }
            prop_assert!(expected.is_empty());
            free(all);
        }
    }

    #[test]
    fn a_later_deadline_is_only_noted() {
        let wheel = Wheel::new(1000);
        let all = timers(&[1500]);
        // SAFETY: lives until the end of the test.
        unsafe {
            wheel.insert(all[0]);
            let slot = (*all[0]).slot.get();
            wheel.change(all[0], 9000);
            assert_eq!((*all[0]).slot.get(), slot);
        }
        assert_eq!(fire(&wheel, 2000), []);
        assert!(wheel.next_due() > 2000 && wheel.next_due() <= 9000);
        assert_eq!(fire(&wheel, 8999), []);
        assert_eq!(fire(&wheel, 9000), [9000]);
        free(all);
    }

    #[test]
    fn an_earlier_deadline_counts_at_once() {
        let wheel = Wheel::new(1000);
        let all = timers(&[3_600_000]);
        // SAFETY: lives until the end of the test.
        unsafe {
            wheel.insert(all[0]);
            wheel.change(all[0], 1001);
        }
        assert_eq!(wheel.next_due(), 1001);
        assert_eq!(fire(&wheel, 1001), [1001]);
        assert_eq!(wheel.next_due(), NEVER);
        free(all);
    }

    #[test]
    fn what_is_taken_out_does_not_fire() {
        let wheel = Wheel::new(0);
        let all = timers(&[10, 20, 30, 40]);
        // SAFETY: live until the end of the test.
        unsafe {
            all.iter().for_each(|timer| wheel.insert(*timer));
            wheel.remove(all[1]);
            wheel.remove(all[3]);
            wheel.remove(all[3]);
        }
        let mut fired = fire(&wheel, 100);
        fired.sort_unstable();
        assert_eq!(fired, [10, 30]);
        free(all);
    }
}
