//! What a run prints.

#![expect(clippy::cast_precision_loss, reason = "numbers for people; three digits of them count")]

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// What was measured.
pub(crate) struct Measurement {
    /// Messages or requests answered, or connections opened and closed.
    pub(crate) count: u64,
    /// How long that took.
    pub(crate) elapsed: Duration,
    /// Nanoseconds from asking to the answer.
    pub(crate) latency: Histogram<u64>,
    /// Answers that were not what they had to be.
    pub(crate) errors: u64,
    /// How long the load generator ran on a processor in this time.
    pub(crate) own_cpu: Duration,
    /// How long the server did, if its process is known.
    pub(crate) server_cpu: Option<Duration>,
}

impl Measurement {
    pub(crate) fn new() -> Self {
        // Three digits up to a minute.
        let latency = Histogram::new_with_max(60_000_000_000, 3).expect("constants in range");
        Self { count: 0, elapsed: Duration::ZERO, latency, errors: 0, own_cpu: Duration::ZERO, server_cpu: None }
    }

    pub(crate) fn answered(&mut self, latency: Duration) {
        self.count += 1;
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn print(&self, more: &[(&str, Value)]) {
        let microseconds = |quantile: f64| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        let mut line = json!({
            "count": self.count,
            "seconds": self.elapsed.as_secs_f64(),
            "rate": self.count as f64 / self.elapsed.as_secs_f64(),
            "errors": self.errors,
            "latency_us": {
                "p50": microseconds(0.50),
                "p90": microseconds(0.90),
                "p99": microseconds(0.99),
                "p999": microseconds(0.999),
                "max": self.latency.max() as f64 / 1000.0,
            },
            "load_cpu_seconds": self.own_cpu.as_secs_f64(),
            "server_cpu_seconds": self.server_cpu.map(|time| time.as_secs_f64()),
        });
        for (key, value) in more {
            line[key] = value.clone();
        }
        print(&line);
    }
}

/// Prints one line of JSON.
#[expect(clippy::print_stdout, reason = "what the program is for")]
pub(crate) fn print(line: &Value) {
    println!("{line}");
}

/// Says what went wrong.
#[expect(clippy::print_stderr, reason = "the only way a program has to say it")]
pub(crate) fn complain(message: &str) {
    eprintln!("milliways-loadgen: {message}");
}
