//! The search itself, without asking anybody: what to look up next, and what the answers lead to.
//!
//! What is still to be done lies on a stack. A step that leads to a service is taken only while nothing has been found:
//! the first protocol that has an address is the one that is spoken, and a request fails over among its targets, not
//! from one protocol to another.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::naptr::{Naptr, Then, offers};
use super::srv::{self, Srv};
use super::{Hops, NoHop, Options, Protocols, Question};
use crate::{Hop, Protocol};

/// Look-ups that one question may cost.
pub const MAX_LOOKUPS: usize = 8;
/// The most hops that one question is answered with.
pub const MAX_HOPS: usize = 16;

/// Protocols for which a domain without NAPTR records is asked, in our order (RFC 3263 section 4.1).
const SERVICES: [Protocol; 3] = [Protocol::Udp, Protocol::Tcp, Protocol::Tls];

/// One thing to ask the name servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lookup<'a> {
    /// The name; with a final dot if it is absolute.
    pub(super) name: &'a str,
    /// The kind of record.
    pub(super) record: Record,
}

/// Kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Naptr,
    Srv,
    A,
    Aaaa,
}

/// What the name servers said; empty when they did not say anything useful.
#[derive(Debug)]
pub(super) enum Answer {
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
    Addresses(SmallVec<[IpAddr; 4]>),
}

/// A look-up to come, and what to make of its answer.
#[derive(Debug)]
enum Step {
    /// The domain's NAPTR records.
    Naptr(String),
    /// The SRV records of one protocol.
    Srv { name: String, protocol: Protocol },
    /// The addresses of a host.
    Addresses { name: String, end: End, when: When },
}

/// When the addresses of a host are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// They are those of a target of the service that was chosen.
    Chosen,
    /// While nothing has been found.
    Nothing,
    /// While nothing has been found, and the domain has no SRV records: these are its own.
    NoService,
}

/// What is joined with an address: protocol, port, and the kind of address to ask for.
#[derive(Debug, Clone, Copy)]
struct End {
    protocol: Protocol,
    port: u16,
    record: Record,
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    options: Options,
    secure: bool,
    random: u64,
    /// The next one is the last.
    steps: SmallVec<[Step; 4]>,
    asked: Option<Step>,
    lookups: usize,
    hops: Hops,
    /// The domain has SRV records: its own address stands for nothing.
    has_services: bool,
    /// Protocols that the domain says it does not speak.
    refused: Protocols,
}

impl Search {
    /// Begins to look for `question`. `random` chooses among targets by their weight.
    pub(super) fn begin(question: &Question<'_>, options: &Options, random: u64) -> Result<Self, NoHop> {
        let mut search = Self {
            options: *options,
            secure: question.secure,
            random,
            steps: SmallVec::new(),
            asked: None,
            lookups: 0,
            hops: Hops::new(),
            has_services: false,
            refused: Protocols::default(),
        };
        match question.direct(options.usable)? {
            Some(hop) => search.hops.push(hop),
            None => search.plan(question)?,
        }
        Ok(search)
    }

    /// Notes how the answer to the last look-up goes on. An answer of another kind counts as an empty one.
    pub(super) fn answer(&mut self, answer: Answer) {
        match (self.asked.take(), answer) {
            (Some(Step::Naptr(_)), Answer::Naptr(records)) => self.follow_offers(records),
            (Some(Step::Srv { protocol, .. }), Answer::Srv(records)) => {
                self.follow_targets(records, protocol);
            }
            (Some(Step::Addresses { name, end, when }), Answer::Addresses(found)) => {
                if found.is_empty() {
                    self.retry(name, end, when);
                } else {
                    self.take(&found, end);
                }
            }
            _ => {}
        }
    }

