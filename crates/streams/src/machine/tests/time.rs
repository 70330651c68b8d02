//! Whatever takes too long ends the connection, at the right moment.

use super::*;

/// Something that happens at a time.
type Event<'a> = (u64, &'a dyn Fn(&mut Run));

/// What it shows, over which protocol, what happens; when and how it ends.
type Row<'a> = (&'a str, Protocol, &'a [Event<'a>], (u64, &'a str));

#[test]
fn every_wait_has_an_end() {
    let half = options(1)[..30].to_owned();
    let long = request(&options_line(1), 40_000);
    let ping = "\r\n\r\n";
    let table: &[Row<'_>] = &[
        ("silence", Protocol::Tcp, &[], (120_000, "idle")),
        ("a message", Protocol::Tcp, &[(50_000, &|run| _ = run.arrive(options(1)))], (170_000, "idle")),
        ("a keep-alive", Protocol::Tcp, &[(50_000, &|run| _ = run.arrive(ping))], (170_000, "idle")),
        ("half a keep-alive", Protocol::Tcp, &[(10, &|run| _ = run.arrive("\r\n"))], (120_010, "idle")),
        ("something sent", Protocol::Tcp, &[(50_000, &|run| send(run, "hello"))], (170_000, "idle")),
        ("kept for an hour", Protocol::Tcp, &[(5, &|run| keep(run, 3_600_005))], (3_600_005, "idle")),
        ("half a message", Protocol::Tcp, &[(70, &|run| _ = run.arrive(&half))], (4_070, "slow")),
        (
            "a message byte by byte",
            Protocol::Tcp,
            &[
                (70, &|run| _ = run.arrive("O")),
                (2_000, &|run| _ = run.arrive("P")),
                (4_000, &|run| _ = run.arrive("T")),
            ],
            (4_070, "slow"),
        ),
        (
            "half a message behind another one that was slow",
            Protocol::Tcp,
            &[
                (70, &|run| _ = run.arrive(&half)),
                (3_000, &|run| _ = run.arrive(options(1)[30..].to_owned() + &half)),
            ],
            (7_000, "slow"),
        ),
        (
            "a long message",
            Protocol::Tcp,
            &[
                (70, &|run| _ = run.arrive(&long[..20_000])),
                (3_000, &|run| _ = run.arrive(&long[20_000..30_000])),
            ],
            (4_070, "slow"),
        ),
        ("no request for a WebSocket", Protocol::Ws, &[], (4_000, "handshake")),
        ("half of it", Protocol::Ws, &[(3_900, &|run| _ = run.arrive(&UPGRADE[..50]))], (4_000, "handshake")),
        ("an open WebSocket", Protocol::Ws, &[(10, &|run| _ = run.arrive(UPGRADE))], (120_010, "idle")),
        (
            "half a frame",
            Protocol::Ws,
            &[(10, &|run| _ = run.arrive(UPGRADE)), (20, &|run| _ = run.arrive(&frame(&half)[..9]))],
            (4_020, "slow"),
        ),
        (
            "half a frame of which nothing is seen of a message",
            Protocol::Ws,
            &[(10, &|run| _ = run.arrive(UPGRADE)), (20, &|run| _ = run.arrive([0x81]))],
            (4_020, "slow"),
        ),
        (
            "a fragment",
            Protocol::Ws,
            &[(10, &|run| _ = run.arrive(UPGRADE)), (20, &|run| _ = run.arrive(&fragments(&options(1))[0]))],
            (4_020, "slow"),
        ),
        ("no hello", Protocol::Tls, &[], (4_000, "handshake")),
        ("half a hello", Protocol::Tls, &[(100, &|run| _ = run.arrive([22, 3, 1, 1]))], (4_000, "handshake")),
        ("no hello before a WebSocket", Protocol::Wss, &[], (4_000, "handshake")),
        ("a stalled peer", Protocol::Tcp, &[(500, &|run| stall(run))], (4_500, "the peer")),
        (
            "a peer that takes a little",
            Protocol::Tcp,
            &[(500, &|run| stall(run)), (3_000, &|run| run.take(2))],
            (7_000, "the peer"),
        ),
        (
            "a peer that takes all in the end",
            Protocol::Tcp,
            &[(500, &|run| stall(run)), (3_000, &|run| run.take(5))],
            (123_000, "idle"),
        ),
    ];
    for (name, protocol, events, (time, end)) in table {
        let mut run = Run::accepted(*protocol);
        for (at, event) in *events {
            run.until(*at);
            assert_eq!(run.outcome(), None, "{name}");
            event(&mut run);
        }
        let lives = run.row.live_until;
        let (at, how) = run.end();
        let how_in_short = if how.starts_with("a message did not") { "slow" } else { &how };
        assert!(at == *time && how_in_short.starts_with(end), "{name}: {how} at {at}");
        assert!(*end != "idle" || lives == *time, "{name}: the row says {lives}");
    }
}

fn send(run: &mut Run, message: &str) {
    run.push(message, None);
    run.flush();
}

fn keep(run: &mut Run, until: u64) {
    run.feed(|machine, steps| machine.keep(BIRTH + until, steps));
}

/// Five bytes that the peer does not take.
fn stall(run: &mut Run) {
    run.socket.room = 0;
    send(run, "hello");
}

#[test]
fn a_lifetime_of_nothing_lets_a_message_arrive() {
    let profile = TcpProfile {
        lifetime: std::time::Duration::ZERO,
        ..TcpProfile::new(&TcpSettings::default(), &StreamOptions::of(Protocol::Tcp))
    };
    let times = super::super::deadlines::TimeLimits::new(&profile, &StreamOptions::of(Protocol::Tcp));
    assert_eq!(times.idle.as_millis(), 1_000);
}
