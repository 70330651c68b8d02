//! Global parameters: their names for the language, and their values for the server.

use std::path::PathBuf;

use tocsin_event::Rule;
use tocsin_process::Profile;
use tocsin_script::{Bytes, Global, GlobalKind, GlobalSetting, GlobalValue, SocketSpec, Value};
use tocsin_sip::Limits;

use crate::blocklist::Definition;
use crate::dns_settings::DnsSettings;
use crate::flag_names::FlagNames;
use crate::logging::{Level, LogSettings};
use crate::scaling::ScalingSettings;
use crate::tcp_settings::TcpSettings;

/// Shared memory when neither `-m` nor anything else says otherwise, in MiB.
pub const DEFAULT_SHARED_MIB: u64 = 64;
/// Private memory of each process when `-M` does not say otherwise, in MiB.
pub const DEFAULT_PRIVATE_MIB: u64 = 16;
/// The value of the Server header when none is configured.
const SERVER_HEADER: &str = concat!("Tocsin (", env!("CARGO_PKG_VERSION"), ")");

/// What the command line says beside the configuration; it wins.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `-l`, each as in `socket=`.
    pub listen: Vec<SocketSpec>,
    /// `-n`.
    pub udp_workers: Option<u32>,
    /// `-N`.
    pub tcp_workers: Option<u32>,
    /// `-m`, in MiB.
    pub shared_mib: Option<u64>,
    /// `-M`, in MiB.
    pub private_mib: Option<u64>,
    /// `-D`, or `-d` given so often.
    pub debug: bool,
    /// How often `-d` was given.
    pub verbose: u32,
    /// `-u`, `-g`, `-t`, `-w`.
    pub identity: tocsin_process::Identity,
}

/// One `socket=` line, or one address of it.
#[derive(Debug, Clone)]
pub struct SocketSetting {
    /// As it was written.
    pub spec: SocketSpec,
    /// `udp_workers`: the last one of the configuration.
    pub workers: u32,
    /// The profile that scales its workers: its own, or that of the `udp_workers` in force where it was written.
    pub profile: Option<Profile>,
}

/// All global parameters that the server acts on, with their defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Listening addresses.
    pub sockets: Vec<SocketSetting>,
    /// `alias`.
    pub aliases: Vec<SocketSpec>,
    /// `timer_workers`.
    pub timer_workers: u32,
    /// `tcp_*`.
    pub tcp: TcpSettings,
    /// `auto_scaling_*`, and who is scaled.
    pub scaling: ScalingSettings,
    /// `dns_*`.
    pub dns: DnsSettings,
    /// `dst_blacklist`, in their order.
    pub blocklists: Vec<Definition>,
    /// The names of flags, as they are bits of a word.
    pub flag_names: FlagNames,
    /// `advertised_address`, `advertised_port`.
    pub advertised: (Option<String>, Option<u16>),
    /// `exec_msg_threshold`, microseconds; 0 is off.
    pub exec_msg_threshold: u64,
    /// `exec_dns_threshold`, microseconds; 0 is off.
    pub exec_dns_threshold: u64,
    /// `event_pkg_threshold`, percent; 0 is off.
    pub event_pkg_threshold: u8,
    /// `event_shm_threshold`, percent; 0 is off.
    pub event_shm_threshold: u8,
    /// `event_threshold_hysteresis`, percent; 0: every percent is told.
    pub event_threshold_hysteresis: u8,
    /// Size of the shared memory in bytes.
    pub shared_bytes: u64,
    /// Budget of each process's private memory in bytes.
    pub private_bytes: u64,
    /// Where the log goes.
    pub log: LogSettings,
    /// `xlog_level`.
    pub xlog_level: i32,
    /// `xlog_escape_control`: what scripts write has its control characters escaped, as the server's own lines have.
    pub xlog_escape_control: bool,
    /// `disable_503_translation`.
    pub forward_503: bool,
    /// `user`, `group`, `chroot`, `wdir`.
    pub identity: tocsin_process::Identity,
    /// `open_files_limit`.
    pub open_files: Option<u64>,
    /// Bounds on messages.
    pub limits: Limits,
    /// Events whose names the script writes out, in the order in which they appear.
    pub written_events: Vec<Bytes>,
    debug: bool,
    server_signature: bool,
    server_header: Vec<u8>,
}

