//! The system calls of the arena.

use std::io;
use std::ptr::NonNull;

/// A zeroed mapping that forked processes share. It shows as `tocsin` in the kernel's list of mappings, is left out of
/// core files, and takes pages as they are touched.
pub(crate) fn map_shared(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"tocsin".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fd is ours; a fixed address is not asked for, so nothing that is mapped can be hurt.
    let mapped = unsafe {
        if libc::ftruncate(fd, bytes as libc::off_t) == 0 {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
            libc::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, 0)
        } else {
            libc::MAP_FAILED
        }
    };
    let outcome = match NonNull::new(mapped.cast::<u8>()) {
        Some(base) if mapped != libc::MAP_FAILED => Ok(base),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: fd is ours and not used again; the mapping keeps the memory.
    unsafe { libc::close(fd) };
    if let Ok(base) = outcome {
        // Only advice: a kernel without it writes larger core files.
        // SAFETY: the range was mapped above.
        unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_DONTDUMP) };
    }
    outcome
}

/// Gives the whole pages of the range back to the system; they read as zero afterwards.
pub(crate) fn discard(start: usize, bytes: usize, page: usize) {
    let first = start.next_multiple_of(page);
    let end = (start + bytes) / page * page;
    if first < end {
        // Only advice: pages that are not taken back are overwritten by their next owner.
        // SAFETY: whole pages of a shared mapping, which no live value uses.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_REMOVE) };
    }
}

/// The system's page size, in bytes.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: sysconf has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Milliseconds of the system's monotonic clock: the same in all processes, and the unit of deadlines.
pub fn monotonic_millis() -> u64 {
    let now = clock(libc::CLOCK_MONOTONIC);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Microseconds of the monotonic clock.
pub fn monotonic_micros() -> u64 {
    let now = clock(libc::CLOCK_MONOTONIC);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

fn clock(which: libc::clockid_t) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clocks asked for exist on every Linux, and `now` is writable.
    unsafe { libc::clock_gettime(which, &raw mut now) };
    now
}
