//! RFC 3263 section 4.3: another hop takes the place of one that failed.

use super::super::{MAX_BRANCHES, Refused};
use super::*;
use Action::*;

impl Run {
    /// One branch whose destination has another hop.
    fn spared(kind: Kind, reliable: bool, timers: &Timers) -> Self {
        let mut run = Self::relayed(kind, reliable, timers, 1);
        run.machine.mark_spare(id(0));
        run
    }

    fn replace(&mut self, branch: usize) -> Result<BranchId, Refused> {
        self.machine.replace(id(branch), false, BIRTH + self.now)
    }

    fn keep(&mut self, branch: usize) -> Vec<Action> {
        self.step(|machine, now, out| machine.keep_failure(id(branch), now, out))
    }

    fn fail(&mut self, branch: usize) -> Vec<Action> {
        self.step(|machine, now, out| machine.fail_branch(id(branch), 477, now, out))
    }
}

#[test]
fn a_request_that_cannot_be_sent_goes_to_the_next_hop() {
    let mut run = Run::spared(Kind::Invite, true, &RFC);
    assert_eq!(run.fail(0), [ended_here(0, 477), FailOver(id(0))]);
    assert_eq!(run.replace(0), Ok(id(1)));
    assert_eq!(run.reply(1, 200), [ended(1, 200), forward(1, 200)]);
    run.end();
    assert_eq!(run.times(failed_here(0, 477)), [0; 0], "the failure route hears nothing");
}

#[test]
fn silence_goes_to_the_next_hop_with_timers_of_its_own() {
    for kind in [Kind::Invite, Kind::NonInvite] {
        let mut run = Run::spared(kind, false, &Timers { fr: 3_000, ..RFC });
        run.until(3_000);
        assert_eq!(run.times(FailOver(id(0))), [3_000]);
        assert_eq!(run.replace(0), Ok(id(1)));
        run.until(6_000);
        assert_eq!(run.times(SendRequest(id(1)))[..2], [3_500, 4_500]);
        assert_eq!(run.times(failed_here(1, 408)), [6_000], "it has no further hop");
        assert_eq!(run.conclude(), [GenerateReply(408)]);
        run.ack();
        run.end();
    }
}

#[test]
fn a_503_goes_to_the_next_hop_and_other_failures_do_not() {
    let mut run = Run::spared(Kind::Invite, false, &RFC);
    assert_eq!(run.reply(0, 503), [SendAck(id(0)), ended(0, 503), FailOver(id(0))]);
    assert_eq!(run.replace(0), Ok(id(1)));
    assert_eq!(run.reply(0, 503), [SendAck(id(0))], "each repetition gets its ACK");
    assert_eq!(run.reply(1, 486)[2..], [failed(1, 486)]);
    for status in [302, 404, 486, 500, 504, 603] {
        let mut run = Run::spared(Kind::Invite, false, &RFC);
        assert_eq!(run.reply(0, status)[2..], [failed(0, status)]);
    }
}

#[test]
fn a_destination_that_has_been_heard_of_is_there() {
    let mut run = Run::spared(Kind::Invite, false, &Timers { fr_inv: 5_000, ..RFC });
    run.reply(0, 100);
    run.until(20_000);
    assert_eq!(run.times(FailOver(id(0))), [0; 0]);
    assert_eq!(run.times(failed_here(0, 408)), [5_000]);
    let mut run = Run::spared(Kind::Invite, true, &RFC);
    run.reply(0, 180);
    assert_eq!(run.fail(0), [ended_here(0, 477), failed_here(0, 477)]);
}

#[test]
fn a_failure_that_is_kept_counts() {
    let mut run = Run::spared(Kind::Invite, false, &RFC);
    run.reply(0, 503);
    assert_eq!(run.keep(0), [failed(0, 503)]);
    assert_eq!(run.replace(0), Err(Refused::NotFailed));
    assert_eq!(run.keep(0), [], "once");
    assert_eq!(run.conclude(), [forward(0, 503)]);
}

#[test]
fn the_failure_stands_if_nobody_finds_a_hop() {
    let mut run = Run::spared(Kind::Invite, false, &RFC);
    run.reply(0, 503);
    run.until(3_999);
    assert_eq!(run.times(failed(0, 503)), [0; 0]);
    run.until(4_000);
    assert_eq!(run.times(failed(0, 503)), [4_000], "its worker has died");
    assert_eq!(run.replace(0), Err(Refused::NotFailed));
}

