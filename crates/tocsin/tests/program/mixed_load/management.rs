//! A client of the Management Interface that keeps its HTTP connection.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{PATIENCE, pause};

pub(super) struct Management {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
    last_id: u64,
}

impl Management {
    pub(super) fn new(port: u16) -> Self {
        Self { port, stream: None, last_id: 0 }
    }

    /// The answer to a command. It is asked again over another connection if its process dies.
    pub(super) fn ask(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.last_id += 1;
        let mut request = json!({"jsonrpc": "2.0", "method": method, "id": self.last_id});
        if !params.is_null() {
            request["params"] = params.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.exchange(&request.to_string()) {
                Ok(answer) if answer["id"] == self.last_id => return Ok(answer),
                Ok(answer) => return Err(format!("the answer to another request: {answer}")),
                Err(cause) if Instant::now() > deadline => return Err(cause.to_string()),
                Err(_) => {
                    self.stream = None;
                    pause(Duration::from_millis(10));
                }
            }
        }
    }

    fn exchange(&mut self, body: &str) -> io::Result<Value> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(("127.0.0.1", self.port))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                none.insert(BufReader::new(stream))
            }
        };
        let head = format!(
            "POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        let mut length = None;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("Content-Length")
            {
                length = value.trim().parse().ok();
            }
        }
        let mut bytes = vec![0; length.expect("a Content-Length")];
        stream.read_exact(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}
