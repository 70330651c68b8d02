//! What a [`Machine`](super::Machine) asks of its caller, and how it says no.

use std::fmt;

use smallvec::SmallVec;

use super::state::BranchId;

/// What the inputs of a machine push: to be carried out in order. The caller owns it, clears it and uses it again.
/// Sixteen lie in place: enough for an answer that cancels all other branches.
pub type Actions = SmallVec<[Action; 16]>;

/// One thing to be done by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the branch's request once more (RFC 3261 timers A and E; over a stream, because it may have been lost with
    /// the process that sent it).
    SendRequest(BranchId),
    /// Send the ACK of this hop for the final non-2xx reply at hand (RFC 3261 section 17.1.1.3). It comes again
    /// with each retransmission of that reply.
    SendAck(BranchId),
    /// Build the CANCEL of the branch (RFC 3261 section 9.1), keep it and send it.
    SendCancel(BranchId),
    /// Send the kept CANCEL once more.
    ResendCancel(BranchId),
    /// Send the reply at hand upstream, or the branch's kept final reply when this comes from
    /// [`conclude`](super::Machine::conclude) or [`expire`](super::Machine::expire). Keep it as what
    /// [`Action::ResendReply`] sends.
    ForwardReply {
        /// Where the reply came from.
        branch: BranchId,
        /// Its status, 101 to 699.
        status: u16,
    },
    /// Send the branch's kept final reply, a 503, upstream as a 500 with all else as it is, and keep it: the service is not
    /// available there, which says nothing about this server (RFC 3261 section 16.7 step 6).
    ForwardUnavailable(BranchId),
    /// Send the 2xx at hand upstream without keeping it: a retransmission, an answer of another branch, or one that
    /// came after another final reply was sent (RFC 3261 section 16.7 step 5, RFC 6026 section 7.1).
    PassReply {
        /// Where the reply came from.
        branch: BranchId,
        /// Its status, 200 to 299.
        status: u16,
    },
    /// Send the reply that was the argument of [`local_reply`](super::Machine::local_reply), and keep it.
    SendReply(u16),
    /// Build a reply of this status to the request, send it, and keep it.
    GenerateReply(u16),
    /// Send the kept reply once more.
    ResendReply,
    /// A branch has its outcome, success or failure; it comes once for each branch and before what follows from it.
    BranchEnded {
        /// The branch that ended.
        branch: BranchId,
        /// Its final status.
        status: u16,
        /// No such reply was received: a time-out, a CANCEL nobody answered, or [`fail_branch`](super::Machine::fail_branch).
        local: bool,
    },
    /// The branch's hop has failed, and [`mark_spare`](super::Machine::mark_spare) said that there is another one: find one
    /// that will do and call [`replace`](super::Machine::replace), or
    /// [`keep_failure`](super::Machine::keep_failure).
    FailOver(BranchId),
    /// All branches have ended and none was a success: run the failure route, then call
    /// [`conclude`](super::Machine::conclude).
    Failed {
        /// The branch with the best reply.
        branch: BranchId,
        /// Its status, 300 to 699.
        status: u16,
        /// No such reply was received.
        local: bool,
    },
    /// The transaction is over and waits for nothing more: forget it. Always the last action, and comes once.
    Destroy,
}

/// Why a machine did not take a branch or a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A final reply has been sent upstream already.
    Answered,
    /// The caller has cancelled the INVITE.
    Cancelled,
    /// A branch answered with 6xx, which forbids further branches (RFC 3261 section 16.7 step 5;
    /// `disable_6xx_block` lifts it).
    Declined,
    /// The transaction has [`MAX_BRANCHES`](super::MAX_BRANCHES) branches already.
    Full,
    /// A 408 to a non-INVITE after the client has given up would only do harm (RFC 4320 section 4.2).
    Late,
    /// The status is not one of SIP, 100 to 699.
    BadStatus,
    /// The branch does not wait for another hop.
    NotFailed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Answered => "the transaction has its final reply already",
            Refused::Cancelled => "the transaction was cancelled by its caller",
            Refused::Declined => "a 6xx reply forbids further branches; disable_6xx_block=1 allows them",
            Refused::Full => "the transaction has its maximum of branches already",
            Refused::Late => "too late for a 408 to a request other than INVITE",
            Refused::BadStatus => "a reply's status is 100 to 699",
            Refused::NotFailed => "the branch does not wait for another hop",
        })
    }
}

impl std::error::Error for Refused {}