#[test]
fn other_branches_wait_for_the_next_hop() {
    let mut run = Run::invite(2);
    run.machine.mark_spare(id(0));
    run.reply(0, 503);
    assert_eq!(run.reply(1, 486), [SendAck(id(1)), ended(1, 486)]);
    assert_eq!(run.replace(0), Ok(id(2)));
    assert_eq!(run.reply(2, 404)[2..], [failed(2, 404)]);
    assert_eq!(run.conclude(), [forward(2, 404)]);
}

#[test]
fn two_hops_that_fall_silent_together_are_both_replaced() {
    let mut run = Run::invite(2);
    run.machine.mark_spare(id(0));
    run.machine.mark_spare(id(1));
    run.until(32_000);
    assert_eq!(run.times(FailOver(id(0))), [32_000]);
    assert_eq!(run.times(FailOver(id(1))), [32_000]);
    assert_eq!(run.replace(1), Ok(id(2)));
    assert_eq!(run.keep(0), []);
    assert_eq!(run.reply(2, 200), [ended(2, 200), forward(2, 200)]);
}

#[test]
fn a_hop_that_wakes_up_late_is_cancelled() {
    let timers = Timers { fr: 3_000, ..RFC };
    let mut run = Run::spared(Kind::Invite, false, &timers);
    run.until(3_000);
    run.replace(0).unwrap();
    assert_eq!(run.reply(0, 180), [SendCancel(id(0))]);
    run.reply(1, 180);
    assert_eq!(run.reply(0, 200), [], "its time is over");
}

#[test]
fn a_cancelled_call_goes_nowhere_else() {
    let mut run = Run::spared(Kind::Invite, false, &RFC);
    run.cancel();
    run.until(32_000);
    assert_eq!(run.times(FailOver(id(0))), [0; 0]);
    assert_eq!(run.times(failed_here(0, 408)), [32_000]);
    // The CANCEL comes while another hop is looked for.
    let mut run = Run::spared(Kind::Invite, false, &RFC);
    run.reply(0, 503);
    assert_eq!(run.cancel(), [failed_here(0, 487)]);
    assert_eq!(run.replace(0), Err(Refused::NotFailed));
    assert_eq!(run.conclude(), [GenerateReply(487)]);
}

#[test]
fn an_answer_of_the_script_ends_the_search() {
    let mut run = Run::spared(Kind::Invite, false, &RFC);
    run.reply(0, 503);
    run.local(480);
    assert_eq!(run.replace(0), Err(Refused::NotFailed));
    assert_eq!(run.keep(0), []);
    run.ack();
    run.end();
}

#[test]
fn a_client_that_has_given_up_is_not_served_elsewhere() {
    let mut run = Run::spared(Kind::NonInvite, false, &Timers { fr: 40_000, ..RFC });
    run.until(40_000);
    assert_eq!(run.times(FailOver(id(0))), [0; 0]);
    assert_eq!(run.times(failed_here(0, 408)), [40_000]);
}

#[test]
fn there_are_as_many_tries_as_branches() {
    let mut run = Run::spared(Kind::Invite, true, &RFC);
    for branch in 0..MAX_BRANCHES - 1 {
        assert_eq!(run.fail(branch)[1..], [FailOver(id(branch))]);
        assert_eq!(run.replace(branch), Ok(id(branch + 1)));
        run.machine.mark_spare(id(branch + 1));
    }
    assert_eq!(run.fail(MAX_BRANCHES - 1)[1..], [failed_here(MAX_BRANCHES - 1, 477)]);
}

#[test]
fn a_minor_branch_stays_minor() {
    let mut run = Run::invite(2);
    run.machine.mark_minor(id(0));
    run.machine.mark_spare(id(0));
    run.reply(0, 503);
    run.replace(0).unwrap();
    assert_eq!(run.reply(1, 486)[1..], [ended(1, 486), ended_here(2, 487), failed(1, 486)]);
}

#[test]
fn the_same_request_over_a_stream_reaches_branches_that_are_silent() {
    let mut run = Run::relayed(Kind::NonInvite, true, &RFC, 2);
    assert_eq!(run.again(), [SendRequest(id(0)), SendRequest(id(1))]);
    assert_eq!(run.again_but_for(&[0]), [SendRequest(id(1))]);
    assert_eq!(run.again_but_for(&[0, 1]), [], "over a stream a request leaves once");
    run.reply(0, 100);
    assert_eq!(run.again(), [SendRequest(id(1))]);
    run.reply(0, 200);
    assert_eq!(run.again(), [], "it is answered");
    let mut run = Run::relayed(Kind::NonInvite, false, &RFC, 1);
    assert_eq!(run.again(), [], "timer E does it");
}
