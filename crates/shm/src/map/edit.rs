//! What may be done to a record besides changing its value.

use std::marker::PhantomData;

use super::shard::{Found, Held};
use super::wheel::{Millis, NEVER};
use crate::Alloc;

/// An open record, beside its value: its memory, its deadline, and its end.
#[derive(Debug)]
pub struct Edit<'a> {
    alloc: Alloc,
    deadline: Millis,
    remove: bool,
    borrowed: PhantomData<&'a mut ()>,
}

impl Edit<'_> {
    fn new(alloc: Alloc, deadline: Millis) -> Self {
        Self { alloc, deadline, remove: false, borrowed: PhantomData }
    }

    /// The record's deadline, as it will be when the closure returns.
    pub fn deadline(&self) -> Option<Millis> {
        Some(self.deadline).filter(|deadline| *deadline != NEVER)
    }

    /// Gives the record a deadline, or none, when the closure returns.
    pub fn set_deadline(&mut self, deadline: Option<Millis>) {
        self.deadline = deadline.unwrap_or(NEVER);
    }

    /// Removes the record when the closure returns.
    pub fn remove(&mut self) {
        self.remove = true;
    }

    /// The memory of the record.
    pub fn alloc(&self) -> Alloc {
        self.alloc
    }
}

impl<K, V> Held<K, V> {
    /// Opens the record that was found, and carries out what the closure asks for, which gets `deadline`. The
    /// record's own deadline is not touched before it is open: a death before that must not take it away.
    pub(super) fn edit<R>(
        &mut self,
        found: &Found<'_, K, V>,
        deadline: Millis,
        change: impl FnOnce(&K, &mut V, &mut Edit<'_>) -> R,
    ) -> R {
        self.begin_write();
        let undo = self.heap().begin_edit();
        let mut edit = Edit::new(self.alloc(), deadline);
        let result = self.open(found.record, |key, value| change(key, value, &mut edit));
        if edit.remove {
            self.unhang(found);
        } else {
            // SAFETY: the record is in its chain, and all linked records are valid.
            unsafe { self.shard.wheel.change(found.record.cast(), edit.deadline) };
        }
        // The change is made by this store.
        self.close();
        self.heap().end_edit(undo);
        if edit.remove {
            self.trim();
        }
        result
    }
}
