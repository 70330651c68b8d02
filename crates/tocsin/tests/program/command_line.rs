//! The command line and what is wrong with it: OpenSIPS's flags, messages and exit status.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Ended, Phone, Setup, until};

/// Eight lines that every configuration here begins with; what a test is about begins in line 9.
const HEAD: &str = "log_level=3\nstderror_enabled=yes\nsyslog_enabled=no\nauto_aliases=no\nmpath=\"/usr/lib/modules/\"\n\
    socket=udp:127.0.0.1:@PORT@\nudp_workers=1\nloadmodule \"proto_udp.so\"\n";
const GOOD: &str = "route { exit; }\n";

/// Starts the program with only these arguments.
fn run<const N: usize>(arguments: [&str; N]) -> Ended {
    Setup::new(&format!("{HEAD}{GOOD}")).without_arguments().args(arguments).run_to_end()
}

/// Checks a configuration whose ninth line and those after it are `rest`.
fn check(rest: &str) -> Ended {
    check_all(&format!("{HEAD}{rest}"))
}

fn check_all(text: &str) -> Ended {
    Setup::new(text).args(["-C"]).run_to_end()
}

/// A refusal: status 255, these lines in this order (each the end of a line of standard error), and the last word.
fn refused(ended: &Ended, lines: &[&str]) {
    assert_eq!(ended.status, 255, "{ended:?}");
    let mut rest = ended.stderr.lines();
    for line in lines {
        assert!(
            rest.any(|found| found.contains(line)),
            "`{line}` is not (in this order) in\n{}",
            ended.stderr
        );
    }
    let last = ended.stderr.lines().next_back().unwrap_or_default();
    assert!(last.ends_with("NOTICE:core:main: Exiting...."), "{}", ended.stderr);
}

#[test]
fn a_good_configuration_is_ok() {
    let ended = check(GOOD);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stderr.ends_with("NOTICE:core:main: config file ok, exiting...\n"), "{ended:?}");
    assert_eq!(check("").status, 0, "a configuration without a route is one");
}

#[test]
fn what_a_configuration_probably_does_not_mean_is_a_warning() {
    let warned = |rest: &str, warning: &str| {
        let ended = check(rest);
        assert!(ended.status == 0 && ended.stderr.contains(warning), "{ended:?}");
        let server = Setup::new(&format!(
            "{HEAD}loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"udp:127.0.0.1:@MI@\")\n{rest}"
        ));
        let server = server.start();
        assert!(server.log().contains(warning), "{}", server.log());
        server.stop();
    };
    warned("", "there is no route {}: every request is dropped");
    let routes = "loadmodule \"event_route.so\"\nroute { raise_event(\"E_MINE\"); }\nevent_route[E_MINE] { exit; }\n\
                  event_route[E_CORE_PROC_EXITS] { exit; }\n";
    warned(
        routes,
        "event_route[E_CORE_PROC_EXITS]: nothing raises E_CORE_PROC_EXITS but the management command raise_event: did you \
         mean `E_CORE_PROC_EXIT`?",
    );
    assert!(!check(routes).stderr.contains("E_MINE"));
}

#[test]
fn what_is_no_sip_is_a_line_of_the_log_and_not_many() {
    let text = format!(
        "{HEAD}loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"udp:127.0.0.1:@MI@\")\n\
         loadmodule \"sl.so\"\nroute {{ sl_send_reply(200, \"OK\"); }}\n"
    );
    let server = Setup::new(&text).start();
    let phone = Phone::new();
    for _ in 0..300 {
        phone.send(server.address(), "no SIP at all");
    }
    phone.ping(server.address());
    let lines = || server.log().lines().filter(|line| line.contains("are no SIP message")).count();
    until("they are logged", || (lines() > 0).then_some(()));
    let ended = server.stop();
    let lines = ended.stderr.lines().filter(|line| line.contains("are no SIP message")).count();
    assert!((1..200).contains(&lines), "{lines} lines for 300 messages");
}

