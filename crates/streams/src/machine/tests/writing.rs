//! What is written, what waits, and what never leaves.

use super::*;
use crate::output::MAX_WAITING_BYTES;

#[test]
fn a_request_is_noted_as_left_right_behind_its_last_byte() {
    let mut run = Run::accepted(Protocol::Tcp);
    run.steps();
    run.push("first", Some(1));
    run.push("second", Some(2));
    assert_eq!(run.steps(), [], "nothing leaves before the flush");
    run.socket.room = 7;
    run.flush();
    // Half of the second one is written: nobody else could go on.
    let since = moment(0).ns();
    let steps = [Did::Movable(false), Did::Write(7), Did::Left(1), Did::Measure(since), Did::Stuck];
    assert_eq!(run.steps(), steps);
    run.until(100).take(100);
    assert_eq!(run.steps(), [Did::Write(4), Did::Left(2), Did::Measure(since), Did::Movable(true)]);
    assert_eq!(run.sent(), b"firstsecond");
}

#[test]
fn what_a_peer_does_not_take_is_bounded() {
    let mut run = Run::accepted(Protocol::Tcp);
    run.socket.room = 10;
    run.push(&"x".repeat(MAX_WAITING_BYTES), Some(1));
    run.flush();
    assert!(run.ask().is_some());
    run.push(&"x".repeat(100), Some(2));
    run.steps();
    run.flush();
    assert_eq!(run.ask(), None);
    assert_eq!(run.outcome(), Some((0, "the peer does not take what is sent to it".to_owned())));
    assert_eq!(run.steps()[2..], [Did::NotSent(1), Did::NotSent(2)]);
}

#[test]
fn what_waits_for_a_handshake_leaves_with_it_or_is_refused() {
    let mut run = Run::with(Protocol::Ws, |options| options.max_postponed = 2);
    run.steps();
    for transaction in 1..=3 {
        run.push(&options(transaction as usize), Some(transaction));
    }
    assert_eq!(run.steps(), [Did::NotSent(3)]);
    run.arrive(UPGRADE);
    let left: Vec<_> = run.steps().into_iter().filter(|did| matches!(did, Did::Left(_))).collect();
    assert_eq!(left, [Did::Left(1), Did::Left(2)]);
    let sent = run.sent();
    assert!(sent.starts_with(b"HTTP/1.1 101 "));
    let head = sent.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    assert_eq!((sent[head], usize::from(sent[head + 1])), (0x81, options(1).len()));
}

#[test]
fn what_waits_for_a_handshake_that_fails_never_leaves() {
    let mut run = Run::accepted(Protocol::Ws);
    run.push("hello", Some(7));
    run.steps();
    run.until(10_000);
    let steps = run.steps();
    assert!(matches!(&steps[0], Did::End(_)) && steps.last() == Some(&Did::NotSent(7)), "{steps:?}");
}

#[test]
fn an_idle_websocket_says_that_it_goes_away() {
    for (protocol, words) in [(Protocol::Ws, &[0x88, 2, 3, 233][..]), (Protocol::Tcp, &[])] {
        let mut run = Run::accepted(protocol);
        if protocol == Protocol::Ws {
            run.arrive(UPGRADE);
        }
        run.sent();
        run.end();
        assert_eq!(run.sent(), words);
    }
}

#[test]
fn a_peer_that_is_gone_hears_nothing() {
    let mut run = Run::accepted(Protocol::Ws);
    run.arrive(UPGRADE);
    run.sent();
    let cause = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    run.feed(|machine, steps| machine.write_failed(cause, steps));
    run.ask();
    assert!(run.outcome().unwrap().1.starts_with("broken: "));
    assert_eq!(run.sent(), b"");
}
