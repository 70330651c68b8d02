//! Counts of all processes: each adds to its own row, readers add up the rows.
//!
//! A row has one writer, so an addition is a plain load and store. Counters only grow, and outlive the process that
//! counted. A gauge says how many of something there are now: what a dead process held is gone, and so is its row.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};

use crate::{Arena, ArenaFull, Dead, Sweep, Swept, identity};

/// Words of a cache line: no two rows share one.
const LINE: usize = 8;

/// Counters by number, shared by all processes. A handle to copy.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    cells: &'static [AtomicU64],
    /// What [`Counters::reset`] takes off.
    bases: &'static [AtomicU64],
    row: usize,
}

impl Counters {
    /// `n` counters for the processes of `slots` slots. To be called before the first fork.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room.
    pub fn create(arena: &'static Arena, slots: u16, n: usize) -> Result<Self, ArenaFull> {
        let row = row_of(n);
        let cells = arena.boot_array(row.saturating_mul(slots.max(1).into()), |_| AtomicU64::new(0))?;
        let bases = arena.boot_array(n, |_| AtomicU64::new(0))?;
        Ok(Self { cells, bases, row })
    }

    /// How many counters there are.
    pub fn len(&self) -> usize {
        self.bases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bases.is_empty()
    }

    /// Adds `n` to counter `id`. One beyond the last counts nothing.
    #[inline]
    pub fn add(&self, id: usize, n: u64) {
        if id < self.bases.len()
            && let Some(cell) = own_cell(self.cells, self.row, id)
        {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }

    /// Counter `id`, over all processes, since the start or the last reset.
    pub fn sum(&self, id: usize) -> u64 {
        let base = self.bases.get(id).map_or(0, |base| base.load(Relaxed));
        self.total(id).wrapping_sub(base)
    }

    /// Begins counter `id` anew. What was counted stays in the rows, so no process is disturbed.
    pub fn reset(&self, id: usize) {
        if let Some(base) = self.bases.get(id) {
            base.store(self.total(id), Relaxed);
        }
    }

    fn total(&self, id: usize) -> u64 {
        let column = self.cells.iter().skip(id).step_by(self.row);
        if id < self.bases.len() {
            column.fold(0, |sum, cell| sum.wrapping_add(cell.load(Relaxed)))
        } else {
            0
        }
    }
}

/// Gauges by number, shared by all processes. A handle to copy.
#[derive(Debug, Clone, Copy)]
pub struct Gauges {
    cells: &'static [AtomicI64],
    n: usize,
    row: usize,
}

impl Gauges {
    /// `n` gauges for the processes of `slots` slots. To be called before the first fork.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room.
    pub fn create(arena: &'static Arena, slots: u16, n: usize) -> Result<Self, ArenaFull> {
        let row = row_of(n);
        let cells = arena.boot_array(row.saturating_mul(slots.max(1).into()), |_| AtomicI64::new(0))?;
        Ok(Self { cells, n, row })
    }

    /// Adds `n`, which may be negative, to this process's part of gauge `id`.
    #[inline]
    pub fn add(&self, id: usize, n: i64) {
        if let Some(cell) = self.own(id) {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }

    /// Sets this process's part of gauge `id`.
    #[inline]
    pub fn set(&self, id: usize, n: i64) {
        if let Some(cell) = self.own(id) {
            cell.store(n, Relaxed);
        }
    }

    /// Gauge `id`, over all living processes.
    pub fn sum(&self, id: usize) -> i64 {
        let column = self.cells.iter().skip(id).step_by(self.row);
        if id < self.n { column.fold(0, |sum, cell| sum.wrapping_add(cell.load(Relaxed))) } else { 0 }
    }

    fn own(&self, id: usize) -> Option<&'static AtomicI64> {
        if id < self.n { own_cell(self.cells, self.row, id) } else { None }
    }
}

impl Sweep for Gauges {
    fn sweep(&self, dead: Dead) -> Swept {
        let first = usize::from(dead.slot) * self.row;
        for cell in self.cells.iter().skip(first).take(self.row) {
            cell.store(0, Relaxed);
        }
        Swept::default()
    }
}

/// Cells of a row of `n`, of which there is at least one.
fn row_of(n: usize) -> usize {
    n.max(1).next_multiple_of(LINE)
}

#[inline]
fn own_cell<T>(cells: &'static [T], row: usize, id: usize) -> Option<&'static T> {
    cells.get(usize::from(identity::slot()) * row + id)
}
