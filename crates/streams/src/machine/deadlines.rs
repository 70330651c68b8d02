//! When a connection ends because something takes too long. Times are milliseconds of the monotonic clock.

use std::time::Duration;

use crate::end::End;
use crate::stream_options::StreamOptions;
use crate::tcp_profile::TcpProfile;

/// A connection lives so long without traffic even with `tcp_connection_lifetime=0`: else nothing could ever arrive.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// How long each thing may take on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeLimits {
    /// Silence.
    pub(crate) idle: Duration,
    /// A message, from its first byte to its last.
    pub(crate) message: Duration,
    /// The peer takes nothing of what is sent.
    pub(crate) send: Duration,
    /// The whole TLS handshake.
    pub(crate) tls_handshake: Duration,
    /// The whole WebSocket handshake.
    pub(crate) websocket_handshake: Duration,
}

impl TimeLimits {
    /// What the path and the protocol of a connection say.
    pub(crate) fn new(profile: &TcpProfile, options: &StreamOptions) -> Self {
        Self {
            idle: profile.lifetime.max(SHORTEST_LIFE),
            message: profile.max_message_time,
            send: options.send_timeout,
            tls_handshake: options.tls_handshake_timeout,
            websocket_handshake: options.handshake_timeout,
        }
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// TLS is being agreed on.
    TlsHandshake,
    /// The WebSocket is being opened.
    WebSocketHandshake,
    /// Messages may come.
    Messages,
}

/// What is measured on one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// When the handshake under way began: that of TLS, then that of WebSocket.
    handshake_since: u64,
    /// When the message under way began to arrive.
    message_since: Option<u64>,
    idle_until: u64,
    /// It lives until then at least, idle or not.
    keep_until: u64,
}

impl Deadlines {
    /// For a connection that begins at `now`, or goes on in this process. `row_until`: how long its row lets it live; one that
    /// was kept for long goes on so in other hands.
    pub(crate) fn new(now: u64, row_until: u64, limits: &TimeLimits) -> Self {
        let mut deadlines =
            Self { handshake_since: now, message_since: None, idle_until: row_until, keep_until: row_until };
        deadlines.touch(now, limits);
        deadlines
    }

    /// Bytes came or went.
    pub(crate) fn touch(&mut self, now: u64, limits: &TimeLimits) {
        self.idle_until = after(now, limits.idle);
    }

    /// Lets the connection live until `at`, whatever happens on it.
    pub(crate) fn keep(&mut self, at: u64) {
        self.keep_until = self.keep_until.max(at);
    }

    /// One handshake is done, the next one begins.
    pub(crate) fn begin_handshake(&mut self, now: u64) {
        self.handshake_since = now;
    }

    /// A message has begun to arrive; if `anew`, behind others that have come whole.
    pub(crate) fn note_partial(&mut self, now: u64, anew: bool) {
        if anew || self.message_since.is_none() {
            self.message_since = Some(now);
        }
    }

    /// No message is under way.
    pub(crate) fn note_whole(&mut self) {
        self.message_since = None;
    }

    /// How long the connection lives if nothing happens on it.
    pub(crate) fn lives_until(&self) -> u64 {
        self.idle_until.max(self.keep_until)
    }

    /// When the connection ends at the earliest, and as what. `stalled_since`: since when the peer has taken nothing of what
    /// waits for it.
    pub(crate) fn due(&self, stage: Stage, stalled_since: Option<u64>, limits: &TimeLimits) -> (u64, End) {
        let mut first = (self.lives_until(), End::Idle);
        // Of two that are due at the same time the first one counts.
        let mut or = |since: u64, limit: Duration, end: fn(Duration) -> End| {
            let at = after(since, limit);
            if at < first.0 {
                first = (at, end(limit));
            }
        };
        match (stage, self.message_since) {
            (Stage::TlsHandshake, _) => or(self.handshake_since, limits.tls_handshake, End::HandshakeTimeout),
            (Stage::WebSocketHandshake, _) => {
                or(self.handshake_since, limits.websocket_handshake, End::HandshakeTimeout);
            }
            (Stage::Messages, Some(since)) => or(since, limits.message, End::SlowMessage),
            (Stage::Messages, None) => {}
        }
        if let Some(since) = stalled_since {
            or(since, limits.send, |_| End::Stalled);
        }
        first
    }
}

fn after(since: u64, limit: Duration) -> u64 {
    since.saturating_add(limit.as_millis() as u64)
}
