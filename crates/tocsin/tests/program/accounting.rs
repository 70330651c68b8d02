//! Accounting to the log: a configuration with the structure of the one that OpenSIPS installs, and one with voice mail, go
//! through what subscribers do, and each line comes once, also if the processes that serve a call are killed in between.

use std::net::SocketAddr;

use crate::harness::{Message, Phone, Request, Server, Setup, Subscriber, Tracer, until};

const CONFIG: &str = include_str!("../configs/accounting.cfg");

/// A subscriber who calls, one who is registered, a voice mail server, and the server between them.
struct Scene {
    server: Server,
    caller: Phone,
    callee: Phone,
    mailbox: Phone,
}

impl Scene {
    fn without_mail() -> Self {
        Self::new(|_| (String::new(), String::new()))
    }

    fn with_mail() -> Self {
        Self::new(|port| {
            let unknown = format!(
                "if (is_method(\"INVITE\")) {{ $acc_extra(mail) = \"unknown\"; $du = \"sip:127.0.0.1:{port}\"; \
                 route(relay); }}"
            );
            let busy = format!(
                "if (t_check_status(\"486|408\")) {{ do_accounting(\"log\"); $acc_extra(mail) = $rU; \
                 $du = \"sip:127.0.0.1:{port}\"; t_relay(); exit; }}"
            );
            (unknown, busy)
        })
    }

    fn new(mail: impl FnOnce(u16) -> (String, String)) -> Self {
        let (caller, callee, mailbox) = (Phone::new(), Phone::new(), Phone::new());
        let (unknown, busy) = mail(mailbox.port());
        let server = Setup::new(CONFIG).put("MAIL_UNKNOWN", unknown).put("MAIL_BUSY", busy).start();
        let scene = Self { server, caller, callee, mailbox };
        scene.register();
        scene
    }

    fn me(&self) -> SocketAddr {
        self.server.address()
    }

    fn request(&self, method: &str, user: &str) -> Request {
        Request::new(&self.caller, method, &format!("sip:{user}@subscribers.example"))
    }

    fn send(&self, method: &str, user: &str) -> Request {
        let request = self.request(method, user);
        self.caller.send(self.me(), request.text());
        request
    }

    fn register(&self) {
        let register = Request::new(&self.callee, "REGISTER", "sip:subscribers.example")
            .to("<sip:bob@subscribers.example>")
            .header("Expires", 600);
        self.callee.send(self.me(), register.text());
        self.callee.expect_status(200);
    }

    /// A response of `phone`, which is called `tag`.
    fn answer(&self, phone: &Phone, request: &Message, status: &str, tag: &str) {
        let contact = format!("Contact: <sip:{tag}@127.0.0.1:{}>\r\n", phone.port());
        phone.send(self.me(), request.response(status, tag, &contact));
    }

    /// A request of the caller within the dialog that `answer` made of `invite`.
    fn within(&self, invite: &Request, answer: &Message, method: &str, callee: &Phone) {
        let mut request = invite.ack(answer).header("Route", answer.header("Record-Route").unwrap());
        request.uri = format!("sip:callee@127.0.0.1:{}", callee.port());
        if method != "ACK" {
            method.clone_into(&mut request.method);
            request.branch.push_str(method);
        }
        let cseq = if method == "ACK" { 1 } else { 2 };
        self.caller.send(self.me(), request.text().replace("CSeq: 1 ", &format!("CSeq: {cseq} ")));
    }

    /// Answers, confirms and ends the call of `invite`, which has come to `callee` as `arrived`.
    fn complete(&self, invite: &Request, arrived: &Message, callee: &Phone, tag: &str) {
        self.answer(callee, arrived, "200 OK", tag);
        let answer = self.caller.expect_status(200);
        self.within(invite, &answer, "ACK", callee);
        callee.expect_request("ACK");
        self.hang_up(invite, &answer, callee, tag);
    }

    fn hang_up(&self, invite: &Request, answer: &Message, callee: &Phone, tag: &str) {
        self.within(invite, answer, "BYE", callee);
        let bye = callee.expect_request("BYE");
        self.answer(callee, &bye, "200 OK", tag);
        assert_eq!(self.caller.expect_status(200).cseq_method(), "BYE");
    }

