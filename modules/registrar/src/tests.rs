//! Registrations against a whole server: a script, a worker and a device's socket, in one process.

use std::net::UdpSocket;
use std::rc::Rc;

use tocsin_json::Value;
use tocsin_process::Member;
use tocsin_script::SourceMap;
use tocsin_server::module::{Deadlines, Module};
use tocsin_server::settings::Overrides;
use tocsin_server::sockets::SocketId;
use tocsin_server::time::{now_ms, unix_seconds};
use tocsin_server::{Server, Worker, commands, receive, startup};

use super::Registrar;
use tocsin_proto_udp::ProtoUdp;
use tocsin_signaling::Signaling;
use tocsin_sl::Sl;
use tocsin_usrloc::{Contact, Locations, Usrloc};

/// A worker of a server with this configuration, and a device.
struct Bench {
    worker: &'static Worker,
    device: UdpSocket,
}

impl Bench {
    fn new(parameters: &str, route: &str) -> Self {
        let script = format!(
            "socket=udp:127.0.0.1:0\nloadmodule \"proto_udp.so\"\nloadmodule \"sl.so\"\nloadmodule \"signaling.so\"\n\
             loadmodule \"usrloc.so\"\nloadmodule \"registrar.so\"\n{parameters}\nroute {{\n{route}\n}}\n"
        );
        let modules: Vec<Rc<dyn Module>> = vec![
            Rc::new(ProtoUdp),
            Rc::new(Sl),
            Rc::new(Signaling),
            Rc::new(Usrloc),
            Rc::new(Registrar::default()),
        ];
        let overrides = Overrides { udp_workers: Some(1), shared_mib: Some(8), ..Overrides::default() };
        let (program, settings) =
            startup::check(SourceMap::from_text("test.cfg", script), &modules, &overrides).unwrap();
        let assembled = startup::assemble(program, settings, modules, startup::Given::default()).unwrap();
        let worker = Worker::new(assembled.server, Member { slot: 1, generation: 0, group: 0, index: 0 });
        let device = UdpSocket::bind("127.0.0.1:0").unwrap();
        device.set_nonblocking(true).unwrap();
        Self { worker, device }
    }

    fn server(&self) -> &'static Server {
        self.worker.server
    }

    /// The response to a request, if there is one.
    fn ask(&self, request: &str) -> Option<String> {
        let source = self.device.local_addr().unwrap();
        receive::datagram(self.worker, request.as_bytes().to_vec(), source, SocketId(0));
        self.worker.flush();
        // What was sent over the loopback interface is there.
        let mut buffer = [0; 4096];
        let length = self.device.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Status and Contact of the response to a REGISTER of alice.
    fn register(&self, call_id: &str, cseq: u32, headers: &str) -> (String, String) {
        let response = self.ask(&request("REGISTER", "sip:example.com", call_id, cseq, headers)).unwrap();
        let status = response.split(' ').nth(1).unwrap_or_default().to_owned();
        let contact = response.lines().find_map(|line| line.strip_prefix("Contact: ")).unwrap_or_default();
        (status, contact.to_owned())
    }

    fn statistic(&self, name: &str) -> i64 {
        self.server().statistics.read(&name.into()).first().map_or(-1, |reading| reading.value)
    }

    fn command(&self, name: &str, params: &[&str]) -> Result<Value, i64> {
        let params = params.iter().map(|text| Value::from((*text).to_owned()));
        let reply =
            commands::registry(self.worker).call(name.as_bytes(), Some(Value::Array(params.collect())));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(reply.outcome()).map_err(|error| error.code)
    }

    /// Lets what is due happen, as a TIMER worker does.
    fn expire(&self) {
        for table in &self.server().registered.deadlines {
            let table: &dyn Deadlines = &**table;
            (0..table.shards()).for_each(|shard| table.expire(self.worker, shard, now_ms() + 1));
        }
    }
}

fn request(method: &str, uri: &str, call_id: &str, cseq: u32, headers: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK{call_id}{cseq}\r\n\
         From: <sip:alice@example.com>;tag=f\r\nTo: <sip:alice@example.com>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} {method}\r\n{headers}Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

