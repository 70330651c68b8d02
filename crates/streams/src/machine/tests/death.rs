//! The worker dies before each single step: nothing is lost, and nothing is served twice but what was not noted.

use super::*;

/// How often each of `count` messages was served. They must be served in order.
fn times(run: &Run, count: usize) -> Vec<usize> {
    let served = run.served();
    assert!(served.is_sorted(), "{served:?}");
    (0..count).map(|n| served.iter().filter(|line| **line == options_line(n)).count()).collect()
}

/// A connection over which `stream` arrives at once; its worker dies before the step `life`. `None`: it lives.
fn dies(protocol: Protocol, stream: &[u8], answers: bool, life: usize) -> Option<Run> {
    let mut run = Run::accepted(protocol);
    run.answers = answers;
    run.life = life;
    run.arrive(stream);
    run.is_dead().then_some(run)
}

/// The successor of a worker that died over four messages has served what was left.
fn assert_nothing_is_lost(run: &Run, last: Option<&Did>, stream: &[u8]) {
    let times = times(run, 4);
    assert!(times.iter().all(|times| (1..=2).contains(times)), "{last:?}: {times:?}");
    assert!(times.iter().sum::<usize>() <= 5, "{last:?}: {times:?}");
    let was_noted = matches!(last, Some(Did::NoteServed(_) | Did::Take(_) | Did::Done));
    assert!(!was_noted || times == [1; 4], "{last:?}: {times:?}");
    assert!(run.socket.queue.is_empty() && run.row.taken == stream.len());
    let text = String::from_utf8_lossy(&run.socket.sent).into_owned();
    let answered = text.matches("SIP/2.0 200 ").count();
    assert!(!run.answers || (4..=5).contains(&answered), "{last:?}: {text}");
    assert!(text.matches("HTTP/1.1 101 ").count() <= 1, "{last:?}: {text}");
}

/// Lets the worker die before each step in turn.
fn die_everywhere(protocol: Protocol, stream: &[u8], answers: bool) {
    let mut deaths = 0;
    while let Some(mut run) = dies(protocol, stream, answers, deaths + 1) {
        deaths += 1;
        let last = run.log.last().map(|(_, did)| did.clone());
        if run.succeed() {
            assert_nothing_is_lost(&run, last.as_ref(), stream);
        } else {
            // The upgrade was answered and not taken: a successor would answer it again.
            assert_eq!((protocol, run.served().len()), (Protocol::Ws, 0), "{last:?}");
        }
    }
    assert!(deaths > 20, "{protocol:?}: only {deaths} deaths");
}

#[test]
fn every_message_is_served_and_one_at_most_twice() {
    let plain: String = (0..4).map(options).collect();
    let mut framed = UPGRADE.as_bytes().to_vec();
    framed.extend((0..4).flat_map(|n| frame(&options(n))));
    for answers in [false, true] {
        die_everywhere(Protocol::Tcp, plain.as_bytes(), answers);
        die_everywhere(Protocol::Ws, &framed, answers);
    }
}

#[test]
fn a_fragment_that_was_taken_out_is_not_left_to_a_successor() {
    let mut stream = UPGRADE.as_bytes().to_vec();
    stream.extend(frame(&options(0)));
    stream.extend(fragments(&options(1)).concat());
    stream.extend(frame(&options(2)));
    let (mut life, mut closed) = (0, 0);
    while let Some(mut run) = dies(Protocol::Ws, &stream, true, life + 1) {
        life += 1;
        if run.succeed() {
            let times = times(&run, 3);
            assert!(times.iter().all(|times| *times >= 1), "{life}: {times:?}");
        } else {
            closed += usize::from(run.served() == [options_line(0)]);
        }
    }
    assert!(closed > 0, "it never died between the fragments");
}

#[test]
fn who_dies_twice_over_the_same_bytes_leaves_them_to_the_next() {
    let stream: String = (0..3).map(options).collect();
    for first in 1..30 {
        for second in 1..30 {
            let Some(mut run) = dies(Protocol::Tcp, stream.as_bytes(), true, first) else { continue };
            assert!(run.succeed_for(second));
            if run.is_dead() {
                assert!(run.succeed());
            }
            let times = times(&run, 3);
            assert!(times.iter().all(|times| (1..=3).contains(times)), "{first} {second}: {times:?}");
            assert!(times.iter().sum::<usize>() <= 5, "{first} {second}: {times:?}");
        }
    }
}

#[test]
fn what_lies_in_the_process_alone_dies_with_it() {
    let long = request(&options_line(1), 40_000);
    let table: [(&str, Protocol, Vec<u8>); 3] = [
        ("the begin of a long message", Protocol::Tcp, long.as_bytes()[..20_000].to_vec()),
        ("a fragment", Protocol::Ws, [UPGRADE.as_bytes(), &fragments(&options(1))[0]].concat()),
        ("a hello", Protocol::Tls, vec![22, 3, 1]),
    ];
    for (name, protocol, bytes) in table {
        let mut run = Run::accepted(protocol);
        run.arrive(bytes);
        run.life = 0;
        assert!(!run.succeed(), "{name}");
    }
    let mut run = Run::accepted(Protocol::Tcp);
    run.socket.room = 3;
    run.push("hello", None);
    run.flush();
    run.life = 0;
    assert!(!run.succeed(), "half a message is written");
}
