//! What it takes to compress and decompress messages, with each library and with what milliways makes of the one it uses.
//!
//! Prints tables in Markdown: microseconds a message (the median of some rounds, in which the candidates take turns), the
//! size of what comes out, and bytes of memory for each context.

#![expect(clippy::cast_precision_loss, reason = "numbers for people; three digits of them count")]

mod allocation;
mod candidates;
mod messages;

use std::time::Instant;

use candidates::{Candidate, compressors, decompressors};

/// Rounds, of which the median counts, and bytes of messages a round.
const ROUNDS: usize = 9;
const ROUND: usize = 400_000;
const LENGTHS: [usize; 6] = [20, 100, 300, 1024, 4096, 16_384];
const WINDOWS: [Option<u8>; 4] = [None, Some(9), Some(12), Some(15)];

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, round) = if is_quick { (1, ROUND / 20) } else { (ROUNDS, ROUND) };
    for window in WINDOWS {
        match window {
            None => println!("\nEach message for itself\n"),
            Some(bits) => println!("\nWith what came before, window of 2^{bits} bytes\n"),
        }
        table("us a message (%)", rounds, |length| {
            let messages = messages::some(length, round);
            compressors(window).into_iter().map(|candidate| (candidate, messages.clone())).collect()
        });
        println!("\nThe same, decompressing\n");
        table("us a message", rounds, |length| {
            let messages = candidates::compressed(window, &messages::some(length, round));
            decompressors(window).into_iter().map(|candidate| (candidate, messages.clone())).collect()
        });
    }
    println!("\nBytes for each connection, after a mebibyte of messages\n");
    println!(
        "| window | zlib, compressor | zlib-rs, compressor | ours | zlib, decompressor | zlib-rs, decompressor | ours |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for bits in 9..=15 {
        let cells = candidates::memory(bits).map(|bytes| bytes.to_string());
        println!("| 2^{bits} | {} |", cells.join(" | "));
    }
}

type Trial = (Candidate, Vec<Vec<u8>>);

fn table(title: &str, rounds: usize, make: impl Fn(usize) -> Vec<Trial>) {
    let columns: Vec<_> = LENGTHS.iter().map(|length| measure(rounds, make(*length))).collect();
    println!("| {title} | {} |", LENGTHS.map(|length| format!("{length} B")).join(" | "));
    println!("| --- | {} |", LENGTHS.map(|_| "---:").join(" | "));
    let is_compressing = title.ends_with("(%)");
    for (row, Result { name, .. }) in columns[0].iter().enumerate() {
        let cells = columns.iter().map(|column| {
            let Result { time, percent, .. } = column[row];
            if is_compressing { format!("{time:.2} ({percent:.0})") } else { format!("{time:.2}") }
        });
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

struct Result {
    name: &'static str,
    /// Microseconds a message.
    time: f64,
    /// What comes out, of what goes in.
    percent: f64,
}

fn measure(rounds: usize, mut trials: Vec<Trial>) -> Vec<Result> {
    let mut times = vec![Vec::new(); trials.len()];
    let mut sizes = vec![0; trials.len()];
    for _ in 0..rounds {
        for (index, (candidate, messages)) in trials.iter_mut().enumerate() {
            (candidate.start)();
            let begin = Instant::now();
            sizes[index] = messages.iter().map(|message| (candidate.run)(message)).sum::<usize>();
            times[index].push(begin.elapsed().as_secs_f64() * 1e6 / messages.len() as f64);
        }
    }
    let results = trials.iter().zip(&mut times).zip(sizes).map(|(((candidate, messages), times), size)| {
        times.sort_by(f64::total_cmp);
        let given: usize = messages.iter().map(Vec::len).sum();
        Result { name: candidate.name, time: times[times.len() / 2], percent: 100.0 * size as f64 / given as f64 }
    });
    results.collect()
}
