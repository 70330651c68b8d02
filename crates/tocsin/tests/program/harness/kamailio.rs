//! Kamailio as the next hop over TLS.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Authority, PATIENCE, Phone, Request, free_port, free_tcp_port, pause};

/// Where Debian puts it; not everybody has this folder in the PATH.
const PROGRAM: &str = "/usr/sbin/kamailio";
/// Time to end when asked to.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A Kamailio that runs; it is ended when dropped.
pub(crate) struct Kamailio {
    child: Child,
    dir: TempDir,
    udp: SocketAddr,
    tls: u16,
}

impl Kamailio {
    /// Starts it with the certificate `kamailio` of `authority`. Its calls go to the UDP port `uas`, and requests for
    /// `back` to the TLS port `tocsin`.
    pub(crate) fn start(authority: &Authority, uas: u16, tocsin: u16) -> Self {
        let dir = tempfile::Builder::new().prefix("kamailio-").tempdir().unwrap();
        let (port, tls) = (free_port(), free_tcp_port());
        let put = |text: &str| {
            let numbers = [("PORT", port), ("TLS", tls), ("UAS", uas), ("TOCSIN", tocsin)];
            let text = numbers.into_iter().fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("@{name}@"), &value.to_string())
            });
            let paths = [("DIR", dir.path()), ("CERTS", authority.dir())];
            paths.into_iter().fold(text, |text, (name, path)| {
                text.replace(&format!("@{name}@"), &path.display().to_string())
            })
        };
        fs::write(dir.path().join("kamailio.cfg"), put(include_str!("../../configs/kamailio.cfg"))).unwrap();
        fs::write(dir.path().join("tls.cfg"), put(include_str!("../../configs/kamailio_tls.cfg"))).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(PROGRAM)
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-f", "kamailio.cfg", "-Y", "."])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // Its children go with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|cause| panic!("{PROGRAM}: {cause}: run ./test, which installs it"));
        let mut kamailio = Self { child, dir, udp: SocketAddr::from(([127, 0, 0, 1], port)), tls };
        kamailio.until_it_serves();
        kamailio
    }

    /// Where it listens for TLS.
    pub(crate) fn tls_port(&self) -> u16 {
        self.tls
    }

    /// Where it listens for UDP.
    pub(crate) fn udp(&self) -> SocketAddr {
        self.udp
    }

    fn until_it_serves(&mut self) {
        let (phone, deadline) = (Phone::new(), Instant::now() + PATIENCE);
        let probe = Request::new(&phone, "OPTIONS", &format!("sip:ping@{}", self.udp));
        loop {
            phone.send(self.udp, probe.text());
            if phone.receive_within(Duration::from_millis(100)).is_some() {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "kamailio does not serve: {ended:?}");
            pause(Duration::from_millis(10));
        }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let own = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(own, Signal::SIGTERM);
        let deadline = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            pause(Duration::from_millis(10));
        }
        let _ = killpg(own, Signal::SIGKILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- kamailio's log ---\n{log}--- end of kamailio's log ---");
        }
    }
}
