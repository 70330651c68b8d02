//! Processes that serve connections die or are replaced, and plain connections go on.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn};
use nix::unistd::Pid;

use crate::harness::{
    A_MOMENT, Desk, Line, Process, Request, Streams, Web, descriptors, disconnected, pause, until, web_frame,
};

/// Plain connections in a test.
const LINES: usize = 20;

fn open(streams: &Streams) -> Vec<Line> {
    let mut lines: Vec<_> = (0..LINES).map(|_| Line::open(streams.tcp)).collect();
    lines.iter_mut().for_each(Line::ping);
    lines
}

/// Closes `lines`; their ends and `others` must be told once each.
fn close(streams: &Streams, lines: Vec<Line>, others: impl IntoIterator<Item = String>) {
    let mut ends: Vec<_> = lines.iter().map(|line| streams.end_of_tcp(line.port())).collect();
    ends.extend(others);
    drop(lines);
    streams.told_once(ends);
}

fn replace_all(streams: &Streams, processes: &[Process], signal: Signal) {
    processes.iter().for_each(|process| streams.replace(process, signal));
}

#[test]
fn plain_connections_outlive_the_workers_that_serve_them() {
    let streams = Streams::start("");
    let mut lines = open(&streams);
    let mut web = Web::open(streams.ws);
    web.ping();
    for _ in 0..2 {
        replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
        lines.iter_mut().for_each(Line::ping);
        web.ping();
    }
    assert_eq!(streams.told(), [""; 0]);
    let end = streams.end_of_ws(web.port());
    drop(web);
    close(&streams, lines, [end]);
    streams.server.stop();
}

#[test]
fn plain_connections_outlive_their_worker_and_tcp_main_at_once() {
    let streams = Streams::start("");
    let before: usize = streams.receivers().iter().map(|receiver| descriptors(receiver.pid)).sum();
    let mut lines = open(&streams);
    for at in 0..streams.receivers().len() {
        let receivers = streams.receivers();
        until("each connection has a holder beside its owner", || {
            let now: usize = receivers.iter().map(|receiver| descriptors(receiver.pid)).sum();
            (now >= before + 2 * LINES).then_some(())
        });
        let dead = [streams.main(), receivers[at].clone()];
        for process in &dead {
            kill(Pid::from_raw(process.pid), Signal::SIGKILL).unwrap();
        }
        lines.iter_mut().for_each(Line::ping);
        until("both have successors", || {
            let now = streams.server.ps();
            let is_replaced = |old: &Process| now.iter().any(|new| new.id == old.id && new.pid != old.pid);
            dead.iter().all(is_replaced).then_some(())
        });
    }
    assert_eq!(streams.told(), [""; 0]);
    close(&streams, lines, []);
    until("no duplicate is left", || {
        let now: usize = streams.receivers().iter().map(|receiver| descriptors(receiver.pid)).sum();
        (now <= before).then_some(())
    });
    streams.server.stop();
}

#[test]
fn a_websocket_in_the_middle_of_a_message_ends_with_its_worker() {
    let streams = Streams::start("");
    let mut lines = open(&streams);
    let mut web = Web::open(streams.ws);
    web.ping();
    // The pong says that the fragment before it was taken.
    let mut frames = web_frame(0x01, b"OPTIONS sip:ping@");
    frames.extend(web_frame(0x89, b"ping"));
    web.line.send(frames);
    assert_eq!(web.receive_frame(), (0x8a, b"ping".to_vec()));
    let end = streams.end_of_ws(web.port());
    replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
    web.line.read_to_end();
    lines.iter_mut().for_each(Line::ping);
    streams.until_connections(LINES);
    assert_eq!(streams.told(), [end]);
    close(&streams, lines, []);
    streams.server.stop();
}

#[test]
fn a_websocket_between_the_fragments_of_a_message_ends_with_its_worker() {
    let streams = Streams::start("");
    let mut web = Web::open(streams.ws);
    web.ping();
    web.line.send(web_frame(0x01, b"OPTIONS sip:ping@"));
    let end = streams.end_of_ws(web.port());
    // Nothing tells that the fragment was taken, but that the process sleeps again.
    pause(A_MOMENT);
    replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
    web.line.read_to_end();
    streams.told_once([end]);
    streams.server.stop();
}

