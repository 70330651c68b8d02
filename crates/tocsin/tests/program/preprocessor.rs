//! `-p`: the configuration as a command makes it.

use crate::harness::{Phone, Request, Server, Setup};

const CONFIG: &str = "log_level=3\nstderror_enabled=yes\nsyslog_enabled=no\nsocket=udp:MY_ADDRESS:@PORT@\n\
     loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"udp:127.0.0.1:@MI@\")\n\
     loadmodule \"proto_udp.so\"\nloadmodule \"signaling.so\"\nloadmodule \"sl.so\"\ninclude_file \"routes.cfg\"\n";

fn setup(routes: &str, command: &str) -> Setup {
    let setup = Setup::new(CONFIG).args(["-p", command]);
    std::fs::write(setup.dir().join("routes.cfg"), routes).unwrap();
    setup
}

#[test]
fn a_command_fills_in_the_main_file_and_what_it_includes() {
    let routes = "route { sl_send_reply(200, \"MY_NAME\"); exit; }\n";
    let server = setup(routes, "sed 's/MY_ADDRESS/127.0.0.1/; s/MY_NAME/edge one/'").start();
    assert_eq!(reason(&server), "SIP/2.0 200 edge one");
    server.stop();
}

/// What the script answers with.
fn reason(server: &Server) -> String {
    let phone = Phone::new();
    let request = Request::new(&phone, "OPTIONS", &format!("sip:x@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200).start_line().to_owned()
}

#[test]
fn a_reload_passes_the_command_as_well() {
    let routes = "route { sl_send_reply(200, \"MY_NAME\"); exit; }\n";
    let command = "sed \"s/MY_ADDRESS/127.0.0.1/; s/MY_NAME/$(cat name)/\"";
    let setup = setup(routes, command);
    let name = setup.dir().join("name");
    std::fs::write(&name, "one").unwrap();
    let server = setup.start();
    assert_eq!(reason(&server), "SIP/2.0 200 one");
    std::fs::write(&name, "two").unwrap();
    assert_eq!(server.mi().call("reload_routes", serde_json::json!([])), "OK");
    assert_eq!(reason(&server), "SIP/2.0 200 two");
    std::fs::remove_file(&name).unwrap();
    std::fs::remove_file(server.path("routes.cfg")).unwrap();
    assert!(server.mi().answer("reload_routes", serde_json::json!([]))["error"].is_object());
    assert_eq!(reason(&server), "SIP/2.0 200 two");
    server.stop();
}

#[test]
fn errors_name_the_file_that_a_line_came_from() {
    let ended = setup("route {\n\tnosuch();\n}\n", "sed s/MY_ADDRESS/127.0.0.1/").run_to_end();
    let log = &ended.stderr;
    assert!(log.contains("routes.cfg:2:2-8: unknown command <nosuch>"), "{log}");
    assert!(log.contains("included at server.cfg:10:1"), "{log}");
}

#[test]
fn a_command_that_fails_keeps_the_server_from_starting() {
    for (command, problem) in [("exit 7", "it failed (exit status: 7)"), ("true", "it wrote nothing")] {
        let ended = setup("", command).run_to_end();
        let log = &ended.stderr;
        assert!(log.contains(&format!("ERROR:core:main: -p {command}: {problem}")), "{log}");
    }
}