/// A value that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct BadSetting {
    /// The global parameter.
    pub name: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Settings {
    /// Reads the values of `globals`, with `overrides` on top. `flag_names` are those that the script uses.
    pub fn new(
        globals: &[GlobalSetting],
        overrides: &Overrides,
        flag_names: FlagNames,
    ) -> Result<Self, BadSetting> {
        let scaling = ScalingSettings::new(globals);
        let mut settings = Self { flag_names, scaling, ..Self::defaults() };
        let mut udp_workers = overrides.udp_workers.unwrap_or(8);
        let mut udp_profile = None;
        for global in globals {
            let wrong = |problem: String| BadSetting { name: global.name.clone(), problem };
            match (global.name.as_str(), &global.value) {
                ("udp_workers" | "children", GlobalValue::Workers { count, profile }) => {
                    udp_workers = overrides.udp_workers.unwrap_or(*count);
                    udp_profile = settings.scaling.named(profile.as_deref());
                }
                ("timer_workers", GlobalValue::Workers { count, profile }) => {
                    settings.timer_workers = *count;
                    settings.scaling.timer = settings.scaling.named(profile.as_deref());
                }
                ("tcp_workers", GlobalValue::Workers { count, profile }) => {
                    settings.number("tcp_workers", i64::from(*count)).map_err(wrong)?;
                    settings.scaling.tcp = settings.scaling.named(profile.as_deref());
                }
                ("socket" | "listen", GlobalValue::Socket(spec)) => {
                    let profile = settings.scaling.of_socket(spec).or_else(|| udp_profile.clone());
                    let socket = SocketSetting { spec: spec.clone(), workers: udp_workers, profile };
                    settings.sockets.push(socket);
                }
                ("alias", GlobalValue::Socket(spec)) => settings.aliases.push(spec.clone()),
                ("dst_blacklist", GlobalValue::Str(line)) => {
                    let definition = Definition::parse(&line.lossy());
                    settings.blocklists.push(definition.map_err(|cause| wrong(cause.to_string()))?);
                }
                (_, GlobalValue::Int(number)) => settings.number(&global.name, *number).map_err(wrong)?,
                (_, GlobalValue::Bool(truth)) => settings.switch(&global.name, *truth),
                (_, GlobalValue::Str(text)) => settings.text(&global.name, &text.lossy()).map_err(wrong)?,
                _ => {}
            }
        }
        // A number of workers counts for all sockets, also for those written before it.
        settings.sockets.iter_mut().for_each(|socket| socket.workers = udp_workers);
        settings.apply(overrides, udp_workers, udp_profile.as_ref());
        Ok(settings)
    }

    /// The Server header to put into responses; `None` when it is switched off.
    pub fn server_header(&self) -> Option<&[u8]> {
        self.server_signature.then_some(&self.server_header)
    }

    /// When a process's private memory is worth an event.
    pub fn private_rule(&self) -> Rule {
        Rule { threshold: self.event_pkg_threshold, hysteresis: self.event_threshold_hysteresis }
    }

    /// When the shared memory is worth an event.
    pub fn shared_rule(&self) -> Rule {
        Rule { threshold: self.event_shm_threshold, hysteresis: self.event_threshold_hysteresis }
    }

    fn defaults() -> Self {
        Self {
            sockets: Vec::new(),
            aliases: Vec::new(),
            timer_workers: 1,
            tcp: TcpSettings::default(),
            scaling: ScalingSettings::default(),
            dns: DnsSettings::default(),
            blocklists: Vec::new(),
            flag_names: FlagNames::default(),
            advertised: (None, None),
            exec_msg_threshold: 0,
            exec_dns_threshold: 0,
            event_pkg_threshold: 0,
            event_shm_threshold: 0,
            event_threshold_hysteresis: 0,
            shared_bytes: DEFAULT_SHARED_MIB << 20,
            private_bytes: DEFAULT_PRIVATE_MIB << 20,
            log: LogSettings { stderr: false, syslog: Some("tocsin".to_owned()), ..LogSettings::default() },
            xlog_level: Level::Notice as i32,
            xlog_escape_control: false,
            forward_503: false,
            identity: tocsin_process::Identity::default(),
            open_files: None,
            limits: Limits::default(),
            written_events: Vec::new(),
            debug: false,
            server_signature: true,
            server_header: SERVER_HEADER.as_bytes().to_vec(),
        }
    }

    fn number(&mut self, name: &str, number: i64) -> Result<(), String> {
        let micros = || u64::try_from(number).map_err(|_| "microseconds are 0 or more".to_owned());
        let percent = || match u8::try_from(number) {
            Ok(percent) if percent <= 100 => Ok(percent),
            _ => Err(format!("{number} is no percentage: give 0 (off) to 100")),
        };
        match name {
            "exec_msg_threshold" => self.exec_msg_threshold = micros()?,
            "exec_dns_threshold" => self.exec_dns_threshold = micros()?,
            "event_pkg_threshold" => self.event_pkg_threshold = percent()?,
            "event_shm_threshold" => self.event_shm_threshold = percent()?,
            "event_threshold_hysteresis" => self.event_threshold_hysteresis = percent()?,
            "log_level" | "debug" => self.log.level = number as i32,
            "stderror_level_filter" => self.log.stderr_most = number as i32,
            "syslog_level_filter" => self.log.syslog_most = number as i32,
            "log_event_level_filter" => self.log.events_most = number as i32,
            "xlog_level" => self.xlog_level = number as i32,
            "timer_workers" => {
                self.timer_workers = u32::try_from(number).map_err(|_| "needs 1 or more".to_owned())?;
            }
            "open_files_limit" => self.open_files = u64::try_from(number).ok(),
            "advertised_port" => {
                self.advertised.1 = Some(u16::try_from(number).map_err(|_| format!("{number} is no port"))?);
            }
            _ if name.starts_with("auto_scaling_") => self.scaling.number(name, number)?,
            _ if name.starts_with("dns_") => self.dns.number(name, number)?,
            _ => self.tcp.number(name, number)?,
        }
        Ok(())
    }

    fn switch(&mut self, name: &str, truth: bool) {
        match name {
            "stderror_enabled" | "log_stderror" => self.log.stderr = truth,
            "syslog_enabled" if !truth => self.log.syslog = None,
            "log_event_enabled" => self.log.events = truth,
            "xlog_escape_control" => self.xlog_escape_control = truth,
            "disable_503_translation" => self.forward_503 = truth,
            "server_signature" => self.server_signature = truth,
            "debug_mode" => self.debug = truth,
            _ => {
                self.dns.switch(name, truth);
                self.tcp.switch(name, truth);
            }
        }
    }

    fn text(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "advertised_address" => self.advertised.0 = Some(text.to_owned()),
            "dns_server" => self.dns.server(text)?,
            "server_header" => {
                let value = text.strip_prefix("Server:").unwrap_or(text).trim();
                if value.contains(['\r', '\n']) {
                    return Err("a header is one line".to_owned());
                }
                self.server_header = value.as_bytes().to_vec();
            }
            "log_name" | "syslog_name" => {
                self.log.syslog = self.log.syslog.is_some().then(|| text.to_owned());
            }
            "log_prefix" => self.log.prefix = (!text.is_empty()).then(|| text.to_owned()),
            "chroot" => self.identity.root = Some(PathBuf::from(text)),
            "wdir" => self.identity.directory = Some(PathBuf::from(text)),
            "user" | "uid" => {
                self.identity.user = Some(tocsin_process::lookup_account(text).map_err(|e| e.to_string())?);
            }
            "group" | "gid" => {
                self.identity.group = Some(tocsin_process::lookup_group(text).map_err(|e| e.to_string())?);
            }
            _ => self.tcp.flag(name, || self.flag_names.bit(&flag(text)))?,
        }
        Ok(())
    }

    fn debug_mode(&mut self) {
        self.log.level = Level::Debug as i32;
        self.log.stderr = true;
        for socket in &mut self.sockets {
            socket.workers = 2;
            socket.profile = None;
        }
        self.scaling.off();
        self.tcp.debug_mode();
    }

    fn apply(&mut self, overrides: &Overrides, workers: u32, profile: Option<&Profile>) {
        let listen = overrides.listen.iter().map(|spec| SocketSetting {
            spec: spec.clone(),
            workers,
            profile: profile.cloned(),
        });
        if !overrides.listen.is_empty() {
            self.sockets = listen.collect();
        }
        if let Some(mib) = overrides.shared_mib {
            self.shared_bytes = mib << 20;
        }
        if let Some(mib) = overrides.private_mib {
            self.private_bytes = mib << 20;
        }
        if let Some(workers) = overrides.tcp_workers {
            self.tcp.workers = workers;
        }
        if overrides.debug || self.debug {
            self.debug_mode();
        }
        self.log.level = (self.log.level + overrides.verbose as i32).min(Level::Debug as i32);
        let mine = &overrides.identity;
        self.identity.root = mine.root.clone().or_else(|| self.identity.root.take());
        self.identity.directory = mine.directory.clone().or_else(|| self.identity.directory.take());
        self.identity.user = mine.user.or(self.identity.user);
        self.identity.group = mine.group.or(self.identity.group);
        self.timer_workers = self.timer_workers.max(1);
    }
}

