//! A worker that ends, or has too much to do, gives its connections to others.

use super::*;

/// How a connection stands when its worker lets go of it.
#[derive(Debug, Clone, Copy)]
enum Stand {
    Idle,
    HalfInKernel,
    HalfHere,
    Unwritten,
    HeldBack,
    Fragment,
}
use Stand::*;

fn stand(protocol: Protocol, stand: Stand) -> Run {
    let mut run = Run::accepted(protocol);
    if protocol == Protocol::Ws && !matches!(stand, HeldBack) {
        run.arrive(UPGRADE);
    }
    match stand {
        Idle => {}
        HalfInKernel if protocol == Protocol::Ws => _ = run.arrive(&frame(&options(1))[..20]),
        HalfInKernel => _ = run.arrive(&options(1)[..20]),
        HalfHere => _ = run.arrive(&request(&options_line(1), 40_000)[..20_000]),
        Unwritten => {
            run.socket.room = 3;
            run.push("hello", Some(1));
            run.flush();
        }
        HeldBack => run.push("hello", Some(1)),
        Fragment => _ = run.arrive(&fragments(&options(1))[0]),
    }
    assert_eq!(run.outcome(), None);
    run
}

/// What becomes of it, at once and when the peer has taken all.
fn becomes(mut run: Run, input: impl Fn(&mut Machine, &mut Steps)) -> [Option<String>; 2] {
    run.feed(&input);
    run.ask();
    let at_once = run.outcome().map(|(_, how)| how);
    run.take(10);
    run.feed(&input);
    run.ask();
    [at_once, run.outcome().map(|(_, how)| how)]
}

#[test]
fn who_can_go_on_goes_on_and_the_others_end() {
    let moved = || Some("moved".to_owned());
    let ended = || Some("its worker ended".to_owned());
    let (tcp, ws, tls) = (Protocol::Tcp, Protocol::Ws, Protocol::Tls);
    // When a worker lets go of what it can; when it ends soon; when it ends now.
    let table = [
        (tcp, Idle, [[moved(), moved()], [moved(), moved()], [moved(), moved()]]),
        (ws, Idle, [[moved(), moved()], [moved(), moved()], [moved(), moved()]]),
        (tcp, HalfInKernel, [[moved(), moved()], [moved(), moved()], [moved(), moved()]]),
        (ws, HalfInKernel, [[moved(), moved()], [moved(), moved()], [moved(), moved()]]),
        (tcp, HalfHere, [[None, None], [ended(), ended()], [ended(), ended()]]),
        (ws, Fragment, [[None, None], [ended(), ended()], [ended(), ended()]]),
        (tcp, Unwritten, [[None, moved()], [None, moved()], [ended(), ended()]]),
        (ws, HeldBack, [[None, None], [None, None], [ended(), ended()]]),
        (tls, HeldBack, [[None, None], [ended(), ended()], [ended(), ended()]]),
        (tls, Idle, [[None, None], [ended(), ended()], [ended(), ended()]]),
    ];
    for (protocol, how, [let_go, soon, now]) in table {
        let run = || stand(protocol, how);
        assert_eq!(becomes(run(), Machine::move_on), let_go, "{protocol:?} {how:?}");
        assert_eq!(becomes(run(), |m, steps| m.hand_over(true, steps)), soon, "{protocol:?} {how:?} soon");
        assert_eq!(becomes(run(), |m, steps| m.hand_over(false, steps)), now, "{protocol:?} {how:?} now");
    }
}

#[test]
fn what_was_queued_meanwhile_leaves_first() {
    let mut run = Run::accepted(Protocol::Tcp);
    run.feed(Machine::move_on);
    run.push("hello", Some(1));
    assert!(run.ask().is_some(), "it does not go");
    run.flush();
    assert_eq!(run.sent(), b"hello");
    assert!(run.ask().is_some(), "it was asked once");
    run.feed(Machine::move_on);
    assert_eq!((run.ask(), run.outcome().unwrap().1), (None, "moved".to_owned()));
}

#[test]
fn the_first_reason_to_stop_counts_but_the_peers_end() {
    let mut run = Run::accepted(Protocol::Tcp);
    run.feed(|machine, steps| machine.hand_over(false, steps));
    run.feed(|machine, steps| machine.stop(Stop::End(End::Stalled), steps));
    assert_eq!((run.ask(), run.outcome().unwrap().1), (None, "moved".to_owned()));
    let mut run = Run::accepted(Protocol::Tcp);
    run.feed(Machine::move_on);
    run.machine.fail(End::Closed);
    assert_eq!((run.ask(), run.outcome().unwrap().1), (None, "closed by the peer".to_owned()));
}

#[test]
fn a_successor_goes_on_where_the_other_was() {
    let mut run = Run::accepted(Protocol::Ws);
    run.arrive(UPGRADE);
    run.until(50).arrive(&frame(&options(1))[..20]);
    run.feed(Machine::move_on);
    run.ask();
    assert_eq!(run.outcome(), Some((50, "moved".to_owned())));
    run.log.clear();
    run.life = 0;
    assert!(run.succeed());
    assert_eq!(run.served(), [""; 0]);
    run.arrive(&frame(&options(1))[20..]);
    assert_eq!(run.served(), [options_line(1)]);
    assert!(run.row.is_movable);
}
