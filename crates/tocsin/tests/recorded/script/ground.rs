//! What a configuration is filled with: ports of the server, sockets of the two parties, a folder.

use std::net::UdpSocket;

use super::super::ports::{free_port, udp_socket};
use super::super::program::Folder;
use super::case::ScriptCase;

/// The surroundings of one run.
pub(super) struct Ground {
    pub(super) folder: Folder,
    pub(super) server: u16,
    pub(super) client: UdpSocket,
    pub(super) far_side: UdpSocket,
    /// Placeholders and the ports that they stand for.
    ports: Vec<(&'static str, u16)>,
}

impl Ground {
    pub(super) fn new() -> Self {
        let (client, far_side) = (udp_socket("127.0.0.1"), udp_socket("127.0.0.1"));
        let server = free_port();
        let ports = vec![
            ("@SRV@", server),
            ("@SRV2@", free_port()),
            ("@UAC@", port(&client)),
            ("@UAS@", port(&far_side)),
        ];
        for socket in [&client, &far_side] {
            socket.set_nonblocking(true).unwrap();
        }
        Self { folder: Folder::new(), server, client, far_side, ports }
    }

    /// Writes the configuration of the case into the folder.
    pub(super) fn configure(&self, case: &ScriptCase) {
        self.folder.configure(&self.fill(&case.config()));
    }

    /// Lets the program check the configuration of the case. Returns whether it found no fault, and what it said.
    pub(super) fn check(case: &ScriptCase) -> (bool, String) {
        let ground = Self::new();
        ground.configure(case);
        ground.folder.check()
    }

    /// The client's connection has a port, too.
    pub(super) fn add_connection(&mut self, port: u16) {
        self.ports.push(("@TCP@", port));
    }

    /// Puts ports and the folder where a text has placeholders.
    pub(super) fn fill(&self, text: &str) -> String {
        let fill = |text: String, (name, port): &(&str, u16)| text.replace(name, &port.to_string());
        self.ports.iter().fold(text.to_owned(), fill).replace("@DIR@", &self.folder.text())
    }

    /// The reverse, and a placeholder for all that the case calls volatile.
    pub(super) fn unfill(&self, text: &str, case: &ScriptCase) -> String {
        let unfill = |text: String, (name, port): &(&str, u16)| replace_number(&text, *port, name);
        let text = self.ports.iter().fold(text.to_owned(), unfill).replace(&self.folder.text(), "@DIR@");
        let volatile = case.volatile.iter();
        volatile.fold(text, |text, (found, token)| found.replace_all(&text, token.as_str()).into_owned())
    }
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

/// Replaces a number where it is not part of a longer one.
fn replace_number(text: &str, number: u16, token: &str) -> String {
    let number = number.to_string();
    let is_digit = |next: char| next.is_ascii_digit();
    let mut replaced = String::with_capacity(text.len());
    let mut done = 0;
    for (place, _) in text.match_indices(&number) {
        let end = place + number.len();
        if !text[..place].ends_with(is_digit) && !text[end..].starts_with(is_digit) {
            replaced += &text[done..place];
            replaced += token;
            done = end;
        }
    }
    replaced + &text[done..]
}
