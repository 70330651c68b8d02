//! Every configuration the recordings were made with loads, and its routes run.

mod permissive;

use std::path::Path;

use permissive::{Idle, library};
use tocsin_script::{GlobalValue, RouteKind, SocketOption, SourceMap, Step, compile};

#[test]
fn recorded_configurations_load_and_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let program =
            match compile(SourceMap::from_text(path.display().to_string(), text.clone()), &library(&text)) {
                Ok(program) => program,
                Err(errors) => panic!("{errors}"),
            };
        assert!(program.global("socket").is_some(), "{}", path.display());
        let mut host = Idle::default();
        for route in program.routes() {
            assert!(
                matches!(program.start(route).run(&program, &mut host), Step::Done(_)),
                "{}",
                path.display()
            );
        }
        count += 1;
    }
    assert!(count > 75, "{count} configurations");
}

#[test]
fn settings_are_there_in_order() {
    let text = r#"
        log_level = -1      # errors
        wdir = /var/run/x
        mpath="modules/"
        auto_scaling_profile = SIP
            scale up to 6 on 70% for 4 cycles within 5
            scale down to 2 on 18% for 10 cycles
        auto_scaling_profile = UP { scale up to 3 on 50% for 2 cycles }
        udp_workers = 4 use_auto_scaling_profile SIP
        socket = udp:*:5060-5062 as 1.2.3.4:5070 use_workers 3 use_auto_scaling_profile UP tag lan anycast
        socket = tls:[2001:db8::1]:5061
        alias = udp:other.example.org:5060 accept_subdomain
        tos = IPTOS_LOWDELAY
        mem-group = "interest": "core" "tm"
        dst_blacklist = gw:{(tcp, 192.168.4.100, 5060, "a # b"),   # the first
            (any, 192.168.4.101, 0, "")}
        dst_blacklist = learned/expire # by scripts
        loadmodule "/usr/lib/x/tm.so"
        loadmodule "rr.so"
        modparam("tm|rr", "a", -5)
        modparam("tm", "a", "x")
        timer_route[tick, 30] { xlog("tick"); }
        event_route[E_X, sync] { }
        route[0] { } onreply_route { } onreply_route[named] { }
    "#;
    let library_text =
        "loadmodule \"tm.so\"\nloadmodule \"rr.so\"\nmodparam(\"tm\", \"a\"\nmodparam(\"rr\", \"a\"";
    let program = compile(SourceMap::from_text("x.cfg", text), &library(library_text))
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(program.global("log_level"), Some(&GlobalValue::Int(-1)));
    assert_eq!(program.global("wdir"), Some(&GlobalValue::Str("/var/run/x".into())));
    assert_eq!(program.global("tos"), Some(&GlobalValue::Str("IPTOS_LOWDELAY".into())));
    assert_eq!(program.global("mem-group"), Some(&GlobalValue::Str(r#""interest": "core" "tm""#.into())));
    let lists: Vec<_> = program.globals().iter().filter(|setting| setting.name == "dst_blacklist").collect();
    let GlobalValue::Str(gateways) = &lists[0].value else { panic!("{:?}", lists[0].value) };
    let words: Vec<_> = gateways.lossy().split_whitespace().map(str::to_owned).collect();
    assert_eq!(
        words.join(" "),
        r#"gw:{(tcp, 192.168.4.100, 5060, "a # b"), (any, 192.168.4.101, 0, "")}"#,
        "as it stands, over lines, without comments"
    );
    assert_eq!(lists[1].value, GlobalValue::Str("learned/expire".into()));
    let workers = GlobalValue::Workers { count: 4, profile: Some("SIP".into()) };
    assert_eq!(program.global("udp_workers"), Some(&workers));
    let sockets: Vec<_> = program
        .globals()
        .iter()
        .filter_map(|setting| match &setting.value {
            GlobalValue::Socket(socket) if setting.name == "socket" => Some(socket),
            _ => None,
        })
        .collect();
    assert_eq!((sockets[0].host.as_str(), sockets[0].ports), ("*", Some((5060, 5062))));
    assert_eq!(
        sockets[0].options,
        [
            SocketOption::As { host: "1.2.3.4".into(), port: Some(5070) },
            SocketOption::UseWorkers(3),
            SocketOption::UseAutoScalingProfile("UP".into()),
            SocketOption::Tag("lan".into()),
            SocketOption::Anycast,
        ]
    );
    assert_eq!((sockets[1].protocol.as_str(), sockets[1].host.as_str()), ("tls", "2001:db8::1"));
    let profiles: Vec<_> = program
        .globals()
        .iter()
        .filter_map(|setting| match &setting.value {
            GlobalValue::Profile(profile) => Some((profile.most, profile.up_window, profile.down)),
            _ => None,
        })
        .collect();
    assert_eq!(profiles, [(6, 5, Some((2, 18, 10))), (3, 2, None)]);
    assert_eq!(program.modules(), ["tm", "rr"]);
    let settings: Vec<_> = program.module_settings().iter().map(|setting| setting.module.as_str()).collect();
    assert_eq!(settings, ["tm", "rr", "tm"]);
    let timers: Vec<_> =
        program.timer_routes().map(|(route, every)| (program.route_kind(route), every)).collect();
    assert_eq!(timers, [(RouteKind::Timer, 30)]);
    for (kind, name) in [
        (RouteKind::Request, ""),
        (RouteKind::Reply, ""),
        (RouteKind::Reply, "named"),
        (RouteKind::Event, "E_X"),
        (RouteKind::Timer, "tick"),
    ] {
        assert!(program.route(kind, name.as_bytes()).is_some(), "{kind:?} {name}");
    }
}
