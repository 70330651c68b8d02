//! Limits of connections, clients that want to hurt, and what is left of them afterwards: nothing.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{
    Desk, Line, PATIENCE, Process, Request, Streams, descriptors, disconnected, pause, until, web_handshake,
};

/// Connections of one attack.
const MANY: usize = 500;
/// Connections that the kernel keeps waiting: enough for an attack that comes at once.
const BACKLOG: &str = "tcp_socket_backlog=1024\n";

/// The end of `line`, which need not come from 127.0.0.1.
fn end_of(streams: &Streams, line: &Line) -> String {
    disconnected(line.address(), line.peer(), if line.peer() == streams.ws { "ws" } else { "tcp" })
}

/// Opens `count` connections from 127.0.0.`from`, and waits until all are accepted.
fn open_many(streams: &Streams, count: usize, from: u8) -> Vec<Line> {
    let before = streams.connections().len();
    let lines = (0..count).map(|_| Line::open_from(from, streams.tcp)).collect();
    streams.until_connections(before + count);
    lines
}

#[test]
fn slow_clients_hold_up_nobody_and_leave_nothing_behind() {
    let streams = Streams::start(&format!("{BACKLOG}tcp_max_msg_time=2"));
    let before = streams.descriptors();
    let mut other = Line::open(streams.tcp);
    // Answered, it is surely among the connections that are there before the others.
    other.ping();
    let mut lines = open_many(&streams, MANY, 2);
    let begun = Instant::now();
    let mut at = 0;
    let text = Request::over("TCP", 9, "OPTIONS", "sip:ping@127.0.0.1").text();
    while begun.elapsed() < Duration::from_secs(1) {
        for line in &mut lines {
            // One that was slow on a slow machine may be closed by now.
            let _ = line.try_send(&text[at..=at]);
        }
        at = (at + 1).min(text.len() - 10);
        let asked = Instant::now();
        other.ping();
        assert!(asked.elapsed() < Duration::from_secs(2), "somebody else waited {:?}", asked.elapsed());
    }
    for line in &mut lines {
        assert!(line.read_to_end().is_empty());
    }
    other.ping();
    let ends: Vec<_> = lines.iter().chain([&other]).map(|line| end_of(&streams, line)).collect();
    drop((lines, other));
    streams.told_once(ends);
    streams.until_descriptors(&before);
    streams.server.stop();
}

#[test]
fn half_messages_cost_no_time_of_the_processor() {
    let streams = Streams::start(BACKLOG);
    let mut lines = open_many(&streams, 50, 7);
    for (at, line) in lines.iter_mut().enumerate() {
        line.send(&"OPTIONS sip:ping@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n"[..=at]);
    }
    let mut other = Line::open(streams.tcp);
    other.ping();
    let before = time_of_receivers(&streams);
    pause(Duration::from_secs(1));
    let spent = time_of_receivers(&streams) - before;
    assert!(spent < Duration::from_millis(250), "{spent:?} were spent on nothing");
    other.ping();
    streams.server.stop();
}

/// The processor time that the receivers have had.
fn time_of_receivers(streams: &Streams) -> Duration {
    let of = |process: &Process| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // In user mode and in the kernel, in hundredths of a second (proc_pid_stat(5)).
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    };
    streams.receivers().iter().map(of).sum()
}

#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    let streams = Streams::start(BACKLOG);
    let before = streams.descriptors();
    let used = streams.server.statistic("shmem:real_used_size");
    let mut ends = Vec::new();
    for round in 0..MANY {
        let mut line = Line::open_from(3, streams.tcp);
        ends.push(end_of(&streams, &line));
        let request = Request::over("TCP", 9, "OPTIONS", "sip:ping@127.0.0.1").text();
        match round % 4 {
            0 => {}
            1 => line.send(&request[..50]),
            2 => line.send(&request),
            _ => line.ping(),
        }
        line.reset();
    }
    streams.told_once(ends);
    streams.until_descriptors(&before);
    assert!(streams.server.statistic("shmem:real_used_size") <= used + (256 << 10), "shared memory leaks");
    Line::open(streams.tcp).ping();
    streams.server.stop();
}

#[test]
fn a_storm_of_all_kinds_leaves_nothing_behind() {
    let streams = Streams::start(&format!("{BACKLOG}tcp_max_msg_time=1"));
    let before = streams.descriptors();
    let mut ends = Vec::new();
    let mut left = Vec::new();
    for round in 0..MANY {
        let to = if round % 5 == 4 { streams.ws } else { streams.tcp };
        let mut line = Line::open_from(4, to);
        ends.push(end_of(&streams, &line));
        match round % 5 {
            0 => line.send("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".as_bytes()),
            1 => line.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            2 => line.send("INVITE sip:ping@127.0.0.1 SIP/2.0\r\nContent-Length: 4294967328\r\n\r\n"),
            3 => line.send("INVITE sip:ping@127.0.0.1 SIP/2.0\r\nContent-Le"),
            _ => line.send(&web_handshake(to)[..60]),
        }
        // Half of them close themselves, the others wait for the server.
        if round % 2 == 0 {
            left.push(line);
        }
    }
    for line in &mut left {
        line.read_to_end();
    }
    streams.told_once(ends);
    streams.until_descriptors(&before);
    streams.server.stop();
}

