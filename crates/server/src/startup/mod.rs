//! From a configuration to a server that only has to be forked: the ground is laid ([`ground`]), the modules start upon it,
//! the sockets are opened ([`listeners`]), and it is known which processes there will be ([`plan`]).

mod compile;
mod deadlines;
mod error;
mod ground;
mod listeners;
mod plan;
mod unused;

use std::rc::Rc;
use std::sync::Arc;

use tocsin_event::{SharedEdge, Transports};
use tocsin_process::MadeFile;
use tocsin_script::{Library, Program, SourceMap};
use tocsin_shm::{Arena, Sweep};

use self::ground::Ground;
use self::listeners::{addresses, open_sockets, protocol_of, spoken_protocol};
use self::plan::capacity;
use crate::blocklist::Blocklists;
use crate::caches::Caches;
use crate::context::Context;
use crate::core_statistics::CoreCounters;
use crate::databases::Databases;
use crate::flag_names::FlagNames;
use crate::keyed_hash::KeyedHash;
use crate::memory::MemoryWatch;
use crate::module::{Deadlines, Module, Parameters, Registered, Setup, States};
use crate::reload::{AtStart, Versions};
use crate::script::Script;
use crate::server::{Configuration, ReadSource, Server};
use crate::settings::{Overrides, Settings, SocketSetting};
use crate::statistics::Statistics;
use crate::status_report::StatusReports;
use crate::stream_options::StreamOptionsByProtocol;
use crate::turns::Turns;
use crate::{
    event_routes, event_statistics, logging, network_statistics, process_statistics, scaling, settings, time,
};
use tocsin_streams::{Network, SharedConnections, SharedConnectionsError};

pub(crate) use compile::{Compiled, compile};
pub use error::StartError;

/// A server, and the tables whose locks its supervisor sweeps.
pub struct Assembled {
    /// The server.
    pub server: &'static Server,
    /// Its tables.
    pub sweeps: Vec<&'static dyn Sweep>,
    /// Files that go with it: they are removed when they are dropped.
    pub files: Vec<MadeFile>,
}

impl std::fmt::Debug for Assembled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembled").field("server", self.server).finish_non_exhaustive()
    }
}

