//! Looked at, served, taken; and what is read otherwise.

use super::super::reading::{MAX_CUTS_IN_A_ROW, TAKE_FROM};
use super::*;

#[test]
fn a_message_is_looked_at_served_and_then_taken() {
    let mut run = Run::accepted(Protocol::Tcp);
    run.answers = true;
    run.steps();
    run.arrive(options(1));
    let length = options(1).len();
    let answer = answer(&options_line(1));
    let steps = [
        Did::Serve(options_line(1)),
        Did::Flush,
        Did::Write(answer.len()),
        Did::NoteServed(length),
        Did::Take(length),
        Did::Done,
    ];
    assert_eq!(run.steps(), steps);
    assert_eq!(run.sent(), answer.as_bytes());
    assert_eq!((run.row.taken, run.row.served, run.socket.queue.len()), (length, length, 0));
}

/// `stream` arrives in parts of `step` bytes, and is read by `buffer` bytes at most.
fn arrives(mut run: Run, stream: &[u8], step: usize, buffer: usize) -> Run {
    run.buffer = buffer;
    for part in stream.chunks(step) {
        run.arrive(part);
    }
    assert!(run.row.is_movable && run.socket.queue.is_empty());
    assert_eq!(run.row.taken, run.socket.consumed);
    run
}

#[test]
fn messages_are_served_in_order_however_they_are_cut() {
    let all: Vec<_> = (0..5).map(options_line).collect();
    let plain: String = (0..5).map(options).collect();
    let framed: Vec<u8> = (0..5).flat_map(|n| frame(&options(n))).collect();
    for (step, buffer) in [(1, 64), (7, 64), (50, 64), (1000, 64), (1, 4096), (50, 4096), (1000, 4096)] {
        let run = arrives(Run::accepted(Protocol::Tcp), plain.as_bytes(), step, buffer);
        assert_eq!(run.served(), all, "{step} {buffer}");
        let mut open = Run::accepted(Protocol::Ws);
        open.arrive(UPGRADE);
        let run = arrives(open, &framed, step, buffer);
        assert_eq!(run.served(), all, "{step} {buffer}, in frames");
    }
}

#[test]
fn half_a_message_stays_in_the_kernel() {
    let mut run = Run::accepted(Protocol::Tcp);
    let (half, rest) = (&options(2)[..20], &options(2)[20..]);
    run.arrive(options(1) + half);
    assert_eq!(run.socket.queue, half.as_bytes());
    assert!(run.row.is_movable, "a successor finds the half");
    run.until(500).arrive(rest);
    assert_eq!(run.served(), [options_line(1), options_line(2)]);
    assert_eq!(run.end(), (120_500, "idle".to_owned()));
}

#[test]
fn the_begin_of_a_long_message_is_taken_out_of_the_kernel() {
    let long = request(&options_line(1), 40_000);
    let mut run = Run::accepted(Protocol::Tcp);
    run.steps();
    run.arrive(&long[..TAKE_FROM]);
    assert_eq!(run.steps(), [Did::Movable(false), Did::Take(TAKE_FROM)]);
    run.arrive(&long[TAKE_FROM..30_000]);
    assert_eq!(run.machine.wants(), Want::Take);
    assert_eq!((run.steps(), run.socket.queue.len()), (vec![], 0));
    let behind = options(2);
    run.arrive(format!("{}{}", &long[30_000..], &behind[..10]));
    assert_eq!(run.steps(), [Did::Serve(options_line(1)), Did::Done]);
    assert!(!run.row.is_movable, "the begin of the next one lies here");
    run.arrive(&behind[10..]);
    assert_eq!(run.steps(), [Did::Serve(options_line(2)), Did::Done, Did::Movable(true)]);
    run.arrive(&options(3)[..10]);
    assert_eq!((run.machine.wants(), run.socket.queue.len()), (Want::Look, 10));
}

