//! Messages that wait cost what they hold: those that do not wait are served beside them, each that waits gets an answer,
//! and a process that has to make room does so behind the back of its clients.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{MariaDb, Message, Phone, Process, Request, Server, Setup, Subscriber, until};

const WAITING: &str = include_str!("../configs/waiting.cfg");
/// Most bytes of private memory that a small request may take while it waits.
const COST: i64 = 4096;
/// Requests sent before one that does not wait has to be answered; their sum fits into the queue of a socket.
const AT_ONCE: usize = 50;
/// Requests of one phone.
const EACH: usize = 100;

fn waiting(wait: &str, workers: usize, subscriber: &Subscriber) -> Setup {
    Setup::new(WAITING).put("WAIT", wait).put("WORKERS", workers).put("SUBSCRIBER", subscriber.name())
}

/// Sends an OPTIONS and takes its answer, which must be a 200. What the same worker got before has been served to its end
/// or its first wait by then.
fn ask(phone: &Phone, server: &Server) {
    let options = Request::new(phone, "OPTIONS", &format!("sip:{}", server.address()));
    phone.send(server.address(), options.text());
    assert_eq!(phone.receive().status(), Some(200));
}

/// Callers whose requests wait. Each has only so many that all answers fit into the queue of its socket.
struct Crowd {
    phones: Vec<Phone>,
}

impl Crowd {
    /// Sends `count` INVITEs to `uri`, where `#` stands for the number of each, and asks for a sign of life now and then.
    fn call(server: &Server, uri: &str, count: usize) -> Self {
        let other = Phone::new();
        let phones: Vec<_> = (0..count.div_ceil(EACH)).map(|_| Phone::new()).collect();
        for number in 0..count {
            let phone = &phones[number / EACH];
            let invite = Request::new(phone, "INVITE", &uri.replace('#', &number.to_string()));
            phone.send(server.address(), invite.text());
            if number % AT_ONCE == AT_ONCE - 1 {
                ask(&other, server);
            }
        }
        ask(&other, server);
        Self { phones }
    }

    /// Nobody has an answer yet.
    fn waits(&self) {
        for phone in &self.phones {
            let answer = phone.receive_within(Duration::from_millis(1));
            assert!(answer.is_none(), "{}", answer.unwrap().text);
        }
    }

    /// Takes the final answers to `count` requests, and counts them by status. A 503 says when to come back.
    fn finals(self, count: usize) -> HashMap<u16, usize> {
        let mut statuses = HashMap::new();
        for (number, phone) in self.phones.iter().enumerate() {
            for _ in 0..EACH.min(count - number * EACH) {
                let answer = final_answer(phone);
                let status = answer.status().unwrap();
                assert_eq!(answer.header("Retry-After").is_some(), status == 503, "{}", answer.text);
                *statuses.entry(status).or_default() += 1;
            }
        }
        statuses
    }
}

/// The next final answer.
fn final_answer(phone: &Phone) -> Message {
    loop {
        let answer = phone.receive();
        if answer.status().unwrap() >= 200 {
            return answer;
        }
    }
}

fn receivers(server: &Server) -> Vec<Process> {
    server.ps().into_iter().filter(|process| process.kind.starts_with("SIP receiver")).collect()
}

fn private_bytes(server: &Server, process: &Process) -> i64 {
    server.statistic(&format!("pkmem:{}-used_size", process.id))
}

#[test]
fn what_waits_costs_what_it_holds_and_is_answered_at_the_end() {
    const COUNT: usize = 300;
    let subscriber = Subscriber::new();
    let server = waiting("sleep(600);", 1, &subscriber).put("MODULES", "").start();
    let receiver = &receivers(&server)[0];
    let first = Crowd::call(&server, "sip:u@127.0.0.1", 10);
    let before = private_bytes(&server, receiver);
    let others = Crowd::call(&server, "sip:u@127.0.0.1", COUNT);
    let each = (private_bytes(&server, receiver) - before) / COUNT as i64;
    assert!(each < COST, "{each} bytes for each request that waits");
    server.stop();
    assert_eq!(first.finals(10), HashMap::from([(503, 10)]));
    assert_eq!(others.finals(COUNT), HashMap::from([(503, COUNT)]));
}

#[test]
fn a_transaction_that_waits_is_answered_at_the_end() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = waiting("t_newtran(); sleep(600);", 1, &subscriber).put("MODULES", "").start();
    let invite = Request::new(&phone, "INVITE", "sip:u@127.0.0.1");
    phone.send(server.address(), invite.text());
    ask(&Phone::new(), &server);
    server.stop();
    let answer = phone.wait_for("a final response", |message| message.status() >= Some(200));
    assert_eq!(answer.status(), Some(503), "{}", answer.text);
}

