//! Everything a machine remembers: plain old data without pointers, here in one file because it may lie in shared
//! memory. What changes it is in the files beside this one.

use tocsin_shm::{ShmClone, ShmSafe};

/// The most branches of one transaction, over all its rounds of forking.
pub const MAX_BRANCHES: usize = 12;

/// The method, as far as a transaction minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub enum Kind {
    /// INVITE.
    Invite,
    /// Any other method but ACK and CANCEL, which make no machine of their own.
    NonInvite,
}

/// The longest duration a machine goes by, 12 hours in milliseconds: a longer one is taken for this one.
pub const MAX_TIMER_MS: u32 = 12 * 3_600_000;

/// Durations in milliseconds, at most [`MAX_TIMER_MS`]. A zero counts as the shortest time there is, one millisecond;
/// `wait` and `t4` may be zero, which means not to linger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub struct Timers {
    /// Round-trip time estimate, the first interval of retransmission (`T1_timer`).
    pub t1: u32,
    /// The longest interval of retransmission of non-INVITE requests and INVITE replies (`T2_timer`).
    pub t2: u32,
    /// The longest time a message stays in the network (RFC 3261 timers I and K).
    pub t4: u32,
    /// How long a branch may go without any reply, non-INVITE: without a final one (`fr_timeout`).
    pub fr: u32,
    /// How long an INVITE branch may go on after a provisional reply (`fr_inv_timeout`, timer C).
    pub fr_inv: u32,
    /// How long an ended transaction is kept to absorb retransmissions (`wt_timer`).
    pub wait: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Timers {
    /// RFC 3261 table 4 for T1, T2 and T4; the `tm` manual of OpenSIPS for the others.
    pub const DEFAULT: Self =
        Self { t1: 500, t2: 4_000, t4: 5_000, fr: 30_000, fr_inv: 120_000, wait: 5_000 };

    /// 64·T1: how long a client retransmits, and so timers H and L, and the time a CANCEL is given.
    pub(super) fn client_lifetime(&self) -> u32 {
        self.t1.saturating_mul(64).min(MAX_TIMER_MS)
    }
}

/// What an operator may choose about the response context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub struct Policy {
    /// A 6xx cancels the other branches and forbids new ones, as RFC 3261 section 16.7 has it
    /// (`disable_6xx_block=0`). Otherwise it is a failure like others. Default: true.
    pub block_on_6xx: bool,
    /// Each provisional reply starts `fr_inv` afresh, not only the first (`restart_fr_on_each_reply`). Default: true.
    pub restart_fr_inv: bool,
    /// A 503 goes upstream as it is; otherwise a 500 takes its place (RFC 3261 section 16.7 step 6). Default: true.
    pub forward_503: bool,
    /// An answer cancels the other branches. Off when the request forbids it (RFC 3841 section 9.1 `no-cancel`, and
    /// the flag `allow-no-cancel` of `t_relay` honours that). Default: true.
    pub cancel_on_answer: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Policy {
    /// RFC 3261 section 16.7, and the `tm` manual of OpenSIPS.
    pub const DEFAULT: Self =
        Self { block_on_6xx: true, restart_fr_inv: true, forward_503: true, cancel_on_answer: true };
}

/// One of a transaction's branches: its number in the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ShmSafe, ShmClone)]
pub struct BranchId(pub(super) u8);

impl BranchId {
    /// The branch of this number, as read from a Via's branch parameter. `None` beyond [`MAX_BRANCHES`].
    pub fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|&n| usize::from(n) < MAX_BRANCHES).map(BranchId)
    }

    /// The branch's number, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A proxy transaction: see the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub struct Machine {
    /// Ticks are counted from here, so that alarms take half the space.
    pub(super) born: u64,
    pub(super) rules: Rules,
    pub(super) server: Server,
    pub(super) branches: [Branch; MAX_BRANCHES],
    pub(super) count: u8,
    /// The first branch of the present round: those before it failed and the failure route has gone on from there.
    pub(super) round: u8,
    /// How many more branches may be injected while the transaction waits for them; 0 with `awaiting` unarmed.
    pub(super) awaited: u8,
    /// Until when the transaction stays open for injected branches.
    pub(super) awaiting: Alarm,
    /// Until when branches wait for another hop.
    pub(super) failing_over: Alarm,
    /// `Failed` was said and no decision has come.
    pub(super) undecided: bool,
    pub(super) cancelled: bool,
    pub(super) declined: bool,
    pub(super) destroyed: bool,
}

