//! A transaction as it lies in shared memory.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tocsin_net::Hop;
use tocsin_net::locate::Hops;
use tocsin_script::{Program, RouteId};
use tocsin_server::Context;
use tocsin_server::context::Armed;
use tocsin_server::flow::Flow;
use tocsin_server::security::TlsSelection;
use tocsin_shm::{Alloc, Full, ShmBytes, ShmClone, ShmSafe, ShmVec};

use super::machine::{BranchId, Machine};

/// A transaction's identity: see [`super::matching`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ShmSafe, ShmClone)]
pub(crate) struct TransactionId(pub(crate) u64);

/// One transaction.
#[derive(Debug, ShmSafe, ShmClone)]
pub(crate) struct Transaction {
    /// What was decided, and what is to come.
    pub(super) machine: Machine,
    /// Where the request came from.
    pub(super) source: SocketAddr,
    /// The way that replies take.
    pub(super) upstream: Flow,
    /// The tag of replies made here.
    pub(super) tag: [u8; 16],
    /// The request with the script's changes, without our Via.
    pub(super) request: ShmBytes,
    /// The reply sent last, to be sent again.
    pub(super) reply: ShmBytes,
    /// What was sent downstream, by branch.
    pub(super) branches: ShmVec<Branch>,
    /// Routes that wait.
    pub(super) failure_route: RouteBits,
    pub(super) reply_route: RouteBits,
    /// The branch route of the first try: the next one runs it, too, unless the failure route sets another.
    pub(super) branch_route: RouteBits,
    /// `$avp` of the transaction, encoded.
    pub(super) avps: ShmBytes,
    /// What modules noted, encoded in the same way.
    pub(super) notes: ShmBytes,
    /// Header lines for the CANCELs that follow the caller's (`t_add_cancel_reason`, `pass-reason-hdr`).
    pub(super) cancel_lines: ShmBytes,
    /// Header lines of the ACKs and CANCELs made here (`t_add_hdrs`).
    pub(super) extra_lines: ShmBytes,
    /// The request is this server's own: nobody upstream waits for its replies, and nobody else acknowledges them.
    pub(super) is_own: bool,
    /// Message flags.
    pub(super) flags: u32,
    /// The blocklists in use.
    pub(super) blocklists: u32,
    /// The process whose script made it.
    pub(super) owner: Owner,
}

impl Transaction {
    /// The routes that wait, as the script arms them.
    pub(super) fn armed(&self, program: &Program<Context>) -> Armed {
        Armed {
            failure: self.failure_route.route(program),
            reply: self.reply_route.route(program),
            branch: self.branch_route.route(program),
        }
    }

    /// Arms these routes.
    pub(super) fn arm(&mut self, armed: &Armed) {
        self.failure_route = RouteBits::new(armed.failure);
        self.reply_route = RouteBits::new(armed.reply);
        self.branch_route = RouteBits::new(armed.branch);
    }
}

/// One destination of the request.
#[derive(Debug, ShmSafe, ShmClone)]
pub(super) struct Branch {
    /// The way it was sent.
    pub(super) flow: Flow,
    /// The request as it was sent.
    pub(super) request: ShmBytes,
    /// Its final reply, if it is a failure, as it goes upstream.
    pub(super) reply: ShmBytes,
    /// A reply route of its own (`t_on_reply` in the branch route).
    pub(super) reply_route: RouteBits,
    /// Branch flags.
    pub(super) flags: u32,
    /// Where else the request may go if this way fails, the next one last.
    pub(super) hops: ShmVec<Hop>,
    /// The name that led to the hops; empty if none did.
    pub(super) host: ShmBytes,
    /// The request has left whole over a stream.
    pub(super) left: Mark,
}

/// A fact that is noted by one store, without opening the record for a change: a process that dies over it costs nothing.
#[derive(Debug, Default, ShmSafe)]
pub(super) struct Mark(AtomicBool);

impl Mark {
    pub(super) fn set(&self) {
        self.0.store(true, Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl ShmClone for Mark {
    fn try_clone_in(&self, _: Alloc) -> Result<Self, Full> {
        Ok(Self(AtomicBool::new(self.is_set())))
    }
}

/// A process: its slot, and how many had that slot before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) struct Owner {
    pub(super) slot: u16,
    pub(super) generation: u32,
}

/// A route by its type and name, or none: after a reload it is the one of the new script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) struct RouteBits(u32);

impl RouteBits {
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn new(route: Option<RouteId>) -> Self {
        route.map_or(Self::NONE, |route| Self(route.to_bits()))
    }

    pub(super) fn route(self, program: &Program<Context>) -> Option<RouteId> {
        (self != Self::NONE).then_some(self.0).and_then(|bits| program.route_from_bits(bits))
    }
}

/// A destination made ready outside of the lock.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) flow: Flow,
    /// What the script selects of TLS.
    pub(super) tls_selection: Option<TlsSelection>,
    /// The name that led there, if one did.
    pub(super) host: String,
    /// The way is a stream: what is sent arrives, or the sender is notified.
    pub(super) reliable: bool,
    pub(super) request: Vec<u8>,
    pub(super) reply_route: Option<RouteId>,
    pub(super) flags: u32,
    /// The others do not wait for it (`minor_branch_flag`).
    pub(super) is_minor: bool,
    /// Where else it may go if this way fails, the best first.
    pub(super) hops: Hops,
}

impl Prepared {
    /// Adds it to the branches of a machine, perhaps as one that it waits for. `None` when it takes no more.
    pub(super) fn enter(&self, machine: &mut Machine, is_awaited: bool, now: u64) -> Option<BranchId> {
        let branch = match is_awaited {
            true => machine.inject_branch(self.reliable, now),
            false => machine.add_branch(self.reliable, now),
        }
        .ok()?;
        if self.is_minor {
            machine.mark_minor(branch);
        }
        self.note_spare(machine, branch);
        Some(branch)
    }

    /// Tells the machine whether there is another way.
    pub(super) fn note_spare(&self, machine: &mut Machine, branch: BranchId) {
        if !self.hops.is_empty() {
            machine.mark_spare(branch);
        }
    }

    /// Copies it into a record.
    pub(super) fn store(&self, alloc: Alloc) -> Result<Branch, Full> {
        Ok(Branch {
            flow: self.flow,
            request: ShmBytes::try_from_slice_in(&self.request, alloc)?,
            reply: ShmBytes::new_in(alloc),
            reply_route: RouteBits::new(self.reply_route),
            flags: self.flags,
            hops: ShmVec::try_from_iter_in(self.hops.iter().rev().copied(), alloc)?,
            host: ShmBytes::try_from_slice_in(self.host.as_bytes(), alloc)?,
            left: Mark::default(),
        })
    }
}