#[test]
fn beyond_its_memory_no_further_request_waits_and_nobody_is_replaced() {
    const COUNT: usize = 1500;
    let subscriber = Subscriber::new();
    let wait = "sleep(3); sl_send_reply(486, \"Busy Here\");";
    let server = waiting(wait, 1, &subscriber).put("MODULES", "").args(["-M", "3"]).start();
    let family = server.ps();
    let answers = Crowd::call(&server, "sip:u@127.0.0.1", COUNT).finals(COUNT);
    assert!(answers[&486] > 200 && answers[&503] > 0, "{answers:?}");
    assert!(answers.len() == 2, "{answers:?}");
    assert_eq!(server.ps(), family);
    assert!(server.log().contains("requests that have to wait are answered with 503"));
    server.stop();
}

#[test]
fn names_that_nobody_answers_for_hold_up_nobody_else() {
    const COUNT: usize = 200;
    let subscriber = Subscriber::new();
    // Bound, and never read.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = format!("dns_server=\"{}\"\n", silent.local_addr().unwrap());
    let wait = "t_relay();";
    let server = waiting(wait, 2, &subscriber).put("MODULES", "").put_before("udp_workers", &dns).start();
    let family = server.ps();
    let crowd = Crowd::call(&server, "sip:u@n#.example.com", COUNT);
    crowd.waits();
    assert_eq!(crowd.finals(COUNT), HashMap::from([(476, COUNT)]));
    assert_eq!(server.ps(), family);
    server.stop();
}

#[test]
fn names_that_a_statement_resolves_hold_up_nobody_else() {
    const COUNT: usize = 200;
    let subscriber = Subscriber::new();
    // Bound, and never read.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = format!("dns_server=\"{}\"\n", silent.local_addr().unwrap());
    let wait = "$var(here) = \"localhost\";\n\
                if ($(rd{ip.resolve}) == NULL && $(var(here){ip.resolve}) == \"127.0.0.1\") sl_send_reply(500, \"No Answer\");";
    let server = waiting(wait, 2, &subscriber).put("MODULES", "").put_before("udp_workers", &dns).start();
    let family = server.ps();
    let crowd = Crowd::call(&server, "sip:u@n#.example.com", COUNT);
    crowd.waits();
    assert_eq!(crowd.finals(COUNT), HashMap::from([(500, COUNT)]));
    assert_eq!(server.ps(), family);
    server.stop();
}

#[test]
fn a_slow_database_holds_up_nobody_else() {
    const COUNT: usize = 60;
    let subscriber = Subscriber::new();
    let modules = format!(
        "loadmodule \"db_mysql.so\"\nloadmodule \"avpops.so\"\nmodparam(\"avpops\", \"db_url\", \"{}\")\n",
        MariaDb::shared().url()
    );
    let wait = "if (avp_db_query(\"select sleep(2)\")) sl_send_reply(486, \"Busy Here\");\n\
                else sl_send_reply(500, \"No Answer\");";
    let server = waiting(wait, 2, &subscriber).put("MODULES", modules).start();
    let family = server.ps();
    let crowd = Crowd::call(&server, "sip:u@127.0.0.1", COUNT);
    crowd.waits();
    let answers = crowd.finals(COUNT);
    assert!(answers[&486] >= 10 && answers.keys().all(|status| [486, 500].contains(status)), "{answers:?}");
    assert_eq!(server.ps(), family);
    server.stop();
}