#[test]
fn who_asks_and_goes_away_kills_nobody() {
    let remote = Desk::open();
    let streams = Streams::start_with("", remote.port(), |setup| setup);
    let before = streams.server.ps();
    let mut callee: Option<Line> = None;
    let mut ends = Vec::new();
    for reset in [false, true] {
        for method in ["INVITE", "OPTIONS"] {
            let mut caller = Line::open(streams.tcp);
            let request = Request::over("TCP", caller.port(), method, &format!("sip:out@{}", streams.tcp));
            caller.send(request.text());
            let callee = callee.get_or_insert_with(|| remote.accept());
            let arrived = callee.expect_request(method);
            ends.push(streams.end_of_tcp(caller.port()));
            if reset {
                caller.reset();
            } else {
                drop(caller);
            }
            streams.until_connections(1);
            callee.send(arrived.response("200 OK", "callee", ""));
        }
    }
    let mut other = Line::open(streams.tcp);
    other.ping();
    ends.push(streams.end_of_tcp(other.port()));
    let callee = callee.unwrap();
    ends.push(disconnected(callee.address(), callee.peer(), "tcp"));
    drop((other, callee));
    streams.told_once(ends);
    assert_eq!(streams.server.ps(), before);
    streams.server.stop();
}

#[test]
fn no_more_connections_than_allowed() {
    const MOST: usize = 20;
    let streams = Streams::start(&format!("tcp_max_connections={MOST}"));
    let before = streams.descriptors();
    let mut lines: Vec<_> = (0..MOST).map(|_| Line::open(streams.tcp)).collect();
    lines.iter_mut().for_each(Line::ping);
    for _ in 0..5 {
        let mut refused = Line::open(streams.tcp);
        assert!(refused.read_to_end().is_empty());
    }
    assert_eq!(streams.connections().len(), MOST);
    lines.iter_mut().for_each(Line::ping);
    let mut ends = vec![streams.end_of_tcp(lines[0].port())];
    lines.remove(0);
    streams.until_connections(MOST - 1);
    let mut next = Line::open(streams.tcp);
    next.ping();
    lines.push(next);
    ends.extend(lines.iter().map(|line| streams.end_of_tcp(line.port())));
    drop(lines);
    // A connection that was refused never was one.
    streams.told_once(ends);
    streams.until_descriptors(&before);
    streams.server.stop();
}

#[test]
fn what_came_in_leaves_room_for_what_goes_out() {
    const MOST: usize = 40;
    let remote = Desk::open();
    let streams = Streams::start_with(&format!("tcp_max_connections={MOST}"), remote.port(), |setup| setup);
    let mut lines: Vec<_> = (0..MOST).map(|_| Line::open(streams.tcp)).collect();
    lines.iter_mut().for_each(Line::ping);
    assert!(Line::open(streams.tcp).read_to_end().is_empty());
    let caller = &mut lines[0];
    let request = Request::over("TCP", caller.port(), "OPTIONS", &format!("sip:out@{}", streams.tcp));
    caller.send(request.text());
    let mut callee = remote.accept();
    let arrived = callee.expect_request("OPTIONS");
    callee.send(arrived.response("200 OK", "callee", ""));
    caller.wait_for_answer(&request);
    // What goes out takes no place of what comes in.
    lines.pop();
    streams.until_connections(MOST);
    let mut next = Line::open(streams.tcp);
    next.ping();
    assert!(Line::open(streams.tcp).read_to_end().is_empty());
    streams.server.stop();
}

#[test]
fn no_more_connections_of_one_source_than_allowed() {
    const MOST: usize = 10;
    let streams = Streams::start(&format!("tcp_max_connections_per_source={MOST}"));
    let lines = open_many(&streams, MOST, 5);
    assert!(Line::open_from(5, streams.tcp).read_to_end().is_empty());
    let mut other = Line::open_from(6, streams.tcp);
    other.ping();
    // A death makes no room: the next process that accepts learns what there is.
    let main = streams.main();
    let held = descriptors(main.pid);
    streams.replace(&main, Signal::SIGKILL);
    until("the new one knows the connections", || (descriptors(streams.main().pid) == held).then_some(()));
    assert!(Line::open_from(5, streams.tcp).read_to_end().is_empty());
    let mut ends: Vec<_> = lines.iter().map(|line| end_of(&streams, line)).collect();
    drop(lines);
    streams.until_connections(1);
    let mut again = Line::open_from(5, streams.tcp);
    again.ping();
    ends.extend([end_of(&streams, &again), end_of(&streams, &other)]);
    drop((again, other));
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn who_never_reads_is_let_go() {
    // One worker, which has to serve the other one too.
    let streams = Streams::start("tcp_workers=1\n");
    let before = streams.descriptors();
    let mut other = Line::open(streams.tcp);
    let mut deaf = Line::open(streams.tcp);
    let ends = [streams.end_of_tcp(deaf.port()), streams.end_of_tcp(other.port())];
    let request = Request::over("TCP", deaf.port(), "OPTIONS", &format!("sip:ping@{}", streams.tcp)).text();
    let many = request.repeat(100);
    let deadline = Instant::now() + PATIENCE;
    let mut at = 0;
    let mut asked = Instant::now();
    while let Ok(sent) = deaf.send_some(&many.as_bytes()[at..]) {
        at = (at + sent) % many.len();
        assert!(Instant::now() < deadline, "the server keeps what nobody reads");
        if asked.elapsed() > Duration::from_millis(100) {
            other.ping();
            asked = Instant::now();
        }
    }
    other.ping();
    drop((other, deaf));
    streams.told_once(ends);
    streams.until_descriptors(&before);
    streams.server.stop();
}
