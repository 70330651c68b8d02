//! Tocsin: a SIP server that reports, truthfully and at once, what happens inside it.
//!
//! The program: command line, start-up order, and the modules linked in. Everything else is in the rooms below.
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod check;
mod demo;
mod doc;
mod embedded;
mod events;
mod limits;
mod preprocess;
mod start;

use std::process::ExitCode;

use arguments::Asked;

/// The private heap of each process, metered against its budget (`-M`).
#[global_allocator]
static HEAP: tocsin_process::Meter<tocsin_process::Mimalloc> =
    tocsin_process::Meter(tocsin_process::Mimalloc);

fn main() -> ExitCode {
    match arguments::read(std::env::args_os()) {
        Ok(Asked::Server(arguments)) => start::run(&arguments),
        Ok(Asked::Check(asked)) => check::run(&asked),
        Ok(Asked::Demo(asked)) => demo::run(&asked),
        Ok(Asked::Doc(asked)) => doc::run(&asked),
        Ok(Asked::Events(asked)) => events::run(&asked),
        Err(answer) => answer.give(),
    }
}