/// A flag as a global names it: by a word, or by its number.
fn flag(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::str(text), Value::Int)
}

/// Every global parameter of the manual, for the language. Those that nothing here acts on are accepted: they tune
/// what this server does in another way, or belong to protocols that it does not speak yet.
pub fn globals() -> impl Iterator<Item = Global> {
    use GlobalKind::{Bool, Int, Line, Profile, Socket, Str, Workers};
    let of = |kind, names: &'static [(&'static str, &'static str)]| {
        names.iter().map(move |(name, doc)| Global { name, kind, doc })
    };
    of(
        Socket,
        &[
            ("socket", "an address to listen on"),
            ("listen", "older name of socket"),
            ("alias", "a name of this server"),
        ],
    )
    .chain(of(
        Workers,
        &[
            ("udp_workers", "processes for each UDP socket"),
            ("tcp_workers", "processes for TCP connections"),
            ("timer_workers", "processes for timers"),
            ("children", "older name of udp_workers"),
        ],
    ))
    .chain(of(Profile, &[("auto_scaling_profile", "limits for scaling a group of processes")]))
    .chain(of(Line, &[("dst_blacklist", "destinations never to send to")]))
    .chain(of(Bool, SWITCHES))
    .chain(of(Str, TEXTS))
    .chain(of(Int, NUMBERS))
}

