//! Which connection carries a request: one that stands, under the port of its Via, or none at all.

use std::net::SocketAddr;

use serde_json::json;

use crate::harness::{Desk, Line, Phone, Request, Server, Setup, free_tcp_port};

const CONFIG: &str = r#"
log_level=3
stderror_enabled=yes
syslog_enabled=no
udp_workers=1
tcp_workers=2
tcp_no_new_conn_bflag=NO_CONNECTION
@GLOBALS@
socket=udp:127.0.0.1:@PORT@
socket=tcp:127.0.0.1:@TCP@
loadmodule "proto_udp.so"
loadmodule "proto_tcp.so"
loadmodule "mi_datagram.so"
modparam("mi_datagram", "socket_name", "udp:127.0.0.1:@MI@")
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "tm.so"
route {
	if ($rU == "me") {
		force_tcp_alias();
		sl_send_reply(200, "OK");
		exit;
	}
	if ($rU == "asked") {
		sl_send_reply(200, "OK");
		exit;
	}
	if ($rU == "standing")
		setbflag("NO_CONNECTION");
	$du = "sip:127.0.0.1:@THERE@;transport=tcp";
	t_relay();
	exit;
}
"#;

/// A server, its TCP address, and a port that requests of phones are sent to, where nobody listens.
fn serve(globals: &str) -> (Server, SocketAddr, u16) {
    serve_to(free_tcp_port(), globals)
}

/// The same with the port that requests are sent to.
fn serve_to(there: u16, globals: &str) -> (Server, SocketAddr, u16) {
    let tcp = free_tcp_port();
    let setup = Setup::new(CONFIG).put("TCP", tcp).put("THERE", there).put("GLOBALS", globals);
    (setup.start(), SocketAddr::from(([127, 0, 0, 1], tcp)), there)
}

/// Says over a connection that it may be used for `port`, too.
fn claim(tcp: SocketAddr, port: u16, user: &str, parameter: &str) -> Line {
    let mut line = Line::open(tcp);
    let request = Request::over("TCP", port, "OPTIONS", &format!("sip:{user}@{tcp}")).text();
    line.send(request.replace(";branch=", &format!("{parameter};branch=")));
    line.expect_status(200);
    line
}

/// A phone's request, and the status of its answer if there is one at once.
fn send(server: &Server, user: &str) -> Phone {
    let phone = Phone::new();
    phone.send(
        server.address(),
        Request::new(&phone, "MESSAGE", &format!("sip:{user}@{}", server.address())).text(),
    );
    phone
}

fn opened(server: &Server) -> u64 {
    let counted = server.mi().call("get_statistics", json!([["tcp:opened"]]));
    counted["tcp:opened"].as_u64().unwrap()
}

#[test]
fn a_forced_alias_leads_back_over_the_connection() {
    let (server, tcp, there) = serve("");
    let mut line = claim(tcp, there, "me", "");
    let phone = send(&server, "anybody");
    let arrived = line.expect_request("MESSAGE");
    line.send(arrived.response("202 Accepted", "me", ""));
    phone.expect_status(202);
    assert_eq!(opened(&server), 0);
    server.stop();
}

#[test]
fn an_alias_that_is_asked_for_counts_where_aliases_are_accepted() {
    let (server, tcp, there) = serve("tcp_accept_aliases=yes");
    let mut line = claim(tcp, there, "asked", ";alias");
    let phone = send(&server, "anybody");
    let arrived = line.expect_request("MESSAGE");
    line.send(arrived.response("202 Accepted", "me", ""));
    phone.expect_status(202);
    server.stop();

    let (server, tcp, there) = serve("");
    let line = claim(tcp, there, "asked", ";alias");
    send(&server, "anybody").expect_status(477);
    assert!(line.is_quiet());
    server.stop();
}

#[test]
fn a_burst_waits_for_its_connection_to_open() {
    const BURST: usize = 150;
    let desk = Desk::open();
    let (server, ..) = serve_to(desk.port(), "");
    let phone = Phone::new();
    for _ in 0..BURST {
        let uri = format!("sip:anybody@{}", server.address());
        phone.send(server.address(), Request::new(&phone, "MESSAGE", &uri).text());
    }
    let mut line = desk.accept();
    for _ in 0..BURST {
        let arrived = line.expect_request("MESSAGE");
        line.send(arrived.response("202 Accepted", "me", ""));
    }
    for _ in 0..BURST {
        phone.expect_status(202);
    }
    server.stop();
}

#[test]
fn where_no_connection_may_be_opened_only_one_that_stands_is_used() {
    let (server, tcp, there) = serve("");
    send(&server, "standing").expect_status(477);
    assert_eq!(opened(&server), 0);
    assert!(!server.log().contains("Connection refused"), "nobody tried");
    let mut line = claim(tcp, there, "me", "");
    let phone = send(&server, "standing");
    let arrived = line.expect_request("MESSAGE");
    line.send(arrived.response("202 Accepted", "me", ""));
    phone.expect_status(202);
    server.stop();
}
