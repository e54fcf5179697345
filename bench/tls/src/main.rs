//! Compares the two providers of cryptography that rustls comes with: what the server's part of a handshake takes, what
//! a record takes, and how many bytes a connection keeps.
//!
//!     npm run bench:tls [-- --quick]

#![expect(clippy::cast_precision_loss, reason = "numbers for people; three digits of them count")]

mod handshake;
mod records;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};

/// How often each measurement is made. The smallest counts, as what was disturbed least.
const ROUNDS: usize = 7;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let rounds = if is_quick { 1 } else { ROUNDS };
    let providers = [("ring", ring::default_provider()), ("aws-lc-rs", aws_lc_rs::default_provider())];
    let providers = providers.map(|(name, provider)| (name, Arc::new(provider)));

    // One agrees on keys and signs, the other hashes and protects records.
    let suites = ring::default_provider().cipher_suites;
    let mixed = CryptoProvider { cipher_suites: suites, ..aws_lc_rs::default_provider() };
    let [(_, ring), (_, aws)] = &providers;
    let all = [("ring", Arc::clone(ring)), ("aws-lc-rs", Arc::clone(aws)), ("both", Arc::new(mixed))];

    println!("Microseconds of the server for a handshake\n");
    println!("| handshake | {} |\n| --- | --: | --: | --: |", all.each_ref().map(|(name, _)| *name).join(" | "));
    for kind in handshake::KINDS {
        let times =
            alternate(&all, rounds, |provider| handshake::server_time(provider, kind, if is_quick { 5 } else { 200 }));
        println!("| {} | {} |", kind.name(), times.map(|time| format!("{time:.1}")).join(" | "));
    }

    println!("\nNanoseconds to seal a record, and to open it\n");
    println!("| suite, bytes | ring | aws-lc-rs |\n| --- | --: | --: |");
    for suite in records::SUITES {
        for size in [20, 1024, 16 * 1024] {
            let count = if is_quick { 10 } else { 20_000_000 / (size + 2000) };
            let seal = alternate(&providers, rounds, |provider| records::seal_time(provider, suite, size, count));
            let open = alternate(&providers, rounds, |provider| records::open_time(provider, suite, size, count));
            let both = [0, 1].map(|which| format!("{:.0}, {:.0}", seal[which], open[which]));
            println!("| {suite:?}, {size} | {} |", both.join(" | "));
        }
    }

    println!(
        "\nBytes of the heap that a connection keeps after its handshake, and nanoseconds to make its keys again\n"
    );
    println!("| what is kept, TLS 1.3 | ring | aws-lc-rs |\n| --- | --: | --: |");
    let count = if is_quick { 10 } else { 500 };
    for kept in handshake::KEPT {
        let bytes = providers.each_ref().map(|(_, provider)| handshake::kept_bytes(provider, kept, count).to_string());
        println!("| {} | {} |", kept.name(), bytes.join(" | "));
    }
    let keys =
        alternate(&providers, rounds, |provider| records::key_time(provider, if is_quick { 10 } else { 20_000 }));
    println!("| nanoseconds for both keys | {} |", keys.map(|time| format!("{time:.0}")).join(" | "));
}

fn alternate<const N: usize>(
    providers: &[(&str, Arc<CryptoProvider>); N],
    rounds: usize,
    measure: impl Fn(&Arc<CryptoProvider>) -> f64,
) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for _ in 0..rounds {
        for (best, (_, provider)) in best.iter_mut().zip(providers) {
            *best = best.min(measure(provider));
        }
    }
    best
}
