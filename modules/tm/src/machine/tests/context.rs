//! RFC 3261 section 16.7: the response context over several branches.

use super::super::{MAX_BRANCHES, Policy, Refused};
use super::*;
use Action::*;

/// The branch and status the failure route is told of when branches fail with these, in this order.
fn best(statuses: &[u16], policy: Policy) -> Vec<Action> {
    let mut run = Run::invite(statuses.len());
    run.machine.set_policy(policy);
    let mut last = Vec::new();
    for (branch, &status) in statuses.iter().enumerate() {
        last = run.reply(branch, status);
    }
    last.retain(|action| matches!(action, Failed { .. }));
    last
}

#[test]
fn the_best_reply_is_the_recorded_one() {
    let table: [(&[u16], usize, u16); 14] = [
        (&[486], 0, 486),
        (&[486, 480], 1, 480),
        (&[480, 486], 0, 480),
        (&[503, 404], 1, 404),
        (&[404, 302], 1, 302),
        (&[486, 603], 1, 603),
        (&[302, 486, 600], 2, 600),
        (&[404, 407], 0, 404),
        (&[407, 401], 1, 401),
        (&[408, 486], 1, 486),
        (&[500, 408], 1, 408),
        (&[503, 504], 1, 504),
        (&[500, 503, 501], 0, 500),
        (&[404, 404, 404], 0, 404),
    ];
    for (statuses, branch, status) in table {
        assert_eq!(best(statuses, Policy::default()), [failed(branch, status)], "{statuses:?}");
    }
}

#[test]
fn a_local_time_out_is_compared_like_a_reply() {
    let mut run = Run::invite(2);
    run.reply(0, 503);
    run.until(32_000);
    assert_eq!(run.times(failed_here(1, 408)), [32_000]);
    assert_eq!(run.conclude(), [GenerateReply(408)]);
}

#[test]
fn rfc3261_16_7_6_a_lone_503_becomes_500_when_reported_so() {
    for (forward_503, sent) in [(true, forward(0, 503)), (false, ForwardUnavailable(id(0)))] {
        let mut run = Run::invite(1);
        run.machine.set_policy(Policy { forward_503, ..Policy::default() });
        run.reply(0, 503);
        assert_eq!(run.conclude(), [sent]);
    }
}

#[test]
fn rfc3261_16_7_5_the_first_answer_goes_at_once_and_cancels_the_others() {
    let mut run = Run::invite(4);
    run.reply(0, 180);
    run.reply(1, 486);
    run.reply(2, 183);
    let done = [ended(0, 200), forward(0, 200), SendCancel(id(2))];
    assert_eq!(run.reply(0, 200), done, "branch 3 has not replied: its CANCEL waits");
    assert_eq!(run.reply(3, 180), [SendCancel(id(3))], "and its 180 is not forwarded");
    assert_eq!(run.reply(2, 487), [SendAck(id(2)), ended(2, 487)]);
    assert_eq!(run.reply(3, 200), [ended(3, 200), pass(3, 200)], "an answer that crossed the CANCEL passes");
    run.end();
}

#[test]
fn rfc3841_9_1_an_answer_leaves_the_others_when_reported_so() {
    let mut run = Run::invite(2);
    run.machine.set_policy(Policy { cancel_on_answer: false, ..Policy::default() });
    run.reply(1, 180);
    assert_eq!(run.reply(0, 200), [ended(0, 200), forward(0, 200)]);
    assert_eq!(run.reply(1, 200), [ended(1, 200), pass(1, 200)]);
}

#[test]
fn rfc3261_16_7_5_6xx_cancels_and_waits_and_blocks() {
    let mut run = Run::invite(3);
    run.reply(1, 180);
    assert_eq!(run.reply(0, 603), [SendAck(id(0)), ended(0, 603), SendCancel(id(1))]);
    assert_eq!(run.machine.add_branch(false, BIRTH), Err(Refused::Declined));
    run.reply(1, 487);
    assert_eq!(run.reply(2, 486)[2..], [failed(0, 603)]);
    assert_eq!(run.machine.add_branch(false, BIRTH), Err(Refused::Declined));
    assert_eq!(run.conclude(), [forward(0, 603)]);
}

#[test]
fn an_answer_beats_a_6xx_until_it_is_sent() {
    let mut run = Run::invite(2);
    run.reply(0, 603);
    assert_eq!(run.reply(1, 200), [ended(1, 200), forward(1, 200)]);
}

