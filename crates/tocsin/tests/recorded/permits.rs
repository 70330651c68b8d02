//! A limit on how much runs at the same time, across the tests of all areas.

use std::sync::{Condvar, Mutex};

/// A number of permits. Who wants one waits until one is free.
pub(crate) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

/// A permit that is held until it is dropped.
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(crate) const fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), returned: Condvar::new() }
    }

    pub(crate) fn take(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap();
        let mut free = self.returned.wait_while(free, |free| *free == 0).unwrap();
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap() += 1;
        self.0.returned.notify_one();
    }
}

/// Does `work` for each item on at most `width` threads; the results are in the order of the items.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    width: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = Mutex::new(0..items.len());
    let results: Vec<_> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..width.min(items.len()) {
            scope.spawn(|| {
                while let Some(index) = take(&next) {
                    *results[index].lock().unwrap() = Some(work(&items[index]));
                }
            });
        }
    });
    results.into_iter().map(|result| result.into_inner().unwrap().unwrap()).collect()
}

fn take(next: &Mutex<std::ops::Range<usize>>) -> Option<usize> {
    next.lock().unwrap().next()
}
