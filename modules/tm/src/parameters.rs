//! The module's parameters.

use tocsin_script::ModParam;
use tocsin_server::module::{Parameters, SetupError};

use super::machine::{Policy, Timers};

const FR_TIMEOUT: ModParam = seconds(
    "fr_timeout",
    Timers::DEFAULT.fr,
    "How long a branch waits for a response: an INVITE for any, another request for a final one.",
);
const FR_INV_TIMEOUT: ModParam = seconds(
    "fr_inv_timeout",
    Timers::DEFAULT.fr_inv,
    "How long a branch of an INVITE waits for a final response after a provisional one.",
);
const WT_TIMER: ModParam = seconds(
    "wt_timer",
    Timers::DEFAULT.wait,
    "How long a transaction that has ended is kept to absorb retransmissions.",
);
const T1_TIMER: ModParam =
    milliseconds("T1_timer", Timers::DEFAULT.t1, "The first interval of retransmission (RFC 3261 timer T1).");
const T2_TIMER: ModParam = milliseconds(
    "T2_timer",
    Timers::DEFAULT.t2,
    "The longest interval of retransmission (RFC 3261 timer T2).",
);
const RESTART_FR_ON_EACH_REPLY: ModParam = ModParam::switch(
    "restart_fr_on_each_reply",
    Policy::DEFAULT.restart_fr_inv,
    "Whether each provisional response starts `fr_inv_timeout` again, and not only the first.",
);
const DISABLE_6XX_BLOCK: ModParam = ModParam::switch(
    "disable_6xx_block",
    !Policy::DEFAULT.block_on_6xx,
    "Whether a 6xx is a failure like others, and neither cancels the other branches nor forbids new ones.",
);
const AUTO_100TRYING: ModParam = ModParam::switch(
    "auto_100trying",
    true,
    "Whether an INVITE is answered by 100 Trying when its transaction is created.",
);
const ONREPLY_AVP_MODE: ModParam = ModParam::switch(
    "onreply_avp_mode",
    false,
    "Whether onreply routes have the AVPs of the transaction; otherwise those of the response alone.",
);

const MINOR_BRANCH_FLAG: ModParam = ModParam::number_or_text(
    "minor_branch_flag",
    "The branch flag of branches that the others do not wait for: when all others have failed, they are cancelled.",
);

const RFC_2543: &str =
    "transactions are matched as RFC 3261 says; those of older clients by their header fields";
const NO_FIFO: &str =
    "requests are not written to programs: there are no t_write_req() and t_write_unix() yet";
const NO_CLUSTER: &str = "there are no clusters yet";
const NO_LOCAL_ROUTES: &str = "scripts see no requests and responses of the server's own yet";

