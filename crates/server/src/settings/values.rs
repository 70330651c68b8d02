//! The values of the global parameters, for the server.

use tocsin_event::Rule;
use tocsin_process::Profile;
use tocsin_script::{Bytes, SocketSpec};
use tocsin_sip::Limits;

use crate::blocklist::{DNS_LIST, Definition};
use crate::declared::Declared;
use crate::dns_settings::DnsSettings;
use crate::flag_names::FlagNames;
use crate::logging::{Level, LogSettings};
use crate::scaling::ScalingSettings;
use crate::tcp_settings::TcpSettings;

/// Shared memory when neither `-m` nor anything else says otherwise, in MiB.
pub const DEFAULT_SHARED_MIB: u64 = 64;
/// Private memory of each process when `-M` does not say otherwise, in MiB.
pub const DEFAULT_PRIVATE_MIB: u64 = 16;
/// Processes for each UDP socket.
pub(super) const DEFAULT_UDP_WORKERS: u32 = 8;
/// The value of the Server header when none is configured.
pub(super) const SERVER_HEADER: &str = concat!("Tocsin (", env!("CARGO_PKG_VERSION"), ")");

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
    /// `event_threshold_hysteresis`, percent; 0: every percent is reported.
    pub event_threshold_hysteresis: u8,
    /// Size of the shared memory in bytes.
    pub shared_bytes: u64,
    /// Budget of each process's private memory in bytes.
    pub private_bytes: u64,
    /// Where the log goes.
    pub log: LogSettings,
    /// `memdump`: the level of the lines that the commands about memory write.
    pub memdump: i32,
    /// `enable_asserts`.
    pub enable_asserts: bool,
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
    /// `udp_workers`, and the profile in force where the next socket is written.
    pub(super) udp_workers: u32,
    pub(super) udp_profile: Option<Profile>,
    pub(super) debug: bool,
    pub(super) server_signature: bool,
    /// `sip_warning`
    pub(crate) sip_warning: bool,
    pub(super) server_header: Vec<u8>,
    pub(super) user_agent_header: Vec<u8>,
}

/// A core parameter.
pub type Parameter = Declared<Settings>;

impl Settings {
    /// Whether there is a blocklist of this name.
    pub(crate) fn has_blocklist(&self, name: &[u8]) -> bool {
        self.dns.blocklist && name == DNS_LIST.as_bytes()
            || self.blocklists.iter().any(|list| list.name.as_bytes() == name)
    }

    /// The Server header to put into responses; `None` when it is switched off.
    pub fn server_header(&self) -> Option<&[u8]> {
        self.server_signature.then_some(&self.server_header)
    }

    /// Appends the User-Agent line of a request that the server makes itself, unless it is switched off.
    pub fn write_user_agent(&self, out: &mut Vec<u8>) {
        if self.server_signature {
            out.extend_from_slice(b"User-Agent: ");
            out.extend_from_slice(&self.user_agent_header);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// When a process's private memory is worth an event.
    pub fn private_rule(&self) -> Rule {
        Rule { threshold: self.event_pkg_threshold, hysteresis: self.event_threshold_hysteresis }
    }

    /// When the shared memory is worth an event.
    pub fn shared_rule(&self) -> Rule {
        Rule { threshold: self.event_shm_threshold, hysteresis: self.event_threshold_hysteresis }
    }

    /// What holds before any parameter is read, and for what no parameter sets. The rows of the parameters say the rest.
    pub(super) fn blank(flag_names: FlagNames) -> Self {
        Self {
            sockets: Vec::new(),
            aliases: Vec::new(),
            timer_workers: 1,
            tcp: TcpSettings::default(),
            scaling: ScalingSettings::default(),
            dns: DnsSettings::default(),
            blocklists: Vec::new(),
            flag_names,
            advertised: (None, None),
            exec_msg_threshold: 0,
            exec_dns_threshold: 0,
            event_pkg_threshold: 0,
            event_shm_threshold: 0,
            event_threshold_hysteresis: 0,
            shared_bytes: DEFAULT_SHARED_MIB << 20,
            private_bytes: DEFAULT_PRIVATE_MIB << 20,
            log: LogSettings { stderr: false, syslog: true, ..LogSettings::default() },
            memdump: Level::Debug as i32,
            enable_asserts: false,
            xlog_level: Level::Notice as i32,
            xlog_escape_control: false,
            forward_503: false,
            identity: tocsin_process::Identity::default(),
            open_files: None,
            limits: Limits::default(),
            written_events: Vec::new(),
            udp_workers: DEFAULT_UDP_WORKERS,
            udp_profile: None,
            debug: false,
            server_signature: true,
            sip_warning: false,
            server_header: SERVER_HEADER.as_bytes().to_vec(),
            user_agent_header: SERVER_HEADER.as_bytes().to_vec(),
        }
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

    /// Lets the command line win, when all parameters are read.
    pub(super) fn finish(&mut self, overrides: &Overrides) {
        let workers = overrides.udp_workers.unwrap_or(self.udp_workers);
        let profile = self.udp_profile.clone();
        // A number of workers counts for all sockets, also for those written before it.
        self.sockets.iter_mut().for_each(|socket| socket.workers = workers);
        let listen = overrides.listen.iter().map(|spec| SocketSetting {
            spec: spec.clone(),
            workers,
            profile: profile.clone(),
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
