//! Which socket of a group takes a datagram: decided in the kernel, by a classic BPF program.
//!
//! All sockets of a group are bound to one address with SO_REUSEPORT. The program draws a random number and returns the
//! index of one of the sockets that are in use. It is replaced by attaching another: no descriptor moves, no queue is lost.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// BPF: load a word from an absolute offset.
const LOAD_ABSOLUTE: u16 = 0x20;
/// BPF: accumulator modulo a constant.
const MODULO: u16 = 0x94;
/// BPF: go on behind the next instruction unless the accumulator equals a constant.
const JUMP_EQUAL: u16 = 0x15;
/// BPF: return the accumulator.
const RETURN_ACCUMULATOR: u16 = 0x16;
/// BPF: return a constant.
const RETURN: u16 = 0x06;
/// The kernel's ancillary word for a random number (SKF_AD_OFF + SKF_AD_RANDOM).
const RANDOM: u32 = (-0x1000_i32 + 56) as u32;

/// Most sockets that one program can choose from: the kernel takes 4,096 instructions, and each socket needs two.
pub(crate) const MOST: usize = 2_000;

/// Lets the sockets of the group that `member` belongs to share the traffic, each with the same probability. `active`
/// holds their places in the group, in the order in which they were bound; at most [`MOST`] are used.
pub(crate) fn over(member: BorrowedFd<'_>, active: &[usize]) -> io::Result<()> {
    let mut program = program(active);
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

fn program(active: &[usize]) -> Vec<libc::sock_filter> {
    let active = if active.is_empty() { &[0][..] } else { &active[..active.len().min(MOST)] };
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = vec![step(LOAD_ABSOLUTE, RANDOM), step(MODULO, active.len() as u32)];
    if !active.iter().copied().eq(0..active.len()) {
        for (number, place) in active.iter().enumerate() {
            program.push(libc::sock_filter { jf: 1, ..step(JUMP_EQUAL, number as u32) });
            program.push(step(RETURN, *place as u32));
        }
    }
    program.push(step(RETURN_ACCUMULATOR, 0));
    program
}
