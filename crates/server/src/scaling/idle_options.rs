//! Options of sockets that come to nothing, since all connections are served by the `tcp_workers`.

use tocsin_net::Protocol;
use tocsin_script::{GlobalValue, Program, SocketOption};

use crate::context::Context;

/// A line for each option of a socket whose protocol has no processes of that socket's own (manual, "Core Parameters",
/// socket: `use_workers` and `use_auto_scaling_profile` are for UDP), with the place of the socket.
pub(crate) fn idle_options(program: &Program<Context>) -> Vec<String> {
    let mut lines = Vec::new();
    for global in program.globals() {
        let ("socket" | "listen", GlobalValue::Socket(spec)) = (global.name.as_str(), &global.value) else {
            continue;
        };
        if matches!(Protocol::parse(spec.protocol.as_bytes()), None | Some(Protocol::Udp)) {
            continue;
        }
        let place = program.place(global.span);
        lines.extend(spec.options.iter().filter_map(meant_for_udp).map(|(option, instead)| {
            format!(
                "{place}: {option} of a {} socket does nothing: its connections are served by all \
                 tcp_workers (write {instead})",
                spec.protocol
            )
        }));
    }
    lines
}

/// An option that counts for UDP alone, and what says the same for connections.
fn meant_for_udp(option: &SocketOption) -> Option<(&'static str, String)> {
    match option {
        SocketOption::UseWorkers(count) => Some(("use_workers", format!("tcp_workers={count}"))),
        SocketOption::UseAutoScalingProfile(name) => {
            Some(("use_auto_scaling_profile", format!("tcp_workers=N use_auto_scaling_profile {name}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tocsin_script::SourceMap;

    use super::*;
    use crate::core;

    fn lines(config: &str) -> Vec<String> {
        let library = core::library(
            tocsin_script::Library::new(),
            &core::WrittenNames::default(),
            &core::WrittenLists::default(),
            &crate::flag_names::FlagNames::default(),
        );
        let source = SourceMap::from_text("t.cfg", format!("{config}\nroute {{ exit; }}\n"));
        idle_options(&tocsin_script::compile(source, &library).expect("a configuration"))
    }

    #[test]
    fn each_option_is_named_with_its_place_and_what_to_write_instead() {
        let reported = lines(
            "auto_scaling_profile=P\n  scale up to 3 on 30% for 2 cycles within 3\n\
             socket=udp:127.0.0.1:5060 use_workers 2 use_auto_scaling_profile P\n\
             socket=tcp:127.0.0.1:5060 use_workers 2 use_auto_scaling_profile P\n\
             socket=wss:127.0.0.1:443 tag out use_workers 5\n",
        );
        assert_eq!(
            reported,
            [
                "t.cfg:4:1: use_workers of a tcp socket does nothing: its connections are served by all \
                 tcp_workers (write tcp_workers=2)",
                "t.cfg:4:1: use_auto_scaling_profile of a tcp socket does nothing: its connections are served \
                 by all tcp_workers (write tcp_workers=N use_auto_scaling_profile P)",
                "t.cfg:5:1: use_workers of a wss socket does nothing: its connections are served by all \
                 tcp_workers (write tcp_workers=5)",
            ]
        );
    }

    #[test]
    fn nothing_is_told_of_udp() {
        assert!(lines("socket=udp:127.0.0.1:5062 use_workers 1").is_empty());
    }
}
