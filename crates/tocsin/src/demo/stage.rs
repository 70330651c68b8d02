//! What the demo shows.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use super::causes::Cause;
use super::server::Server;
use crate::events::receiver::Heard;

/// Characters of an event that are shown on a line.
const WIDTH: usize = 110;

/// Standard output.
pub(super) struct Stage {
    colours: bool,
    shown: usize,
}

impl Stage {
    pub(super) fn new() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours, shown: 0 }
    }

    /// Says what runs.
    pub(super) fn open(&self, server: &Server) {
        let place = server.place();
        self.say(&format!(
            "\n  {}\n\n  A server of its own runs: pid {}, udp:{}, tcp:{}.\n  Now it happens:\n",
            self.bold("Tocsin tells what happens inside it."),
            server.pid(),
            place.udp,
            place.tcp
        ));
    }

    /// Says what happens next.
    pub(super) fn announce(&mut self, cause: &Cause) {
        self.shown += 1;
        self.say(&format!("\n  {}  {}\n", self.bold(&format!("{:>2}", self.shown)), cause.story));
    }

    /// Shows what a subscriber received.
    pub(super) fn heard(&self, (bytes, _): &Heard) {
        for line in wrapped(&String::from_utf8_lossy(bytes)) {
            self.say(&format!("      {}\n", self.bright(&line)));
        }
    }

    /// Says that an event did not come.
    pub(super) fn missed(&self, cause: &Cause, problem: &str) {
        self.say(&format!("      {}: {problem}\n", self.alarm(&format!("no {}", cause.event))));
    }

    /// Says how it went.
    pub(super) fn close(&self, missed: &[Cause], took: Duration, log: &Path) {
        let seconds = took.as_secs_f32();
        if missed.is_empty() {
            self.say(&format!(
                "\n  {} {seconds:.1} s.\n\n  See also: tocsin events list, and tocsin events tail beside a running server.\n\n",
                self.bold("All six core events came, in")
            ));
            return;
        }
        let names: Vec<_> = missed.iter().map(|cause| cause.event).collect();
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<_> = text.lines().rev().take(20).collect();
        self.say(&format!(
            "\n  {}: {}\n\n  The server's last words:\n",
            self.alarm("Missing"),
            names.join(", ")
        ));
        last.iter().rev().for_each(|line| self.say(&format!("    {line}\n")));
    }

    fn bold(&self, text: &str) -> String {
        self.painted("1", text)
    }

    fn bright(&self, text: &str) -> String {
        self.painted("33", text)
    }

    fn alarm(&self, text: &str) -> String {
        self.painted("1;31", text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn say(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Nobody is left to be shown anything if the terminal is gone.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// `text` in pieces of a line each.
fn wrapped(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(WIDTH).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_event_is_left_out() {
        let text = "é".repeat(2 * WIDTH + 3);
        assert_eq!(wrapped(&text).concat(), text);
        assert!(wrapped(&text).iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(wrapped("").len(), 0);
    }
}
