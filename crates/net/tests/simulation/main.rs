//! Simulations of the reactor: server and clients in memory, with a clock that passes when a run says so. Everything that
//! happens follows from a seed.
//!
//! ```sh
//! npm run simulate -- --seeds 10000
//! ```
//!
//! runs seeds on all processors, up to the first that fails, of which it prints everything that has happened. [`Options`] has
//! what else there is.

#![expect(clippy::print_stdout, reason = "it reports to whoever runs it")]

mod acts;
mod checks;
mod clients;
mod content;
mod driver;
mod events;
mod http;
mod log;
mod model;
mod plan;
mod random;
mod remote;
mod responses;
mod run;
mod sockets;
mod websocket;
mod world;

use std::cell::RefCell;
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::log::Keep;
use crate::run::{Outcome, simulate};

/// The seeds that are run without arguments.
const SEEDS: u64 = 200;

/// Every so many seeds, a run is repeated to see whether the same happens.
const REPEATED: u64 = 20;

thread_local! {
    /// Where the last panic of this thread was.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Returns where the last panic of this thread was.
pub(crate) fn last_panic() -> String {
    LAST_PANIC.with_borrow(|place| format!(" at {place}"))
}

/// What a run of the program is asked for.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// `--seeds N`: the number of seeds. The default is 1 with `--seed`, and otherwise [`SEEDS`].
    count: u64,
    /// `--seed S`: the first seed. The default is 1.
    from: u64,
    /// `--keep-going`: run all seeds, and print what has gone wrong with each that fails.
    keeps_going: bool,
}

impl Options {
    /// Returns `None` if the arguments are invalid.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (mut count, mut from, mut keeps_going) = (None, None, false);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|number| number.parse::<u64>().ok());
            match &*argument {
                "--seeds" => count = Some(number()?),
                "--seed" => from = Some(number()?),
                "--keep-going" => keeps_going = true,
                _ => return None,
            }
        }
        let count = count.unwrap_or(if from.is_some() { 1 } else { SEEDS }).max(1);
        Some(Self { count, from: from.unwrap_or(1), keeps_going })
    }
}

fn main() -> ExitCode {
    let Some(Options { count, from, keeps_going }) = Options::parse(std::env::args().skip(1)) else {
        println!("usage: npm run simulate -- [--seeds N] [--seed S] [--keep-going]");
        return ExitCode::FAILURE;
    };
    // Panics are caught, and become failures of a run.
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        LAST_PANIC.with_borrow_mut(|last| *last = place);
    }));
    let failed = run_all(from, count, keeps_going);
    let Some(first) = failed.first() else {
        println!("Nothing went wrong with the seeds from {from} to {}.", from + count - 1);
        return ExitCode::SUCCESS;
    };
    if keeps_going {
        for seed in &failed {
            println!("{}", failure_of(*seed));
        }
        println!("{} of the seeds from {from} to {} failed.", failed.len(), from + count - 1);
    } else {
        report(*first);
    }
    ExitCode::FAILURE
}

/// Runs seeds on all processors. Returns those that fail, in order. Unless it keeps going, these are few.
fn run_all(from: u64, count: u64, keeps_going: bool) -> Vec<u64> {
    let next = AtomicU64::new(from);
    let failed = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while keeps_going || failed.lock().expect("no panic").is_empty() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + count {
                return;
            }
            if !is_good(seed) {
                failed.lock().expect("no panic").push(seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().expect("no panic");
    failed.sort_unstable();
    failed
}

fn is_good(seed: u64) -> bool {
    if seed.is_multiple_of(REPEATED) {
        let (first, second) = (simulate(seed, Keep::Hash), simulate(seed, Keep::Hash));
        return first.failure.is_none() && first.hash == second.hash;
    }
    simulate(seed, Keep::Nothing).failure.is_none()
}

/// Returns what has gone wrong with a seed.
fn failure_of(seed: u64) -> String {
    let Outcome { failure, steps, .. } = simulate(seed, Keep::Nothing);
    match failure {
        Some(failure) => format!("Seed {seed} failed at step {steps}: {failure}"),
        None => format!("Seed {seed} does not do the same twice."),
    }
}

/// Runs a seed that fails again, and prints everything.
fn report(seed: u64) {
    for line in simulate(seed, Keep::Lines).lines {
        println!("{line}");
    }
    println!("\n{}", failure_of(seed));
    println!("To see this again: npm run simulate -- --seed {seed}");
}
