//! What several modules ask of SQL databases.

use super::values::Parameter;
use crate::declared::Kind;

const NOT_GATHERED: &str = "rows are not gathered before they are inserted so far";

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::without_effect(
        "db_default_url",
        Kind::Text,
        "The database of modules that name none.",
        "each module has to name its database in its own db_url so far",
    ),
    Parameter::without_effect(
        "db_version_table",
        Kind::Text,
        "The table with the versions of the other tables.",
        "versions of tables are not checked",
    ),
    Parameter::without_effect(
        "db_max_async_connections",
        Kind::AnyNumber,
        "Connections of a process for asynchronous queries.",
        "all queries are asynchronous, over up to 10 connections of a process to one database",
    ),
    Parameter::without_effect(
        "query_buffer_size",
        Kind::AnyNumber,
        "Rows that are gathered before they are inserted together.",
        NOT_GATHERED,
    ),
    Parameter::without_effect(
        "query_flush_time",
        Kind::AnyNumber,
        "Seconds after which gathered rows are inserted in any case.",
        NOT_GATHERED,
    ),
];
