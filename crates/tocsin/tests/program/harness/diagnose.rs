//! `opensips-cli -x diagnose ...`: the real tool, which subscribes over MI and listens for events over TCP.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Server, free_tcp_port, python, until};

/// A run of it, from its start until it is dropped.
pub(crate) struct Diagnose {
    child: Child,
    output: PathBuf,
}

impl Diagnose {
    /// Starts `diagnose` with these words for a server that has the HTTP transport of the Management Interface.
    pub(crate) fn start(server: &Server, words: &[&str]) -> Self {
        let config = server.path("diagnose.cfg");
        let text = format!(
            "[default]\nlog_level: ERROR\ncommunication_type: http\nprompt_name: x\nhistory_file: {}\n\
             url: http://127.0.0.1:{}/mi\ndiagnose_listen_ip: 127.0.0.1\ndiagnose_listen_port: {}\n",
            server.path("history").display(),
            server.http_port(),
            free_tcp_port()
        );
        fs::write(&config, text).unwrap();
        let output = server.path(&format!("diagnose-{}.log", words.join("-")));
        let child = Command::new(python().with_file_name("opensips-cli"))
            .arg("-f")
            .arg(&config)
            .args(["-x", "diagnose"])
            .args(words)
            .env("PYTHONUNBUFFERED", "1")
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(server.path("diagnose.err")).unwrap())
            .current_dir(server.path("."))
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// All it has shown so far.
    pub(crate) fn shown(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits until it shows `text`.
    pub(crate) fn until_shows(&self, text: &str) {
        until(&format!("diagnose shows {text:?}, not {}", self.shown()), || {
            self.shown().contains(text).then_some(())
        });
    }

    /// Ends it as an operator does.
    pub(crate) fn interrupt(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
        until("diagnose ends", || self.child.try_wait().unwrap());
    }
}

impl Drop for Diagnose {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- diagnose ---\n{}--- end ---", self.shown());
        }
    }
}