/// Reads and checks a configuration. Nothing is opened or made.
pub fn check(
    source: SourceMap,
    modules: &[Rc<dyn Module>],
    overrides: &Overrides,
) -> Result<(Program<Context>, Settings), StartError> {
    let flags = FlagNames::default();
    let compiled = compile(source, modules, Library::new(), &flags).map_err(StartError::Script)?;
    let Compiled { program, events, lists } = compiled;
    let mut settings = match Settings::new(program.globals(), overrides, flags) {
        Ok(settings) => settings,
        Err(wrong) => return Err(StartError::Script(program.refuse(wrong))),
    };
    settings.written_events = events;
    for (name, place) in lists {
        if !settings.has_blocklist(&name) {
            return Err(StartError::NoBlocklist { place, name: name.lossy().into_owned() });
        }
    }
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

/// Starts the modules of a configuration without an effect outside of this process, and looks at its sockets without opening
/// them: finds what would keep the server from starting, such as a certificate that is not there.
///
/// # Errors
/// What would keep it from starting.
pub fn rehearse(
    program: &Program<Context>,
    settings: &Settings,
    modules: &[Rc<dyn Module>],
) -> Result<(), StartError> {
    let ground = Ground::lay(settings)?;
    let (mut setup, _) = begin(&ground, settings, true)?;
    start(&loaded(program, modules), &mut setup, program)?;
    let routes = event_routes::names(program);
    let unused = unused::warnings(program, &routes, &settings.written_events, &setup.events);
    unused.iter().for_each(|line| logging::line(logging::Level::Warning, &format!("core:main: {line}")));
    settings.sockets.iter().try_for_each(|setting| spoken_protocol(&setting.spec, program).map(drop))
}

/// What a server is given beside its configuration.
pub struct Given {
    /// The command line, for the management interface.
    pub arguments: Vec<String>,
    /// What it says beside the configuration.
    pub overrides: Overrides,
    /// Reads the configuration again.
    pub read: ReadSource,
    /// Called in the supervisor once every process serves.
    pub on_ready: fn(&'static Server),
}

impl Default for Given {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            overrides: Overrides::default(),
            read: Arc::new(|| Err("there is no configuration to be read again".to_owned())),
            on_ready: |_| {},
        }
    }
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

/// Makes the server: shared memory, tables, sockets. Nothing is forked.
pub fn assemble(
    mut program: Program<Context>,
    settings: Settings,
    modules: Vec<Rc<dyn Module>>,
    given: Given,
) -> Result<Assembled, StartError> {
    program.trace_actions(settings.exec_msg_threshold > 0);
    scaling::idle_options(&program).iter().for_each(|line| tracing::warn!("{line}"));
    settings::note_idle(&program);
    let ground = Ground::lay(&settings)?;
    let Ground { arena, slots, table, events, .. } = ground;
    let loaded = loaded(&program, &modules);

    let (mut setup, counters) = begin(&ground, &settings, false)?;
    start(&loaded, &mut setup, &program)?;
    let routes = event_routes::names(&program);
    unused::warnings(&program, &routes, &settings.written_events, &setup.events)
        .iter()
        .for_each(|line| tracing::warn!("{line}"));
    let blocklists = Blocklists::create(arena, settings.blocklists.clone(), settings.dns.blocklist)?;
    setup.tables.extend(blocklists.sweepers());
    setup.registered.deadlines.extend(blocklists.expiring().map(|rules| Rc::new(rules) as Rc<dyn Deadlines>));
    let mut shared = shared(arena, &settings, &mut setup.statistics)?;
    setup.tables.push(shared.connections.sweeper());
    process_statistics::register_processes(&mut setup.statistics, table, settings.private_bytes);
    setup.statistics.share(arena, slots)?;
    let written = [&settings.written_events[..], &routes].concat();
    let line_written = ground::publish(&events, &written, &setup.events)?;
    logging::raise_lines(events, line_written);

    let sockets = open_sockets(&settings, &program, &setup.streams)?;
    network_statistics::listen(&sockets);
    setup.own_listeners.extend(sockets.as_own_listeners());
    events.know_own_listeners(std::mem::take(&mut setup.own_listeners));
    let plan = plan::plan(&setup.registered.processes, &sockets, &settings, slots)?;
    shared.seat(&plan);
    event_routes::subscribe(setup.registered.event_routes.as_deref(), &routes, &events)
        .map_err(StartError::Events)?;
    if let Some(known) = &setup.registered.event_routes {
        known.know(table, &plan, routes);
    }
    let scaling = scaling::groups(&plan, &sockets, arena, &mut setup.registered.status)?;
    let turns = Turns::create(arena, setup.registered.jobs.len(), program.timer_routes().count())?;
    let sweeps = std::mem::take(&mut setup.tables);
    let files = std::mem::take(&mut setup.files);
    let memory = MemoryWatch {
        arena,
        shared_rule: settings.shared_rule(),
        shared_edge: &arena.boot_array(1, |_| SharedEdge::default())?[0],
        private_bytes: settings.private_bytes,
        private_rule: settings.private_rule(),
        started: ground.words.started,
    };
    let Setup { statistics, security, streams, tcp_paths, registered, .. } = setup;
    let statistics = Rc::new(statistics);
    let network = Network {
        sockets,
        shared,
        security,
        options: streams,
        paths: tcp_paths,
        tcp: settings.tcp.clone(),
        limits: settings.limits,
        table,
        statistics: Rc::clone(&statistics),
        events,
        hash: KeyedHash::of(arena),
        ending: ground.words.ending,
    };
    let Given { arguments, overrides, read, on_ready } = given;
    let configuration = Configuration { read, overrides, modules, at_start: AtStart::of(&program) };
    let script = Script::new(0, program, settings.flag_names.clone());
    let server = Server {
        arena,
        table,
        plan,
        versions: Versions::create(arena, slots, script)?,
        configuration,
        settings,
        network,
        scaling,
        turns,
        registered,
        modules: loaded,
        statistics,
        counters,
        events,
        wake: ground.wake,
        memory,
        tables: sweeps.clone(),
        blocklists,
        words: ground.words,
        on_ready,
        started_at: time::unix_seconds(),
        arguments,
    };
    Ok(Assembled { server: Box::leak(Box::new(server)), sweeps, files })
}

/// The modules that the configuration loads, in its order.
fn loaded(program: &Program<Context>, modules: &[Rc<dyn Module>]) -> Vec<Rc<dyn Module>> {
    let linked = |name: &String| modules.iter().find(|module| module.spec().name == name);
    program.modules().iter().filter_map(linked).cloned().collect()
}

/// What modules find before the first of them has started, and the core's counters.
fn begin<'a>(
    ground: &Ground,
    settings: &'a Settings,
    rehearsal: bool,
) -> Result<(Setup<'a>, CoreCounters), StartError> {
    let Ground { arena, slots, events, .. } = *ground;
    let status = StatusReports::create(arena, events)?;
    let mut statistics = Statistics::default();
    process_statistics::register_shared(&mut statistics, arena);
    let counters = CoreCounters::register(&mut statistics);
    network_statistics::register(&mut statistics);
    event_statistics::register(&mut statistics, events);
    let tables = events.sweepers().into_iter().chain(status.sweepers()).collect();
    let registered = Registered {
        status,
        caches: Caches::new(&mut statistics),
        script_variables: Vec::new(),
        states: States::default(),
        transports: Transports::default(),
        event_routes: None,
        processes: Vec::new(),
        jobs: Vec::new(),
        deadlines: Vec::new(),
        on_leaving: Vec::new(),
        is_own_ack: None,
        transactions: None,
        observers: Vec::new(),
        databases: Databases::default(),
        tls_selections: None,
    };
    let setup = Setup {
        arena,
        slots,
        settings,
        rehearsal,
        parameters: Parameters::default(),
        statistics,
        files: Vec::new(),
        tables,
        events: Vec::new(),
        own_listeners: Vec::new(),
        security: None,
        streams: StreamOptionsByProtocol::default(),
        tcp_paths: None,
        registered,
    };
    Ok((setup, counters))
}