#[test]
fn disable_6xx_block_makes_6xx_a_failure_like_others() {
    let mut run = Run::invite(2);
    run.machine.set_policy(Policy { block_on_6xx: false, ..Policy::default() });
    run.reply(1, 180);
    assert_eq!(run.reply(0, 603), [SendAck(id(0)), ended(0, 603)]);
    run.reply(1, 486);
    assert!(run.machine.add_branch(false, BIRTH).is_ok());
}

#[test]
fn rfc3261_16_7_5_100_is_never_forwarded() {
    let mut run = Run::invite(2);
    assert_eq!(run.reply(0, 100), []);
    assert_eq!(run.reply(0, 100), []);
    assert_eq!(run.reply(1, 180), [forward(1, 180)]);
    assert_eq!(run.reply(1, 180), [forward(1, 180)]);
    assert_eq!(run.machine.last_status(), Some(180));
}

#[test]
fn a_non_invite_forks_and_the_first_answer_is_the_only_one() {
    let mut run = Run::relayed(Kind::NonInvite, false, &RFC, 3);
    assert_eq!(run.reply(0, 404), [ended(0, 404)]);
    assert_eq!(run.reply(1, 200), [ended(1, 200), forward(1, 200)], "nothing to cancel");
    assert_eq!(run.reply(2, 200), [ended(2, 200)]);
    run.end();
}

#[test]
fn rfc3261_16_10_cancel_reaches_every_pending_branch() {
    let mut run = Run::invite(3);
    run.reply(0, 180);
    run.reply(1, 486);
    assert_eq!(run.cancel(), [SendCancel(id(0))]);
    assert_eq!(run.cancel(), [], "a repeated CANCEL adds nothing");
    assert_eq!(run.machine.add_branch(false, BIRTH), Err(Refused::Cancelled));
    assert_eq!(run.reply(2, 100), [SendCancel(id(2))]);
    run.reply(0, 487);
    assert_eq!(run.reply(2, 487)[2..], [failed(0, 487)], "the caller reads that its CANCEL has worked");
    assert_eq!(run.conclude(), [forward(0, 487)]);
    assert_eq!(run.times(GenerateReply(487)), []);
}

#[test]
fn a_cancelled_branch_that_never_spoke_times_out() {
    let mut run = Run::invite(1);
    run.cancel();
    run.until(32_000);
    assert_eq!(run.times(failed_here(0, 408)), [32_000]);
    assert_eq!(run.conclude(), [GenerateReply(408)]);
}

#[test]
fn an_answer_after_the_cancel_is_forwarded() {
    let mut run = Run::invite(1);
    run.reply(0, 180);
    run.cancel();
    assert_eq!(run.reply(0, 200), [ended(0, 200), forward(0, 200)]);
}

#[test]
fn a_script_s_final_reply_cancels_the_branches() {
    let mut run = Run::invite(2);
    run.reply(0, 180);
    assert_eq!(run.local(480), [SendReply(480), SendCancel(id(0))]);
    assert_eq!(run.reply(1, 180), [SendCancel(id(1))]);
    assert_eq!(run.reply(0, 487), [SendAck(id(0)), ended(0, 487)]);
    assert_eq!(run.reply(1, 200), [ended(1, 200), pass(1, 200)], "RFC 3261 section 16.7 step 5: any 2xx");
    run.end();
}

#[test]
fn t_cancel_branch_cancels_one() {
    let mut run = Run::invite(2);
    run.reply(0, 183);
    run.reply(1, 183);
    let done = run.step(|machine, now, out| machine.cancel_branch(id(0), now, out));
    assert_eq!(done, [SendCancel(id(0))]);
    assert!(!run.machine.was_cancelled());
    run.reply(0, 487);
    assert_eq!(run.reply(1, 200), [ended(1, 200), forward(1, 200)]);
}

#[test]
fn rfc3261_16_9_a_branch_that_cannot_be_sent_fails() {
    let mut run = Run::invite(2);
    let fail = |branch, status| {
        move |machine: &mut Machine, now, out: &mut Actions| {
            machine.fail_branch(id(branch), status, now, out);
        }
    };
    assert_eq!(run.step(fail(0, 477)), [ended_here(0, 477)]);
    assert_eq!(run.step(fail(0, 477)), [], "once");
    assert_eq!(run.step(fail(1, 200)), [], "a success is no failure");
    assert_eq!(run.step(fail(1, 503)), [ended_here(1, 503), failed_here(0, 477)]);
    assert!(run.machine.is_branch_local(id(1)) && run.machine.is_last_reply_local());
    assert_eq!(run.machine.branch_status(id(1)), Some(503));
    assert_eq!(run.conclude(), [GenerateReply(477)]);
}

