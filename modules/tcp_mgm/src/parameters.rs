//! The module's name, its parameters and its limit.

use tocsin_script::ModParam;

/// Rows that the table may have.
pub const MAX_RULES: usize = 4096;

pub(super) const NAME: &str = "tcp_mgm";

pub(super) const DB_URL: ModParam = ModParam::text(
    "db_url",
    "",
    "Where the table of rules is: the URL of a database, or `text:///folder` for a text file in that folder.",
)
.unset("the server does not start");
pub(super) const DB_TABLE: ModParam =
    ModParam::text("db_table", "tcp_mgm", "The name of the table of rules.");

/// The parameters that give columns another name than the manual's, which is the default.
pub(super) const COLUMNS: &[ModParam] = &[
    ModParam::text("id_col", "id", "The column of the table with the number of a rule."),
    ModParam::text("proto_col", "proto", "The column of the table with the protocol of a connection."),
    ModParam::text(
        "remote_addr_col",
        "remote_addr",
        "The column of the table with the address or network of the far end.",
    ),
    ModParam::text("remote_port_col", "remote_port", "The column of the table with the port of the far end."),
    ModParam::text(
        "local_addr_col",
        "local_addr",
        "The column of the table with the address or network of the near end.",
    ),
    ModParam::text("local_port_col", "local_port", "The column of the table with the port of the near end."),
    ModParam::text(
        "priority_col",
        "priority",
        "The column of the table with the priority of a rule: of those that fit, the lowest number decides.",
    ),
    ModParam::text("attrs_col", "attrs", "The column of the table with a text for the operator."),
    ModParam::text(
        "connect_timeout_col",
        "connect_timeout",
        "The column of the table with the value for the core parameter tcp_connect_timeout.",
    ),
    ModParam::text(
        "con_lifetime_col",
        "con_lifetime",
        "The column of the table with the value for the core parameter tcp_connection_lifetime.",
    ),
    ModParam::text(
        "msg_read_timeout_col",
        "msg_read_timeout",
        "The column of the table with the value for the core parameter tcp_max_msg_time.",
    ),
    ModParam::text(
        "send_threshold_col",
        "send_threshold",
        "The column of the table with the value for the core parameter tcp_threshold.",
    ),
    ModParam::text(
        "no_new_conn_col",
        "no_new_conn",
        "The column of the table that says whether no connections are opened.",
    ),
    ModParam::text(
        "alias_mode_col",
        "alias_mode",
        "The column of the table with the value for the core parameter tcp_accept_aliases.",
    ),
    ModParam::text(
        "parallel_read_col",
        "parallel_read",
        "The column of the table with the value for the core parameter tcp_parallel_read_on_workers.",
    ),
    ModParam::text(
        "keepalive_col",
        "keepalive",
        "The column of the table with the value for the core parameter tcp_keepalive.",
    ),
    ModParam::text(
        "keepcount_col",
        "keepcount",
        "The column of the table with the value for the core parameter tcp_keepcount.",
    ),
    ModParam::text(
        "keepidle_col",
        "keepidle",
        "The column of the table with the value for the core parameter tcp_keepidle.",
    ),
    ModParam::text(
        "keepinterval_col",
        "keepinterval",
        "The column of the table with the value for the core parameter tcp_keepinterval.",
    ),
];

pub(super) const PARAMETERS: &[ModParam] = &{
    let mut all = [DB_URL; COLUMNS.len() + 2];
    all[1] = DB_TABLE;
    let mut at = 0;
    while at < COLUMNS.len() {
        all[at + 2] = COLUMNS[at];
        at += 1;
    }
    all
};