#[test]
fn the_begin_of_a_large_message_dies_with_its_worker() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    line.ping();
    let request = Request::over("TCP", line.port(), "OPTIONS", &format!("sip:ping@{}", streams.tcp));
    line.send(&request.body("x".repeat(60_000)).text()[..50_000]);
    let end = streams.end_of_tcp(line.port());
    pause(A_MOMENT);
    replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
    line.read_to_end();
    streams.told_once([end]);
    streams.server.stop();
}

#[test]
fn connections_wait_while_no_worker_serves() {
    let streams = Streams::start("tcp_socket_backlog=100");
    for _ in 0..3 {
        for receiver in streams.receivers() {
            // The table may name one that is dead already for a moment.
            let _ = kill(Pid::from_raw(receiver.pid), Signal::SIGKILL);
        }
        let mut lines = open(&streams);
        lines.iter_mut().for_each(Line::ping);
        close(&streams, lines, []);
    }
    streams.server.stop();
}

#[test]
fn half_a_message_goes_on_with_the_successor() {
    let streams = Streams::start("");
    let mut lines = open(&streams);
    let mut web = Web::open(streams.ws);
    // A worker that dies between answering the upgrade and taking it out of the kernel takes the connection along.
    web.ping();
    let of = |line: &Line| Request::over("TCP", line.port(), "OPTIONS", &format!("sip:ping@{}", line.peer()));
    let requests: Vec<_> = lines.iter().map(of).collect();
    let by_web = Request::over("WS", web.port(), "OPTIONS", &format!("sip:ping@{}", streams.ws)).text();
    let frame = web_frame(0x81, by_web.as_bytes());
    for (line, request) in lines.iter_mut().zip(&requests) {
        line.send(&request.text()[..100]);
    }
    web.line.send(&frame[..100]);
    replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
    for (line, request) in lines.iter_mut().zip(&requests) {
        line.send(&request.text()[100..]);
        line.wait_for_answer(request);
        assert!(line.is_quiet(), "it is answered once");
    }
    web.line.send(&frame[100..]);
    assert_eq!(web.receive().status(), Some(200));
    let end = streams.end_of_ws(web.port());
    drop(web);
    close(&streams, lines, [end]);
    streams.server.stop();
}

#[test]
fn what_came_for_a_dead_worker_is_served_by_its_successor() {
    let streams = Streams::start("");
    let mut lines = open(&streams);
    let receivers = streams.receivers();
    for receiver in &receivers {
        kill(Pid::from_raw(receiver.pid), Signal::SIGSTOP).unwrap();
    }
    // Some of them are accepted only now.
    lines.extend((0..LINES).map(|_| Line::open(streams.tcp)));
    let of = |line: &Line| Request::over("TCP", line.port(), "OPTIONS", &format!("sip:ping@{}", line.peer()));
    let requests: Vec<_> = lines.iter().map(of).collect();
    for (line, request) in lines.iter_mut().zip(&requests) {
        line.send(request.text());
    }
    until("all are accepted", || (streams.connections().len() == 2 * LINES).then_some(()));
    replace_all(&streams, &receivers, Signal::SIGKILL);
    for (line, request) in lines.iter_mut().zip(&requests) {
        line.wait_for_answer(request);
        assert!(line.is_quiet(), "it is answered once");
    }
    close(&streams, lines, []);
    streams.server.stop();
}

#[test]
fn a_worker_that_is_asked_to_end_hands_its_connections_over() {
    let streams = Streams::start("");
    let mut lines = open(&streams);
    let mut web = Web::open(streams.ws);
    web.ping();
    // This one cannot change hands in the middle of a message.
    let mut fragment = Web::open(streams.ws);
    let mut frames = web_frame(0x01, b"OPTIONS sip:ping@");
    frames.extend(web_frame(0x89, b"ping"));
    fragment.line.send(frames);
    assert_eq!(fragment.receive_frame().0, 0x8a);
    let end = streams.end_of_ws(fragment.port());
    for receiver in streams.receivers() {
        streams.replace(&receiver, Signal::SIGTERM);
        lines.iter_mut().for_each(Line::ping);
        web.ping();
    }
    assert_eq!(fragment.receive_frame(), (0x88, 1001_u16.to_be_bytes().to_vec()));
    fragment.line.read_to_end();
    streams.until_connections(LINES + 1);
    assert_eq!(streams.told(), [end]);
    let end = streams.end_of_ws(web.port());
    drop(web);
    close(&streams, lines, [end]);
    streams.server.stop();
}

