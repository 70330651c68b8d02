//! Any input at any time: what must hold whatever comes.

use proptest::prelude::*;

use super::super::{MAX_BRANCHES, Policy};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Input {
    Pass(u32),
    PassToDeadline,
    Add(bool),
    Inject(bool),
    Await(Option<u8>),
    AwaitNoMore,
    Minor(usize),
    Spare(usize),
    Replace(usize, bool),
    Keep(usize),
    Again,
    Ack,
    Cancel,
    CancelBranch(usize),
    Reply(usize, u16),
    CancelReply(usize, u16),
    Fail(usize, u16),
    Local(u16),
    Conclude,
}

fn input() -> impl Strategy<Value = Input> {
    let branch = || 0..MAX_BRANCHES;
    let status = || {
        prop_oneof![100..700_u16, Just(100), Just(180), Just(200), Just(408), Just(487), Just(503), Just(603)]
    };
    prop_oneof![
        3 => (0..40_000_u32).prop_map(Input::Pass),
        4 => Just(Input::PassToDeadline),
        3 => any::<bool>().prop_map(Input::Add),
        1 => any::<bool>().prop_map(Input::Inject),
        1 => any::<Option<u8>>().prop_map(Input::Await),
        1 => Just(Input::AwaitNoMore),
        1 => branch().prop_map(Input::Minor),
        4 => (0..4_usize).prop_map(Input::Spare),
        2 => (0..4_usize, any::<bool>()).prop_map(|(branch, reliable)| Input::Replace(branch, reliable)),
        1 => (0..4_usize).prop_map(Input::Keep),
        1 => Just(Input::Again),
        1 => Just(Input::Ack),
        1 => Just(Input::Cancel),
        1 => branch().prop_map(Input::CancelBranch),
        8 => (0..4_usize, status()).prop_map(|(branch, status)| Input::Reply(branch, status)),
        2 => (branch(), 0..1_000_u16).prop_map(|(branch, status)| Input::Reply(branch, status)),
        2 => (branch(), status()).prop_map(|(branch, status)| Input::CancelReply(branch, status)),
        1 => (branch(), 0..1_000_u16).prop_map(|(branch, status)| Input::Fail(branch, status)),
        1 => (0..1_000_u16).prop_map(Input::Local),
        2 => Just(Input::Conclude),
    ]
}

fn timers() -> impl Strategy<Value = Timers> {
    let short = || prop_oneof![4 => 0..40_000_u32, 1 => any::<u32>()];
    let odd = (short(), short(), short(), short(), short(), short())
        .prop_map(|(t1, t2, t4, fr, fr_inv, wait)| Timers { t1, t2, t4, fr, fr_inv, wait });
    prop_oneof![2 => Just(Timers::default()), 2 => Just(RFC), 1 => odd]
}

fn policy() -> impl Strategy<Value = Policy> {
    any::<[bool; 4]>().prop_map(|[block_on_6xx, restart_fr_inv, forward_503, cancel_on_answer]| Policy {
        block_on_6xx,
        restart_fr_inv,
        forward_503,
        cancel_on_answer,
    })
}

/// What a caller sees: it keeps count, and refuses what must not be.
#[derive(Default)]
struct Watch {
    finals: u32,
    rejections: u32,
    ended: [bool; MAX_BRANCHES],
    failed_over: [bool; MAX_BRANCHES],
    destroyed: bool,
}

impl Watch {
    fn see(&mut self, action: Action, kind: Kind, cancel_sent: &mut [bool; MAX_BRANCHES]) {
        assert!(!self.destroyed, "{action:?} after Destroy");
        match action {
            Action::ForwardReply { status, .. }
            | Action::SendReply(status)
            | Action::GenerateReply(status) => {
                assert_eq!(self.finals, 0, "{status} after the final reply");
                self.finals += u32::from(status >= 200);
                self.rejections += u32::from(status >= 300);
                assert_ne!(action, Action::ForwardReply { branch: id(0), status: 100 });
            }
            Action::ForwardUnavailable(branch) => {
                assert!(self.finals == 0 && self.ended[branch.index()], "{action:?} of one that goes on");
                (self.finals, self.rejections) = (1, self.rejections + 1);
            }
            Action::PassReply { status, .. } => {
                assert!((200..300).contains(&status) && kind == Kind::Invite && self.finals == 1);
            }
            Action::BranchEnded { branch, status, .. } => {
                assert!(status >= 200 && !self.ended[branch.index()], "{action:?} twice");
                self.ended[branch.index()] = true;
            }
            Action::FailOver(branch) => {
                assert!(self.finals == 0 && self.ended[branch.index()], "{action:?} of one that goes on");
                assert!(!self.failed_over[branch.index()], "{action:?} twice");
                self.failed_over[branch.index()] = true;
            }
            Action::Failed { branch, .. } => assert!(self.finals == 0 && self.ended[branch.index()]),
            Action::SendCancel(branch) => {
                assert!(kind == Kind::Invite && !cancel_sent[branch.index()], "two CANCELs");
                cancel_sent[branch.index()] = true;
            }
            Action::ResendCancel(branch) => assert!(cancel_sent[branch.index()]),
            Action::SendAck(_) => assert_eq!(kind, Kind::Invite),
            Action::SendRequest(_) | Action::ResendReply => {}
            Action::Destroy => self.destroyed = true,
        }
    }
}

