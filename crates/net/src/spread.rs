//! Which socket of a group takes a datagram: decided in the kernel, by a classic BPF program.
//!
//! All sockets of a group are bound to one address with SO_REUSEPORT. The program answers `random mod n`, so that
//! only the first `n` sockets receive. It is replaced by attaching another: no descriptor moves, no queue is lost.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// BPF: load a word from an absolute offset.
const LOAD_ABSOLUTE: u16 = 0x20;
/// BPF: accumulator modulo a constant.
const MODULO: u16 = 0x94;
/// BPF: answer the accumulator.
const RETURN_ACCUMULATOR: u16 = 0x16;
/// The kernel's ancillary word for a random number (SKF_AD_OFF + SKF_AD_RANDOM).
const RANDOM: u32 = (-0x1000_i32 + 56) as u32;

/// Lets the first `active` sockets of the group that `member` belongs to share the traffic.
pub(crate) fn over(member: BorrowedFd<'_>, active: u32) -> io::Result<()> {
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = [step(LOAD_ABSOLUTE, RANDOM), step(MODULO, active.max(1)), step(RETURN_ACCUMULATOR, 0)];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` and the program it points to outlive the call; the kernel copies both.
    let rc = unsafe {
        libc::setsockopt(
            member.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