#[test]
fn a_check_finds_what_would_keep_the_server_from_starting() {
    refused(
        &check("socket=tcp:127.0.0.1:5070\nroute { exit; }\n"),
        &["ERROR:core:main: socket=tcp:127.0.0.1: load the module proto_tcp"],
    );
    let tls = "loadmodule \"tls_mgm.so\"\nloadmodule \"tls_openssl.so\"\nloadmodule \"proto_tls.so\"\n\
        modparam(\"tls_mgm\", \"server_domain\", \"d\")\nmodparam(\"tls_mgm\", \"match_ip_address\", \"[d]*\")\n\
        modparam(\"tls_mgm\", \"certificate\", \"[d]/nosuch/cert.pem\")\n\
        modparam(\"tls_mgm\", \"private_key\", \"[d]/nosuch/key.pem\")\nroute { exit; }\n";
    refused(&check(tls), &["TLS domain d: /nosuch/cert.pem: No such file or directory"]);
    let acc = "loadmodule \"tm.so\"\nloadmodule \"acc.so\"\nroute { $acc_extra(x) = 1; }\n";
    refused(&check(acc), &["$acc_extra(x): extra_fields names no tag x, but none"]);
    for (flag, what) in [("-w", "workdir (-w)"), ("-t", "chroot (-t)")] {
        let ended = Setup::new(&format!("{HEAD}{GOOD}")).args(["-C", flag, "/nosuch"]).run_to_end();
        refused(&ended, &[&format!("ERROR:core:main: {what}: there is no folder /nosuch")]);
    }
}