    /// Waits for the 180 of `invite`, and until no worker holds its transaction: a provisional response leaves before the
    /// change of the record ends, and if the process is killed in between, the INVITE goes to the callee again.
    fn rings(&self, invite: &Request) {
        self.caller.expect_status(180);
        self.caller.send(self.me(), invite.text());
        self.caller.expect_status(180);
    }

    fn fails(&self, invite: &Request, status: u16) {
        let failure = self.caller.expect_status(status);
        self.caller.send(self.me(), invite.ack(&failure).text());
    }

    /// The accounting lines of one call, without the times and the tag of the caller, once there are `count` of them.
    fn lines(&self, request: &Request, count: usize) -> Vec<String> {
        let call = format!("call_id={};", request.call_id);
        let lines = || -> Vec<_> {
            let log = self.server.log();
            let lines = log.lines().filter(|line| line.contains("ACC: ") && line.contains(&call));
            lines.map(|line| shortened(line, &call)).collect()
        };
        until("all lines are written", || (lines().len() >= count).then_some(()));
        lines()
    }

    /// Ends the server; then nothing was accounted but what `requests` were accounted with.
    fn stop(self, requests: &[(&Request, usize)]) {
        let expected: usize = requests.iter().map(|(request, count)| self.lines(request, *count).len()).sum();
        let ended = self.server.stop();
        let all = ended.stderr.lines().filter(|line| line.contains("ACC: ")).count();
        assert_eq!(all, expected, "{}", ended.stderr);
    }
}

/// `transaction answered: method=INVITE;to_tag=bob;code=200;reason=OK;caller=caller;mailbox=`
fn shortened(line: &str, call: &str) -> String {
    let (_, line) = line.split_once("ACC: ").unwrap();
    let (about, fields) = line.split_once(": ").unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let is_shown = |field: &&str| match field.split_once('=').unwrap() {
        ("timestamp" | "created", seconds) => {
            assert!(now - seconds.parse::<u64>().unwrap() < 600, "{line}");
            false
        }
        ("setuptime", seconds) => {
            assert!(seconds.parse::<u64>().unwrap() < 600, "{line}");
            false
        }
        ("from_tag", tag) => {
            assert!(tag.starts_with("from-"), "{line}");
            false
        }
        _ => !call.starts_with(field),
    };
    let fields: Vec<_> = fields.split(';').filter(is_shown).collect();
    format!("{about}: {}", fields.join(";"))
}

