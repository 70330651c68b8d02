//! The core's own counters, in the order in which OpenSIPS lists them.

use crate::statistic_row::StatRow;
use crate::statistics::{StatId, Statistics};

/// Registered counters of the groups core, dns and sql; [`CORE_STATISTICS`] says what each counts.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is documented in its row")]
pub struct CoreCounters {
    pub rcv_requests: StatId,
    pub rcv_replies: StatId,
    pub fwd_requests: StatId,
    pub fwd_replies: StatId,
    pub drop_requests: StatId,
    pub drop_replies: StatId,
    pub err_requests: StatId,
    pub err_replies: StatId,
    pub bad_uris: StatId,
    pub bad_msg_hdr: StatId,
    pub slow_messages: StatId,
    pub dns_total: StatId,
    pub dns_slow: StatId,
    pub sql_total: StatId,
    pub sql_slow: StatId,
}

const CORE: &str = "core";
const RCV_REQUESTS: StatRow = StatRow::counter(CORE, "rcv_requests", "Requests received.");
const RCV_REPLIES: StatRow = StatRow::counter(CORE, "rcv_replies", "Replies received.");
const FWD_REQUESTS: StatRow =
    StatRow::counter(CORE, "fwd_requests", "Requests forwarded without a transaction.");
const FWD_REPLIES: StatRow =
    StatRow::counter(CORE, "fwd_replies", "Replies forwarded without a transaction.");
const DROP_REQUESTS: StatRow =
    StatRow::counter(CORE, "drop_requests", "Requests dropped by the script, or for want of a destination.");
const DROP_REPLIES: StatRow = StatRow::counter(CORE, "drop_replies", "Replies dropped.");
const ERR_REQUESTS: StatRow =
    StatRow::counter(CORE, "err_requests", "Requests that could not be served because they are malformed.");
const ERR_REPLIES: StatRow = StatRow::counter(CORE, "err_replies", "Replies that are malformed.");
const BAD_URIS: StatRow = StatRow::counter(CORE, "bad_URIs_rcvd", "URIs that could not be parsed.");
const BAD_MSG_HDR: StatRow =
    StatRow::counter(CORE, "bad_msg_hdr", "Messages with a header that could not be parsed.");
const SLOW_MESSAGES: StatRow = StatRow::counter(
    CORE,
    "slow_messages",
    "Messages whose processing took longer than `exec_msg_threshold`.",
);
const TIMESTAMP: StatRow = StatRow::value(CORE, "timestamp", "Seconds since the server started.");
const DNS_TOTAL: StatRow = StatRow::counter("dns", "dns_total_queries", "DNS queries sent.");
const DNS_SLOW: StatRow =
    StatRow::counter("dns", "dns_slow_queries", "DNS queries answered later than `exec_dns_threshold`.");
const SQL_TOTAL: StatRow = StatRow::counter("sql", "sql_total_queries", "Queries to databases.");
const SQL_SLOW: StatRow = StatRow::counter(
    "sql",
    "sql_slow_queries",
    "Queries that took longer than the `exec_query_threshold` of their module.",
);

/// The groups core, dns and sql.
pub const CORE_STATISTICS: &[StatRow] = &[
    RCV_REQUESTS,
    RCV_REPLIES,
    FWD_REQUESTS,
    FWD_REPLIES,
    DROP_REQUESTS,
    DROP_REPLIES,
    ERR_REQUESTS,
    ERR_REPLIES,
    BAD_URIS,
    BAD_MSG_HDR,
    SLOW_MESSAGES,
    TIMESTAMP,
    DNS_TOTAL,
    DNS_SLOW,
    SQL_TOTAL,
    SQL_SLOW,
];

impl CoreCounters {
    /// Registers [`CORE_STATISTICS`].
    pub fn register(statistics: &mut Statistics) -> Self {
        let (rcv_requests, rcv_replies) =
            (statistics.counter(&RCV_REQUESTS), statistics.counter(&RCV_REPLIES));
        let (fwd_requests, fwd_replies) =
            (statistics.counter(&FWD_REQUESTS), statistics.counter(&FWD_REPLIES));
        let drop_requests = statistics.counter(&DROP_REQUESTS);
        let drop_replies = statistics.counter(&DROP_REPLIES);
        let (err_requests, err_replies) =
            (statistics.counter(&ERR_REQUESTS), statistics.counter(&ERR_REPLIES));
        let (bad_uris, bad_msg_hdr) = (statistics.counter(&BAD_URIS), statistics.counter(&BAD_MSG_HDR));
        let slow_messages = statistics.counter(&SLOW_MESSAGES);
        let started = crate::time::unix_seconds();
        statistics.computed(TIMESTAMP.group, move |each| {
            each(TIMESTAMP.name, crate::time::unix_seconds().saturating_sub(started) as i64);
        });
        Self {
            rcv_requests,
            rcv_replies,
            fwd_requests,
            fwd_replies,
            drop_requests,
            drop_replies,
            err_requests,
            err_replies,
            bad_uris,
            bad_msg_hdr,
            slow_messages,
            dns_total: statistics.counter(&DNS_TOTAL),
            dns_slow: statistics.counter(&DNS_SLOW),
            sql_total: statistics.counter(&SQL_TOTAL),
            sql_slow: statistics.counter(&SQL_SLOW),
        }
    }
}