#[test]
fn a_check_changes_nothing_for_a_server_that_runs_the_same_configuration() {
    let text = format!(
        "{HEAD}loadmodule \"mi_fifo.so\"\nmodparam(\"mi_fifo\", \"fifo_name\", \"@DIR@/fifo\")\n\
         loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"udp:127.0.0.1:@MI@\")\n\
         loadmodule \"httpd.so\"\nmodparam(\"httpd\", \"port\", @HTTP@)\nmodparam(\"httpd\", \"ip\", \"127.0.0.1\")\n\
         loadmodule \"mi_http.so\"\n{GOOD}"
    );
    let server = Setup::new(&text).start();
    let before: Vec<_> = fs::read_dir(server.path("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let program = server.path("server.cfg");
    let checked =
        Setup::new(GOOD).without_arguments().args(["-C", "-f", program.to_str().unwrap()]).run_to_end();
    assert_eq!(checked.status, 0, "{checked:?}");
    let after: Vec<_> = fs::read_dir(server.path("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(before, after);
    assert!(fs::metadata(server.path("fifo")).unwrap().file_type().is_fifo());
    server.ps();
    server.stop();
}

#[test]
fn a_file_that_is_not_there() {
    let ended = run(["-C", "-f", "nosuchfile.cfg"]);
    refused(
        &ended,
        &[
            "ERROR:core:parse_opensips_cfg: loading config file nosuchfile.cfg: No such file or directory",
            "ERROR:core:main: failed to parse config file nosuchfile.cfg",
        ],
    );
}

#[test]
fn wrong_flags_are_named() {
    refused(&run(["-Z"]), &["ERROR:core:main: Unknown option `-Z`."]);
    refused(&run(["-f"]), &["ERROR:core:main: Unknown option `-f`."]);
    refused(
        &run(["-m", "abc", "-C", "-f", "server.cfg"]),
        &["ERROR:core:main: bad shmem size number: -m abc"],
    );
    refused(&run(["-m", "0", "-C", "-f", "server.cfg"]), &["-m 0"]);
    refused(&run(["-M", "-3", "-C", "-f", "server.cfg"]), &["-M -3"]);
    refused(
        &run(["-l", "bogus:1.2.3.4", "-C", "-f", "server.cfg"]),
        &["bad -l address specifier: bogus:1.2.3.4"],
    );
}

#[test]
fn a_word_that_is_no_command_starts_no_server() {
    refused(&run(["evnts", "list"]), &["there is no command `evnts`: did you mean tocsin events?"]);
    refused(&run(["stop"]), &["there is no command `stop`: there are check, demo, doc, events, help"]);
    refused(&run(["server.cfg"]), &["`server.cfg` is a file: did you mean tocsin -f server.cfg?"]);
    refused(&run(["-f"]), &["-f needs a value"]);
    assert_eq!(run(["-C", "-f", "server.cfg", "extra"]).status, 0, "as recorded");
}

#[test]
fn help_and_version_are_printed() {
    assert_eq!(run(["--version"]).stdout, run(["-V"]).stdout);
    assert_eq!([run(["--help"]).stdout, run(["help"]).stdout], [run(["-h"]).stdout, run(["-h"]).stdout]);
    let version = run(["-V"]);
    assert_eq!((version.status, version.stderr.as_str()), (0, ""));
    assert!(version.stdout.starts_with("version: tocsin "), "{}", version.stdout);
    let help = run(["-h"]);
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    for flag in [
        "-f", "-c", "-C", "-l", "-n", "-N", "-d", "-D", "-F", "-m", "-M", "-w", "-t", "-u", "-g", "-P", "-G",
        "-V", "-h",
    ] {
        assert!(
            help.stdout.lines().any(|line| line.trim_start().starts_with(flag)),
            "{flag} is not in the help"
        );
    }
}

#[test]
fn a_module_that_is_not_there() {
    refused(
        &check("loadmodule \"no_such_module.so\"\nroute { exit; }\n"),
        &[
            "CRITICAL:core:yyerror: parse error in server.cfg:9:12-31: failed to load module no_such_module.so",
            "9 | loadmodule \"no_such_module.so\"",
            "ERROR:core:parse_opensips_cfg: bad config file (1 errors)",
            "ERROR:core:main: failed to parse config file server.cfg",
        ],
    );
}

#[test]
fn what_follows_from_a_missing_module_is_one_line() {
    let ended = check(
        "loadmodule \"dialog.so\"\nmodparam(\"dialog\", \"db_mode\", 0)\n\
         route { create_dialog(); if ($DLG_status != NULL) match_dialog(); nosuch(); }\n",
    );
    let shown = [
        "server.cfg:9:12-23: failed to load module dialog.so: this module of OpenSIPS is not there yet",
        "unknown command <nosuch>",
        "modules that are not there yet: dialog (4 uses)",
        "bad config file (2 errors)",
    ];
    refused(&ended, &shown);
    refused(
        &check("loadmodule \"dialg.so\"\nloadmodule \"uri.so\"\nroute { nat_uac_test(19); loose_rout(); }\n"),
        &[
            "failed to load module dialg.so: there is no such module",
            "help: did you mean `dialog`?",
            "failed to load module uri.so: there is no such module",
            "help: has_totag() and is_user() are in sipmsgops",
            "unknown command <nat_uac_test>",
            "help: it belongs to the module nathelper, which is not there yet",
            "unknown command <loose_rout>",
            "help: did you mean `loose_route` of the module rr?",
        ],
    );
}

#[test]
fn a_configuration_is_checked_for_people_and_for_machines() {
    let tool =
        |text: &str, arguments: [&str; 4]| Setup::new(text).without_arguments().args(arguments).run_to_end();
    let wrong = format!("{HEAD}route {{\n\txlog(\"never closed);\n\tnosuch();\n}}\n");
    let ended = tool(&wrong, ["check", "--format", "text", "server.cfg"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (255, ""));
    assert!(ended.stdout.starts_with("error: string without closing quote\n"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("server.cfg: 2 errors\n"), "{}", ended.stdout);

    let ended = tool(&wrong, ["check", "--format", "json", "server.cfg"]);
    let found: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let places: Vec<_> =
        found[0]["errors"].as_array().unwrap().iter().map(|e| (&e["line"], &e["column"])).collect();
    assert_eq!(places, [(&10.into(), &7.into()), (&11.into(), &2.into())], "{found:#}");

    let ended = tool(&format!("{HEAD}{GOOD}"), ["check", "--format", "text", "server.cfg"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("note: server.cfg:5:1: mpath has no effect: "), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("server.cfg: can be used\n"), "{}", ended.stdout);
    let ended = tool("", ["check", "--format", "text", "nosuchfile.cfg"]);
    assert_eq!(ended.status, 255);
    assert!(ended.stdout.contains("error: nosuchfile.cfg: No such file"), "{}", ended.stdout);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    refused(
        &check("route { exit \n"),
        &["parse error in server.cfg:9:9-13: bad command: missing ';'?", "9 | route { exit ", "^^^^"],
    );
    refused(
        &check("route { no_such_function(); exit; }\n"),
        &["parse error in server.cfg:9:9-25: unknown command <no_such_function>, missing loadmodule?"],
    );
    refused(
        &check("route { rase_event(\"E_X\"); exit; }\n"),
        &["unknown command <rase_event>", "did you mean `raise_event`?"],
    );
    refused(
        &check("no_such_param=5\nroute { exit; }\n"),
        &["parse error in server.cfg:9:1-14: syntax error", "9 | no_such_param=5"],
    );
    refused(
        &check("route { raise_event(\"E_X\", \"notanavp\"); exit; }\n"),
        &["parse error in server.cfg:9:28-38: Param [2] expected to be a variable"],
    );
    refused(&check("modparam(\"tm\", \"fr_timeout\", 5)\nroute { exit; }\n"), &["server.cfg:9:"]);
    refused(&check("route { route(nowhere); }\n"), &["server.cfg:9:"]);
    refused(&check("route { $nosuchvar = 1; }\n"), &["server.cfg:9:"]);
    refused(&check_all(""), &["ERROR:core:main: "]);
    refused(&check_all("socket=udp:127.0.0.1:@PORT@\nroute { exit; }\n"), &["no transport protocol loaded"]);
}

#[test]
fn values_that_cannot_be_used_are_shown_where_they_are() {
    let rest = "tcp_workers=0\ndns_retr_no = -1\nserver_header=\"a\nb\"\nroute { exit; }\n";
    let shown = [
        "CRITICAL:core:yyerror: parse error in server.cfg:9:13-14: tcp_workers: 0 is out of range: 1 to 1024 processes",
        "9 | tcp_workers=0",
        "^",
        "help: tocsin doc tcp_workers says what it takes",
        "parse error in server.cfg:10:15-17: dns_retr_no: -1 is out of range: 0 to 32 tries are possible",
        "10 | dns_retr_no = -1",
        "^^",
        "server.cfg:11:15-16: server_header: a header is one line",
        "ERROR:core:parse_opensips_cfg: bad config file (3 errors)",
    ];
    refused(&check(rest), &shown);
    refused(&Setup::new(&format!("{HEAD}{rest}")).run_to_end(), &shown);
}

#[test]
fn values_of_module_parameters_that_cannot_be_used_are_shown_where_they_are() {
    let rest = "loadmodule \"tm.so\"\nmodparam(\"proto_udp\", \"udp_port\", 0)\n\
                modparam(\"tm\", \"auto_100trying\", \"maybe\")\nroute { exit; }\n";
    let shown = [
        "parse error in server.cfg:10:35-36: parameter <udp_port> of module <proto_udp>: 0 is out of range: give 1 to 65535",
        "10 | modparam(\"proto_udp\", \"udp_port\", 0)",
        "^",
        "help: tocsin doc proto_udp udp_port says what it takes",
        "parse error in server.cfg:11:34-41: parameter <auto_100trying> of module <tm> takes 1 or 0",
        "ERROR:core:parse_opensips_cfg: bad config file (2 errors)",
    ];
    refused(&check(rest), &shown);
    refused(&Setup::new(&format!("{HEAD}{rest}")).run_to_end(), &shown);
}

#[test]
fn parameters_without_effect_are_listed_with_the_reason() {
    let tm = "loadmodule \"tm.so\"\nmodparam(\"tm\", \"delete_timer\", 3)\n";
    let ended = check(&format!("mhomed=yes\nmhomed=no\nlog_level=3\n{tm}{GOOD}"));
    assert_eq!(ended.status, 0, "{ended:?}");
    let idle: Vec<_> = ended.stderr.lines().filter(|line| line.contains("has no effect")).collect();
    let expected = [
        "server.cfg:4:1: auto_aliases has no effect: names of the own addresses are never looked up",
        "server.cfg:5:1: mpath has no effect: the modules are built in",
        "server.cfg:9:1: mhomed has no effect: routes are not asked so far",
        "server.cfg:13:32: tm:delete_timer has no effect: a transaction is removed at once",
    ];
    assert_eq!(idle.len(), expected.len(), "{ended:?}");
    for (line, expected) in idle.iter().zip(expected) {
        assert!(line.contains("NOTICE:core:main: ") && line.contains(expected), "{line}");
    }
}

#[test]
fn parameters_without_effect_are_logged_once_at_the_start() {
    let server = Setup::new(&format!("{HEAD}{GOOD}")).start();
    let log = server.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("parameters without effect")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("auto_aliases (server.cfg:4:1), mpath (server.cfg:5:1)"), "{log}");
}

#[test]
fn core_parameters_are_described() {
    let list = run(["doc"]);
    assert_eq!((list.status, list.stderr.as_str()), (0, ""));
    assert!(list.stdout.contains("  tcp_max_msg_time "), "{}", list.stdout);
    let one = run(["doc", "udp_workers"]);
    assert!(one.stdout.starts_with("udp_workers (older: children)"), "{}", one.stdout);
    let of_module = run(["doc", "tm", "fr_timeout"]);
    assert!(
        of_module.stdout.contains("takes    seconds, 1 to 4294967\n  default  30\n"),
        "{}",
        of_module.stdout
    );
    let json: serde_json::Value = serde_json::from_str(&run(["doc", "--json"]).stdout).unwrap();
    assert!(json["core_parameters"].as_array().unwrap().len() > 90);
    let wrong = run(["doc", "log_levle"]);
    assert_eq!(wrong.status, 255);
    assert_eq!(
        wrong.stderr,
        "tocsin doc: there is no parameter, function, command or module `log_levle`: did you mean `log_level`?\n"
    );
}

#[test]
fn a_socket_whose_host_does_not_exist_is_a_mistake() {
    refused(
        &check_all(&format!("socket=udp:no.such.host.invalid:5060\n{HEAD}{GOOD}")),
        &["no.such.host.invalid"],
    );
}

#[test]
fn a_socket_of_an_unknown_protocol_is_a_mistake() {
    refused(&check_all(&format!("socket=foo:127.0.0.1:5060\n{HEAD}{GOOD}")), &["`foo` is no protocol"]);
}

#[test]
fn several_mistakes_are_told_at_once() {
    let ended = check("no_such_param=5\nroute { no_such_function(); $nosuchvar = 1; }\n");
    refused(&ended, &["server.cfg:9:", "server.cfg:10:", "bad config file (3 errors)"]);
}

#[test]
fn signals_end_the_server_with_status_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        Setup::new(&format!("{HEAD}{GOOD}")).start().stop_with(signal);
    }
}

#[test]
fn other_signals_do_not_end_the_server() {
    let text = format!("{HEAD}loadmodule \"sl.so\"\nroute {{ sl_send_reply(200, \"OK\"); }}\n");
    let server = Setup::new(&text).start();
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
        kill(Pid::from_raw(server.pid()), signal).unwrap();
        Phone::new().ping(server.address());
    }
    server.stop();
}

#[test]
fn flags_win_over_the_configuration() {
    let text = format!("{HEAD}loadmodule \"sl.so\"\nroute {{ sl_send_reply(200, \"OK\"); }}\n");
    let other = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Setup::new(&text).args(["-l", &format!("udp:{other}"), "-n", "3", "-a", "F_MALLOC"]).start();
    Phone::new().ping(other);
    server.stop();
}

#[test]
fn a_second_server_on_the_same_port_is_refused() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!("{HEAD}{GOOD}").replace("@PORT@", &port.to_string());
    let server = Setup::new(&text).start();
    let second = Setup::new(&text).run_to_end();
    refused(&second, &[&format!("127.0.0.1:{port}")]);
    server.stop();
}

#[test]
fn a_daemon_writes_its_pid_and_ends_on_sigterm() {
    let text = format!("{HEAD}loadmodule \"sl.so\"\nroute {{ sl_send_reply(200, \"OK\"); }}\n");
    let setup = Setup::new(&text);
    let (pid_file, port) = (setup.dir().join("tocsin.pid"), setup.port());
    let setup = setup.daemon().args(["-P", pid_file.to_str().unwrap()]);
    let launcher = setup.run_to_end();
    assert_eq!(launcher.status, 0, "{launcher:?}");
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let _daemon = Daemon(pid);
    Phone::new().ping(([127, 0, 0, 1], port).into());
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
        Path::new("/"),
        "no file system is kept busy"
    );
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    until("the daemon is gone", || kill(Pid::from_raw(pid), None).is_err().then_some(()));
    assert!(!pid_file.exists(), "the pid file goes with the daemon");
}

#[test]
fn a_daemon_that_cannot_start_says_so_to_whoever_starts_it() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = format!("{HEAD}{GOOD}").replace("@PORT@", &port.local_addr().unwrap().port().to_string());
    let setup = Setup::new(&text).daemon();
    assert_eq!(setup.run_to_end().status, 255);
    let address = port.local_addr().unwrap().to_string();
    until("the reason is told", || setup.stderr().contains(&address).then_some(()));
}

