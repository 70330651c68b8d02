//! Black-box tests: the real program, started as an operator starts it, and the real clients that talk to it.
//!
//! Each file shows one thing that the server promises. A test starts its own server in its own folder, on ports from the
//! kernel, so that tests run side by side; it waits for conditions, never for a time, and ends by asking its server to
//! end, which it must do with status 0. What a failing test's server logged is printed with the failure.
//!
//! The tests need `sipp`, `openssl`, Kamailio, MariaDB, RabbitMQ, Chromium with the library SIP.js for its page, and a Python with the
//! packages `opensips`, `opensipscli`, `pika` and `websockets`. They never skip what they cannot find: `./test` installs it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod accounting;
mod branches;
mod browser;
mod cachedb_local;
mod calls;
mod command_line;
mod crowds;
mod databases;
mod deaths;
mod declared;
mod demo;
mod destinations;
mod diagnose;
mod event_accounts;
mod event_chains;
mod event_delivery;
mod event_ends;
mod event_flatstore;
mod event_rabbitmq;
mod event_route;
mod event_routing;
mod event_stream;
mod event_virtual;
mod event_xmlrpc;
mod events_tool;
mod gruu;
mod harness;
mod hostile;
mod language;
mod log_control;
mod log_events;
mod management;
mod management_limits;
mod matrix;
mod memory;
mod mixed_load;
mod own_requests;
mod preprocessor;
mod privileges;
mod python_clients;
mod reload;
mod scaling;
mod script_limits;
mod status_report;
mod stored_avps;
mod stream_transactions;
mod subscriptions;
mod tcp_calls;
mod tcp_deaths;
mod tcp_ends;
mod tcp_limits;
mod tcp_messages;
mod tcp_paths;
mod tcp_reuse;
mod tcp_storms;
mod thresholds;
mod tls_database;
mod tls_ends;
mod tls_handshakes;
mod tls_messages;
mod tls_outgoing;
mod tls_reload;
mod transactions;
mod waiting;
mod wss_clients;
