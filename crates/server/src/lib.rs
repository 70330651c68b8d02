//! The running server: what every process of the family shares, and the way of a message through it.
//!
//! A configuration and the modules linked in flow into [`startup`], which makes the [`Server`]: shared memory, tables,
//! sockets, statistics. The supervisor forks its family ([`family`]); each child becomes a [`Worker`] of its kind
//! ([`roles`]). Datagrams flow into [`receive`], through the script ([`run`]), and out by [`reply`] and [`forward`]. What
//! modules add they add through [`module`].
#![forbid(unsafe_code)]

mod alias;
pub mod avps;
pub mod blocklist;
pub mod caches;
pub mod commands;
pub mod context;
pub mod core;
pub mod databases;
pub mod declared;
pub mod dns_settings;
pub mod event_routes;
pub mod family;
pub mod flag_names;
pub mod forward;
mod host;
pub mod manual;
pub mod module;
pub mod name_look_ups;
pub mod notes;
mod owner;
mod random;
pub mod receive;
pub mod reload;
pub mod reply;
pub mod resolve;
pub mod roles;
pub mod run;
pub mod scaling;
pub mod script;
pub mod server;
pub mod settings;
pub mod setup_error;
pub mod shared_parameters;
mod slow;
pub mod slow_queries;
mod slowest;
mod spreading;
mod stalls;
pub mod startup;
pub mod statistic_groups;
pub mod tables;
pub mod target;
pub mod tls_selections;
mod traffic;
pub mod transaction;
pub mod turns;
pub mod uri_text;
pub mod worker;

pub use alias::force_alias;
pub use context::{Context, TransactionRef};
pub use module::Module;
pub use server::Server;
pub use worker::Worker;

pub(crate) use tocsin_telemetry::{core_statistics, event_statistics, process_statistics};
pub use tocsin_telemetry::{events, logging, memory, statistic_row, statistics, status_report, time};

pub use tocsin_streams::flow::{self, Received};
pub(crate) use tocsin_streams::network_statistics;
pub use tocsin_streams::{keyed_hash, security, sockets, stream_options, tcp_profile, tcp_settings};