#[test]
fn a_daemon_without_a_log_shows_on_the_terminal_how_its_start_went() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet =
        HEAD.replace("stderror_enabled=yes", "stderror_enabled=no").replace("log_level=3", "log_level=2");
    let taken = format!("{quiet}{GOOD}").replace("@PORT@", &port.local_addr().unwrap().port().to_string());
    let address = port.local_addr().unwrap().to_string();
    refused(&Setup::new(&taken).daemon().run_to_end(), &[&address]);

    let fifo = "loadmodule \"mi_fifo.so\"\nmodparam(\"mi_fifo\", \"fifo_name\", \"/nosuch/fifo\")\n";
    refused(&Setup::new(&format!("{quiet}{fifo}{GOOD}")).daemon().run_to_end(), &["/nosuch/fifo"]);
    let setup = Setup::new(&format!("{quiet}{GOOD}")).daemon().args(["-P", "/nosuch/tocsin.pid"]);
    refused(&setup.run_to_end(), &["/nosuch/tocsin.pid"]);

    let setup = Setup::new(&format!("{quiet}{GOOD}"));
    let (pid_file, port) = (setup.dir().join("tocsin.pid"), setup.port());
    let setup = setup.daemon().args(["-P", pid_file.to_str().unwrap()]);
    let launcher = setup.run_to_end();
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let _daemon = Daemon(pid);
    let serving =
        format!("NOTICE:core:main: serving udp:127.0.0.1:{port}: process {pid}, configuration server.cfg\n");
    assert!(launcher.status == 0 && launcher.stderr.ends_with(&serving), "{launcher:?}");
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    until("the daemon is gone", || kill(Pid::from_raw(pid), None).is_err().then_some(()));
    assert_eq!(setup.stderr(), launcher.stderr, "once it serves, nothing goes to the terminal");
}

