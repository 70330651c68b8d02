//! Growing sequences and boxes in shared memory. Whatever takes memory can fail, and says so.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut, RangeBounds};
use std::ptr::{self, NonNull};

use allocator_api2::{boxed, vec};

use crate::{Alloc, Full, ShmClone, ShmSafe};

/// A sequence of values in shared memory; reads as a slice.
pub struct ShmVec<T>(vec::Vec<T, Alloc>);

// SAFETY: the buffer lies in the arena, and so does what the values own.
unsafe impl<T: ShmSafe> ShmSafe for ShmVec<T> {}

impl<T> ShmVec<T> {
    /// An empty sequence, which takes no memory yet.
    pub fn new_in(alloc: Alloc) -> Self {
        Self(vec::Vec::new_in(alloc))
    }

    /// An empty sequence with room for `n` values.
    ///
    /// # Errors
    /// As all `try_` operations here: [`Full`] when there is no room.
    pub fn try_with_capacity_in(n: usize, alloc: Alloc) -> Result<Self, Full> {
        let mut values = Self::new_in(alloc);
        values.0.try_reserve_exact(n).map_err(|_| Full)?;
        Ok(values)
    }

    /// The values of an iterator.
    pub fn try_from_iter_in(values: impl IntoIterator<Item = T>, alloc: Alloc) -> Result<Self, Full> {
        let mut all = Self::new_in(alloc);
        all.try_extend(values)?;
        Ok(all)
    }

    /// Makes room for `more` values.
    pub fn try_reserve(&mut self, more: usize) -> Result<(), Full> {
        self.0.try_reserve(more).map_err(|_| Full)
    }

    /// Adds a value at the end.
    pub fn try_push(&mut self, value: T) -> Result<(), Full> {
        if self.0.len() == self.0.capacity() {
            self.try_reserve(1)?;
        }
        self.0.push(value);
        Ok(())
    }

    /// Adds a value before the one at `at`, or at the end.
    pub fn try_insert(&mut self, at: usize, value: T) -> Result<(), Full> {
        self.try_reserve(1)?;
        self.own();
        self.0.insert(at.min(self.0.len()), value);
        Ok(())
    }

    /// Adds the values of an iterator. What came before the memory ran out stays.
    pub fn try_extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<(), Full> {
        let values = values.into_iter();
        self.try_reserve(values.size_hint().0)?;
        for value in values {
            self.try_push(value)?;
        }
        Ok(())
    }

    /// Takes the last value off.
    pub fn pop(&mut self) -> Option<T> {
        self.own();
        self.0.pop()
    }

    /// Takes the value at `at` out; the ones behind it move up.
    pub fn remove(&mut self, at: usize) -> Option<T> {
        self.own();
        (at < self.0.len()).then(|| self.0.remove(at))
    }

    /// Takes the value at `at` out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) -> Option<T> {
        self.own();
        (at < self.0.len()).then(|| self.0.swap_remove(at))
    }

    /// Drops the values of a range.
    ///
    /// # Panics
    /// When the range is not within the sequence.
    pub fn remove_range(&mut self, range: impl RangeBounds<usize>) {
        self.own();
        self.0.drain(range);
    }

    /// Keeps the values that `keep` approves.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.own();
        self.0.retain(keep);
    }

    /// Keeps the first `n` values.
    pub fn truncate(&mut self, n: usize) {
        if n < self.0.len() {
            self.own();
            self.0.truncate(n);
        }
    }

    /// Drops all values; the memory stays for the next ones.
    pub fn clear(&mut self) {
        if self.is_kept() {
            self.0 = vec::Vec::new_in(self.alloc());
        } else {
            self.0.clear();
        }
    }

    /// Values that fit before more memory is taken.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Where this sequence takes its memory.
    pub fn alloc(&self) -> Alloc {
        *self.0.allocator()
    }

    /// Whether the buffer may not be written: the record that is open had it before, and has it again if this process dies.
    /// Behind the last value nothing is kept, so values may be added.
    #[inline]
    fn is_kept(&self) -> bool {
        let buffer = NonNull::from(self.0.as_slice()).cast();
        size_of::<T>() > 0 && self.0.capacity() > 0 && self.0.allocator().is_kept(buffer)
    }

    /// To be called before a value is overwritten or taken off.
    #[inline]
    fn own(&mut self) {
        if self.is_kept() {
            self.copy_buffer();
        }
    }

    fn copy_buffer(&mut self) {
        let (alloc, len) = (self.alloc(), self.0.len());
        let mut copy = vec::Vec::new_in(alloc);
        if copy.try_reserve_exact(self.0.capacity()).is_err() {
            return alloc.expose();
        }
        // SAFETY: there is room for the values, which move: the old buffer has none afterwards, and is freed as such.
        unsafe {
            ptr::copy_nonoverlapping(self.0.as_ptr(), copy.as_mut_ptr(), len);
            self.0.set_len(0);
            copy.set_len(len);
        }
        self.0 = copy;
    }
}

