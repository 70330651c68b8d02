//! From a configuration to a server that only has to be forked.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, AtomicU32};

use nix::sys::eventfd::{EfdFlags, EventFd};
use thiserror::Error;
use tocsin_event::{EventOptions, Events, SharedEdge, Transports};
use tocsin_net::{OpenError, Protocol, UdpGroup, interface_addresses};
use tocsin_process::{Group, Kind, Plan, Profile};
use tocsin_script::{Bytes, Diagnostics, Library, Program, RouteKind, SocketOption, SocketSpec, SourceMap};
use tocsin_shm::{Arena, ArenaFull, ArenaOptions, ProcessTable, Sweep};

use crate::blocklist::{BlocklistError, Blocklists};
use crate::caches::Caches;
use crate::context::Context;
use crate::databases::Databases;
use crate::module::{Module, Parameters, ProcessGroup, Setup, SetupError, States};
use crate::scaling::{self, ScalingError};
use crate::server::{Server, SharedWords};
use crate::settings::{BadSetting, Overrides, Settings, SocketSetting};
use crate::sockets::{Alias, Endpoint, Listener, SocketId, Sockets};
use crate::statistics::{CoreCounters, Statistics};
use crate::status_report::{StatusError, StatusReports};
use crate::stream_options::StreamOptionsByProtocol;
use crate::streams::{Exchange, ExchangeError};
use crate::turns::Turns;
use crate::{core, event_routes, event_statistics, logging, network_statistics, process_statistics, time};

/// Processes that modules may have, all together.
const MODULE_PROCESSES: usize = 64;
/// The most `socket=` addresses.
const LISTENER_LIMIT: usize = 256;