#[test]
fn what_was_taken_out_is_not_movable_while_it_is_served() {
    let long = request(&options_line(1), 40_000);
    let mut run = Run::accepted(Protocol::Tcp);
    run.arrive(&long[..TAKE_FROM]);
    (run.answers, run.flushes) = (true, true);
    run.steps();
    run.arrive(&long[TAKE_FROM..]);
    let steps = run.steps();
    let done = steps.iter().position(|did| *did == Did::Done).unwrap();
    let movable = steps.iter().position(|did| *did == Did::Movable(true)).unwrap();
    assert!(done < movable, "{steps:?}");
}

#[test]
fn others_have_their_turn_after_many_pieces() {
    let most = MAX_CUTS_IN_A_ROW as usize;
    let mut open = Run::accepted(Protocol::Ws);
    open.arrive(UPGRADE);
    let plain = (Run::accepted(Protocol::Tcp), options(1).into_bytes());
    for (mut run, message) in [plain, (open, frame(&options(1)))] {
        run.socket.queue = message.repeat(most + 10);
        assert_eq!(run.read_once(), Turn::Again);
        assert_eq!((run.served().len(), run.machine.wants()), (most, Want::Look));
        run.read();
        assert_eq!(run.served().len(), most + 10);
    }
}

#[test]
fn bytes_that_were_taken_out_have_their_turns_too() {
    let long = request(&options_line(0), 20_000);
    let mut run = Run::accepted(Protocol::Tcp);
    run.arrive(&long[..18_000]);
    let most = MAX_CUTS_IN_A_ROW as usize;
    run.socket.queue = (long[18_000..].to_owned() + &options(1).repeat(most)).into_bytes();
    assert_eq!(run.read_once(), Turn::Again);
    assert_eq!((run.served().len(), run.machine.wants()), (most, Want::Nothing));
    assert!(!run.row.is_movable);
    run.read();
    assert_eq!((run.served().len(), run.machine.wants()), (most + 1, Want::Look));
    assert!(run.row.is_movable);
}

#[test]
fn keep_alives_are_answered_and_are_no_messages() {
    let mut run = Run::accepted(Protocol::Tcp);
    run.arrive("\r\n\r\n\r\n\r\n");
    assert_eq!((run.sent(), run.served().len()), (b"\r\n\r\n".to_vec(), 0));
    let mut run = Run::accepted(Protocol::Ws);
    run.arrive(UPGRADE);
    run.sent();
    run.arrive(frame("\r\n\r\n"));
    assert_eq!((run.sent(), run.served().len()), (b"\x81\x02\r\n".to_vec(), 0));
    run.arrive(frame("\r\n"));
    assert_eq!((run.sent().len(), run.served().len()), (0, 0));
}

#[test]
fn what_ends_a_connection() {
    let bad = "no SIP at all\r\n";
    let half = &options(9)[..30];
    let long = &request(&options_line(9), 40_000)[..20_000];
    let table = [
        ("closed between messages", options(1), true, "closed by the peer"),
        ("closed in the middle of a message", options(1) + half, true, "closed by the peer"),
        ("closed in the middle of a long message", options(1) + long, true, "closed by the peer"),
        ("bad bytes", options(1) + bad, false, "bad bytes: "),
    ];
    for (name, bytes, closes, end) in table {
        let mut run = Run::accepted(Protocol::Tcp);
        run.answers = true;
        if closes {
            run.socket.is_closed = true;
        }
        run.arrive(bytes);
        assert_eq!(run.served(), [options_line(1)], "{name}");
        let (time, how) = run.outcome().unwrap();
        assert!(time == 0 && how.starts_with(end), "{name}: {how}");
        assert!(run.sent().starts_with(b"SIP/2.0 200 "), "{name}");
    }
}

#[test]
fn a_close_frame_is_answered_and_nothing_behind_it_is_read() {
    let mut run = Run::accepted(Protocol::Ws);
    run.arrive(UPGRADE);
    run.sent();
    let mut bytes = frame(&options(1));
    websocket::write_close(&mut bytes, 1000, "", Some([1, 2, 3, 4]));
    bytes.extend(frame(&options(2)));
    run.arrive(bytes);
    assert_eq!(run.served(), [options_line(1)]);
    assert_eq!(run.outcome().unwrap().1, "closed by a WebSocket close frame");
    assert_eq!(run.sent(), [0x88, 2, 3, 232]);
}
