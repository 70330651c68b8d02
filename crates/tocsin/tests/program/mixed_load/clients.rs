//! Clients that register, connect for one request, and ask the Management Interface.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::management::Management;
use super::pace::Run;
use crate::harness::{Line, PATIENCE, Phone, Request};

/// How long a binding lives, in seconds.
const EXPIRES: u32 = 20;
/// Seconds after which a phone registers again: its binding has expired by then.
const REGISTERS_AFTER: f64 = 33.0;
/// How long a request over UDP waits before it is sent again the first time (RFC 3261 section 17.1.2.2).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// Registers one phone after the other.
pub(super) fn register(run: &Run, server: SocketAddr, rate: f64) -> u64 {
    let phone = Phone::new();
    let users = (rate * REGISTERS_AFTER) as u64;
    run.repeat(rate, |number| {
        let user = number % users;
        let contact = format!("<sip:user{user}@127.0.0.1:{}>", phone.port());
        let request = Request::new(&phone, "REGISTER", &format!("sip:{server}"))
            .header("Expires", EXPIRES)
            .to(&format!("<sip:user{user}@{server}>"))
            .contact(&contact);
        if let Err(failure) = ask(&phone, server, &request, &contact) {
            run.fails(format!("user{user} did not register: {failure}"));
        }
    })
}

/// Sends `request`, again and again, until there is an answer. It must be a 200 that names `contact`.
fn ask(phone: &Phone, server: SocketAddr, request: &Request, contact: &str) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let mut wait = T1;
    while Instant::now() < deadline {
        phone.send(server, request.text());
        let again = Instant::now() + wait;
        while let Some(left) = again.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let Some(answer) = phone.receive_within(left.max(Duration::from_millis(1))) else { break };
            if answer.header("Call-ID") != Some(&request.call_id) {
                continue;
            }
            let is_good = answer.status() == Some(200) && answer.text.contains(contact);
            return if is_good { Ok(()) } else { Err(answer.text) };
        }
        wait = (2 * wait).min(T2);
    }
    Err(format!("no answer within {PATIENCE:?}"))
}

/// Connects over TCP, asks for a sign of life, and closes.
pub(super) fn connect(run: &Run, server: SocketAddr, rate: f64) -> u64 {
    run.repeat(rate, |_| match TcpStream::connect(server) {
        Ok(stream) => Line::new(stream).ping(),
        Err(cause) => run.fails(format!("no connection: {cause}")),
    })
}

/// Asks for what operators ask for.
pub(super) fn manage(run: &Run, http: u16, rate: f64) -> u64 {
    let mut management = Management::new(http);
    let questions = [
        ("ps", Value::Null),
        ("get_statistics", json!({"statistics": ["all"]})),
        ("subscribers_list", Value::Null),
        ("list_tcp_conns", Value::Null),
        ("nosuch", Value::Null),
    ];
    run.repeat(rate, |number| {
        let (method, params) = &questions[number as usize % questions.len()];
        match management.ask(method, params) {
            Ok(answer) if answer.get("error").is_some() != (*method == "nosuch") => {
                run.fails(format!("{method}: {answer}"));
            }
            Ok(_) => {}
            Err(failure) => run.fails(format!("{method}: {failure}")),
        }
    })
}
