//! What may lie in the arena, and how it is copied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};
use std::time::{Duration, Instant, SystemTime};

use crate::{Alloc, Full};

/// A type whose values may lie in memory that processes share. Use `#[derive(ShmSafe)]`, which proves it field by
/// field.
///
/// # Safety
/// The value, and everything that it owns, lies inline or in the arena. It refers to nothing of one process: no
/// private heap, no reference, no descriptor, no thread, no lock of the standard library. Every process of the family
/// may read it, and dropping it does nothing but free memory of the arena.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may not lie in shared memory",
    label = "belongs to one process (heap, reference, descriptor or lock)",
    note = "use ShmString, ShmBytes, ShmVec, ShmBox or plain numbers, or `#[derive(ShmSafe)]` for your own type"
)]
pub unsafe trait ShmSafe: 'static {}

/// A deep copy into the memory of a shard. Use `#[derive(ShmClone)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be copied into another shard's memory",
    label = "a record is copied when its shard is repaired",
    note = "use `#[derive(ShmClone)]` for your own type; atomics are not values of a record, its lock protects it"
)]
pub trait ShmClone: ShmSafe + Sized {
    /// A copy of `self` that owns memory of `alloc` only.
    ///
    /// # Errors
    /// [`Full`] when there is no room.
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full>;
}

macro_rules! plain {
    ($($t:ty),* $(,)?) => { $(
        // SAFETY: a value without any pointer.
        unsafe impl ShmSafe for $t {}
        impl ShmClone for $t {
            #[inline]
            fn try_clone_in(&self, _: Alloc) -> Result<Self, Full> {
                Ok(*self)
            }
        }
    )* };
}

plain!(
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    bool,
    char,
    (),
    NonZeroU8,
    NonZeroU16,
    NonZeroU32,
    NonZeroU64,
    NonZeroUsize,
    IpAddr,
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    Duration,
    Instant,
    SystemTime,
);

macro_rules! atomic {
    ($($t:ty),* $(,)?) => { $(
        // SAFETY: a value without any pointer.
        unsafe impl ShmSafe for $t {}
    )* };
}

atomic!(
    AtomicBool,
    AtomicU8,
    AtomicU16,
    AtomicU32,
    AtomicU64,
    AtomicUsize,
    AtomicI8,
    AtomicI16,
    AtomicI32,
    AtomicI64,
    AtomicIsize,
);

// SAFETY: nothing but the value.
unsafe impl<T: ShmSafe> ShmSafe for Option<T> {}

impl<T: ShmClone> ShmClone for Option<T> {
    #[inline]
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
        self.as_ref().map(|value| value.try_clone_in(alloc)).transpose()
    }
}

// SAFETY: nothing but the values.
unsafe impl<T: ShmSafe, const N: usize> ShmSafe for [T; N] {}

impl<T: ShmClone, const N: usize> ShmClone for [T; N] {
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
        // A place stays empty when the memory has run out.
        let copies: [Option<T>; N] = std::array::from_fn(|i| self[i].try_clone_in(alloc).ok());
        if copies.iter().any(Option::is_none) {
            return Err(Full);
        }
        Ok(copies.map(|copy| match copy {
            Some(copy) => copy,
            None => unreachable!("every place was found filled"),
        }))
    }
}

macro_rules! tuple {
    ($($name:ident)+) => {
        // SAFETY: nothing but the values.
        unsafe impl<$($name: ShmSafe),+> ShmSafe for ($($name,)+) {}
        impl<$($name: ShmClone),+> ShmClone for ($($name,)+) {
            #[expect(non_snake_case, reason = "a field goes by the name of its type")]
            fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
                let ($($name,)+) = self;
                Ok(($($name.try_clone_in(alloc)?,)+))
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
