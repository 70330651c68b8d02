//! GRUUs (RFC 5627): a device is given a public and a temporary one, and is reached by both.

use crate::harness::{Message, Phone, Request, Server, Setup};

const CONFIG: &str = r#"log_level=3
stderror_enabled=yes
syslog_enabled=no
socket=udp:127.0.0.1:@PORT@
udp_workers=1
loadmodule "mi_datagram.so"
modparam("mi_datagram", "socket_name", "udp:127.0.0.1:@MI@")
loadmodule "proto_udp.so"
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "sipmsgops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("registrar", "disable_gruu", 0)
modparam("registrar", "gruu_secret", "s3cret")
route {
	if (is_method("REGISTER")) { save("location"); exit; }
	if (!lookup("location")) { send_reply(404, "Not Found"); exit; }
	t_relay();
}
"#;
const INSTANCE: &str = "+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"";

fn register(server: &Server, device: &Phone, supported: &str) -> Message {
    let contact = format!("<sip:bob@127.0.0.1:{}>;{INSTANCE}", device.port());
    let request = Request::new(device, "REGISTER", &format!("sip:127.0.0.1:{}", server.port()))
        .to(&format!("<sip:bob@127.0.0.1:{}>", server.port()))
        .contact(&contact)
        .header("Supported", supported);
    device.send(server.address(), request.text());
    device.expect_status(200)
}

/// What stands in quotes behind `name=` in the Contact of a response.
fn gruu<'a>(response: &'a Message, name: &str) -> Option<&'a str> {
    let (_, rest) = response.header("Contact").unwrap().split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

#[test]
fn a_device_is_reached_by_both_of_its_gruus() {
    let server = Setup::new(CONFIG).start();
    let (device, caller) = (Phone::new(), Phone::new());
    let response = register(&server, &device, "gruu");
    for name in ["pub-gruu", "temp-gruu"] {
        let uri = gruu(&response, name).unwrap_or_else(|| panic!("no {name}: {}", response.text));
        caller.send(server.address(), Request::new(&caller, "MESSAGE", uri).text());
        let message = device.expect_request("MESSAGE");
        assert_eq!(message.uri(), format!("sip:bob@127.0.0.1:{}", device.port()), "{name}");
        device.send(server.address(), message.response("200 OK", "device", ""));
        caller.expect_status(200);
    }
    let forged = gruu(&response, "temp-gruu").unwrap().replacen("tgruu.", "tgruu.A", 1);
    caller.send(server.address(), Request::new(&caller, "MESSAGE", &forged).text());
    caller.expect_status(404);
    let other = register(&server, &Phone::new(), "path");
    assert_eq!(
        (gruu(&other, "pub-gruu"), gruu(&other, "temp-gruu")),
        (None, None),
        "it did not ask for them"
    );
    server.stop();
}