#[test]
fn a_server_that_is_quiet_says_when_it_serves_and_when_it_ends() {
    let text = format!(
        "{HEAD}loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"udp:127.0.0.1:@MI@\")\n{GOOD}"
    );
    let server = Setup::new(&text.replace("log_level=3\n", "")).start();
    let (port, pid) = (server.port(), server.pid());
    let ended = server.stop();
    let serving = format!("serving udp:127.0.0.1:{port}: process {pid}, configuration server.cfg");
    let life: Vec<_> = ["NOTICE:core:main: serving", "NOTICE:core:main: ended by SIGTERM after "]
        .into_iter()
        .map(|text| ended.stderr.lines().filter(|line| line.contains(text)).count())
        .collect();
    assert_eq!(life, [1, 1], "{}", ended.stderr);
    assert!(ended.stderr.contains(&serving), "{}", ended.stderr);
}

#[test]
fn a_pid_file_that_cannot_be_written_is_a_mistake() {
    let setup = Setup::new(&format!("{HEAD}{GOOD}")).args(["-P", "/nosuch/folder/tocsin.pid"]);
    refused(&setup.run_to_end(), &["/nosuch/folder/tocsin.pid"]);
}

#[test]
fn the_supervisor_does_not_leave_orphans() {
    let server = Setup::new(&format!("{HEAD}{GOOD}")).start();
    let port = server.port();
    kill(Pid::from_raw(server.pid()), Signal::SIGKILL).unwrap();
    until("the port is free again", || UdpSocket::bind(("127.0.0.1", port)).ok());
    server.was_killed();
}

#[test]
fn without_arguments_it_serves_an_embedded_configuration() {
    let check = Command::new(env!("CARGO_BIN_EXE_tocsin")).arg("-C").stdin(Stdio::null()).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

/// A daemon is nobody's child: a test that fails must end it itself.
struct Daemon(i32);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
    }
}