    /// What to look up next; `None` when the search is over.
    pub(super) fn next(&mut self) -> Option<Lookup<'_>> {
        if self.lookups == MAX_LOOKUPS || self.hops.len() >= self.options.hops.min(MAX_HOPS) {
            return None;
        }
        loop {
            let step = self.steps.pop()?;
            if self.is_wanted(&step) {
                self.lookups += 1;
                return Some(self.asked.insert(step).lookup());
            }
        }
    }

    /// What was found, the best first.
    pub(super) fn into_hops(self) -> Hops {
        self.hops
    }

    /// Whether the domain said that it does not take what was asked for.
    pub(super) fn is_refused(&self) -> bool {
        self.hops.is_empty() && !self.refused.is_empty()
    }

    /// Lays out the steps, the last one first.
    fn plan(&mut self, question: &Question<'_>) -> Result<(), NoHop> {
        let name = || question.host.to_owned();
        let fallback = question.protocol(self.options.usable);
        if let Ok(protocol) = fallback {
            let port = question.port.unwrap_or(self.options.usable.port(protocol));
            let end = End { protocol, port, record: self.first_record() };
            self.steps.push(Step::Addresses { name: name(), end, when: When::NoService });
        }
        match (question.port, question.transport) {
            (Some(_), _) => {}
            (None, Some(_)) => self.steps.extend(fallback.iter().filter_map(|p| service(question.host, *p))),
            (None, None) => {
                let allowed = |protocol: &Protocol| {
                    self.options.usable.contains(*protocol) && (!question.secure || protocol.is_secure())
                };
                let services = SERVICES.into_iter().filter(allowed).rev();
                self.steps.extend(services.filter_map(|protocol| service(question.host, protocol)));
                if self.options.naptr {
                    self.steps.push(Step::Naptr(name()));
                }
            }
        }
        if self.steps.is_empty() { fallback.map(|_| ()) } else { Ok(()) }
    }

    fn is_wanted(&self, step: &Step) -> bool {
        match step {
            Step::Naptr(_) | Step::Addresses { when: When::Chosen, .. } => true,
            Step::Srv { .. } | Step::Addresses { when: When::Nothing, .. } => self.hops.is_empty(),
            Step::Addresses { end, when: When::NoService, .. } => {
                self.hops.is_empty() && !self.has_services && !self.refused.contains(end.protocol)
            }
        }
    }

    /// The domain says itself by which services it takes SIP: they stand in the place of those that were guessed.
    fn follow_offers(&mut self, records: Vec<Naptr>) {
        let offers = offers(records, self.options.usable, self.secure);
        let Some(favourite) = offers.first() else { return };
        let (record, favourite) = (self.first_record(), favourite.protocol);
        let usable = self.options.usable;
        let end = |protocol: Protocol| End { protocol, port: usable.port(protocol), record };
        self.steps.retain(|step| matches!(step, Step::Addresses { .. }));
        if let Some(Step::Addresses { end: own, .. }) = self.steps.first_mut() {
            *own = end(favourite);
        }
        self.steps.extend(offers.into_iter().take(MAX_LOOKUPS).rev().map(|offer| match offer.then {
            Then::Srv => Step::Srv { name: offer.name, protocol: offer.protocol },
            Then::Address => {
                Step::Addresses { name: offer.name, end: end(offer.protocol), when: When::Nothing }
            }
        }));
    }

    fn follow_targets(&mut self, mut records: Vec<Srv>, protocol: Protocol) {
        if let [only] = records.as_slice()
            && only.refuses()
        {
            self.refused = self.refused.with(protocol);
            return;
        }
        self.has_services |= !records.is_empty();
        srv::order(&mut records, |sum| pick(&mut self.random, sum));
        let record = self.first_record();
        let targets = records.into_iter().filter(|target| !target.refuses()).take(MAX_LOOKUPS);
        let steps: SmallVec<[Step; 4]> = targets
            .map(|srv| Step::Addresses {
                name: srv.target,
                end: End { protocol, port: srv.port, record },
                when: When::Chosen,
            })
            .collect();
        self.steps.extend(steps.into_iter().rev());
    }

    fn take(&mut self, found: &[IpAddr], end: End) {
        for ip in found {
            let hop = Hop { protocol: end.protocol, to: SocketAddr::new(*ip, end.port) };
            if self.hops.len() < self.options.hops.min(MAX_HOPS) && !self.hops.contains(&hop) {
                self.hops.push(hop);
            }
        }
    }

    /// A name without an IPv4 address may have an IPv6 one (manual, `dns_try_ipv6`).
    fn retry(&mut self, name: String, end: End, when: When) {
        if end.record == Record::A && self.options.ipv6 {
            self.steps.push(Step::Addresses { name, end: End { record: Record::Aaaa, ..end }, when });
        }
    }

    fn first_record(&self) -> Record {
        if self.options.ipv4 { Record::A } else { Record::Aaaa }
    }
}

impl Step {
    fn lookup(&self) -> Lookup<'_> {
        match self {
            Self::Naptr(name) => Lookup { name, record: Record::Naptr },
            Self::Srv { name, .. } => Lookup { name, record: Record::Srv },
            Self::Addresses { name, end, .. } => Lookup { name, record: end.record },
        }
    }
}

/// The SRV records of `protocol` at `host`. WebSocket has none: what follows its URI is HTTP's matter.
fn service(host: &str, protocol: Protocol) -> Option<Step> {
    let name = match protocol {
        Protocol::Udp => format!("_sip._udp.{host}"),
        Protocol::Tcp => format!("_sip._tcp.{host}"),
        Protocol::Tls => format!("_sips._tcp.{host}"),
        Protocol::Ws | Protocol::Wss => return None,
    };
    Some(Step::Srv { name, protocol })
}

/// A number from 0 to `sum`, both included, from the sequence that `state` began (SplitMix64).
fn pick(state: &mut u64, sum: u32) -> u32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // The high half times the width: an even spread without a division.
    (((mixed >> 32) * (u64::from(sum) + 1)) >> 32) as u32
}