#[test]
fn calls_are_accounted_as_the_configuration_of_opensips_says() {
    let scene = Scene::without_mail();

    let call = scene.send("INVITE", "bob");
    let arrived = scene.callee.expect_request("INVITE");
    scene.answer(&scene.callee, &arrived, "180 Ringing", "bob");
    scene.caller.expect_status(180);
    scene.complete(&call, &arrived, &scene.callee, "bob");
    assert_eq!(
        scene.lines(&call, 2),
        [
            "transaction answered: method=INVITE;to_tag=bob;code=200;reason=OK;caller=caller;mailbox=",
            "transaction answered: method=BYE;to_tag=bob;code=200;reason=OK;caller=;mailbox=",
        ]
    );

    let busy = scene.send("INVITE", "bob");
    let arrived = scene.callee.expect_request("INVITE");
    scene.answer(&scene.callee, &arrived, "486 Busy Here", "bob");
    scene.callee.expect_request("ACK");
    scene.fails(&busy, 486);
    let missed = "call missed: method=INVITE;to_tag=bob;code=486;reason=Busy Here;caller=caller;mailbox=";
    assert_eq!(scene.lines(&busy, 1), [missed]);

    let cancelled = scene.send("INVITE", "bob");
    let arrived = scene.callee.expect_request("INVITE");
    scene.answer(&scene.callee, &arrived, "180 Ringing", "bob");
    scene.caller.expect_status(180);
    scene.caller.send(scene.me(), cancelled.cancel().text());
    assert_eq!(scene.caller.expect_status(200).cseq_method(), "CANCEL");
    let cancel = scene.callee.expect_request("CANCEL");
    scene.answer(&scene.callee, &cancel, "200 OK", "bob");
    scene.answer(&scene.callee, &arrived, "487 Request Terminated", "bob");
    scene.callee.expect_request("ACK");
    scene.fails(&cancelled, 487);
    let missed =
        "call missed: method=INVITE;to_tag=bob;code=487;reason=Request Terminated;caller=caller;mailbox=";
    assert_eq!(scene.lines(&cancelled, 1), [missed]);

    let unknown = scene.send("INVITE", "nobody");
    scene.fails(&unknown, 404);

    let message = scene.send("MESSAGE", "bob");
    let arrived = scene.callee.expect_request("MESSAGE");
    scene.answer(&scene.callee, &arrived, "200 OK", "bob");
    scene.caller.expect_status(200);
    assert_eq!(
        scene.lines(&message, 1),
        ["transaction answered: method=MESSAGE;to_tag=bob;code=200;reason=OK;caller=;mailbox="]
    );

    let options = scene.send("OPTIONS", "bob");
    let arrived = scene.callee.expect_request("OPTIONS");
    scene.answer(&scene.callee, &arrived, "405 Not Allowed", "bob");
    scene.caller.expect_status(405);
    let nobody = scene.send("OPTIONS", "nobody");
    scene.caller.expect_status(404);

    scene.stop(&[
        (&call, 2),
        (&busy, 1),
        (&cancelled, 1),
        (&unknown, 0),
        (&message, 1),
        (&options, 0),
        (&nobody, 0),
    ]);
}

#[test]
fn calls_that_end_in_voice_mail_are_accounted_as_such() {
    let scene = Scene::with_mail();

    let unknown = scene.send("INVITE", "nobody");
    let arrived = scene.mailbox.expect_request("INVITE");
    scene.complete(&unknown, &arrived, &scene.mailbox, "mail");
    assert_eq!(
        scene.lines(&unknown, 2),
        [
            "transaction answered: method=INVITE;to_tag=mail;code=200;reason=OK;caller=caller;mailbox=unknown",
            "transaction answered: method=BYE;to_tag=mail;code=200;reason=OK;caller=;mailbox=",
        ]
    );

    let busy = scene.send("INVITE", "bob");
    let arrived = scene.callee.expect_request("INVITE");
    scene.answer(&scene.callee, &arrived, "486 Busy Here", "bob");
    scene.callee.expect_request("ACK");
    let arrived = scene.mailbox.expect_request("INVITE");
    scene.complete(&busy, &arrived, &scene.mailbox, "mail");
    assert_eq!(
        scene.lines(&busy, 3),
        [
            "call missed: method=INVITE;to_tag=bob;code=486;reason=Busy Here;caller=caller;mailbox=",
            "transaction answered: method=INVITE;to_tag=mail;code=200;reason=OK;caller=caller;mailbox=bob",
            "transaction answered: method=BYE;to_tag=mail;code=200;reason=OK;caller=;mailbox=",
        ]
    );
    scene.stop(&[(&unknown, 2), (&busy, 3)]);
}

#[test]
fn each_line_comes_once_though_workers_are_killed_between_the_messages_of_a_call() {
    let scene = Scene::without_mail();
    let worker = format!("SIP receiver udp:127.0.0.1:{}", scene.server.port());
    let replace = || scene.server.replace(&worker);

    let call = scene.send("INVITE", "bob");
    let arrived = scene.callee.expect_request("INVITE");
    scene.answer(&scene.callee, &arrived, "180 Ringing", "bob");
    scene.rings(&call);
    replace();
    scene.answer(&scene.callee, &arrived, "200 OK", "bob");
    let answer = scene.caller.expect_status(200);
    replace();
    scene.within(&call, &answer, "ACK", &scene.callee);
    scene.callee.expect_request("ACK");
    scene.within(&call, &answer, "BYE", &scene.callee);
    let bye = scene.callee.expect_request("BYE");
    replace();
    scene.answer(&scene.callee, &bye, "200 OK", "bob");
    scene.caller.expect_status(200);
    assert_eq!(
        scene.lines(&call, 2),
        [
            "transaction answered: method=INVITE;to_tag=bob;code=200;reason=OK;caller=caller;mailbox=",
            "transaction answered: method=BYE;to_tag=bob;code=200;reason=OK;caller=;mailbox=",
        ]
    );

    let busy = scene.send("INVITE", "bob");
    let arrived = scene.callee.expect_request("INVITE");
    scene.answer(&scene.callee, &arrived, "180 Ringing", "bob");
    scene.rings(&busy);
    replace();
    scene.answer(&scene.callee, &arrived, "486 Busy Here", "bob");
    scene.callee.expect_request("ACK");
    scene.fails(&busy, 486);
    assert_eq!(scene.lines(&busy, 1).len(), 1);
    scene.stop(&[(&call, 2), (&busy, 1)]);
}

