//! Where the server listens, and how many processes it has.

use tocsin_script::GlobalValue;

use super::values::{DEFAULT_UDP_WORKERS, Parameter, Settings, SocketSetting};
use crate::declared::DefaultValue::{Number, Unset};
use crate::declared::Effect::Sets;
use crate::declared::{Kind, number, set, text};

/// Numbers of processes that are not bounded here: the process table is.
const ANY: Kind = Kind::Workers { least: 0, most: u32::MAX };

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "socket",
        Kind::Socket,
        Unset("none: at least one is needed, here or with -l"),
        "An address to listen on: PROTOCOL:ADDRESS[:PORT[-PORT]], then options such as `as HOST[:PORT]`, `use_workers N`, \
         `use_auto_scaling_profile NAME` and `tag NAME`. May be given several times.",
        Sets(socket),
    )
    .older(&["listen"]),
    Parameter::new(
        "alias",
        Kind::Alias,
        Unset("none"),
        "A further name of this server: a request to it counts as one to the server itself. May be given several times; \
         `accept_subdomain` includes the names below it.",
        Sets(|settings, value| {
            if let GlobalValue::Socket(spec) = value {
                settings.aliases.push(spec.clone());
            }
            Ok(())
        }),
    ),
    Parameter::new(
        "udp_workers",
        ANY,
        Number(DEFAULT_UDP_WORKERS as i64),
        "Processes for each UDP socket that does not say `use_workers` itself. A profile counts for the sockets written \
         behind it. -n wins.",
        Sets(|settings, value| {
            settings.udp_workers = number(value)?;
            settings.udp_profile = profile(settings, value);
            Ok(())
        }),
    )
    .older(&["children"]),
    Parameter::new(
        "timer_workers",
        ANY,
        Number(1),
        "Processes for retransmissions, time-outs, expiry and timer routes; 0 counts as 1.",
        Sets(|settings, value| {
            settings.timer_workers = number(value)?;
            settings.scaling.timer = profile(settings, value);
            Ok(())
        }),
    ),
    Parameter::new(
        "advertised_address",
        Kind::Text,
        Unset("the address of the socket"),
        "The address that Via and Record-Route of every socket name, unless the socket says `as` itself.",
        Sets(|settings, value| set(&mut settings.advertised.0, text(value).map(|text| Some(text.into_owned())))),
    ),
    Parameter::new(
        "advertised_port",
        Kind::number(0, 65_535, "port numbers"),
        Unset("the port of the socket"),
        "The port that Via and Record-Route of every socket name, unless the socket says `as` itself.",
        Sets(|settings, value| set(&mut settings.advertised.1, number(value).map(Some))),
    ),
    Parameter::new(
        "open_files_limit",
        Kind::AnyNumber,
        Unset("the limit that the server is started with"),
        "How many descriptors a process may have: the limit of the system is raised to it before anything is opened.",
        Sets(|settings, value| set(&mut settings.open_files, number::<i64>(value).map(|most| most.try_into().ok()))),
    ),
    Parameter::without_effect(
        "auto_aliases",
        Kind::Switch,
        "Makes the names that DNS has for the listening addresses names of this server.",
        "names of the own addresses are never looked up: write alias= for each",
    ),
    Parameter::without_effect(
        "mhomed",
        Kind::Switch,
        "Lets the system's routes choose the sending socket.",
        "routes are not asked so far: choose the socket with $socket_out",
    ),
    Parameter::without_effect(
        "mcast_loopback",
        Kind::Switch,
        "Receives what was sent to a multicast group from the same host.",
        "there is no multicast so far",
    ),
    Parameter::without_effect(
        "mcast_ttl",
        Kind::AnyNumber,
        "Routers that a multicast datagram may pass.",
        "there is no multicast so far",
    ),
    Parameter::without_effect(
        "tos",
        Kind::Text,
        "The IP type of service of packets that are sent.",
        "the type of service is left to the system so far",
    ),
    Parameter::without_effect(
        "maxbuffer",
        Kind::AnyNumber,
        "The largest receive buffer of a UDP socket.",
        "each socket asks the system for one fixed size of buffer",
    ),
    Parameter::without_effect(
        "poll_method",
        Kind::Text,
        "How a process waits for input.",
        "there is one way to wait: epoll",
    ),
];

fn socket(settings: &mut Settings, value: &GlobalValue) -> Result<(), String> {
    let GlobalValue::Socket(spec) = value else { return Err("an address to listen on is needed".to_owned()) };
    let profile = settings.scaling.of_socket(spec).or_else(|| settings.udp_profile.clone());
    settings.sockets.push(SocketSetting { spec: spec.clone(), workers: settings.udp_workers, profile });
    Ok(())
}

/// The profile that is named behind a number of workers.
pub(super) fn profile(settings: &Settings, value: &GlobalValue) -> Option<tocsin_process::Profile> {
    match value {
        GlobalValue::Workers { profile, .. } => settings.scaling.named(profile.as_deref()),
        _ => None,
    }
}