#[test]
fn a_full_worker_serves_until_its_successor_does_and_finishes_what_waits() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let routes: String = (0..100).map(|n| format!("\tif ($rU == \"s{n}\") $var(v{n}) = $rb;\n")).collect();
    let wait = format!(
        "{routes}\tif ($rU == \"wait\") {{ sleep(6); sl_send_reply(202, \"Accepted\"); exit; }}\n\
         \tsl_send_reply(200, \"OK\");"
    );
    let server = waiting(&wait, 1, &subscriber).put("MODULES", "").args(["-M", "4"]).start();
    let first = receivers(&server)[0].clone();
    let patient = Phone::new();
    patient.send(server.address(), Request::new(&patient, "INVITE", "sip:wait@127.0.0.1").text());
    let body = "v".repeat(60_000);
    let mut sent = 0;
    let second = until("a successor serves beside the full worker", || {
        // Each is answered at once, whichever process serves it.
        let uri = format!("sip:s{}@127.0.0.1", sent % 100);
        sent += 1;
        phone.send(server.address(), Request::new(&phone, "MESSAGE", &uri).body(body.as_str()).text());
        assert_eq!(phone.receive().status(), Some(200));
        receivers(&server).into_iter().find(|process| process.pid != first.pid)
    });
    assert_ne!(second.id, first.id, "each has a place of its own");
    assert_eq!(second.kind, first.kind);
    let answer = patient.wait_for("the answer to the request that waits", |m| m.status() >= Some(200));
    assert_eq!(answer.status(), Some(202), "{}", answer.text);
    until("the full worker has left", || {
        ask(&phone, &server);
        (!server.ps().contains(&first)).then_some(())
    });
    let exit = &subscriber.next()["params"];
    assert_eq!(
        (&exit["process_id"], &exit["code"], &exit["group"]),
        (&first.id.into(), &0.into(), &"UDP".into())
    );
    assert!(!server.log().contains("given up"), "no crash loop");
    server.stop();
}

#[test]
fn a_worker_that_stands_still_gets_no_traffic() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = waiting("", 2, &subscriber).put("MODULES", "").start();
    ask(&phone, &server);
    let stopped = receivers(&server).remove(0);
    kill(Pid::from_raw(stopped.pid), Signal::SIGSTOP).unwrap();
    until("another worker answers", || {
        let options = Request::new(&phone, "OPTIONS", &format!("sip:{}", server.address()));
        phone.send(server.address(), options.text());
        phone.receive_within(Duration::from_millis(100))
    });
    for _ in 0..20 {
        ask(&phone, &server);
    }
    let line = format!("process {} ({}) has not come back to its main loop", stopped.pid, stopped.kind);
    assert!(server.log().contains(&line), "{}", server.log());
    kill(Pid::from_raw(stopped.pid), Signal::SIGCONT).unwrap();
    until("it is back", || server.log().contains("is back in its main loop").then_some(()));
    // What was queued for it is answered now.
    server.stop();
}

#[test]
fn a_script_that_does_not_end_is_named_and_gets_no_more_traffic() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let wait = "while (1) {\n\t\twhile (1) {\n\t\t\twhile (1) {\n\t\t\t\t$var(i) = $rb;\n\t\t\t}\n\t\t}\n\t}";
    let server = waiting(wait, 2, &subscriber).put("MODULES", "").start();
    // Each turn copies the body: the time that a script may take is over long before the number of its operations.
    let invite = Request::new(&Phone::new(), "INVITE", "sip:u@127.0.0.1").body("v".repeat(60_000));
    // It is ended after two seconds. On a busy machine nobody may look in the second of them: then it is asked again.
    let mut next = Instant::now();
    let line = until("the log names the line", || {
        if Instant::now() >= next {
            phone.send(server.address(), invite.text());
            next += Duration::from_secs(4);
        }
        let log = server.log();
        log.lines().find(|line| line.contains("has not come back to its main loop")).map(str::to_owned)
    });
    let place = line.split_once("it is at server.cfg:").map(|(_, rest)| rest);
    let number = place.and_then(|rest| rest.split(' ').next()?.split(':').next()?.parse::<usize>().ok());
    let text = std::fs::read_to_string(server.path("server.cfg")).unwrap();
    let shown = number.and_then(|number| text.lines().nth(number - 1)).unwrap_or_default();
    assert!(shown.contains("while") || shown.contains("$var(i)"), "{line}: {shown}");
    // Those that come now are served by the other one.
    for _ in 0..10 {
        ask(&phone, &server);
    }
    until("it is back", || server.log().contains("is back in its main loop").then_some(()));
    server.stop();
}

#[test]
fn a_request_that_waited_before_async_has_its_transaction_from_there_on() {
    let subscriber = Subscriber::new();
    let server = waiting("usleep(20000); async(sleep(1), awake);", 1, &subscriber)
        .put("MODULES", "route[awake] { xlog(\"awake\\n\"); t_reply(486, \"Busy Here\"); }")
        .start();
    // What has come twice would be awake twice before the second call is.
    for _ in 0..2 {
        let phone = Phone::new();
        let invite = Request::new(&phone, "INVITE", &format!("sip:sleeper@{}", server.address()));
        phone.send(server.address(), invite.text());
        assert_eq!(phone.receive().status(), Some(100));
        phone.send(server.address(), invite.text());
        assert_eq!(final_answer(&phone).status(), Some(486));
    }
    assert_eq!(server.log().matches("awake").count(), 2, "{}", server.log());
    server.stop();
}