/// What `modparam("tm", ...)` may set.
pub(super) const NAMES: &[ModParam] = &[
    FR_TIMEOUT,
    FR_INV_TIMEOUT,
    WT_TIMER,
    ModParam::number(
        "delete_timer",
        2,
        "Seconds after which the removal of a transaction in use is tried again.",
    )
    .without_effect("a transaction is removed at once: no process keeps one in use"),
    T1_TIMER,
    T2_TIMER,
    ModParam::switch(
        "ruri_matching",
        true,
        "Whether transactions of RFC 2543 are matched by the Request-URI, too.",
    )
    .without_effect(RFC_2543),
    ModParam::switch(
        "via1_matching",
        true,
        "Whether transactions of RFC 2543 are matched by the topmost Via, too.",
    )
    .without_effect(RFC_2543),
    ModParam::number("unix_tx_timeout", 2, "Seconds that t_write_unix() waits.").without_effect(NO_FIFO),
    RESTART_FR_ON_EACH_REPLY,
    ModParam::number_or_text("tw_append", "What t_write_req() and t_write_unix() write in addition.")
        .without_effect(NO_FIFO),
    ModParam::switch(
        "pass_provisional_replies",
        false,
        "Whether programs at a FIFO get provisional responses.",
    )
    .without_effect(NO_FIFO),
    ModParam::switch(
        "syn_branch",
        true,
        "Whether branch parameters are short and valid until a restart only.",
    )
    .without_effect(
        "branch parameters are short and computed from the request: a restart does not change them",
    ),
    ONREPLY_AVP_MODE,
    DISABLE_6XX_BLOCK,
    ModParam::switch("enable_stats", true, "Whether transactions are counted in statistics.")
        .without_effect("they are always counted"),
    MINOR_BRANCH_FLAG,
    ModParam::number("timer_partitions", 1, "How many parts the timers are split into.")
        .without_effect("each part of the table of transactions has timers of its own"),
    AUTO_100TRYING,
    ModParam::number("tm_replication_cluster", 0, "The cluster of servers with the same anycast address.")
        .without_effect(NO_CLUSTER),
    ModParam::number_or_text("cluster_param", "The parameter of Via that names the server in a cluster.")
        .without_effect(NO_CLUSTER),
    ModParam::switch(
        "cluster_auto_cancel",
        true,
        "Whether CANCEL to an anycast address does not reach the script.",
    )
    .without_effect(NO_CLUSTER),
    ModParam::switch("own_timer_proc", false, "Whether the timers have a process of their own.")
        .without_effect("the TIMER processes look after the timers"),
    ModParam::number_or_text(
        "local_request_route",
        "The route that runs for requests that the server makes itself.",
    )
    .without_effect(NO_LOCAL_ROUTES),
    ModParam::number_or_text(
        "local_reply_route",
        "The route that runs for responses that the server makes itself.",
    )
    .without_effect(NO_LOCAL_ROUTES),
];

/// A time that is given in seconds; the default is one of milliseconds.
const fn seconds(name: &'static str, default_ms: u32, doc: &'static str) -> ModParam {
    ModParam::number(name, default_ms as i64 / 1000, doc).within(1, u32::MAX as i64 / 1000, "seconds")
}

const fn milliseconds(name: &'static str, default: u32, doc: &'static str) -> ModParam {
    ModParam::number(name, default as i64, doc).within(1, u32::MAX as i64, "milliseconds")
}

/// The parameters that the module acts on.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) timers: Timers,
    pub(super) policy: Policy,
    pub(super) auto_100: bool,
    /// Onreply routes have the AVPs of the transaction.
    pub(super) avps_in_replies: bool,
    /// The bit of the branch flag of minor branches; 0 if there is none.
    pub(super) minor_flag: u32,
}

impl Settings {
    pub(super) fn new(
        given: &Parameters,
        core: &tocsin_server::settings::Settings,
    ) -> Result<Self, SetupError> {
        // The rows bound both.
        let ms = |row: &ModParam| given.int(row) as u32;
        let s = |row: &ModParam| ms(row) * 1000;
        let timers = Timers {
            t1: ms(&T1_TIMER),
            t2: ms(&T2_TIMER),
            fr: s(&FR_TIMEOUT),
            fr_inv: s(&FR_INV_TIMEOUT),
            wait: s(&WT_TIMER),
            ..Timers::DEFAULT
        };
        let policy = Policy {
            block_on_6xx: !given.on(&DISABLE_6XX_BLOCK),
            restart_fr_inv: given.on(&RESTART_FR_ON_EACH_REPLY),
            forward_503: core.forward_503,
            ..Policy::DEFAULT
        };
        let wrong = |problem| SetupError::Parameter { module: "tm", name: MINOR_BRANCH_FLAG.name, problem };
        let minor_flag = given.last(&MINOR_BRANCH_FLAG).map(|flag| core.flag_names.bit(flag)).transpose();
        Ok(Self {
            timers,
            policy,
            auto_100: given.on(&AUTO_100TRYING),
            avps_in_replies: given.on(&ONREPLY_AVP_MODE),
            minor_flag: minor_flag.map_err(wrong)?.unwrap_or(0),
        })
    }
}
