//! How long a script may run between two waits.

use super::*;

#[test]
fn a_script_ends_that_does_not_wait() {
    let cases = [
        ("loops", "route { while (1) { while (1) { while (1) {\n $var(i) = 1; } } } }"),
        ("routes that call themselves", "route { route(r); } route[r] { route(r);\n route(r); }"),
        ("a script that waits in between", "route { while (1) { while (1) { wait(1);\n $var(i) = 1; } } }"),
    ];
    for (what, text) in cases {
        let program = program(text);
        let mut host = TestHost { tick_ms: 3, ..TestHost::default() };
        let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
        let mut step = execution.run(&program, &mut host);
        let mut waits = 0;
        while let Step::Wait(pause) = step {
            waits += 1;
            let resume = finish(pause.waiting);
            // The clock goes on, and the process with it: what is ready at once is no wait.
            host.now_ms.set(host.now_ms.get() + 3);
            step = execution.resume_at_once(resume, &program, &mut host);
            assert!(waits < 1_000, "{what}");
        }
        let ended =
            host.errors.iter().filter(|error| error.contains("script ended after 2 s without a wait"));
        let places = ended.map(|error| error.split(':').next().unwrap()).collect::<Vec<_>>();
        assert_eq!(places, ["x.cfg"], "{what}: {:?}", host.errors);
        assert!((2_000..4_100).contains(&host.now_ms.get()), "{what}: {:?}", host.now_ms);
    }
}

#[test]
fn a_script_that_waits_has_time_again() {
    let program =
        program("route { while (1) { wait(1); $var(i) = 1; $var(i) = 2; $var(i) = 3; $var(i) = 4; } }");
    let mut host = TestHost { tick_ms: 1_000, ..TestHost::default() };
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let mut step = execution.run(&program, &mut host);
    for _ in 0..500 {
        let Step::Wait(pause) = step else { panic!("{:?}", host.errors) };
        step = execution.resume(finish(pause.waiting), &program, &mut host);
    }
    assert!(host.errors.is_empty());
}
