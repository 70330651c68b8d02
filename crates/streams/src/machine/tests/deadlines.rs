//! Which deadline is the next one.

use std::time::Duration;

use super::super::deadlines::{Deadlines, Stage, TimeLimits};
use crate::end::End;

const LIMITS: TimeLimits = TimeLimits {
    idle: Duration::from_secs(120),
    message: Duration::from_secs(4),
    send: Duration::from_secs(3),
    tls_handshake: Duration::from_secs(2),
    websocket_handshake: Duration::from_secs(1),
};

/// The moment of birth, to find what counts from zero.
const BIRTH: u64 = 7_000_000;

/// What happens on a connection, in milliseconds after its birth.
#[derive(Debug, Clone, Copy)]
enum Event {
    Traffic(u64),
    Keep(u64),
    TlsDone(u64),
    Begun(u64),
    BegunAnew(u64),
    Whole,
}
use Event::*;

/// What it shows, how far the connection is, what happened, since when the peer takes nothing; when what is due.
type Row<'a> = (&'a str, Stage, &'a [Event], Option<u64>, u64, &'a End);

/// The next deadline after `events`, as milliseconds after birth.
fn due(stage: Stage, events: &[Event], stalled_since: Option<u64>) -> (u64, String) {
    let mut deadlines = Deadlines::new(BIRTH, 0, &LIMITS);
    for event in events {
        match *event {
            Traffic(at) => deadlines.touch(BIRTH + at, &LIMITS),
            Keep(at) => deadlines.keep(BIRTH + at),
            TlsDone(at) => deadlines.begin_handshake(BIRTH + at),
            Begun(at) => deadlines.note_partial(BIRTH + at, false),
            BegunAnew(at) => deadlines.note_partial(BIRTH + at, true),
            Whole => deadlines.note_whole(),
        }
    }
    let (at, end) = deadlines.due(stage, stalled_since.map(|at| BIRTH + at), &LIMITS);
    (at - BIRTH, end.to_string())
}

#[test]
fn the_earliest_of_all_limits_counts() {
    let idle = End::Idle;
    let slow = End::SlowMessage(LIMITS.message);
    let tls = End::HandshakeTimeout(LIMITS.tls_handshake);
    let websocket = End::HandshakeTimeout(LIMITS.websocket_handshake);
    use Stage::{Messages, TlsHandshake, WebSocketHandshake};
    let table: &[Row<'_>] = &[
        ("silence from the start", Messages, &[], None, 120_000, &idle),
        ("traffic puts it off", Messages, &[Traffic(50)], None, 120_050, &idle),
        ("kept for longer", Messages, &[Keep(600_000), Traffic(50)], None, 600_000, &idle),
        ("kept for shorter", Messages, &[Keep(600), Traffic(50)], None, 120_050, &idle),
        ("kept twice: the longer one", Messages, &[Keep(700_000), Keep(600_000)], None, 700_000, &idle),
        ("half a message", Messages, &[Begun(100)], None, 4_100, &slow),
        ("drop by drop", Messages, &[Begun(100), Traffic(900), Begun(900)], None, 4_100, &slow),
        ("the next one behind a whole one", Messages, &[Begun(100), BegunAnew(900)], None, 4_900, &slow),
        ("whole", Messages, &[Begun(100), Whole], None, 120_000, &idle),
        ("whole, then the next", Messages, &[Begun(100), Whole, Begun(300)], None, 4_300, &slow),
        ("half a message of a registered phone", Messages, &[Keep(600_000), Begun(100)], None, 4_100, &slow),
        ("no hello", TlsHandshake, &[], None, 2_000, &tls),
        ("a slow hello", TlsHandshake, &[Traffic(1_900)], None, 2_000, &tls),
        ("no upgrade", WebSocketHandshake, &[], None, 1_000, &websocket),
        ("no upgrade behind TLS", WebSocketHandshake, &[TlsDone(1_500)], None, 2_500, &websocket),
        ("nothing is taken", Messages, &[], Some(500), 3_500, &End::Stalled),
        ("nothing is taken, half a message before", Messages, &[Begun(100)], Some(2_000), 4_100, &slow),
        ("nothing is taken, half a message behind", Messages, &[Begun(900)], Some(200), 3_200, &End::Stalled),
        ("nothing of the hello is taken", TlsHandshake, &[], Some(0), 2_000, &tls),
        ("two at once: what arrives", Messages, &[Begun(0)], Some(1_000), 4_000, &slow),
    ];
    for (name, stage, events, stalled_since, at, end) in table {
        assert_eq!(due(*stage, events, *stalled_since), (*at, end.to_string()), "{name}");
    }
}

#[test]
fn what_the_row_grants_is_kept_in_other_hands() {
    let deadlines = Deadlines::new(BIRTH, BIRTH + 3_600_000, &LIMITS);
    assert_eq!(deadlines.lives_until(), BIRTH + 3_600_000);
    let deadlines = Deadlines::new(BIRTH, BIRTH + 5, &LIMITS);
    assert_eq!(deadlines.lives_until(), BIRTH + 120_000);
}

#[test]
fn a_deadline_beyond_all_time_does_not_overflow() {
    let limits = TimeLimits { idle: Duration::MAX, ..LIMITS };
    let deadlines = Deadlines::new(u64::MAX - 5, 0, &limits);
    assert_eq!(deadlines.lives_until(), u64::MAX);
}