#[test]
fn a_worker_killed_while_it_sends_a_180_costs_neither_the_transaction_nor_its_line() {
    let scene = Scene::without_mail();
    let kind = format!("SIP receiver udp:127.0.0.1:{}", scene.server.port());
    let worker = || scene.server.ps().into_iter().find(|process| process.kind == kind).map(|it| it.pid);
    let call = scene.send("INVITE", "bob");
    let arrived = scene.callee.expect_request("INVITE");
    let killed = worker().unwrap();
    let tracer = Tracer::attach(killed);
    // The record is open: the 180 leaves before its change is made.
    scene.answer(&scene.callee, &arrived, "180 Ringing", "bob");
    tracer.kill_at_sending();
    until("the worker has a successor", || worker().filter(|now| *now != killed));
    // The transaction is as before the 180, and asks for it.
    let again = scene.callee.expect_request("INVITE");
    assert_eq!(again.header("Via"), arrived.header("Via"));
    scene.answer(&scene.callee, &again, "180 Ringing", "bob");
    scene.caller.expect_status(180);
    scene.complete(&call, &arrived, &scene.callee, "bob");
    assert_eq!(
        scene.lines(&call, 2),
        [
            "transaction answered: method=INVITE;to_tag=bob;code=200;reason=OK;caller=caller;mailbox=",
            "transaction answered: method=BYE;to_tag=bob;code=200;reason=OK;caller=;mailbox=",
        ]
    );
    scene.stop(&[(&call, 2)]);
}

const EVENTS: &str = r#"
log_level=2
stderror_enabled=yes
syslog_enabled=no
udp_workers=1
socket=udp:127.0.0.1:@PORT@
loadmodule "mi_datagram.so"
modparam("mi_datagram", "socket_name", "udp:127.0.0.1:@MI@")
loadmodule "event_datagram.so"
loadmodule "proto_udp.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "sipmsgops.so"
loadmodule "acc.so"
modparam("acc", "early_media", 1)
modparam("acc", "report_cancels", 1)
modparam("acc", "detect_direction", 1)
modparam("acc", "extra_fields", "evi: src->source; who")
modparam("acc", "leg_fields", "evi: leg")
modparam("acc", "leg_fields", "log: leg->way")
route {
	do_accounting("evi|log", "missed|failed");
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (has_totag()) {
		loose_route();
		t_relay();
		exit;
	}
	record_route();
	$acc_extra(src) = $si;
	if ($rU == "legs") {
		$acc_leg(leg) = "a";
		acc_new_leg();
		$acc_leg(leg) = "b";
	}
	$du = "sip:127.0.0.1:@CALLEE@";
	t_relay();
}
"#;