/// What stays the same from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) struct Rules {
    pub(super) kind: Kind,
    pub(super) timers: Timers,
    pub(super) policy: Policy,
}

/// The server transaction (RFC 3261 section 17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) struct Server {
    pub(super) state: ServerState,
    pub(super) reliable: bool,
    /// The final reply is of this server's own making.
    pub(super) local: bool,
    /// Status of the last reply sent, 0 for none.
    pub(super) status: u16,
    pub(super) interval: u32,
    pub(super) retransmit: Alarm,
    /// The end of the state: of the script's time in Proceeding, else of the time to linger.
    pub(super) limit: Alarm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) enum ServerState {
    /// No final reply sent (the RFC's Trying and Proceeding: `status` tells them apart).
    Proceeding,
    /// Final reply sent, for an INVITE a non-2xx.
    Completed,
    /// The ACK to the non-2xx has come.
    Confirmed,
    /// INVITE, 2xx sent (RFC 6026).
    Accepted,
    Terminated,
}

/// A client transaction (RFC 3261 section 17.1) and the CANCEL for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) struct Branch {
    pub(super) state: BranchState,
    pub(super) cancel: Cancel,
    /// Why, once it is cancelled.
    pub(super) cause: CancelCause,
    pub(super) reliable: bool,
    /// The status was not received.
    pub(super) local: bool,
    /// A reply came before it ended.
    pub(super) heard: bool,
    /// Its failure is not waited for, and counts only if there is no other (`minor_branch_flag`).
    pub(super) minor: bool,
    pub(super) spare: Spare,
    /// The outcome, 0 while there is none.
    pub(super) status: u16,
    pub(super) interval: u32,
    /// When to send the request again; once a CANCEL was sent, when to send that again.
    pub(super) retransmit: Alarm,
    /// The end of the state: time-out while pending, the time to linger after.
    pub(super) limit: Alarm,
}

/// Whether another hop can take a branch's request if its own does not (RFC 3263 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) enum Spare {
    None,
    There,
    /// The hop has failed, and the caller looks for another one.
    Wanted,
    /// Another branch has taken this one's place: its failure counts no more.
    Taken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) enum BranchState {
    /// No reply yet (non-INVITE: Trying).
    Calling,
    Proceeding,
    /// Ended, absorbing what comes late. An INVITE that timed out is here too, until its CANCEL has done its work.
    Completed,
    /// INVITE, 2xx received (RFC 6026).
    Accepted,
    /// Keeps the machine no longer.
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) enum Cancel {
    No,
    /// To be sent when a provisional reply allows it (RFC 3261 section 9.1).
    Wanted,
    Sent,
    /// Answered, or of no more use.
    Over,
}

/// Why a branch is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmSafe, ShmClone)]
pub enum CancelCause {
    /// The caller has cancelled the request.
    Caller,
    /// The callee rang until `fr_inv`.
    NoAnswer,
    /// Another branch has answered.
    Elsewhere,
    /// This server has no more use for it: the script says so, or another branch has declined.
    Server,
}

/// Milliseconds since the machine was made.
pub(super) type Tick = u32;

/// A moment that may never come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ShmSafe, ShmClone)]
pub(super) struct Alarm(Tick);

impl Alarm {
    pub(super) const NEVER: Alarm = Alarm(Tick::MAX);
    /// The last moment that can be represented, 49 days after the machine was made: from then on everything is due.
    pub(super) const LAST: Tick = Tick::MAX - 1;

    /// `delay` from now and never now, so that serving what is due comes to an end.
    pub(super) fn after(now: Tick, delay: u32) -> Self {
        Alarm(now.saturating_add(delay.clamp(1, MAX_TIMER_MS)).min(Self::LAST))
    }

    pub(super) fn is_due(self, now: Tick) -> bool {
        self.0 <= now
    }

    pub(super) fn is_armed(self) -> bool {
        self != Self::NEVER
    }

    pub(super) fn tick(self) -> Option<Tick> {
        self.is_armed().then_some(self.0)
    }
}
