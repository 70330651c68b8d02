//! Drives a connection of rustls until it has nothing more to do with the bytes that are there.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

use super::TlsError;

/// Plaintext of one record (RFC 8446 section 5.1).
const RECORD_PLAINTEXT: usize = 16 << 10;
/// What a record adds to its plaintext: header, nonce, content type, tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;
/// Bytes of an alert before it is encrypted.
const ALERT: usize = 2;

/// What is to be said once the session may say something.
#[derive(Clone, Copy)]
pub(super) enum Word<'a> {
    Plaintext(&'a [u8]),
    CloseNotify,
}

/// Where things go.
pub(super) struct Flow<'a> {
    plaintext: &'a mut Vec<u8>,
    out: &'a mut Vec<u8>,
    word: Option<Word<'a>>,
    pub(super) peer_closed: bool,
}

/// A connection of either side.
pub(super) trait Records {
    type Side;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side>;
}

impl Records for UnbufferedServerConnection {
    type Side = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
}

impl Records for UnbufferedClientConnection {
    type Side = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
}

impl<'a> Flow<'a> {
    pub(super) fn taking_in(plaintext: &'a mut Vec<u8>, out: &'a mut Vec<u8>) -> Self {
        Self { plaintext, out, word: None, peer_closed: false }
    }

    pub(super) fn saying(word: Word<'a>, plaintext: &'a mut Vec<u8>, out: &'a mut Vec<u8>) -> Self {
        Self { plaintext, out, word: Some(word), peer_closed: false }
    }

    pub(super) fn is_said(&self) -> bool {
        self.word.is_none()
    }

    /// Takes the records in `pending` in, and away. What is incomplete stays.
    pub(super) fn run(
        &mut self,
        connection: &mut impl Records,
        pending: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        let mut done = 0;
        let ran = loop {
            let UnbufferedStatus { mut discard, state, .. } = connection.process(&mut pending[done..]);
            let goes_on = match state {
                Ok(state) => self.step(state, &mut discard),
                Err(cause) => Err(cause.into()),
            };
            done += discard;
            match goes_on {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(cause) => {
                    // The alert for the peer, if there is one, comes before anything else is looked at.
                    let last = connection.process(&mut pending[done..]);
                    if let Ok(state @ ConnectionState::EncodeTlsData(_)) = last.state {
                        let _ = self.step(state, &mut 0);
                    }
                    break Err(cause);
                }
            }
        };
        pending.drain(..done);
        ran
    }

    /// Does what one state asks for. Whether there may be another.
    fn step<Side>(
        &mut self,
        state: ConnectionState<'_, '_, Side>,
        discard: &mut usize,
    ) -> Result<bool, TlsError> {
        match state {
            ConnectionState::ReadTraffic(mut records) => {
                while let Some(record) = records.next_record() {
                    let record = record?;
                    *discard += record.discard;
                    self.plaintext.extend_from_slice(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut record) => {
                append_written(self.out, 0, |room| match record.encode(room) {
                    Ok(written) => Ok(written),
                    Err(EncodeError::InsufficientSize(size)) => Err(Short::By(size.required_size)),
                    Err(EncodeError::AlreadyEncoded) => Err(Short::Exhausted),
                })?;
            }
            ConnectionState::TransmitTlsData(sent) => sent.done(),
            ConnectionState::PeerClosed => self.peer_closed = true,
            ConnectionState::WriteTraffic(traffic) => match self.word.take() {
                Some(word) => self.say(word, traffic)?,
                None => return Ok(false),
            },
            // Early data is never asked for (RFC 8446 section 4.2.10).
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn say<Side>(&mut self, word: Word<'_>, mut traffic: WriteTraffic<'_, Side>) -> Result<(), TlsError> {
        let room = match word {
            Word::Plaintext(text) => {
                text.len() + text.len().div_ceil(RECORD_PLAINTEXT).max(1) * RECORD_OVERHEAD
            }
            Word::CloseNotify => ALERT + RECORD_OVERHEAD,
        };
        append_written(self.out, room, |room| {
            let written = match word {
                Word::Plaintext(text) => traffic.encrypt(text, room),
                Word::CloseNotify => traffic.queue_close_notify(room),
            };
            written.map_err(|cause| match cause {
                EncryptError::InsufficientSize(size) => Short::By(size.required_size),
                EncryptError::EncryptExhausted => Short::Exhausted,
            })
        })
    }
}

/// Why nothing was written.
enum Short {
    /// This much room is needed.
    By(usize),
    Exhausted,
}

/// Appends what `write` puts into the room it is given, which is `room` bytes or as many as it asks for.
fn append_written(
    out: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Short>,
) -> Result<(), TlsError> {
    let start = out.len();
    let mut room = room;
    let written = loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(written) => break Ok(written),
            Err(Short::By(needed)) if needed > room => room = needed,
            Err(_) => break Err(TlsError::Exhausted),
        }
    };
    out.truncate(start + *written.as_ref().unwrap_or(&0));
    written.map(|_| ())
}
