//! The group tm, in OpenSIPS's order.

use tocsin_server::statistic_row::StatRow;
use tocsin_server::statistics::{StatId, Statistics};
use tocsin_shm::Map;

use super::record::{Transaction, TransactionId};

const fn counter(name: &'static str, doc: &'static str) -> StatRow {
    StatRow::counter("tm", name, doc)
}

const fn of_cluster(name: &'static str) -> StatRow {
    counter(name, "Always 0: there is no cluster.")
}

const RECEIVED_REPLIES: StatRow = counter("received_replies", "Replies received for a transaction.");
const RELAYED_REPLIES: StatRow = counter("relayed_replies", "Replies forwarded to the client.");
const LOCAL_REPLIES: StatRow = counter("local_replies", "Replies of this server itself.");
const UAS: StatRow = counter("UAS_transactions", "Transactions of requests received.");
const UAC: StatRow = counter("UAC_transactions", "Transactions of requests that this server began.");
const FINALS: [StatRow; 5] = [
    counter("2xx_transactions", "Transactions that ended with 2xx."),
    counter("3xx_transactions", "Transactions that ended with 3xx."),
    counter("4xx_transactions", "Transactions that ended with 4xx."),
    counter("5xx_transactions", "Transactions that ended with 5xx."),
    counter("6xx_transactions", "Transactions that ended with 6xx."),
];
const IN_USE: StatRow = StatRow::value("tm", "inuse_transactions", "Transactions in memory.");
const CLUSTER: [StatRow; 6] = [
    of_cluster("cluster_reply_sent"),
    of_cluster("cluster_request_sent"),
    of_cluster("cluster_cancel_sent"),
    of_cluster("cluster_reply_recv"),
    of_cluster("cluster_request_recv"),
    of_cluster("cluster_cancel_recv"),
];
const RETRANSMITTED_REQUESTS: StatRow =
    counter("retransmission_req_T1_1", "Requests sent again, whatever the interval.");
const LATER_RETRANSMISSIONS: [StatRow; 3] = [
    counter("retransmission_req_T1_2", "Always 0: `retransmission_req_T1_1` has all."),
    counter("retransmission_req_T1_3", "Always 0: `retransmission_req_T1_1` has all."),
    counter("retransmission_req_T2", "Always 0: `retransmission_req_T1_1` has all."),
];
const RETRANSMITTED_REPLIES: StatRow = counter("retransmission_rpl_T2", "Replies sent again.");
const TIMED_OUT: StatRow = counter("timeout_finalresponse", "Branches without a final response in time.");
const TIMED_OUT_INVITES: StatRow =
    counter("timeout_finalresponse_inv", "Always 0: `timeout_finalresponse` has all.");

/// All of them, in OpenSIPS's order.
pub(super) const STATISTICS: &[StatRow] = &[
    RECEIVED_REPLIES,
    RELAYED_REPLIES,
    LOCAL_REPLIES,
    UAS,
    UAC,
    FINALS[0],
    FINALS[1],
    FINALS[2],
    FINALS[3],
    FINALS[4],
    IN_USE,
    CLUSTER[0],
    CLUSTER[1],
    CLUSTER[2],
    CLUSTER[3],
    CLUSTER[4],
    CLUSTER[5],
    RETRANSMITTED_REQUESTS,
    LATER_RETRANSMISSIONS[0],
    LATER_RETRANSMISSIONS[1],
    LATER_RETRANSMISSIONS[2],
    RETRANSMITTED_REPLIES,
    TIMED_OUT,
    TIMED_OUT_INVITES,
];

/// The module's counters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(super) received_replies: StatId,
    pub(super) relayed_replies: StatId,
    pub(super) local_replies: StatId,
    pub(super) uas: StatId,
    pub(super) uac: StatId,
    /// Transactions that ended with 2xx to 6xx.
    pub(super) finals: [StatId; 5],
    pub(super) retransmission_req: StatId,
    pub(super) retransmission_rpl: StatId,
    pub(super) timeout_finalresponse: StatId,
}

impl Counters {
    pub(super) fn register(statistics: &mut Statistics, table: Map<TransactionId, Transaction>) -> Self {
        let mut counter = |row: StatRow| statistics.counter(&row);
        let (received_replies, relayed_replies) = (counter(RECEIVED_REPLIES), counter(RELAYED_REPLIES));
        let local_replies = counter(LOCAL_REPLIES);
        let (uas, uac) = (counter(UAS), counter(UAC));
        let finals = FINALS.map(&mut counter);
        statistics.computed(IN_USE.group, move |each| each(IN_USE.name, table.len() as i64));
        let mut counter = |row: StatRow| statistics.counter(&row);
        // These stay zero, for clients that ask for them.
        for row in CLUSTER {
            counter(row);
        }
        let retransmission_req = counter(RETRANSMITTED_REQUESTS);
        for row in LATER_RETRANSMISSIONS {
            counter(row);
        }
        let retransmission_rpl = counter(RETRANSMITTED_REPLIES);
        let timeout_finalresponse = counter(TIMED_OUT);
        counter(TIMED_OUT_INVITES);
        Self {
            received_replies,
            relayed_replies,
            local_replies,
            uas,
            uac,
            finals,
            retransmission_req,
            retransmission_rpl,
            timeout_finalresponse,
        }
    }
}
