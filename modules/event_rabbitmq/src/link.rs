//! The connection to a broker: bytes in and out, encrypted if a TLS domain is named.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use tocsin_net::stream::silence;
use tocsin_net::tls::{ClientConfig, ServerName, Session};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Duration;

use super::ended::Ended;

/// Reads before others have their turn.
const MAX_READS: usize = 16;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;
/// Bytes that are encrypted at once.
const ENCRYPTED_AT_ONCE: usize = 64 << 10;

/// How a connection is encrypted: its configuration, and the name to ask for.
pub(super) type Security = (Arc<ClientConfig>, ServerName<'static>);

/// A connection.
pub(super) struct Link {
    stream: TcpStream,
    tls: Option<Session>,
    /// Bytes for the system, and how many of them it has taken.
    out: Vec<u8>,
    written: usize,
}

impl Link {
    /// Connects to `to`.
    pub(super) async fn connect(to: SocketAddr, security: Option<Security>) -> Result<Self, Ended> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let tls = security.map(|(config, name)| Session::connecting(config, name)).transpose()?;
        Ok(Self { stream, tls, out: Vec::new(), written: 0 })
    }

    /// Agrees on keys, if it is to be encrypted.
    pub(super) async fn secure(&mut self) -> Result<(), Ended> {
        let (mut early, mut bytes) = (Vec::new(), Vec::new());
        if let Some(tls) = &mut self.tls {
            tls.receive(&[], &mut early, &mut self.out)?;
        }
        while self.tls.as_ref().is_some_and(|tls| !tls.is_open()) {
            self.flush()?;
            self.ready().await;
            let open = self.read(&mut bytes);
            self.flush()?;
            if !open? {
                return Err(Ended::Closed);
            }
        }
        Ok(())
    }

    /// Takes `bytes` for the broker.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        match &mut self.tls {
            None => self.out.extend_from_slice(bytes),
            Some(tls) => {
                for part in bytes.chunks(ENCRYPTED_AT_ONCE) {
                    tls.send(part, &mut self.out)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what the system takes at once.
    pub(super) fn flush(&mut self) -> Result<(), Ended> {
        while self.has_unsent() {
            match self.stream.try_write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Whether something waits for the system to take it.
    pub(super) fn has_unsent(&self) -> bool {
        self.written < self.out.len()
    }

    /// Appends what has come to `bytes`. False when the broker has closed.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>) -> Result<bool, Ended> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..MAX_READS {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.take_in(&buffer[..count], bytes)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn take_in(&mut self, read: &[u8], bytes: &mut Vec<u8>) -> Result<(), Ended> {
        match &mut self.tls {
            None => bytes.extend_from_slice(read),
            Some(tls) => {
                tls.receive(read, bytes, &mut self.out)?;
            }
        }
        Ok(())
    }

    /// Waits until something can be read, or written if something is unsent.
    pub(super) async fn ready(&self) {
        let interest = match self.has_unsent() {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        // Failing is noticed when it is read.
        let _ = self.stream.ready(interest).await;
    }

    /// For how long the broker's host has not answered at all, if it owes an answer.
    pub(super) fn silence(&self) -> Option<Duration> {
        silence(&self.stream)
    }

    /// Says that nothing more will come.
    pub(super) fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify(&mut self.out);
        }
        // It ends whatever becomes of this.
        let _ = self.flush();
    }
}