/// The event without its times: its name, and its parameters in their order.
fn event(subscriber: &Subscriber) -> String {
    let text = subscriber.raw();
    let rest = text.strip_prefix(r#"{"jsonrpc":"2.0","method":"#).unwrap();
    let (name, params) = rest.split_once(r#","params":{"#).unwrap();
    let is_time = |field: &&str| {
        ["time", "created", "setuptime"].iter().any(|name| field.contains(&format!("\"{name}\":")))
    };
    let fields: Vec<_> = params.trim_end_matches('}').split(',').collect();
    for time in fields.iter().copied().filter(is_time) {
        assert!(time.split_once(':').unwrap().1.parse::<u64>().is_ok(), "{text}");
    }
    let shown = fields.into_iter().filter(|field| !is_time(field) && !field.starts_with("\"callid\":"));
    let shown: Vec<_> = shown.filter(|field| !field.contains(r#""from_tag":"from-"#)).collect();
    format!("{} {}", name.trim_matches('"'), shown.join(",").replace('"', ""))
}

#[test]
fn what_is_accounted_to_events_comes_as_events() {
    let (caller, callee, subscriber) = (Phone::new(), Phone::new(), Subscriber::new());
    let server = Setup::new(EVENTS).put("CALLEE", callee.port()).start();
    for name in ["E_ACC_EVENT", "E_ACC_MISSED_EVENT", "E_ACC_CDR"] {
        server.subscribe(name, &subscriber.name());
    }
    let me = server.address();
    let contact = format!("Contact: <sip:callee@127.0.0.1:{}>\r\n", callee.port());

    let call = Request::new(&caller, "INVITE", &format!("sip:legs@{me}"));
    caller.send(me, call.text());
    let arrived = callee.expect_request("INVITE");
    let early = arrived.response("183 Session Progress", "callee", &contact);
    callee.send(me, early.replace("Content-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\nv=0\r\n"));
    caller.expect_status(183);
    callee.send(me, arrived.response("200 OK", "callee", &contact));
    let answer = caller.expect_status(200);
    for (code, reason) in [(183, "Session Progress"), (200, "OK")] {
        for leg in ["a", "b"] {
            let expected = format!(
                "E_ACC_EVENT method:INVITE,to_tag:callee,sip_code:{code},sip_reason:{reason},source:127.0.0.1,who:null,leg:{leg}"
            );
            assert_eq!(event(&subscriber), expected);
        }
    }
    let logged = |text: &str| until(text, || server.log().contains(text).then_some(()));
    logged("code=183;reason=Session Progress;way=a;way=b");

    // The callee hangs up: its tag is that of the To of the call.
    let mut bye = Request::new(&callee, "BYE", &format!("sip:caller@127.0.0.1:{}", caller.port()))
        .to(answer.header("From").unwrap())
        .header("Route", answer.header("Record-Route").unwrap());
    bye.call_id.clone_from(&call.call_id);
    let own = bye.text();
    let own_from = own.lines().find(|line| line.starts_with("From: ")).unwrap();
    let from = format!("From: {}", answer.header("To").unwrap());
    callee.send(me, own.replace(own_from, &from));
    let arrived = caller.expect_request("BYE");
    caller.send(me, arrived.response("200 OK", "", ""));
    callee.expect_status(200);
    let expected =
        "E_ACC_EVENT method:BYE,to_tag:callee,sip_code:200,sip_reason:OK,source:null,who:null,leg:null";
    assert_eq!(event(&subscriber), expected);

    let cancelled = Request::new(&caller, "INVITE", &format!("sip:callee@{me}"));
    caller.send(me, cancelled.text());
    let arrived = callee.expect_request("INVITE");
    callee.send(me, arrived.response("180 Ringing", "callee", &contact));
    caller.expect_status(180);
    caller.send(me, cancelled.cancel().text());
    let cancel = callee.expect_request("CANCEL");
    callee.send(me, cancel.response("200 OK", "callee", ""));
    callee.send(me, arrived.response("487 Request Terminated", "callee", ""));
    let reports = [
        "E_ACC_EVENT method:CANCEL,to_tag:null,sip_code:200,sip_reason:OK,source:null,who:null,leg:null",
        "E_ACC_MISSED_EVENT method:INVITE,to_tag:callee,sip_code:487,sip_reason:Request Terminated,source:127.0.0.1,who:null,leg:null",
        "E_ACC_EVENT method:INVITE,to_tag:callee,sip_code:487,sip_reason:Request Terminated,source:127.0.0.1,who:null,leg:null",
    ];
    for expected in reports {
        assert_eq!(event(&subscriber), expected);
    }
    server.stop();
}
