//! The protocol between the machine and the failure route.

use super::super::Refused;
use super::*;
use Action::*;

#[test]
fn nothing_done_forwards_the_best_reply() {
    let mut run = Run::invite(1);
    assert_eq!(run.reply(0, 486)[2..], [failed(0, 486)]);
    assert!(run.machine.is_undecided() && !run.machine.is_answered());
    assert_eq!(run.again(), []);
    assert_eq!(run.conclude(), [forward(0, 486)]);
    assert!(!run.machine.is_undecided() && run.machine.is_answered());
    assert_eq!(run.conclude(), [], "once");
    assert_eq!(run.machine.last_status(), Some(486));
}

#[test]
fn a_reply_of_the_script_takes_the_place_of_the_best() {
    let mut run = Run::invite(1);
    run.reply(0, 486);
    assert_eq!(run.local(181), [SendReply(181)]);
    assert!(run.machine.is_undecided(), "a provisional decides nothing");
    assert_eq!(run.local(480), [SendReply(480)]);
    assert_eq!(run.conclude(), []);
    run.ack();
    run.end();
}

#[test]
fn new_branches_start_a_new_round() {
    let mut run = Run::invite(1);
    assert_eq!(run.reply(0, 401)[2..], [failed(0, 401)]);
    run.until(1_000);
    assert_eq!(run.add(false), id(1));
    assert!(!run.machine.is_undecided());
    assert_eq!(run.conclude(), []);
    assert_eq!(run.reply(1, 180), [forward(1, 180)]);
    assert_eq!(run.reply(0, 401), [SendAck(id(0))], "a late reply of the first round");
    assert_eq!(run.reply(1, 486)[2..], [failed(1, 486)], "the challenge was met and is spent");
    run.add(false);
    assert_eq!(run.reply(2, 200), [ended(2, 200), forward(2, 200)]);
    run.end();
}

#[test]
fn a_new_round_has_timers_of_its_own() {
    let mut run = Run::invite(1);
    run.reply(0, 486);
    run.until(10_000);
    run.add(false);
    run.until(42_000);
    assert_eq!(run.times(SendRequest(id(1)))[..2], [10_500, 11_500]);
    assert_eq!(run.times(failed_here(1, 408)), [42_000]);
}

#[test]
fn a_time_out_goes_on_to_the_next_destination() {
    let mut run = Run::relayed(Kind::Invite, false, &Timers { fr: 3_000, fr_inv: 10_000, ..RFC }, 1);
    run.reply(0, 180);
    run.until(10_000);
    run.add(false);
    assert_eq!(run.reply(1, 180), [forward(1, 180)]);
    assert_eq!(run.reply(0, 487), [SendAck(id(0))]);
    assert_eq!(run.reply(1, 200), [ended(1, 200), forward(1, 200)]);
    run.end();
}

#[test]
fn a_late_answer_of_the_first_round_is_dropped() {
    let mut run = Run::relayed(Kind::Invite, false, &Timers { fr: 3_000, ..RFC }, 1);
    run.until(3_000);
    run.add(false);
    run.reply(1, 180);
    assert_eq!(run.reply(0, 180), [SendCancel(id(0))], "its ringing is not heard any more");
    assert_eq!(run.reply(0, 200), []);
    assert_eq!(run.reply(1, 200), [ended(1, 200), forward(1, 200)]);
}

#[test]
fn an_answer_while_undecided_comes_too_late() {
    let mut run = Run::relayed(Kind::Invite, false, &Timers { fr: 3_000, ..RFC }, 1);
    run.until(3_000);
    assert!(run.machine.is_undecided());
    assert_eq!(run.reply(0, 200), []);
    assert_eq!(run.conclude(), [GenerateReply(408)]);
}

#[test]
fn cancel_while_undecided_bars_new_branches() {
    let mut run = Run::invite(1);
    run.reply(0, 486);
    assert_eq!(run.cancel(), []);
    assert!(run.machine.was_cancelled());
    assert_eq!(run.machine.add_branch(false, BIRTH), Err(Refused::Cancelled));
    assert_eq!(run.conclude(), [forward(0, 486)]);
}

#[test]
fn a_decision_that_never_comes_is_taken_after_64_t1() {
    let mut run = Run::invite(1);
    run.until(1_000).reply(0, 486);
    run.until(33_000);
    assert_eq!(run.times(forward(0, 486)), [33_000]);
    run.end();
}

#[test]
fn failover_on_branch_ended_keeps_a_fork_going() {
    let mut run = Run::invite(2);
    assert_eq!(run.reply(0, 503), [SendAck(id(0)), ended(0, 503)]);
    assert_eq!(run.add(true), id(2), "the next address of the first destination");
    assert_eq!(run.reply(1, 486), [SendAck(id(1)), ended(1, 486)]);
    assert_eq!(run.reply(2, 404)[2..], [failed(2, 404)]);
}

#[test]
fn rounds_end_with_the_branches() {
    let mut run = Run::invite(1);
    for branch in 0.. {
        run.reply(branch, 503);
        match run.machine.add_branch(false, BIRTH) {
            Ok(next) => assert_eq!(next.index(), branch + 1),
            Err(refused) => {
                assert_eq!((refused, branch), (Refused::Full, 11));
                break;
            }
        }
    }
    assert_eq!(run.conclude(), [forward(0, 503)]);
}

#[test]
fn of_equal_failures_in_several_rounds_the_first_goes_up() {
    for (second, forwarded) in [(486, 0), (404, 1)] {
        let mut run = Run::invite(1);
        run.reply(0, 486);
        run.add(false);
        run.reply(1, second);
        assert_eq!(run.conclude(), [forward(forwarded, second)]);
    }
}
