//! RFC 3261 section 17.1, one branch.

use super::super::Policy;
use super::*;
use Action::*;

#[test]
fn rfc3261_17_1_1_2_timer_a_doubles_without_bound_until_b() {
    let mut run = Run::invite(1);
    run.until(31_999);
    assert_eq!(run.times(SendRequest(id(0))), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    run.until(32_000);
    assert_eq!(run.log[6..], [(32_000, ended_here(0, 408)), (32_000, failed_here(0, 408))]);
    assert_eq!(run.conclude(), [GenerateReply(408)]);
}

#[test]
fn rfc3261_17_1_1_2_no_timer_a_over_reliable_transport() {
    let mut run = Run::relayed(Kind::Invite, true, &RFC, 1);
    run.until(32_000);
    assert_eq!(run.log, [(32_000, ended_here(0, 408)), (32_000, failed_here(0, 408))]);
}

#[test]
fn rfc3261_17_1_1_2_any_provisional_stops_timer_a() {
    for (status, shown) in [(100, vec![]), (180, vec![forward(0, 180)]), (199, vec![forward(0, 199)])] {
        let mut run = Run::invite(1);
        run.until(600);
        assert_eq!(run.reply(0, status), shown);
        run.until(180_599);
        assert_eq!(run.times(SendRequest(id(0))), [500]);
    }
}

#[test]
fn rfc3261_17_1_1_2_timer_d_acknowledges_late_finals() {
    let mut run = Run::invite(1);
    run.until(1_000);
    assert_eq!(run.reply(0, 486), [SendAck(id(0)), ended(0, 486), failed(0, 486)]);
    assert_eq!(run.conclude(), [forward(0, 486)]);
    run.until(20_000);
    assert_eq!(run.reply(0, 486), [SendAck(id(0))]);
    run.ack();
    assert_eq!(run.end(), 33_000, "D from the first final reply, not the last");
}

#[test]
fn rfc3261_17_1_1_2_timer_d_is_zero_over_reliable_transport() {
    let mut run = Run::relayed(Kind::Invite, true, &RFC, 1);
    run.reply(0, 486);
    run.conclude();
    assert_eq!(run.ack(), [Destroy]);
}

#[test]
fn rfc3261_17_1_2_2_timer_e_is_capped_at_t2_until_f() {
    let mut run = Run::relayed(Kind::NonInvite, false, &RFC, 1);
    run.until(32_000);
    let sent = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(run.times(SendRequest(id(0))), sent);
    assert_eq!(run.log[10..], [(32_000, ended_here(0, 408)), (32_000, failed_here(0, 408))]);
}

#[test]
fn rfc3261_17_1_2_2_proceeding_retransmits_every_t2() {
    let mut run = Run::relayed(Kind::NonInvite, false, &RFC, 1);
    run.until(600);
    assert_eq!(run.reply(0, 100), []);
    run.until(31_999);
    assert_eq!(
        run.times(SendRequest(id(0))),
        [500, 1_500, 5_500, 9_500, 13_500, 17_500, 21_500, 25_500, 29_500]
    );
    run.until(32_000);
    assert_eq!(run.times(failed_here(0, 408)), [32_000], "F counts from the start");
}

#[test]
fn rfc3261_17_1_2_2_timer_k_absorbs() {
    let mut run = Run::relayed(Kind::NonInvite, false, &Timers { wait: 1_000, ..RFC }, 1);
    run.until(700);
    assert_eq!(run.reply(0, 200), [ended(0, 200), forward(0, 200)]);
    assert_eq!(run.reply(0, 200), []);
    assert_eq!(run.reply(0, 404), []);
    assert_eq!(run.end(), 5_700, "K is T4");
    assert_eq!(run.times(SendRequest(id(0))), [500]);
}

#[test]
fn rfc3261_17_1_2_2_timers_j_and_k_are_zero_over_reliable_transport() {
    let mut run = Run::relayed(Kind::NonInvite, true, &RFC, 1);
    assert_eq!(run.reply(0, 200), [ended(0, 200), forward(0, 200), Destroy]);
}

#[test]
fn rfc6026_7_2_accepted_passes_every_2xx_until_timer_m() {
    let mut run = Run::invite(1);
    run.until(100);
    assert_eq!(run.reply(0, 200), [ended(0, 200), forward(0, 200)]);
    run.until(10_000);
    assert_eq!(run.reply(0, 200), [pass(0, 200)]);
    assert_eq!(run.reply(0, 183), []);
    assert_eq!(run.end(), 32_100, "L and M from the first 2xx");
}

#[test]
fn timer_c_starts_afresh_with_each_provisional_but_100() {
    let mut run = Run::relayed(Kind::Invite, false, &Timers { fr_inv: 10_000, ..RFC }, 1);
    run.until(1_000).reply(0, 180);
    run.until(9_000).reply(0, 183);
    run.until(18_000).reply(0, 100);
    run.until(19_000);
    assert_eq!(run.times(failed_here(0, 408)), [19_000]);
}

#[test]
fn timer_c_starts_once_when_reported_so() {
    let mut run = Run::relayed(Kind::Invite, false, &Timers { fr_inv: 10_000, ..RFC }, 1);
    run.machine.set_policy(Policy { restart_fr_inv: false, ..Policy::default() });
    run.until(1_000).reply(0, 180);
    run.until(9_000).reply(0, 183);
    run.until(11_000);
    assert_eq!(run.times(failed_here(0, 408)), [11_000]);
}

#[test]
fn rfc3261_16_8_time_out_after_a_provisional_sends_cancel() {
    let mut run = Run::relayed(Kind::Invite, false, &Timers { fr_inv: 10_000, ..RFC }, 1);
    run.reply(0, 180);
    run.until(10_000);
    let tail = [SendCancel(id(0)), ended_here(0, 408), failed_here(0, 408)].map(|action| (10_000, action));
    assert_eq!(run.log[1..], tail);
    assert_eq!(run.conclude(), [GenerateReply(408)]);
    run.until(10_500);
    assert_eq!(run.times(ResendCancel(id(0))), [10_500]);
    assert_eq!(run.reply(0, 487), [SendAck(id(0))], "known by its own hop only");
    run.ack();
    assert_eq!(run.end(), 42_500);
    assert_eq!(run.times(ResendCancel(id(0))), [10_500], "the 487 stops the CANCEL");
}

#[test]
fn an_answer_after_the_time_out_is_dropped() {
    let mut run = Run::relayed(Kind::Invite, false, &Timers { fr: 2_000, ..RFC }, 1);
    run.until(2_000);
    run.conclude();
    run.until(2_100);
    assert_eq!(run.reply(0, 180), [SendCancel(id(0))], "whoever wakes up late is cancelled");
    assert_eq!(run.reply(0, 200), []);
    run.end();
}

#[test]
fn rfc3261_9_1_cancel_is_repeated_like_any_request() {
    let mut run = Run::invite(1);
    run.reply(0, 180);
    assert_eq!(run.cancel(), [SendCancel(id(0))]);
    run.until(5_000).reply(0, 183);
    run.until(31_999);
    let sent = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(run.times(ResendCancel(id(0))), sent);
    run.until(32_000);
    assert_eq!(run.times(failed_here(0, 408)), [32_000], "given up 64·T1 after the CANCEL");
}

#[test]
fn rfc3261_9_1_a_final_reply_to_cancel_stops_it_and_the_invite_is_still_awaited() {
    for (provisional_first, sent) in [(false, vec![500]), (true, vec![500, 1_500, 5_500])] {
        let mut run = Run::invite(1);
        run.reply(0, 180);
        run.cancel();
        run.until(600);
        if provisional_first {
            run.step(|machine, now, out| machine.cancel_reply(id(0), 100, now, out));
            run.until(6_000);
        }
        run.step(|machine, now, out| machine.cancel_reply(id(0), 200, now, out));
        run.reply(0, 180);
        run.until(20_000);
        assert_eq!(run.times(ResendCancel(id(0))), sent);
        assert_eq!(run.times(SendRequest(id(0))), []);
        assert_eq!(run.reply(0, 487), [SendAck(id(0)), ended(0, 487), failed(0, 487)]);
    }
}

#[test]
fn rfc3261_9_1_cancel_waits_for_a_provisional() {
    let mut run = Run::invite(1);
    assert_eq!(run.cancel(), []);
    run.until(800);
    assert_eq!(run.times(SendRequest(id(0))), [500], "the INVITE is still on its way");
    assert_eq!(run.reply(0, 100), [SendCancel(id(0))]);
    assert_eq!(run.reply(0, 180), [forward(0, 180)]);
}

#[test]
fn a_cancel_that_waits_is_dropped_with_the_final_reply() {
    let mut run = Run::invite(1);
    run.cancel();
    run.reply(0, 486);
    assert_eq!(run.reply(0, 180), [], "overtaken by the 486");
    let mut run = Run::invite(1);
    run.cancel();
    run.reply(0, 200);
    assert_eq!(run.reply(0, 180), [], "overtaken by the answer");
    let mut run = Run::invite(1);
    run.until(32_000);
    assert_eq!(run.reply(0, 486), [SendAck(id(0))], "after the time-out");
    assert_eq!(run.reply(0, 180), []);
}

#[test]
fn cancel_over_reliable_transport_is_sent_once() {
    let mut run = Run::relayed(Kind::Invite, true, &RFC, 1);
    run.reply(0, 180);
    run.cancel();
    run.until(31_999);
    assert_eq!(run.times(SendCancel(id(0))), [0]);
    assert_eq!(run.times(ResendCancel(id(0))), []);
}

#[test]
fn a_late_expire_sends_once_not_all_that_was_missed() {
    let mut run = Run::invite(1);
    run.now = 20_000;
    assert_eq!(run.step(Machine::expire), [SendRequest(id(0))]);
    run.until(21_000);
    assert_eq!(run.times(SendRequest(id(0))), [20_000, 21_000]);
}