const SAVE: &str = "save(\"location\");";

/// The case recorded from OpenSIPS: two contacts come, are refreshed and go.
#[test]
fn bindings_come_and_go() {
    let bench = Bench::new("", SAVE);
    let ok = |contacts: &str| ("200".to_owned(), contacts.to_owned());
    let (one, two) = (
        "Contact: <sip:alice@127.0.0.1:1>;q=0.5\r\nExpires: 60\r\n",
        "Contact: <sip:alice@127.0.0.1:2>\r\nExpires: 90\r\n",
    );
    let (first, second) = ("<sip:alice@127.0.0.1:1>;q=0.5;expires=60", "<sip:alice@127.0.0.1:2>;expires=90");
    assert_eq!(bench.register("r1", 1, ""), ok(""));
    assert_eq!(bench.register("r1", 2, one), ok(first));
    assert_eq!(bench.register("r1", 3, one), ok(first));
    assert_eq!(bench.register("r2", 1, two), ok(&format!("{first}, {second}")));
    let counts =
        ["registered_users", "location-users", "location-contacts", "location-expires", "accepted_regs"];
    assert_eq!(counts.map(|name| bench.statistic(name)), [1, 1, 2, 0, 4]);
    assert_eq!(bench.register("r1", 4, "Contact: <sip:alice@127.0.0.1:1>\r\nExpires: 0\r\n"), ok(second));
    assert_eq!(bench.register("r3", 1, "Contact: *\r\nExpires: 0\r\n"), ok(""));
    assert_eq!(counts.map(|name| bench.statistic(name)), [0, 0, 0, 0, 6]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let bench = Bench::new(
        "modparam(\"registrar\", \"max_contacts\", 1)\nmodparam(\"registrar\", \"retry_after\", 7)",
        SAVE,
    );
    assert_eq!(bench.register("r1", 5, "Contact: <sip:a@h>\r\n").0, "200");
    assert_eq!(bench.register("r1", 4, "Contact: <sip:a@h>\r\n").0, "400");
    assert_eq!(bench.register("r1", 6, "Contact: <sip:a@h>;q=x\r\n").0, "400");
    assert_eq!(bench.register("r1", 6, "Contact: *\r\n").0, "400");
    let response = bench.ask(&request("REGISTER", "sip:h", "r1", 6, "Contact: <sip:b@h>\r\n")).unwrap();
    assert!(
        response.starts_with("SIP/2.0 503 ") && response.contains("\r\nRetry-After: 7\r\n"),
        "{response}"
    );
    assert_eq!(bench.register("r1", 6, "").1, "<sip:a@h>;expires=3600");
    assert_eq!(["accepted_regs", "rejected_regs"].map(|name| bench.statistic(name)), [2, 4]);
}

#[test]
fn a_path_is_kept_reported_and_followed() {
    let route = "if ($rm == \"REGISTER\") { save(\"location\", \"path-strict\"); exit; }\n\
                 lookup(\"location\");\nsl_send_reply(302, \"$ru $du\");";
    let bench = Bench::new("", route);
    let headers = "Contact: <sip:a@h>\r\nPath: <sip:p1;lr>, <sip:p2;lr>\r\n";
    let refused = bench.ask(&request("REGISTER", "sip:h", "r1", 1, headers)).unwrap();
    assert!(
        refused.starts_with("SIP/2.0 420 ") && refused.contains("\r\nUnsupported: path\r\n"),
        "{refused}"
    );
    let reported =
        bench.ask(&request("REGISTER", "sip:h", "r1", 2, &format!("Supported: path\r\n{headers}"))).unwrap();
    assert!(reported.contains("\r\nPath: <sip:p1;lr>, <sip:p2;lr>\r\n"), "{reported}");
    // What is refused is kept all the same, as OpenSIPS does it.
    assert!(refused.contains("\r\nContact: <sip:a@h>;expires=3600\r\n"), "{refused}");
    let found = bench.ask(&request("INVITE", "sip:alice@example.com", "i1", 1, "")).unwrap();
    assert!(found.starts_with("SIP/2.0 302 sip:a@h sip:p1;lr\r\n"), "{found}");
}

/// A browser behind an edge that keeps its flow comes again, with another contact: it is the same device.
#[test]
fn rfc5626_6_a_flow_is_registered_again() {
    let bench = Bench::new("", "save(\"location\", \"path-lazy\");");
    let register = |cseq, uri: &str, supported: &str, path: &str| {
        let headers = format!(
            "Supported: {supported}\r\nPath: <sip:edge;lr{path}>\r\n\
             Contact: <sip:{uri};transport=ws;ob>;reg-id=1;+sip.instance=\"<urn:uuid:1>\";expires=60\r\n"
        );
        bench.ask(&request("REGISTER", "sip:example.com", "r1", cseq, &headers)).unwrap()
    };
    let line = |response: &str, name: &str| {
        response.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
    };
    let contact =
        |uri: &str| format!("<sip:{uri};transport=ws;ob>;expires=60;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
    let first = register(1, "x@a.invalid", "path, gruu, outbound", ";ob");
    assert_eq!(line(&first, "Require: ").as_deref(), Some("outbound"), "{first}");
    assert_eq!(line(&first, "Contact: "), Some(contact("x@a.invalid")));
    assert_eq!(line(&first, "Flow-Timer: "), None, "the connection is the edge's");
    let again = register(2, "y@b.invalid", "path, gruu, outbound", ";ob");
    assert_eq!(line(&again, "Contact: "), Some(contact("y@b.invalid")));
    // Without the edge's word, or without asking, it is a registration like any other.
    for (cseq, supported, path) in [(3, "path, outbound", ""), (4, "path", ";ob")] {
        let plain = register(cseq, &format!("z{cseq}@c.invalid"), supported, path);
        assert_eq!(line(&plain, "Require: "), None, "{plain}");
        assert_eq!(line(&plain, "Contact: ").unwrap().matches("expires").count(), cseq as usize - 1);
    }
}

#[test]
fn lookup_finds_the_preferred_contact() {
    let route = "if ($rm == \"REGISTER\") { $avp(rcv) = \"sip:192.0.2.1:7\"; $avp(attr) = \"lab\"; save(\"location\"); exit; }\n\
                 if (!is_registered(\"location\", \"sip:alice@x\")) { sl_send_reply(404, \"not registered\"); exit; }\n\
                 lookup(\"location\", \"method-filtering\");\n\
                 sl_send_reply(302, \"$rc $ru $du $ru_q $avp(attr)\");";
    let parameters = "modparam(\"registrar\", \"received_avp\", \"$avp(rcv)\")\nmodparam(\"registrar\", \"attr_avp\", \"$avp(attr)\")";
    let bench = Bench::new(parameters, route);
    let invite = || bench.ask(&request("INVITE", "sip:alice@example.com", "i1", 1, "")).unwrap();
    assert!(invite().starts_with("SIP/2.0 404 "));
    let contacts = "Allow: INVITE, ACK\r\nContact: <sip:a@h1>;q=0.3, <sip:a@h2>;q=0.7\r\n";
    assert!(
        bench
            .register("r1", 1, contacts)
            .1
            .starts_with("<sip:a@h2>;q=0.7;expires=3600;received=\"sip:192.0.2.1:7\", ")
    );
    assert!(invite().starts_with("SIP/2.0 302 1 sip:a@h2 sip:192.0.2.1:7 700 lab\r\n"), "{}", invite());
    let code = |method, uri| {
        bench.ask(&request(method, uri, "i2", 1, "")).unwrap().split(' ').nth(2).map(str::to_owned)
    };
    assert_eq!(code("MESSAGE", "sip:bob@example.com").as_deref(), Some("-1"));
    assert_eq!(code("MESSAGE", "sip:alice@example.com").as_deref(), Some("-2"));
    assert_eq!(code("INVITE", "sip:example.com").as_deref(), Some("-3"));
}

#[test]
fn the_script_can_ask_and_remove() {
    let route = "if ($rm == \"REGISTER\") { save(\"location\", \"no-reply\"); }\n\
                 $var(said) = \"\";\n\
                 if (is_contact_registered(\"location\", $fu, \"sip:a@192.0.2.1\")) $var(said) = $var(said) + \"contact \";\n\
                 if (is_contact_registered(\"location\", $fu, , \"r1\")) $var(said) = $var(said) + \"callid \";\n\
                 $var(ip) = \"192.0.2.1\";\n\
                 if (is_ip_registered(\"location\", $fu, $var(ip))) $var(said) = $var(said) + \"ip \";\n\
                 if (remove(\"location\", $fu, , \"192.0.2.1\")) $var(said) = $var(said) + \"removed \";\n\
                 if (!is_registered(\"location\")) $var(said) = $var(said) + \"gone\";\n\
                 sl_send_reply(200, \"$var(said)\");";
    let bench = Bench::new("", route);
    let response =
        bench.ask(&request("REGISTER", "sip:h", "r1", 1, "Contact: <sip:a@192.0.2.1>\r\n")).unwrap();
    assert!(response.starts_with("SIP/2.0 200 contact callid ip removed gone\r\n"), "{response}");
    let response = bench.ask(&request("OPTIONS", "sip:h", "o1", 1, "")).unwrap();
    assert!(response.starts_with("SIP/2.0 200 removed gone\r\n"), "{response}");
}

#[test]
fn a_contact_that_is_over_goes_by_itself() {
    let bench = Bench::new("", SAVE);
    let locations = bench.server().state::<Locations>();
    let domain = locations.domain("location").unwrap();
    let over = Contact { uri: b"sip:old", expires: unix_seconds() - 1, ..Contact::EMPTY };
    let draft = locations.open(domain, b"alice");
    let mut bindings = locations.bindings(&draft);
    bindings.insert(over);
    bindings.insert(Contact { uri: b"sip:new", expires: unix_seconds() + 1000, ..Contact::EMPTY });
    locations.commit(bench.server(), &draft, &bindings).unwrap();
    assert_eq!(locations.open(domain, b"alice").contacts().count(), 2);
    bench.expire();
    let left: Vec<_> = locations.open(domain, b"alice").contacts().map(|c| c.uri.to_vec()).collect();
    assert_eq!(left, [b"sip:new"]);
    assert_eq!(
        ["location-contacts", "location-expires", "location-users"].map(|name| bench.statistic(name)),
        [1, 1, 1]
    );
}

#[test]
fn management_clients_see_and_change_the_bindings() {
    let bench = Bench::new("", SAVE);
    let added = ["location", "alice@example.com", "sip:a@h", "60", "0.5", "0", "0", "0", "4294967295"];
    assert_eq!(bench.command("ul_add", &added), Ok(Value::from("OK")));
    let shown = bench.command("ul_show_contact", &["location", "alice"]).unwrap();
    let contact = match shown.member("Contacts") {
        Some(Value::Array(contacts)) => contacts[0].clone(),
        other => panic!("{other:?}"),
    };
    let text = |name: &str| {
        contact.member(name).and_then(Value::as_bytes).map(|b| String::from_utf8_lossy(b).into_owned())
    };
    assert_eq!(shown.member("AOR").and_then(Value::as_bytes), Some(&b"alice"[..]));
    assert_eq!((text("Contact"), text("Q")), (Some("sip:a@h".into()), Some("0.5".into())));
    assert_eq!(contact.member("Methods"), Some(&Value::Int(0xffff_ffff)));
    let names: Vec<_> = match bench.command("ul_dump", &["brief"]).unwrap() {
        Value::Object(members) => members.into_iter().map(|(name, _)| name).collect(),
        other => panic!("{other:?}"),
    };
    assert_eq!(names, ["Domains"]);
    assert_eq!(bench.command("ul_rm_contact", &["location", "alice", "sip:b@h"]), Err(404));
    assert_eq!(bench.command("ul_rm_contact", &["nosuch", "alice", "sip:a@h"]), Err(404));
    assert_eq!(bench.command("ul_rm_contact", &["location", "alice", "sip:a@h"]), Ok(Value::from("OK")));
    assert_eq!(bench.command("ul_rm", &["location", "alice"]), Ok(Value::from("OK")));
    assert_eq!(bench.command("ul_sync", &["location"]), Err(200));
    assert_eq!(bench.command("ul_sync", &["nosuch"]), Err(404));
    assert_eq!(bench.command("ul_flush", &[]), Ok(Value::from("OK")));
    assert_eq!(bench.statistic("registered_users"), 0);
}

#[test]
fn contacts_at_an_address_are_found_and_removed_whatever_their_aor_is() {
    let route = "if ($rm == \"REGISTER\") { save(\"location\"); exit; }\n\
                 $avp(ip) = \"192.0.2.1\"; $avp(port) = 5070; $avp(ip) = \"192.0.2.9\"; $avp(port) = 1;\n\
                 if (is_ip_registered(\"location\", $fu, $avp(ip), $avp(port))) $var(said) = \"there \";\n\
                 $var(port) = 5061;\n\
                 if (is_ip_registered(\"location\", $fu, $avp(ip), $var(port))) $var(said) = \"wrong\";\n\
                 if ($rm == \"BYE\") remove_ip_port(\"192.0.2.1\", 5070, \"location\");\n\
                 if ($rm == \"PUBLISH\") remove_ip_port(\"192.0.2.1\", 5060, \"location\", $fu);\n\
                 sl_send_reply(200, \"Said $var(said)\");";
    let bench = Bench::new("", route);
    let contacts = "Contact: <sip:a@192.0.2.1:5070>, <sip:b@192.0.2.1>, <sip:c@192.0.2.2:5070>\r\n";
    assert_eq!(bench.register("r1", 1, contacts).0, "200");
    let ask = |method: &str| {
        bench
            .ask(&request(method, "sip:h", method, 1, ""))
            .map(|said| said.lines().next().unwrap().to_owned())
    };
    assert_eq!(ask("OPTIONS").as_deref(), Some("SIP/2.0 200 Said there "));
    assert_eq!(ask("PUBLISH").as_deref(), Some("SIP/2.0 200 Said there "));
    let left = || bench.register("r1", 1, "").1.matches("<sip:").count();
    assert_eq!(left(), 2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        ask("BYE");
        while left() > 1 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(bench.register("r1", 1, "").1, "<sip:c@192.0.2.2:5070>;expires=3600");
}

/// As recorded from OpenSIPS: the reason of the class, the cause in a header field of its own, and what is registered.
#[test]
fn refusals_say_why_and_what_is_registered() {
    let bench = Bench::new(
        "modparam(\"registrar\", \"max_contacts\", 1)\nmodparam(\"registrar\", \"max_username_len\", 5)",
        SAVE,
    );
    let refused = |to: &str, cseq, headers: &str| {
        let request = request("REGISTER", "sip:example.com", "r1", cseq, headers);
        let response =
            bench.ask(&request.replace("To: <sip:alice@example.com>", &format!("To: <{to}>"))).unwrap();
        let line =
            |name: &str| response.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("-").to_owned();
        (line("SIP/2.0 "), line("P-Registrar-Error: "), line("Contact: "))
    };
    let alice = "sip:alice@example.com";
    assert_eq!(refused(alice, 5, "Contact: <sip:a@h>\r\n").0, "200 OK");
    let known = "<sip:a@h>;expires=3600";
    for (to, cseq, headers, status, cause, contacts) in [
        (
            alice,
            6,
            "Contact: <sip:b@h>\r\n",
            "503 Service Unavailable",
            "Too many registered contacts",
            known,
        ),
        (alice, 4, "Contact: <sip:a@h>\r\n", "400 Bad Request", "Invalid CSeq number", known),
        (
            alice,
            6,
            "Contact: <nonsense>\r\n",
            "500 Server Internal Error",
            "usrloc_contact_insert failed",
            known,
        ),
        (alice, 6, "Contact: <sip:a@h>;q=5\r\n", "400 Bad Request", "Invalid q param in contact", known),
        (alice, 6, "Contact: <sip:a@h\r\n", "400 Bad Request", "Contact parse error", "-"),
        (alice, 6, "Contact: <sip:a@h>\r\nExpires: soon\r\n", "400 Bad Request", "Expires parse error", "-"),
        (alice, 6, "Contact: *\r\n", "400 Bad Request", "* used in contact and expires is not zero", "-"),
        ("bob", 6, "Contact: <sip:a@h>\r\n", "400 Bad Request", "Error while parsing AOR", "-"),
        ("sip:h", 6, "Contact: <sip:a@h>\r\n", "400 Bad Request", "Error while parsing AOR", "-"),
        (
            "sip:robert@h",
            6,
            "Contact: <sip:a@h>\r\n",
            "500 Server Internal Error",
            "Address Of Record too long",
            "-",
        ),
    ] {
        let expected = (status.to_owned(), cause.to_owned(), contacts.to_owned());
        assert_eq!(refused(to, cseq, headers), expected, "{to} {headers}");
    }
}

/// RFC 5627: a device learns its GRUUs, and each leads to it alone.
#[test]
fn rfc5627_gruus_lead_to_one_device() {
    let route = "if ($rm == \"REGISTER\") { save(\"location\"); exit; }\n\
                 lookup(\"location\");\nsl_send_reply(302, \"$rc $ru $(branch(uri)[*])\");";
    let bench = Bench::new("modparam(\"registrar\", \"disable_gruu\", 0)", route);
    let device = "Supported: gruu\r\nContact: <sip:a@h1>;+sip.instance=\"<urn:uuid:1>\"\r\n";
    let reported = bench.register("r1", 1, device).1;
    let other = bench.register("r2", 1, "Contact: <sip:a@h2>\r\n").1;
    assert_eq!(other, "<sip:a@h1>;expires=3600, <sip:a@h2>;expires=3600", "without Supported: gruu");
    let gruu = |name: &str| {
        let start = reported.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
        reported[start..].split('"').next().unwrap().to_owned()
    };
    let called = |uri: &str| {
        let response = bench.ask(&request("INVITE", uri, "i1", 1, "")).unwrap();
        response.lines().next().unwrap().to_owned()
    };
    assert_eq!(called(&gruu("pub-gruu")).trim_end(), "SIP/2.0 302 1 sip:a@h1 <null>");
    let temporary = gruu("temp-gruu");
    assert!(!temporary.contains("alice"), "{temporary}");
    assert_eq!(called(&temporary).trim_end(), "SIP/2.0 302 1 sip:a@h1 <null>");
    assert!(called("sip:alice@h;gr=urn:uuid:2").starts_with("SIP/2.0 302 -1 "));
    assert!(called("sip:tgruu.AAAA@h;gr").starts_with("SIP/2.0 302 -1 "));
    // Registered under another Call-ID, the device has another temporary GRUU.
    bench.register("r3", 1, device);
    assert!(called(&temporary).starts_with("SIP/2.0 302 -1 "));
}

/// New AORs are turned away with a time to come again; those that are there go on.
#[test]
fn a_full_memory_keeps_who_is_registered() {
    let bench = Bench::new("", "save(\"location\", \"\", $hdr(X-AOR));");
    let register = |n: u32, cseq: u32| {
        let padding = "x".repeat(700);
        let headers = format!("X-AOR: sip:u{n}@h\r\nContact: <sip:u{n}@h>\r\nUser-Agent: {padding}\r\n");
        bench.ask(&request("REGISTER", "sip:h", &format!("r{n}"), cseq, &headers)).unwrap()
    };
    let refused = (0..100_000).find(|n| !register(*n, 1).starts_with("SIP/2.0 200 ")).unwrap();
    let answer = register(refused, 2);
    assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("\r\nRetry-After: 30\r\n"), "{answer}");
    assert!((0..refused).all(|n| register(n, 3).starts_with("SIP/2.0 200 ")));
    assert_eq!(bench.statistic("registered_users"), i64::from(refused));
}