fn play(kind: Kind, reliable: bool, timers: &Timers, policy: Policy, inputs: &[Input]) {
    let mut machine = Machine::new(kind, reliable, BIRTH, timers).with_policy(policy);
    let mut now = BIRTH;
    let mut watch = Watch::default();
    let mut cancel_sent = [false; MAX_BRANCHES];
    let mut out = Actions::new();
    for &input in inputs {
        match input {
            Input::Pass(time) => now += u64::from(time),
            Input::PassToDeadline => now = machine.deadline().unwrap_or(now).max(now),
            Input::Add(reliable) => drop(machine.add_branch(reliable, now)),
            Input::Inject(reliable) => drop(machine.inject_branch(reliable, now)),
            Input::Await(count) => machine.await_branches(count, now),
            Input::AwaitNoMore => machine.await_no_more(now, &mut out),
            Input::Minor(branch) => machine.mark_minor(id(branch)),
            Input::Spare(branch) => machine.mark_spare(id(branch)),
            Input::Replace(branch, reliable) => drop(machine.replace(id(branch), reliable, now)),
            Input::Keep(branch) => machine.keep_failure(id(branch), now, &mut out),
            Input::Again => machine.request_retransmission(|_| false, &mut out),
            Input::Ack => machine.ack(now, &mut out),
            Input::Cancel => machine.cancel(now, &mut out),
            Input::CancelBranch(branch) => machine.cancel_branch(id(branch), now, &mut out),
            Input::Reply(branch, status) => machine.reply(id(branch), status, now, &mut out),
            Input::CancelReply(branch, status) => machine.cancel_reply(id(branch), status, now, &mut out),
            Input::Fail(branch, status) => machine.fail_branch(id(branch), status, now, &mut out),
            Input::Local(status) => {
                let refused = machine.local_reply(status, now, &mut out).is_err();
                assert_eq!(refused, out.is_empty());
            }
            Input::Conclude => machine.conclude(now, &mut out),
        }
        let late = machine.deadline().is_some_and(|deadline| deadline <= now);
        if matches!(input, Input::Pass(_) | Input::PassToDeadline) || late {
            machine.expire(now, &mut out);
        }
        for action in out.drain(..) {
            watch.see(action, kind, &mut cancel_sent);
        }
        assert!(machine.deadline().is_none_or(|deadline| deadline > now), "deadline not in the future");
        assert_eq!(machine.deadline().is_none(), watch.destroyed, "asleep for ever, or awake though dead");
        assert_eq!(machine.is_destroyed(), watch.destroyed);
    }
    let mut steps = 0;
    while let Some(deadline) = machine.deadline() {
        // Odd timers may be a millisecond and twelve hours: not all that lies between need be gone through.
        now = deadline.max(now + 5_000);
        machine.expire(now, &mut out);
        for action in out.drain(..) {
            watch.see(action, kind, &mut cancel_sent);
        }
        steps += 1;
        assert!(steps < 100_000, "no end");
    }
    assert!(watch.destroyed);
    assert!(watch.finals == 1 || kind == Kind::NonInvite, "an INVITE without a final reply");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_machine_keeps_its_word(
        invite in prop::bool::weighted(0.7),
        reliable: bool,
        timers in timers(),
        policy in policy(),
        inputs in prop::collection::vec(input(), 0..60),
    ) {
        let kind = if invite { Kind::Invite } else { Kind::NonInvite };
        play(kind, reliable, &timers, policy, &inputs);
    }
}

#[test]
fn a_clock_that_runs_backwards_or_away_harms_nothing() {
    for now in [0, BIRTH - 1, u64::MAX] {
        let mut machine = Machine::new(Kind::Invite, false, BIRTH, &RFC);
        let mut out = Actions::new();
        let branch = machine.add_branch(false, BIRTH).unwrap();
        machine.reply(branch, 180, now, &mut out);
        machine.expire(now, &mut out);
        while let Some(deadline) = machine.deadline() {
            machine.expire(deadline.max(now), &mut out);
            machine.conclude(deadline.max(now), &mut out);
        }
        assert_eq!(out.last(), Some(&Action::Destroy));
    }
}
