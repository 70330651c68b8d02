//! Memory. Its sizes are on the command line (`-m`, `-M`); what OpenSIPS tunes its allocators with has nothing to act on.

use super::logging::level;
use super::values::Parameter;
use crate::declared::DefaultValue::Number;
use crate::declared::Effect::Sets;
use crate::declared::{Kind, set};
use crate::logging::Level;

const ALLOCATOR: &str = "it tunes an allocator that is not there";
const RESTART: &str = "no memory is kept over a restart so far";

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::without_effect(
        "mem_warming",
        Kind::Switch,
        "Divides the shared memory at the start as it was divided before.",
        ALLOCATOR,
    ),
    Parameter::new(
        "memdump",
        Kind::LogLevel,
        Number(Level::Debug as i64),
        "The level of the lines that the MI commands mem_shm_dump and mem_pkg_dump write.",
        Sets(|settings, value| set(&mut settings.memdump, level(value))),
    )
    .older(&["mem_dump"]),
    Parameter::new(
        "memlog",
        Kind::LogLevel,
        Number(Level::Debug as i64),
        "Sets memdump, if that does not follow. Single allocations are not logged.",
        Sets(|settings, value| set(&mut settings.memdump, level(value))),
    )
    .older(&["mem_log"]),
    Parameter::without_effect(
        "shm_hash_split_percentage",
        Kind::AnyNumber,
        "How many of the chains of free memory are divided further.",
        ALLOCATOR,
    ),
    Parameter::without_effect(
        "shm_secondary_hash_size",
        Kind::AnyNumber,
        "Into how many chains such a one is divided.",
        ALLOCATOR,
    ),
    Parameter::without_effect(
        "shm_memlog_size",
        Kind::AnyNumber,
        "How many operations of the allocator are remembered.",
        ALLOCATOR,
    ),
    Parameter::without_effect(
        "pv_print_buf_size",
        Kind::AnyNumber,
        "The buffer of a string with variables in it.",
        "a string is as long as it needs to be, up to 1 MiB",
    ),
    Parameter::without_effect(
        "restart_persistency_cache_file",
        Kind::Text,
        "The file of the memory that is kept over a restart.",
        RESTART,
    ),
    Parameter::without_effect(
        "restart_persistency_size",
        Kind::AnyNumber,
        "The size of the memory that is kept over a restart.",
        RESTART,
    ),
    Parameter::without_effect(
        "rpm_mem_size",
        Kind::AnyNumber,
        "The size of the memory that is kept over a restart.",
        RESTART,
    ),
    Parameter::without_effect(
        "disable_core_dump",
        Kind::Switch,
        "Writes no core file when a process crashes.",
        "core files are left to the limits of the system (ulimit -c)",
    ),
];
