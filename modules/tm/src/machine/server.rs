//! The server transaction: RFC 3261 section 17.2 with RFC 6026.

use super::action::{Action, Actions};
use super::state::{Alarm, Kind, Rules, Server, ServerState, Tick};

impl Server {
    /// A request has come and the script has it.
    pub(super) fn start(reliable: bool, rules: &Rules) -> Self {
        let mut server = Server {
            state: ServerState::Proceeding,
            reliable,
            local: false,
            status: 0,
            interval: 0,
            retransmit: Alarm::NEVER,
            limit: Alarm::NEVER,
        };
        server.hold_for_script(0, rules);
        server
    }

    pub(super) fn is_answered(&self) -> bool {
        self.state != ServerState::Proceeding
    }

    /// Gives the script time to find a destination or a reply: an INVITE may be parked as long as one may ring,
    /// another request until its client has given up.
    pub(super) fn hold_for_script(&mut self, now: Tick, rules: &Rules) {
        let time = match rules.kind {
            Kind::Invite => rules.timers.fr_inv,
            Kind::NonInvite => rules.timers.client_lifetime(),
        };
        self.limit = Alarm::after(now, time);
    }

    /// A provisional or final reply is sent.
    pub(super) fn sent(&mut self, status: u16, local: bool, now: Tick, rules: &Rules) {
        self.status = status;
        if status < 200 {
            return;
        }
        let timers = &rules.timers;
        self.local = local;
        match rules.kind {
            Kind::Invite if status < 300 => {
                self.state = ServerState::Accepted;
                if local {
                    // RFC 3261 section 13.3.1.4: who answers by himself repeats it until the ACK, on any transport.
                    self.start_retransmission(now, rules);
                    self.limit = Alarm::after(now, timers.client_lifetime());
                } else {
                    self.limit = Alarm::after(now, timers.wait);
                }
            }
            Kind::Invite => {
                self.state = ServerState::Completed;
                self.limit = Alarm::after(now, timers.client_lifetime());
                if !self.reliable {
                    self.start_retransmission(now, rules);
                }
            }
            Kind::NonInvite => {
                self.state = ServerState::Completed;
                self.linger(timers.wait, now);
            }
        }
    }

    /// The request has come again.
    pub(super) fn request_retransmission(&self, out: &mut Actions) {
        let resend = match self.state {
            ServerState::Proceeding => self.status != 0,
            ServerState::Completed => true,
            // An answer is repeated by who gave it.
            ServerState::Accepted => self.local,
            ServerState::Confirmed | ServerState::Terminated => false,
        };
        if resend {
            out.push(Action::ResendReply);
        }
    }

    pub(super) fn ack(&mut self, now: Tick, rules: &Rules) {
        match (rules.kind, self.state) {
            (Kind::Invite, ServerState::Completed) => {
                self.state = ServerState::Confirmed;
                self.linger(rules.timers.t4, now);
            }
            (Kind::Invite, ServerState::Accepted) if self.retransmit.is_armed() => {
                self.retransmit = Alarm::NEVER;
                self.limit = Alarm::after(now, rules.timers.wait);
            }
            _ => {}
        }
    }

    /// Serves what is due. True if the script's time is over.
    pub(super) fn expire(&mut self, now: Tick, rules: &Rules, out: &mut Actions) -> bool {
        if self.limit.is_due(now) {
            if !self.is_answered() {
                self.limit = Alarm::NEVER;
                return true;
            }
            self.terminate();
        } else if self.retransmit.is_due(now) {
            out.push(Action::ResendReply);
            self.interval = self.interval.saturating_mul(2).min(rules.timers.t2);
            self.retransmit = Alarm::after(now, self.interval);
        }
        false
    }

    pub(super) fn terminate(&mut self) {
        self.state = ServerState::Terminated;
        self.retransmit = Alarm::NEVER;
        self.limit = Alarm::NEVER;
    }

    /// The next moment `expire` has work.
    pub(super) fn alarm(&self) -> Alarm {
        self.retransmit.min(self.limit)
    }

    /// Timer G, and its like for an answer of our own.
    fn start_retransmission(&mut self, now: Tick, rules: &Rules) {
        self.interval = rules.timers.t1;
        self.retransmit = Alarm::after(now, self.interval);
    }

    /// Timers I and J.
    fn linger(&mut self, time: u32, now: Tick) {
        self.retransmit = Alarm::NEVER;
        if self.reliable || time == 0 {
            self.terminate();
        } else {
            self.limit = Alarm::after(now, time);
        }
    }
}