#[test]
fn connections_outlive_the_process_that_accepts_and_then_their_workers() {
    let streams = Streams::start("");
    let mut lines = open(&streams);
    let mut web = Web::open(streams.ws);
    web.ping();
    let main = streams.main();
    let before = descriptors(main.pid);
    streams.replace(&main, Signal::SIGKILL);
    lines.iter_mut().for_each(Line::ping);
    web.ping();
    until("the new one has a duplicate of each connection", || {
        (descriptors(streams.main().pid) >= before).then_some(())
    });
    lines.push(Line::open(streams.tcp));
    replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
    lines.iter_mut().for_each(Line::ping);
    web.ping();
    assert_eq!(streams.told(), [""; 0]);
    let end = streams.end_of_ws(web.port());
    drop(web);
    close(&streams, lines, [end]);
    streams.server.stop();
}

#[test]
fn connections_that_end_while_nobody_accepts_are_told_once() {
    let streams = Streams::start("");
    let mut lines = open(&streams);
    let main = streams.main();
    kill(Pid::from_raw(main.pid), Signal::SIGSTOP).unwrap();
    let gone = lines.split_off(LINES / 2);
    let ends: Vec<_> = gone.iter().map(|line| streams.end_of_tcp(line.port())).collect();
    drop(gone);
    let waiting = Line::open(streams.tcp);
    streams.until_connections(LINES / 2);
    streams.replace(&main, Signal::SIGKILL);
    lines.push(waiting);
    lines.iter_mut().for_each(Line::ping);
    close(&streams, lines, ends);
    streams.server.stop();
}

#[test]
fn an_outgoing_connection_outlives_the_worker_that_opened_it() {
    let remote = Desk::open();
    let streams = Streams::start_with("", remote.port(), |setup| setup);
    let mut caller = Line::open(streams.tcp);
    let mut callee: Option<Line> = None;
    for _ in 0..3 {
        let request = Request::over("TCP", caller.port(), "OPTIONS", &format!("sip:out@{}", streams.tcp));
        caller.send(request.text());
        let callee = callee.get_or_insert_with(|| remote.accept());
        let arrived = callee.expect_request("OPTIONS");
        callee.send(arrived.response("200 OK", "callee", ""));
        caller.wait_for_answer(&request);
        replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
    }
    assert_eq!(streams.told(), [""; 0]);
    let callee = callee.unwrap();
    let end = disconnected(callee.address(), callee.peer(), "tcp");
    drop(callee);
    close(&streams, vec![caller], [end]);
    streams.server.stop();
}

/// A port that listens and lets nobody in: its queue is full of connections, which are returned too.
fn full_port() -> (OwnedFd, Vec<TcpStream>, u16) {
    let any = SockaddrIn::new(127, 0, 0, 1, 0);
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    socket::bind(socket.as_raw_fd(), &any).unwrap();
    socket::listen(&socket, Backlog::new(0).unwrap()).unwrap();
    let port = socket::getsockname::<SockaddrIn>(socket.as_raw_fd()).unwrap().port();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let fill = || TcpStream::connect_timeout(&to, Duration::from_millis(200)).ok();
    let waiting: Vec<_> = std::iter::from_fn(fill).take(100).collect();
    assert!(waiting.len() < 100, "the queue has an end");
    (socket, waiting, port)
}

#[test]
fn a_request_that_waited_in_a_worker_that_died_fails() {
    let (_listens, _waiting, port) = full_port();
    let streams = Streams::start_with("tcp_connect_timeout=60000", port, |setup| setup);
    let mut caller = Line::open(streams.tcp);
    let request = Request::over("TCP", caller.port(), "INVITE", &format!("sip:out@{}", streams.tcp));
    caller.send(request.text());
    caller.expect_status(100);
    // Nothing repeats it over a stream, and the caller waits for its timer half a minute.
    replace_all(&streams, &streams.receivers(), Signal::SIGKILL);
    caller.expect_status(477);
    streams.server.stop();
}