const SWITCHES: &[(&str, &str)] = &[
    ("abort_on_assert", "end the server when an assert fails"),
    ("auto_aliases", "ask DNS for names of the listening addresses"),
    ("check_via", "check that the topmost Via of a reply is ours"),
    ("debug_mode", "two workers, all logs to standard error"),
    ("disable_503_translation", "forward 503 as it is"),
    ("disable_core_dump", "no core files"),
    ("disable_dns_blacklist", "do not remember dead destinations"),
    ("disable_dns_failover", "do not try a name's next address"),
    ("disable_stateless_fwd", "drop stray replies"),
    ("dns", "look up the own name"),
    ("dns_try_ipv6", "ask for AAAA when there is no A"),
    ("dns_try_naptr", "ask for NAPTR before SRV"),
    ("dns_use_search_list", "use the search list of resolv.conf"),
    ("enable_asserts", "run assert()"),
    ("log_event_enabled", "raise E_CORE_LOG for log lines"),
    ("log_stderror", "older name of stderror_enabled"),
    ("mcast_loopback", "receive own multicast"),
    ("mem_warming", "restore memory patterns"),
    ("mhomed", "choose the sending socket by route"),
    ("rev_dns", "reverse look-up of Via addresses"),
    ("server_signature", "add Server and Warning headers"),
    ("sip_warning", "add Warning headers"),
    ("stderror_enabled", "log to standard error"),
    ("syslog_enabled", "log to the system's log"),
    ("xlog_escape_control", "escape control characters in xlog lines"),
    ("tcp_accept_aliases", "RFC 5923 connection reuse"),
    ("tcp_keepalive", "TCP keep-alive"),
    ("tcp_parallel_read_on_workers", "several workers read one connection"),
    ("xlog_force_color", "colours in the log"),
    ("xlog_print_level", "print the level in xlog lines"),
];