/// Why the server cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is wrong; the diagnostics say where.
    #[error("bad config file ({} errors)", .0.count())]
    Script(Diagnostics),
    /// A global parameter has a value that cannot be used.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// A module cannot start.
    #[error("module {module}: {cause}")]
    Module {
        /// Its name.
        module: String,
        /// Why.
        cause: SetupError,
    },
    /// A value of a module's parameter cannot be used.
    #[error("{place}: {cause}")]
    Value {
        /// File, line and column of the value.
        place: String,
        /// What is wrong with it.
        cause: SetupError,
    },
    /// No `proto_` module is loaded.
    #[error("no transport protocol loaded: add loadmodule \"proto_udp.so\"")]
    NoTransport,
    /// A `socket=` names a protocol whose module is not loaded.
    #[error("socket={0}: load the module proto_{1}")]
    ProtocolNotLoaded(String, String),
    /// A `socket=` that cannot be used.
    #[error("socket={0}: {1}")]
    Socket(String, String),
    /// A listening address cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No address to listen on.
    #[error("no address to listen on: add a line such as socket=udp:127.0.0.1:5060")]
    NoSocket,
    /// The shared memory cannot be had.
    #[error("{0} MiB of shared memory cannot be had: {1}")]
    Memory(u64, std::io::Error),
    /// The shared memory is too small for the tables.
    #[error("the shared memory is too small for the tables: start with a larger -m ({0})")]
    TooSmall(#[from] ArenaFull),
    /// The lists of destinations never to send to cannot be made.
    #[error(transparent)]
    Blocklists(#[from] BlocklistError),
    /// The status of the server cannot be kept.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Groups cannot be scaled.
    #[error(transparent)]
    Scaling(#[from] ScalingError),
    /// Streams cannot be served.
    #[error(transparent)]
    Streams(#[from] ExchangeError),
    /// The Event Interface could not be set up.
    #[error("{0}")]
    Events(String),
}

/// A server, and the tables whose locks its supervisor sweeps.
pub struct Assembled {
    /// The server.
    pub server: &'static Server,
    /// Its tables.
    pub sweeps: Vec<&'static dyn Sweep>,
}

impl std::fmt::Debug for Assembled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembled").field("server", self.server).finish_non_exhaustive()
    }
}

/// The names that a configuration may use with these modules linked in.
fn library(
    modules: &[Rc<dyn Module>],
    written: &core::WrittenNames,
    flags: &core::FlagNames,
) -> Library<Context> {
    let mut library = core::library(written, flags);
    modules.iter().for_each(|module| library.module(module.spec()));
    library
}

/// Reads and checks a configuration. Nothing is opened or made.
pub fn check(
    source: SourceMap,
    modules: &[Rc<dyn Module>],
    overrides: &Overrides,
) -> Result<(Program<Context>, Settings), StartError> {
    let written = core::WrittenNames::default();
    let flags = core::FlagNames::default();
    let program =
        tocsin_script::compile(source, &library(modules, &written, &flags)).map_err(StartError::Script)?;
    let mut settings = Settings::new(&program, overrides, flags)?;
    settings.written_events = written.take();
    settings.written_events.extend(event_routes::names(&program));
    if !program.modules().iter().any(|name| name.starts_with("proto_")) {
        return Err(StartError::NoTransport);
    }
    for SocketSetting { spec, .. } in &settings.sockets {
        protocol_of(spec)?;
        addresses(&spec.host)
            .map_err(|problem| StartError::Socket(format!("{}:{}", spec.protocol, spec.host), problem))?;
    }
    Ok((program, settings))
}

/// Makes the server: shared memory, tables, sockets. Nothing is forked.
pub fn assemble(
    mut program: Program<Context>,
    settings: Settings,
    modules: &[Rc<dyn Module>],
    arguments: Vec<String>,
    on_ready: fn(&'static Server),
) -> Result<Assembled, StartError> {
    program.trace_actions(settings.exec_msg_threshold > 0);
    tocsin_process::set_private_budget(settings.private_bytes);
    let slots = slots(&settings);
    let arena =
        Arena::create(&ArenaOptions { bytes: settings.shared_bytes, boot_bytes: settings.shared_bytes / 8 })
            .map_err(|cause| StartError::Memory(settings.shared_bytes >> 20, cause))?;
    let table = ProcessTable::create(arena, slots)?;
    let words = words(arena)?;
    logging::share_level(words.log_level);
    words.xlog_level.store(settings.xlog_level, std::sync::atomic::Ordering::Relaxed);
    let mut sweeps: Vec<&'static dyn Sweep> = Vec::new();
    let (events, ears) = event_interface(arena, slots)?;
    sweeps.extend(events.sweepers());

    let mut status = StatusReports::create(arena, events)?;
    sweeps.extend(status.sweepers());
    let mut statistics = Statistics::default();
    process_statistics::register_shared(&mut statistics, arena);
    let counters = CoreCounters::register(&mut statistics);
    event_statistics::register(&mut statistics, events);
    let mut caches = Caches::new(&mut statistics);
    let loaded: Vec<Rc<dyn Module>> = program
        .modules()
        .iter()
        .filter_map(|name| modules.iter().find(|module| module.spec().name == name))
        .cloned()
        .collect();
    let mut made = Made::default();
    for module in &loaded {
        start(
            module,
            &mut made,
            arena,
            slots,
            &settings,
            &program,
            &mut statistics,
            &mut status,
            &mut sweeps,
            &mut caches,
        )?;
    }
    let blocklists = Blocklists::create(arena, settings.blocklists.clone(), settings.dns.blocklist)?;
    sweeps.extend(blocklists.sweepers());
    made.deadlines.extend(blocklists.deadlines());
    let mut exchange = exchange(arena, &settings, &mut statistics)?;
    sweeps.push(exchange.connections.sweeper());
    process_statistics::register_processes(&mut statistics, table, settings.private_bytes);
    made.databases.assign().map_err(|(asker, cause)| refused(asker.module, cause, &program))?;
    statistics.share(arena, slots)?;
    let line_written = publish(&events, &settings.written_events, &made.events)?;
    if settings.log.events {
        logging::tell_lines(events, line_written, settings.log.events_most);
    }

    let sockets = open_sockets(&settings, &program, &made.streams)?;
    network_statistics::listen(&sockets);
    let plan = plan(&made.processes, &sockets, &settings);
    if plan.slots() > usize::from(slots) {
        return Err(StartError::Events(format!("modules ask for more than {MODULE_PROCESSES} processes")));
    }
    exchange.seat(&plan);
    let routes = event_routes::names(&program);
    event_routes::subscribe(made.event_routes.as_deref(), &routes, &events).map_err(StartError::Events)?;
    if let Some(known) = &made.event_routes {
        known.know(table, &plan, routes);
    }
    let scaling = scaling::groups(&plan, &sockets, arena, &mut status)?;
    let turns = Turns::create(arena, program.timer_routes().count() + made.jobs.len())?;
    let server = Server {
        exchange,
        scaling,
        turns,
        arena,
        table,
        plan,
        sockets,
        states: made.states,
        modules: loaded,
        statistics,
        counters,
        status,
        events,
        transports: made.transports,
        event_routes: made.event_routes,
        caches,
        ears,
        transactions: made.transactions,
        databases: made.databases,
        security: made.security,
        streams: made.streams,
        tcp_paths: made.tcp_paths,
        processes: made.processes,
        on_leaving: made.on_leaving,
        jobs: made.jobs,
        deadlines: made.deadlines,
        shared_edge: &arena.boot_array(1, |_| SharedEdge::default())?[0],
        words,
        blocklists,
        on_ready,
        started_at: time::unix_seconds(),
        arguments,
        settings,
        main_route: program.route(RouteKind::Request, b""),
        reply_route: program.route(RouteKind::Reply, b""),
        program,
    };
    Ok(Assembled { server: Box::leak(Box::new(server)), sweeps })
}

/// What modules have made so far.
#[derive(Default)]
struct Made {
    states: States,
    events: Vec<&'static str>,
    transports: Transports,
    event_routes: Option<Rc<event_routes::EventRoutes>>,
    processes: Vec<ProcessGroup>,
    on_leaving: Vec<crate::module::OnLeaving>,
    jobs: Vec<crate::module::Job>,
    deadlines: Vec<Rc<dyn crate::module::Deadlines>>,
    transactions: Option<Rc<dyn crate::transaction::Transactions>>,
    databases: Databases,
    security: Option<Rc<dyn crate::security::Security>>,
    streams: StreamOptionsByProtocol,
    tcp_paths: Option<Rc<dyn crate::tcp_profile::TcpPaths>>,
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call, that hands the parts of a server under construction over"
)]
fn start(
    module: &Rc<dyn Module>,
    made: &mut Made,
    arena: &'static Arena,
    slots: u16,
    settings: &Settings,
    program: &Program<Context>,
    statistics: &mut Statistics,
    status: &mut StatusReports,
    tables: &mut Vec<&'static dyn Sweep>,
    caches: &mut Caches,
) -> Result<(), StartError> {
    let name = module.spec().name;
    let own = program.module_settings().iter().filter(|s| s.module == name);
    let mut setup = Setup {
        arena,
        slots,
        settings,
        parameters: Parameters(own.map(|s| (s.name.clone(), s.value.clone())).collect()),
        statistics,
        status,
        tables,
        states: &mut made.states,
        events: &mut made.events,
        transports: &mut made.transports,
        event_routes: &mut made.event_routes,
        caches,
        processes: &mut made.processes,
        on_leaving: &mut made.on_leaving,
        jobs: &mut made.jobs,
        deadlines: &mut made.deadlines,
        transactions: &mut made.transactions,
        databases: &mut made.databases,
        security: &mut made.security,
        streams: &mut made.streams,
        tcp_paths: &mut made.tcp_paths,
    };
    module.start(&mut setup).map_err(|cause| refused(name, cause, program))
}

/// Why a module cannot start, with the place in the configuration where that is one value's fault.
fn refused(module: &str, cause: SetupError, program: &Program<Context>) -> StartError {
    let value = match &cause {
        SetupError::Value { name, nth, .. } => {
            let values = program.module_settings().iter().filter(|s| s.module == module && s.name == *name);
            values.map(|setting| setting.span).nth(*nth)
        }
        _ => None,
    };
    let Some(span) = value else { return StartError::Module { module: module.to_owned(), cause } };
    let at = program.source().position(span);
    let place = format!("{}:{}:{}", program.source().file(span).name(), at.line, at.column);
    StartError::Value { place, cause }
}

/// The most processes this server will have.
fn slots(settings: &Settings) -> u16 {
    let udp: usize = settings.sockets.iter().map(|s| capacity(workers(s), s.profile.as_ref())).sum();
    // A wildcard address becomes one listener for each interface.
    let tcp = 1 + capacity(settings.tcp.workers, settings.scaling.tcp.as_ref());
    let timers = capacity(settings.timer_workers, settings.scaling.timer.as_ref());
    let all = 1 + udp * 8 + tcp + timers + 1 + MODULE_PROCESSES;
    u16::try_from(all).unwrap_or(u16::MAX)
}

/// The most processes of a group that begins with `workers`.
fn capacity(workers: u32, profile: Option<&Profile>) -> usize {
    profile.map_or(0, |profile| profile.most).max(workers as usize)
}

fn words(arena: &'static Arena) -> Result<SharedWords, ArenaFull> {
    Ok(SharedWords {
        log_level: &arena.boot_array(1, |_| AtomicI32::new(0))?[0],
        xlog_level: &arena.boot_array(1, |_| AtomicI32::new(0))?[0],
        started: &arena.boot_array(1, |_| AtomicU32::new(0))?[0],
        ending: &arena.boot_array(1, |_| AtomicU32::new(0))?[0],
    })
}

/// The table of connections and the mailboxes; of no size where nothing needs a connection.
fn exchange(
    arena: &'static Arena,
    settings: &Settings,
    statistics: &mut Statistics,
) -> Result<Exchange, ExchangeError> {
    let streams = settings.sockets.iter().any(|s| !matches!(s.spec.protocol.as_str(), "" | "udp"));
    let most = if streams { settings.tcp.rows() } else { 1 };
    let workers = if streams { capacity(settings.tcp.workers, settings.scaling.tcp.as_ref()) } else { 0 };
    Exchange::create(arena, most, workers, statistics)
}

/// The Event Interface with a log that fits the shared memory, and the courier's end of its bell.
fn event_interface(arena: &'static Arena, slots: u16) -> Result<(Events, OwnedFd), StartError> {
    let failed = |cause: String| StartError::Events(cause);
    let bell: OwnedFd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
        .map_err(|cause| failed(format!("no descriptor for the event log: {cause}")))?
        .into();
    let ears = bell.try_clone().map_err(|cause| failed(cause.to_string()))?;
    let options = EventOptions::for_arena(arena.size_bytes(), slots);
    let events = Events::create(arena, &options, bell).map_err(|cause| failed(cause.to_string()))?;
    Ok((events, ears))
}

/// Publishes the events of the script, of modules, and of the core, in the peer's order; the last one tells lines of the
/// log.
fn publish(
    events: &Events,
    written: &[Bytes],
    names: &[&'static str],
) -> Result<tocsin_event::EventId, StartError> {
    let registry = events.registry();
    let failed = |cause: tocsin_event::PublishError| StartError::Events(cause.to_string());
    for name in written {
        registry.publish(name).map_err(failed)?;
    }
    for name in names {
        registry.publish(name.as_bytes()).map_err(failed)?;
    }
    registry.publish_last().map_err(failed)
}

/// Groups in the order of their slots: processes of modules, the courier, UDP workers, TCP main and its workers, TIMER
/// workers.
fn plan(processes: &[ProcessGroup], sockets: &Sockets, settings: &Settings) -> Plan {
    let mut groups: Vec<Group> =
        processes.iter().map(|p| Group::fixed(p.kind, p.description.clone(), p.processes)).collect();
    groups.push(Group::fixed(Kind::Courier, "event courier", 1));
    for (listener, _) in sockets.datagrams() {
        let group = Group::fixed(Kind::Udp, format!("SIP receiver {}", listener.name), listener.workers);
        groups.push(group.scaled(listener.profile.as_ref()));
    }
    if sockets.streams().next().is_some() {
        groups.push(Group::fixed(Kind::TcpMain, "TCP main", 1));
        let group = Group::fixed(Kind::Tcp, "TCP receiver", settings.tcp.workers as usize);
        groups.push(group.scaled(settings.scaling.tcp.as_ref()));
    }
    let group = Group::fixed(Kind::Timer, "Timer handler", settings.timer_workers as usize);
    groups.push(group.scaled(settings.scaling.timer.as_ref()));
    Plan { groups }
}

fn workers(setting: &SocketSetting) -> u32 {
    let own = setting.spec.options.iter().find_map(|option| match option {
        SocketOption::UseWorkers(n) => Some(*n),
        _ => None,
    });
    own.unwrap_or(setting.workers).max(1)
}

/// The protocol that a socket names; UDP if it names none.
fn protocol_of(spec: &SocketSpec) -> Result<Protocol, StartError> {
    let name = &spec.protocol;
    if name.is_empty() {
        return Ok(Protocol::Udp);
    }
    Protocol::parse(name.as_bytes()).ok_or_else(|| {
        StartError::Socket(format!("{name}:{}", spec.host), format!("`{name}` is no protocol"))
    })
}

fn open_sockets(
    settings: &Settings,
    program: &Program<Context>,
    streams: &StreamOptionsByProtocol,
) -> Result<Sockets, StartError> {
    let mut listeners = Vec::new();
    for setting in &settings.sockets {
        let spec = &setting.spec;
        let shown = format!("{}:{}", spec.protocol, spec.host);
        let protocol = protocol_of(spec)?;
        if !program.modules().iter().any(|m| m.strip_prefix("proto_") == Some(protocol.name())) {
            return Err(StartError::ProtocolNotLoaded(shown, protocol.name().to_owned()));
        }
        if protocol.is_secure() && !program.modules().iter().any(|m| m == "tls_mgm") {
            return Err(StartError::Socket(shown, "TLS needs the module tls_mgm: load it".to_owned()));
        }
        let unnamed = streams[protocol].default_port;
        let (first, last) = spec.ports.unwrap_or((unnamed, unnamed));
        for ip in addresses(&spec.host).map_err(|problem| StartError::Socket(shown.clone(), problem))? {
            for port in first..=last {
                if listeners.len() == LISTENER_LIMIT {
                    return Err(StartError::Socket(shown, format!("more than {LISTENER_LIMIT} addresses")));
                }
                listeners.push(open(
                    listeners.len(),
                    setting,
                    settings,
                    protocol,
                    SocketAddr::new(ip, port),
                )?);
            }
        }
    }
    if listeners.is_empty() {
        return Err(StartError::NoSocket);
    }
    let aliases = settings.aliases.iter().map(|spec| Alias {
        host: spec.host.to_ascii_lowercase(),
        port: spec.ports.map(|(port, _)| port).filter(|port| *port != 0),
        subdomains: spec.options.contains(&SocketOption::AcceptSubdomain),
    });
    Ok(Sockets::new(listeners, aliases.collect()).with_ports(|protocol| streams[protocol].default_port))
}

fn open(
    index: usize,
    setting: &SocketSetting,
    settings: &Settings,
    protocol: Protocol,
    address: SocketAddr,
) -> Result<Listener, StartError> {
    let (endpoint, address, workers) = match protocol {
        Protocol::Udp => {
            let workers = workers(setting) as usize;
            let group = UdpGroup::open(address, capacity(workers as u32, setting.profile.as_ref()), 1)?;
            let address = group.address();
            (Endpoint::Datagrams(group), address, workers)
        }
        _ => {
            let backlog = i32::try_from(settings.tcp.backlog).unwrap_or(i32::MAX);
            let listener = tocsin_net::stream::listen(address, backlog)?;
            // The system gives the address that it bound; it cannot fail for a socket that listens.
            let address = listener.local_addr().unwrap_or(address);
            (Endpoint::Stream(listener), address, 0)
        }
    };
    let mut advertised = (
        settings.advertised.0.clone().unwrap_or_else(|| address.ip().to_string()),
        settings.advertised.1.unwrap_or(address.port()),
    );
    let mut tag = None;
    for option in &setting.spec.options {
        match option {
            SocketOption::As { host, port } => advertised = (host.clone(), port.unwrap_or(address.port())),
            SocketOption::Tag(name) => tag = Some(name.clone()),
            _ => {}
        }
    }
    let host_port = crate::sockets::host_port(&advertised.0, advertised.1);
    Ok(Listener {
        id: SocketId(index as u16),
        protocol,
        address,
        via_prefix: format!("SIP/2.0/{} {host_port};branch=z9hG4bK", protocol.via_name()).into_bytes(),
        advertised,
        name: format!("{}:{address}", protocol.name()),
        tag,
        workers,
        profile: setting.profile.clone().filter(|_| protocol == Protocol::Udp),
        endpoint,
    })
}

/// The addresses that a `socket=` host stands for: itself, those of an interface, or all.
fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    let bare = host.trim_matches(['[', ']']);
    if matches!(bare, "*" | "any") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        return interface_addresses(None).map_err(|e| e.to_string());
    }
    if let Ok(ip) = bare.parse() {
        return Ok(vec![ip]);
    }
    let of_interface = interface_addresses(Some(bare)).map_err(|e| e.to_string())?;
    if !of_interface.is_empty() {
        return Ok(of_interface);
    }
    let resolved =
        (bare, 0).to_socket_addrs().map_err(|e| format!("neither an address nor an interface: {e}"))?;
    resolved.map(|a| a.ip()).next().map(|ip| vec![ip]).ok_or_else(|| "the name has no address".to_owned())
}
