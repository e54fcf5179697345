//! A load generator: many WebSocket or HTTP clients on one thread, which measure a server and check what it answers.
//!
//! One run is one experiment: it connects, warms up, measures for a time and prints one line of JSON. It is made to cost
//! less than any server it measures; it is not made to judge correctness, for which there are clients that nobody here
//! wrote.

mod args;
mod client;
mod connect;
mod cpu;
mod drive;
mod echo;
mod frames;
mod http;
mod idle;
mod report;
mod subscribe;
mod tls;

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match args::parse() {
        Ok(options) => options,
        Err(error) => {
            report::complain(&format!("{error}\n\n{}", args::USAGE));
            return ExitCode::from(2);
        }
    };
    let result = match options.mode {
        args::Mode::Echo => echo::run(&options),
        args::Mode::Http => http::run(&options),
        args::Mode::Connect => connect::run(&options),
        args::Mode::Idle => idle::run(&options),
        args::Mode::Subscribe => subscribe::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