const TEXTS: &[(&str, &str)] = &[
    ("advertised_address", "the address that others are told"),
    ("chroot", "root directory"),
    ("db_default_url", "database for modules without one of their own"),
    ("db_version_table", "table with the versions of tables"),
    ("dns_server", "the one name server to ask, instead of those of resolv.conf"),
    ("gid", "group to run as"),
    ("group", "group to run as"),
    ("log_facility", "syslog facility"),
    ("log_name", "name in the system's log"),
    ("log_prefix", "prefix of log lines"),
    ("mpath", "where modules lie; they are built in"),
    ("poll_method", "how to wait for input; the kernel's best is used"),
    ("restart_persistency_cache_file", "memory kept over a restart"),
    ("server_header", "the Server header of responses"),
    ("stderror_log_format", "format of log lines"),
    ("syslog_facility", "syslog facility"),
    ("syslog_log_format", "format of log lines"),
    ("syslog_name", "name in the system's log"),
    ("tcp_no_new_conn_bflag", "branch flag: no new connection for requests"),
    ("tcp_no_new_conn_rplflag", "flag: no new connection for replies"),
    ("uid", "user to run as"),
    ("user", "user to run as"),
    ("user_agent_header", "the User-Agent header of own requests"),
    ("wdir", "working directory"),
];

const NUMBERS: &[(&str, &str)] = &[
    ("advertised_port", "the port that others are told"),
    ("auto_scaling_cycle", "seconds between two looks at the load"),
    ("db_max_async_connections", "connections of a worker to one database"),
    ("debug", "older name of log_level"),
    ("dns_cache_size", "DNS answers that a process keeps as long as they live"),
    ("dns_retr_no", "DNS tries"),
    ("dns_retr_time", "seconds between two DNS tries"),
    ("dns_servers_no", "name servers to use"),
    ("event_pkg_threshold", "percent of private memory that raises E_CORE_PKG_THRESHOLD"),
    ("event_shm_threshold", "percent of shared memory that raises E_CORE_SHM_THRESHOLD"),
    ("event_threshold_hysteresis", "percent by which memory must move to be told of again"),
    ("exec_dns_threshold", "microseconds that a DNS look-up may take"),
    ("exec_msg_threshold", "microseconds that a message may take"),
    ("log_event_level_filter", "level of lines that raise E_CORE_LOG"),
    ("log_json_buf_size", "buffer of a JSON log line"),
    ("log_level", "lines above this level are left out"),
    ("log_msg_buf_size", "buffer of a log line"),
    ("maxbuffer", "largest receive buffer"),
    ("mcast_ttl", "hops of multicast"),
    ("memdump", "log level of memory dumps"),
    ("memlog", "log level of memory dumps"),
    ("open_files_limit", "descriptors that a process may have"),
    ("pv_print_buf_size", "buffer of a printed string"),
    ("query_buffer_size", "rows gathered before an insert"),
    ("query_flush_time", "seconds between two inserts"),
    ("reply_to_via", "send replies to the Via address"),
    ("restart_persistency_size", "size of the memory kept over a restart"),
    ("rpm_mem_size", "size of the memory kept over a restart"),
    ("shm_hash_split_percentage", "tuning of the peer's allocator"),
    ("shm_memlog_size", "history of the peer's allocator"),
    ("shm_secondary_hash_size", "tuning of the peer's allocator"),
    ("stderror_level_filter", "level of lines to standard error"),
    ("syslog_level_filter", "level of lines to the system's log"),
    ("tcp_connect_timeout", "milliseconds that a TCP connect may take"),
    ("tcp_connection_lifetime", "seconds that an idle connection lives"),
    ("tcp_keepcount", "TCP keep-alive probes"),
    ("tcp_keepidle", "seconds before the first probe"),
    ("tcp_keepinterval", "seconds between probes"),
    ("tcp_max_connections", "accepted TCP connections at one time"),
    ("tcp_max_connections_per_source", "accepted TCP connections of one remote address at one time"),
    ("tcp_max_msg_time", "seconds that a message may take to arrive"),
    ("tcp_socket_backlog", "connections waiting to be accepted"),
    ("tcp_threshold", "microseconds that a TCP operation may take"),
    ("tos", "IP type of service"),
    ("xlog_buf_size", "buffer of an xlog line"),
    ("xlog_level", "xlog lines above this level are left out"),
];
