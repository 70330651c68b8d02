//! Asking the name servers for what a search wants to know.

use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::naptr::{Naptr, Then, service};
use super::search::{Answer, Lookup, Record, Search};
use super::srv::Srv;
use super::{Hops, NoHop, Options, Question};
use crate::Resolver;

/// The most time that one question may take, whatever the name servers do. What was found by then counts.
pub const LOCATE_BUDGET: Duration = Duration::from_secs(5);

impl Resolver {
    /// The hops of `question`, the best first; at least one. `random` chooses among targets of one priority by their
    /// weight; `looked_up` is called for each look-up: the name, and how many microseconds it took.
    ///
    /// # Errors
    /// [`NoHop`] when there is none.
    pub async fn locate(
        &self,
        question: &Question<'_>,
        options: &Options,
        random: u64,
        mut looked_up: impl FnMut(&str, u64),
    ) -> Result<Hops, NoHop> {
        let mut search = Search::begin(question, options, random)?;
        let end = Instant::now() + LOCATE_BUDGET;
        let mut failure = None;
        while let Some(lookup) = search.next() {
            let began = Instant::now();
            let answer = tokio::time::timeout(end.saturating_duration_since(began), self.ask(lookup)).await;
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            looked_up(lookup.name.strip_suffix('.').unwrap_or(lookup.name), took);
            let record = lookup.record;
            let Ok(answer) = answer else {
                failure = Some(NoHop::Timeout(question.host.to_owned()));
                break;
            };
            search.answer(answer.unwrap_or_else(|cause| {
                failure = Some(NoHop::NoAddress { host: question.host.to_owned(), cause });
                record.nothing()
            }));
        }
        if search.is_refused() {
            return Err(NoHop::Refused(question.host.to_owned()));
        }
        let hops = search.into_hops();
        if !hops.is_empty() {
            return Ok(hops);
        }
        Err(failure.unwrap_or_else(|| NoHop::NoAddress {
            host: question.host.to_owned(),
            cause: "its records lead nowhere".to_owned(),
        }))
    }

    async fn ask(&self, lookup: Lookup<'_>) -> Result<Answer, String> {
        let resolver = self.resolver()?;
        answer(resolver, lookup).await.map_err(|cause| cause.to_string())
    }
}

async fn answer(resolver: &TokioResolver, lookup: Lookup<'_>) -> Result<Answer, NetError> {
    let found = resolver.lookup(lookup.name, lookup.record.kind()).await?;
    let data = found.answers().iter().map(|record| &record.data);
    Ok(match lookup.record {
        Record::Naptr => Answer::Naptr(data.filter_map(naptr).collect()),
        Record::Srv => Answer::Srv(data.filter_map(srv).collect()),
        Record::A | Record::Aaaa => Answer::Addresses(data.filter_map(RData::ip_addr).collect()),
    })
}

impl Record {
    fn kind(self) -> RecordType {
        match self {
            Self::Naptr => RecordType::NAPTR,
            Self::Srv => RecordType::SRV,
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
        }
    }

    /// An empty answer.
    fn nothing(self) -> Answer {
        match self {
            Self::Naptr => Answer::Naptr(Vec::new()),
            Self::Srv => Answer::Srv(Vec::new()),
            Self::A | Self::Aaaa => Answer::Addresses(smallvec::SmallVec::new()),
        }
    }
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else { return None };
    Some(Naptr {
        order: record.order,
        preference: record.preference,
        then: Then::parse(&record.flags),
        protocol: service(&record.services),
        replacement: record.replacement.to_ascii(),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else { return None };
    let (priority, weight, port) = (record.priority, record.weight, record.port);
    Some(Srv { priority, weight, port, target: record.target.to_ascii() })
}
