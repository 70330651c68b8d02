//! The group tm, in OpenSIPS's order.

use tocsin_server::statistics::{StatId, Statistics};
use tocsin_shm::Map;

use super::record::{Transaction, TransactionId};

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
        let mut counter = |name| statistics.counter("tm", name);
        let (received_replies, relayed_replies) = (counter("received_replies"), counter("relayed_replies"));
        let local_replies = counter("local_replies");
        let (uas, uac) = (counter("UAS_transactions"), counter("UAC_transactions"));
        let finals = [
            "2xx_transactions",
            "3xx_transactions",
            "4xx_transactions",
            "5xx_transactions",
            "6xx_transactions",
        ]
        .map(&mut counter);
        statistics.computed("tm", move |each| each("inuse_transactions", table.len() as i64));
        let mut counter = |name| statistics.counter("tm", name);
        // No cluster: these stay zero, for clients that ask for them.
        let cluster = [
            "cluster_reply_sent",
            "cluster_request_sent",
            "cluster_cancel_sent",
            "cluster_reply_recv",
            "cluster_request_recv",
            "cluster_cancel_recv",
        ];
        for name in cluster {
            counter(name);
        }
        let retransmission_req = counter("retransmission_req_T1_1");
        for name in ["retransmission_req_T1_2", "retransmission_req_T1_3", "retransmission_req_T2"] {
            counter(name);
        }
        let retransmission_rpl = counter("retransmission_rpl_T2");
        let timeout_finalresponse = counter("timeout_finalresponse");
        counter("timeout_finalresponse_inv");
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
