//! Another hop for a branch whose own has failed: RFC 3263 section 4.3.
//!
//! The machine has said that one is wanted. It is chosen and its request is made ready outside of the lock; then the new
//! branch is added by one update, as by `t_relay`, and takes the place of the one that failed.

use tocsin_net::Hop;
use tocsin_net::locate::Hops;
use tocsin_script::RouteId;
use tocsin_server::Worker;
use tocsin_server::avps::Avps;
use tocsin_server::flow::Flow;
use tocsin_server::forward::tls_selection_for;
use tocsin_server::time::now_ms;
use tocsin_sip::{Edits, HeaderName, Message};

use super::act::{AtHand, parse, update};
use super::failure::follow_up;
use super::machine::{BranchId, MAX_BRANCHES};
use super::matching::branch_text;
use super::record::{Prepared, Transaction, TransactionId};
use super::relay::send;
use super::state::State;

/// Puts the next hop of `branch` in its place. If there is none, its failure counts.
pub(super) fn fail_over(worker: &'static Worker, id: TransactionId, branch: BranchId) {
    if !replace(worker, id, branch) {
        let after = update(worker, id, AtHand::Nothing, |t, now, actions| {
            t.machine.keep_failure(branch, now, actions);
        });
        if let Some(after) = after {
            follow_up(worker, id, after);
        }
    }
}

fn replace(worker: &'static Worker, id: TransactionId, branch: BranchId) -> bool {
    let server = worker.server;
    let state = server.state::<State>();
    // Once more for each branch that comes in between and takes the number.
    for _ in 0..MAX_BRANCHES {
        let Some(failed) = state.table.get(&id, |t| Failed::of(t, branch, worker)).flatten() else {
            return false;
        };
        let Some(prepared) = failed.prepare_next(worker, id) else { return false };
        match store(worker, id, branch, failed.next_number, &prepared) {
            Stored::Yes => {
                let (from, to) =
                    (failed.flow.hop(&server.network.sockets), prepared.flow.hop(&server.network.sockets));
                tracing::info!("{from} failed with {}: the request goes to {to}", failed.status);
                server.blocklists.remember_failure(&from, now_ms());
                server.statistics.add(state.counters.uac, 1);
                send(worker, id, failed.next_number, std::slice::from_ref(&prepared));
                return true;
            }
            Stored::NumberTaken => {}
            Stored::No => return false,
        }
    }
    false
}

/// What came of an attempt to add a branch.
enum Stored {
    Yes,
    /// Its number, which its request says, is another branch's by now.
    NumberTaken,
    No,
}

fn store(
    worker: &'static Worker,
    id: TransactionId,
    failed: BranchId,
    number: usize,
    prepared: &Prepared,
) -> Stored {
    let now = now_ms();
    let stored = worker.server.state::<State>().table.update(&id, |t, edit| {
        if t.machine.branch_count() != number {
            return Stored::NumberTaken;
        }
        let Ok(branch) = prepared.store(edit.alloc()) else { return Stored::No };
        if t.branches.try_reserve(1).is_err() {
            return Stored::No;
        }
        let Ok(new) = t.machine.replace(failed, prepared.reliable, now) else { return Stored::No };
        prepared.note_spare(&mut t.machine, new);
        let pushed = t.branches.try_push(branch);
        edit.set_deadline(t.machine.deadline());
        if pushed.is_ok() { Stored::Yes } else { Stored::No }
    });
    stored.unwrap_or(Stored::No)
}

/// A copy of what is known of a branch whose hop has failed.
struct Failed {
    flow: Flow,
    status: u16,
    request: Vec<u8>,
    /// What is left to try, the next one last.
    hops: Vec<Hop>,
    host: String,
    reply_route: Option<RouteId>,
    flags: u32,
    avps: Vec<u8>,
    blocklists: u32,
    /// The number that a further branch gets.
    next_number: usize,
}

impl Failed {
    fn of(t: &Transaction, branch: BranchId, worker: &Worker) -> Option<Self> {
        let b = t.branches.get(branch.index())?;
        Some(Self {
            flow: b.flow,
            status: t.machine.branch_status(branch)?,
            request: b.request.to_vec(),
            hops: b.hops.to_vec(),
            host: String::from_utf8_lossy(&b.host).into_owned(),
            reply_route: b.reply_route.route(&worker.server.script().program),
            flags: b.flags,
            avps: t.avps.to_vec(),
            blocklists: t.blocklists,
            next_number: t.machine.branch_count(),
        })
    }

    /// The request for the next hop that a listener reaches and no blocklist names.
    fn prepare_next(&self, worker: &'static Worker, id: TransactionId) -> Option<Prepared> {
        let server = worker.server;
        let message = parse(server, &self.request)?;
        let (text, length) = branch_text(id, self.next_number);
        for (left, hop) in self.hops.iter().enumerate().rev() {
            let Some(listener) = server.network.sockets.outgoing(self.flow.socket, hop) else { continue };
            let request = with_via(&message, &listener.via_prefix, &text[..length])?;
            if server.blocklists.is_blocked(self.blocklists, hop, &request) {
                tracing::warn!("nothing is sent to {hop}: it is in a blocklist");
                continue;
            }
            return Some(Prepared {
                flow: Flow::new(listener.id, hop.to)
                    .unless(self.flags, server.settings.tcp.no_new_connection_bflag),
                tls_selection: tls_selection_for(server, hop, || Avps::decode(&self.avps)),
                host: self.host.clone(),
                reliable: hop.protocol.is_stream(),
                request,
                reply_route: self.reply_route,
                flags: self.flags,
                // The machine takes over what the branch was.
                is_minor: false,
                hops: self.hops[..left].iter().rev().copied().collect::<Hops>(),
            });
        }
        None
    }
}

/// The request `message` with a Via of ours that begins with `prefix`, as a listener has it, and with another branch.
fn with_via(message: &Message, prefix: &[u8], branch: &[u8]) -> Option<Vec<u8>> {
    let ours = message.headers(HeaderName::Via).next()?.index;
    let mut via = [prefix, branch].concat();
    if message.via().ok()?.param(b"rport").is_some() {
        via.extend_from_slice(b";rport");
    }
    let mut edits = Edits::default();
    edits.replace_value(message, ours, 0, &via);
    let mut out = Vec::with_capacity(message.bytes().len() + via.len());
    message.print_into(&edits, &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_via_changes() {
        let request = "OPTIONS sip:x@two.test SIP/2.0\r\nRoute: <sip:r>\r\nMax-Forwards: 69\r\n\
             Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef.0;rport\r\n\
             Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKcaller;rport\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:x@two.test>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\nbody";
        let sent = |request: &str| {
            let message =
                Message::parse(request.as_bytes().to_vec(), &tocsin_sip::Limits::default()).unwrap();
            let out = with_via(&message, b"SIP/2.0/TCP 192.0.2.1:5070;branch=z9hG4bK", b"0123456789abcdef.1");
            String::from_utf8(out.unwrap()).unwrap()
        };
        let expected = request.replacen(
            "UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef.0",
            "TCP 192.0.2.1:5070;branch=z9hG4bK0123456789abcdef.1",
            1,
        );
        assert_eq!(sent(request), expected);
        let plain = request.replacen(".0;rport", ".0", 1);
        assert_eq!(sent(&plain), expected.replacen(".1;rport", ".1", 1), "it asks for rport where it did");
    }
}