#[test]
fn a_phone_that_rang_was_heard_though_the_failure_is_local() {
    let mut run = Run::invite(2);
    run.reply(0, 180);
    run.until(400_000);
    assert!(!run.machine.is_branch_local(id(0)), "it rang");
    assert!(run.machine.is_branch_local(id(1)) && run.machine.is_last_reply_local());
}

#[test]
fn a_minor_branch_is_not_waited_for() {
    let mut run = Run::invite(3);
    run.machine.mark_minor(id(0));
    run.reply(0, 183);
    run.reply(1, 486);
    assert_eq!(
        run.reply(2, 480),
        [SendAck(id(2)), ended(2, 480), SendCancel(id(0)), ended_here(0, 487), failed(2, 480)]
    );
    assert_eq!(run.conclude(), [forward(2, 480)]);
    assert_eq!(run.reply(0, 487), [SendAck(id(0))]);
}

#[test]
fn a_minor_branch_s_failure_is_not_chosen() {
    let mut run = Run::invite(2);
    run.machine.mark_minor(id(0));
    run.reply(0, 404);
    assert_eq!(run.reply(1, 486)[2..], [failed(1, 486)]);
}

#[test]
fn where_all_branches_are_minor_none_is() {
    let mut run = Run::invite(2);
    run.machine.mark_minor(id(0));
    run.machine.mark_minor(id(1));
    assert_eq!(run.reply(0, 486), [SendAck(id(0)), ended(0, 486)]);
    assert_eq!(run.reply(1, 404)[2..], [failed(1, 404)]);
}

#[test]
fn awaited_branches_keep_the_transaction_open() {
    let mut run = Run::invite(1);
    run.machine.await_branches(Some(2), BIRTH);
    assert_eq!(run.reply(0, 404), [SendAck(id(0)), ended(0, 404)]);
    let second = run.machine.inject_branch(false, BIRTH).unwrap();
    assert_eq!(run.reply(second.index(), 486), [SendAck(second), ended(1, 486)]);
    run.machine.inject_branch(false, BIRTH).unwrap();
    assert_eq!(run.reply(2, 480)[2..], [failed(0, 404)], "one round: all compete");
}

#[test]
fn waiting_for_branches_ends_on_demand_by_cancel_by_6xx_and_by_time() {
    let fresh = || {
        let mut run = Run::invite(1);
        run.machine.await_branches(None, BIRTH);
        run.reply(0, 404);
        run
    };
    let mut run = fresh();
    assert_eq!(run.step(Machine::await_no_more), [failed(0, 404)]);
    assert_eq!(fresh().cancel(), [failed(0, 404)]);
    let mut run = fresh();
    run.add(false);
    assert_eq!(run.reply(1, 603)[2..], [failed(1, 603)], "a 6xx bars more branches");
    let mut run = fresh();
    run.until(180_000);
    assert_eq!(run.times(failed(0, 404)), [180_000]);
}

#[test]
fn branches_are_limited() {
    let mut run = Run::invite(MAX_BRANCHES);
    assert_eq!(run.machine.add_branch(false, BIRTH), Err(Refused::Full));
    assert_eq!(run.machine.branch_count(), MAX_BRANCHES);
    assert_eq!(BranchId::from_index(MAX_BRANCHES), None);
    assert_eq!(BranchId::from_index(usize::MAX), None);
}

#[test]
fn what_is_no_reply_to_a_branch_is_ignored() {
    let mut run = Run::invite(1);
    let before = run.machine;
    for (branch, status) in [(0, 0), (0, 99), (0, 700), (0, u16::MAX), (1, 200), (11, 486)] {
        assert_eq!(run.reply(branch, status), []);
    }
    assert_eq!(run.machine, before);
}

#[test]
fn per_transaction_timeouts_reach_later_branches() {
    let mut run = Run::invite(1);
    run.machine.set_final_timeouts(3_000, 60_000);
    run.until(1_000);
    run.add(false);
    run.until(4_000);
    assert_eq!(run.times(ended_here(1, 408)), [4_000]);
    run.reply(0, 180);
    run.until(64_000);
    assert_eq!(run.times(ended_here(0, 408)), [64_000]);
}
