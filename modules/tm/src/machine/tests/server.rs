//! RFC 3261 section 17.2: replies, ACK and retransmissions of the caller.

use super::super::Refused;
use super::*;
use Action::*;

#[test]
fn rfc3261_17_2_1_proceeding_repeats_the_last_provisional() {
    let mut run = Run::invite(1);
    assert_eq!(run.again(), [], "nothing was sent yet");
    assert_eq!(run.local(100), [SendReply(100)]);
    assert_eq!(run.again(), [ResendReply]);
    assert_eq!(run.machine.last_status(), Some(100));
    run.reply(0, 180);
    assert_eq!(run.machine.last_status(), Some(180));
    assert_eq!(run.again(), [ResendReply]);
}

#[test]
fn rfc3261_17_2_1_timer_g_until_h() {
    let mut run = Run::new(Kind::Invite, false, &RFC);
    assert_eq!(run.local(486), [SendReply(486)]);
    let end = run.end();
    assert_eq!(
        run.times(ResendReply),
        [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    );
    assert_eq!(end, 32_000, "H");
}

#[test]
fn rfc3261_17_2_1_no_timer_g_over_reliable_transport_but_h() {
    let mut run = Run::new(Kind::Invite, true, &RFC);
    run.local(486);
    assert_eq!(run.again(), [ResendReply]);
    assert_eq!(run.end(), 32_000);
    assert_eq!(run.times(ResendReply), [0]);
}

#[test]
fn rfc3261_17_2_1_ack_stops_g_and_timer_i_absorbs() {
    let mut run = Run::new(Kind::Invite, false, &RFC);
    run.local(486);
    run.until(600);
    assert_eq!(run.ack(), []);
    assert_eq!(run.ack(), []);
    assert_eq!(run.again(), []);
    assert_eq!(run.end(), 5_600, "I is T4");
    assert_eq!(run.times(ResendReply), [500]);
}

#[test]
fn rfc3261_17_2_1_timer_i_is_zero_over_reliable_transport() {
    let mut run = Run::new(Kind::Invite, true, &RFC);
    run.local(486);
    assert_eq!(run.ack(), [Destroy]);
}

#[test]
fn rfc6026_7_1_accepted_absorbs_the_invite_and_a_stray_ack() {
    let mut run = Run::invite(1);
    run.reply(0, 200);
    assert_eq!(run.again(), [], "the callee repeats its answer");
    assert_eq!(run.ack(), []);
    assert_eq!(run.end(), 32_000, "L");
}

#[test]
fn rfc3261_13_3_1_4_an_answer_of_our_own_is_repeated_until_the_ack() {
    for reliable in [false, true] {
        let mut run = Run::new(Kind::Invite, reliable, &Timers { wait: 5_000, ..RFC });
        run.local(200);
        run.until(8_000);
        assert_eq!(run.times(ResendReply), [500, 1_500, 3_500, 7_500]);
        assert_eq!(run.again(), [ResendReply]);
        run.ack();
        assert_eq!(run.end(), 13_000);
        assert_eq!(run.times(ResendReply).len(), 5);
    }
}

#[test]
fn an_answer_nobody_acknowledges_ends_after_64_t1() {
    let mut run = Run::new(Kind::Invite, false, &RFC);
    run.local(200);
    assert_eq!(run.end(), 32_000);
    assert_eq!(run.times(ResendReply).len(), 10);
}

#[test]
fn rfc3261_17_2_2_trying_is_silent_and_timer_j_repeats() {
    let mut run = Run::new(Kind::NonInvite, false, &RFC);
    assert_eq!(run.again(), []);
    run.until(1_000);
    assert_eq!(run.local(404), [SendReply(404)]);
    run.until(30_000);
    assert_eq!(run.again(), [ResendReply]);
    assert_eq!(run.ack(), []);
    assert_eq!(run.end(), 33_000, "J");
    assert_eq!(run.times(ResendReply), [30_000]);
}

#[test]
fn rfc3261_17_2_2_timer_j_is_zero_over_reliable_transport() {
    let mut run = Run::new(Kind::NonInvite, true, &RFC);
    assert_eq!(run.local(200), [SendReply(200), Destroy]);
}

#[test]
fn wait_is_how_long_an_ended_transaction_stays() {
    let mut run = Run::relayed(Kind::NonInvite, false, &Timers::default(), 1);
    run.until(100).reply(0, 200);
    assert_eq!(run.end(), 5_100);
}

#[test]
fn a_second_final_reply_is_refused() {
    let mut run = Run::new(Kind::Invite, false, &RFC);
    run.local(486);
    let mut out = Actions::new();
    assert_eq!(run.machine.local_reply(200, BIRTH, &mut out), Err(Refused::Answered));
    assert_eq!(run.machine.local_reply(180, BIRTH, &mut out), Err(Refused::Answered));
    assert_eq!(run.machine.local_reply(42, BIRTH, &mut out), Err(Refused::BadStatus));
    assert!(out.is_empty());
}

#[test]
fn a_parked_invite_is_given_up_after_fr_inv() {
    let mut run = Run::new(Kind::Invite, false, &RFC);
    run.until(100_000).local(180);
    run.until(279_999);
    assert_eq!(run.log.len(), 1);
    run.until(280_000);
    assert_eq!(run.log[1], (280_000, GenerateReply(408)));
    run.end();
}

#[test]
fn rfc4320_4_2_a_request_the_script_forgot_ends_without_a_late_408() {
    let mut run = Run::new(Kind::NonInvite, false, &RFC);
    assert_eq!(run.end(), 32_000);
    assert_eq!(run.log, [(32_000, Destroy)]);
}

#[test]
fn rfc4320_4_2_no_408_once_the_client_has_given_up() {
    for (fr, sent) in [(31_999, Some(GenerateReply(408))), (32_000, None)] {
        let mut run = Run::relayed(Kind::NonInvite, false, &Timers { fr, ..RFC }, 1);
        run.until(u64::from(fr));
        let concluded = run.conclude();
        assert_eq!(concluded.first().copied(), sent.or(Some(Destroy)));
        assert_eq!(run.again(), if sent.is_some() { vec![ResendReply] } else { vec![] });
    }
    let mut run = Run::relayed(Kind::NonInvite, false, &Timers { fr: 60_000, ..RFC }, 1);
    run.until(40_000).reply(0, 408);
    assert_eq!(run.conclude(), [], "nor is another's forwarded");
    let mut out = Actions::new();
    let mut run = Run::relayed(Kind::NonInvite, false, &Timers { fr: 60_000, ..RFC }, 1);
    run.until(40_000);
    assert_eq!(run.machine.local_reply(408, BIRTH + 40_000, &mut out), Err(Refused::Late));
    assert_eq!(run.reply(0, 404)[1..], [failed(0, 404)]);
    assert_eq!(run.conclude(), [forward(0, 404)], "other statuses go");
}

#[test]
fn rfc4320_4_1_no_1xx_to_a_non_invite() {
    let mut run = Run::relayed(Kind::NonInvite, false, &RFC, 1);
    assert_eq!(run.reply(0, 182), []);
}

#[test]
fn rfc3261_9_2_cancel_while_the_script_has_the_invite() {
    let mut run = Run::new(Kind::Invite, false, &RFC);
    run.local(100);
    assert_eq!(run.cancel(), [GenerateReply(487)]);
    assert_eq!(run.machine.add_branch(false, BIRTH), Err(Refused::Answered));
    assert!(run.machine.was_cancelled());
    assert_eq!(run.ack(), []);
    run.end();
}

#[test]
fn cancel_does_nothing_to_a_non_invite_or_after_the_final_reply() {
    let mut run = Run::relayed(Kind::NonInvite, false, &RFC, 1);
    run.reply(0, 100);
    assert_eq!(run.cancel(), []);
    assert!(!run.machine.was_cancelled());
    let mut run = Run::invite(1);
    run.reply(0, 200);
    assert_eq!(run.cancel(), []);
    assert!(!run.machine.was_cancelled());
}