/// Starts the modules, each with its own parameters, and gives them the databases that they asked for.
fn start(
    modules: &[Rc<dyn Module>],
    setup: &mut Setup<'_>,
    program: &Program<Context>,
) -> Result<(), StartError> {
    for module in modules {
        let name = module.spec().name;
        let own = program.module_settings().iter().filter(|setting| setting.module == name);
        setup.parameters = Parameters(own.map(|s| (s.name.clone(), s.value.clone())).collect());
        module.start(setup).map_err(|cause| StartError::of_module(name, cause, program))?;
        setup.events.extend(module.management().events.iter().map(|event| event.name));
    }
    let assigned = setup.registered.databases.assign();
    assigned.map_err(|(asker, cause)| StartError::of_module(asker.module, cause, program))
}

/// The table of connections and the mailboxes; of no size where nothing needs a connection.
fn shared(
    arena: &'static Arena,
    settings: &Settings,
    statistics: &mut Statistics,
) -> Result<SharedConnections, SharedConnectionsError> {
    let streams = settings.sockets.iter().any(|s| !matches!(s.spec.protocol.as_str(), "" | "udp"));
    let most = if streams { settings.tcp.rows() } else { 1 };
    let workers = if streams { capacity(settings.tcp.workers, settings.scaling.tcp.as_ref()) } else { 0 };
    SharedConnections::create(arena, most, workers, statistics)
}
