//! A headless Chromium with one page, and the small HTTP server that the page comes from and reports to.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::PATIENCE;

/// The folder that `./test` installs the library of the page into.
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.node/node_modules/sip.js");
/// No word to anybody but the server under test, no dialogue, and a microphone that is none.
const ARGUMENTS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--ignore-certificate-errors",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
];

/// A browser that shows a page; it is ended when dropped.
pub(crate) struct Browser {
    child: Child,
    dir: TempDir,
    reports: Receiver<String>,
    told: Vec<String>,
    ended: bool,
}

impl Browser {
    /// Opens `page`, with `fragment` behind the `#` of its address.
    pub(crate) fn open(page: &'static str, fragment: &str) -> Self {
        let library = Path::new(LIBRARY);
        assert!(library.is_dir(), "{} is not there: run ./test, which installs it", library.display());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, reports) = channel();
        serve(listener, page, sender);
        let dir = tempfile::Builder::new().prefix("browser-").tempdir().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("chromium")
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
            .arg(format!("http://localhost:{port}/#{fragment}"))
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // Its many processes go with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|cause| panic!("chromium: {cause}: run ./test, which installs it"));
        Self { child, dir, reports, told: Vec::new(), ended: false }
    }

    /// The next report of the page, which must be this one.
    pub(crate) fn expect(&mut self, report: &str) {
        let patience = 3 * PATIENCE;
        let begun = Instant::now();
        let next = self.reports.recv_timeout(patience);
        let next = next.unwrap_or_else(|_| panic!("no report `{report}` after {:?}", begun.elapsed()));
        assert_eq!(next, report, "after {:?}", self.told);
        self.told.push(next);
    }

    /// Ends it as a crash would.
    pub(crate) fn end(&mut self) {
        let _ = killpg(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGKILL);
        let _ = self.child.wait();
        self.ended = true;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.ended {
            self.end();
        }
        if std::thread::panicking() {
            let log = fs::read(self.dir.path().join("log")).unwrap_or_default();
            let rest: Vec<_> = self.reports.try_iter().collect();
            eprintln!("--- the page said {:?}, then {rest:?} ---", self.told);
            eprintln!("--- chromium's log ---\n{}--- end of the log ---", String::from_utf8_lossy(&log));
        }
    }
}

/// Serves the page, its library and its reports until the test ends.
#[expect(clippy::disallowed_methods, reason = "a test forks nothing: it may have threads")]
fn serve(listener: TcpListener, page: &'static str, reports: Sender<String>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let reports = reports.clone();
            // A browser opens connections that it does not use yet.
            std::thread::spawn(move || answer(stream, page, &reports));
        }
    });
}

/// Answers one request.
fn answer(mut stream: TcpStream, page: &str, reports: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("Content-Length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = request.split(' ');
    let (status, kind, content) = match (words.next()?, words.next()?) {
        ("GET", "/") => ("200 OK", "text/html", page.as_bytes().to_vec()),
        ("POST", "/told") => {
            // The test may have ended.
            let _ = reports.send(String::from_utf8_lossy(&body).into_owned());
            ("204 No Content", "text/plain", Vec::new())
        }
        ("GET", path) => match fs::read(in_library(path)?) {
            Ok(script) => ("200 OK", "text/javascript", script),
            Err(_) => ("404 Not Found", "text/plain", Vec::new()),
        },
        _ => ("405 Method Not Allowed", "text/plain", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&content).ok()
}

/// The file of the library that the page asks for.
fn in_library(path: &str) -> Option<PathBuf> {
    let name = path.strip_prefix("/sip.js/").unwrap_or("missing");
    (!name.contains("..")).then(|| Path::new(LIBRARY).join(name))
}