impl<T: Copy> ShmVec<T> {
    /// A copy of `values`.
    pub fn try_from_slice_in(values: &[T], alloc: Alloc) -> Result<Self, Full> {
        let mut copy = Self::new_in(alloc);
        copy.try_extend_from_slice(values)?;
        Ok(copy)
    }

    /// Adds a copy of `values` at the end: all or none.
    pub fn try_extend_from_slice(&mut self, values: &[T]) -> Result<(), Full> {
        self.try_reserve(values.len())?;
        let len = self.0.len();
        // The vector of the allocator crate copies value by value; bodies and messages are worth one block copy.
        // SAFETY: there is room for `values` behind the `len` present ones, `values` cannot overlap what is borrowed
        // mutably, and values that are `Copy` may be copied as bytes.
        unsafe {
            ptr::copy_nonoverlapping(values.as_ptr(), self.0.as_mut_ptr().add(len), values.len());
            self.0.set_len(len + values.len());
        }
        Ok(())
    }

    /// Makes the length `n`; new places hold `value`.
    pub fn try_resize(&mut self, n: usize, value: T) -> Result<(), Full> {
        if n < self.0.len() {
            self.own();
        }
        self.try_reserve(n.saturating_sub(self.0.len()))?;
        self.0.resize(n, value);
        Ok(())
    }

    /// Replaces all values by a copy of `values`. On an error the old ones stay.
    pub fn try_assign(&mut self, values: &[T]) -> Result<(), Full> {
        if self.is_kept() {
            match Self::try_from_slice_in(values, self.alloc()) {
                Ok(copy) => {
                    *self = copy;
                    return Ok(());
                }
                Err(full) if values.len() > self.0.capacity() => return Err(full),
                // It fits into what it has.
                Err(Full) => self.alloc().expose(),
            }
        }
        self.try_reserve(values.len().saturating_sub(self.0.len()))?;
        self.0.clear();
        self.try_extend_from_slice(values)
    }
}

impl<T: ShmClone> ShmClone for ShmVec<T> {
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
        let mut copy = Self::try_with_capacity_in(self.len(), alloc)?;
        for value in self {
            copy.0.push(value.try_clone_in(alloc)?);
        }
        Ok(copy)
    }
}

impl<T> Deref for ShmVec<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for ShmVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.own();
        &mut self.0
    }
}

impl<'a, T> IntoIterator for &'a ShmVec<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut ShmVec<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T> AsRef<[T]> for ShmVec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for ShmVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for ShmVec<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: PartialEq> PartialEq<[T]> for ShmVec<T> {
    fn eq(&self, other: &[T]) -> bool {
        **self == *other
    }
}

impl<T: Eq> Eq for ShmVec<T> {}

impl<T: PartialOrd> PartialOrd for ShmVec<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Ord> Ord for ShmVec<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: Hash> Hash for ShmVec<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T> std::borrow::Borrow<[T]> for ShmVec<T> {
    fn borrow(&self) -> &[T] {
        self
    }
}

/// One value in a block of its own in shared memory.
pub struct ShmBox<T>(boxed::Box<T, Alloc>);

// SAFETY: the block lies in the arena, and so does what the value owns.
unsafe impl<T: ShmSafe> ShmSafe for ShmBox<T> {}

impl<T> ShmBox<T> {
    /// Moves `value` into a block.
    ///
    /// # Errors
    /// [`Full`] when there is no room.
    pub fn try_new_in(value: T, alloc: Alloc) -> Result<Self, Full> {
        boxed::Box::try_new_in(value, alloc).map(Self).map_err(|_| Full)
    }

    /// Takes the value out of its block.
    pub fn into_inner(self) -> T {
        boxed::Box::into_inner(self.0)
    }

    /// As [`ShmVec::copy_buffer`].
    fn copy_block(&mut self, alloc: Alloc) {
        let Ok(mut copy) = boxed::Box::<T, Alloc>::try_new_uninit_in(alloc) else { return alloc.expose() };
        // SAFETY: the value moves from one block into the other, and what is freed is a block without a value.
        unsafe {
            ptr::copy_nonoverlapping(&raw const *self.0, copy.as_mut_ptr(), 1);
            let old = std::mem::replace(&mut self.0, copy.assume_init());
            let (old, alloc) = boxed::Box::into_raw_with_allocator(old);
            drop(boxed::Box::from_raw_in(old.cast::<MaybeUninit<T>>(), alloc));
        }
    }
}

impl<T: ShmClone> ShmClone for ShmBox<T> {
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
        Self::try_new_in((**self).try_clone_in(alloc)?, alloc)
    }
}

impl<T> Deref for ShmBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for ShmBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        let alloc = *boxed::Box::allocator(&self.0);
        if size_of::<T>() > 0 && alloc.is_kept(NonNull::from(&*self.0).cast()) {
            self.copy_block(alloc);
        }
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for ShmBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for ShmBox<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for ShmBox<T> {}
