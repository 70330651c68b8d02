//! Drives a connection of rustls until it has nothing more to do with the bytes that are there.

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

use super::error::TlsError;
use super::records::{APPLICATION_DATA, Admission, first_record};

/// Plaintext of one record (RFC 8446 section 5.1).
const RECORD_PLAINTEXT: usize = 16 << 10;
/// What a record adds to its plaintext: header, nonce, content type, tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;
/// Bytes of an alert before it is encrypted.
const ALERT: usize = 2;

/// What to say once the session may say something.
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
    /// Records have begun to be protected.
    pub(super) keyed: bool,
}

/// A connection of either side.
pub(super) trait Records {
    type Side;
    /// A protected record says that its sender has changed to the keys of the session. Not so early data, which a server
    /// passes over: a second hello may come behind it.
    const PEER_IS_KEYED_ONCE_PROTECTED: bool;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side>;
    fn common(&self) -> &CommonState;
}

impl Records for UnbufferedServerConnection {
    type Side = ServerConnectionData;
    const PEER_IS_KEYED_ONCE_PROTECTED: bool = false;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
    fn common(&self) -> &CommonState {
        self
    }
}

impl Records for UnbufferedClientConnection {
    type Side = ClientConnectionData;
    const PEER_IS_KEYED_ONCE_PROTECTED: bool = true;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
    fn common(&self) -> &CommonState {
        self
    }
}

impl<'a> Flow<'a> {
    pub(super) fn taking_in(plaintext: &'a mut Vec<u8>, out: &'a mut Vec<u8>) -> Self {
        Self { plaintext, out, word: None, peer_closed: false, keyed: false }
    }

    pub(super) fn saying(word: Word<'a>, plaintext: &'a mut Vec<u8>, out: &'a mut Vec<u8>) -> Self {
        Self { word: Some(word), ..Self::taking_in(plaintext, out) }
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
        // What may come depends on what came before, so one record more is shown at a time.
        let (mut done, mut shown) = (0, 0);
        let mut unexpected = None;
        let ran = loop {
            let UnbufferedStatus { mut discard, state, .. } = connection.process(&mut pending[done..shown]);
            let goes_on = match state {
                Ok(state) => self.step(state, &mut discard),
                Err(cause) => Err(cause.into()),
            };
            done += discard;
            match goes_on {
                Ok(true) => {}
                Ok(false) if self.peer_closed || shown == pending.len() => break Ok(()),
                Ok(false) => {
                    unexpected = self.check(connection, pending, shown);
                    shown += first_record(&pending[shown..]);
                }
                Err(cause) => {
                    // The alert for the peer, if there is one, comes before anything else is looked at.
                    let last = connection.process(&mut pending[done..shown]);
                    if let Ok(state @ ConnectionState::EncodeTlsData(_)) = last.state {
                        let _ = self.step(state, &mut 0);
                    }
                    break Err(cause);
                }
            }
        };
        pending.drain(..done);
        unexpected.map_or(ran, |kind| Err(TlsError::UnexpectedRecord(kind)))
    }

    /// Looks at the record that begins at `start`. If it may not come, its type, and another that ends the session is in
    /// its place.
    fn check<R: Records>(&mut self, connection: &R, pending: &mut Vec<u8>, start: usize) -> Option<u8> {
        let admission = Admission::of(connection.common(), self.keyed);
        let kind = pending.get(start).copied()?;
        if admission.admits(&pending[start..]) {
            self.keyed |= R::PEER_IS_KEYED_ONCE_PROTECTED && kind == APPLICATION_DATA;
            return None;
        }
        pending.truncate(start);
        pending.extend_from_slice(&admission.offence());
        Some(kind)
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
                let start = self.out.len();
                append_written(self.out, 0, |room| match record.encode(room) {
                    Ok(written) => Ok(written),
                    Err(EncodeError::InsufficientSize(size)) => Err(Short::By(size.required_size)),
                    Err(EncodeError::AlreadyEncoded) => Err(Short::Exhausted),
                })?;
                self.keyed |= self.out.get(start) == Some(&APPLICATION_DATA);
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
