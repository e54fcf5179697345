//! The text format of Prometheus (version 0.0.4), which OpenTelemetry's collectors read as well.

use std::fmt::Write as _;

use super::cells::{CELLS, Description, Kind, descriptions};
use super::{ProcessCounts, ThreadCounts};

/// Returns the numbers of an app as text. `counts` are in the order of [`descriptions`]; those that only threads have
/// are missing.
pub fn app_text(counts: &[u64]) -> String {
    let app = descriptions().get(..counts.len()).unwrap_or(descriptions());
    write_all(app, |text, description, index| write_number(text, description, &description.labels, counts[index]))
}

/// Returns the numbers of each thread of the process as text. The label `thread` tells them apart.
///
/// The numbers of threads that have ended are left out: a series ends with its thread, as `rate` and `increase` expect
/// it. If another series took over what such a thread had counted, that would look like a sudden rise.
pub fn process_text(process: &ProcessCounts) -> String {
    write_all(descriptions(), |text, description, index| {
        for ThreadCounts { thread, counts } in &process.threads {
            let separator = if description.labels.is_empty() { "" } else { "," };
            let labels = format!("{}{separator}thread=\"{thread}\"", description.labels);
            write_number(text, description, &labels, counts[index]);
        }
    })
}

/// Writes the numbers of each metric below its help and its type.
fn write_all(all: &[Description], mut write: impl FnMut(&mut String, &Description, usize)) -> String {
    let mut text = String::with_capacity(128 * CELLS);
    let mut metric = "";
    for (index, description) in all.iter().enumerate() {
        if description.metric != metric {
            metric = description.metric;
            let kind = match description.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let _ = write!(text, "# HELP {metric} {}\n# TYPE {metric} {kind}\n", description.help);
        }
        write(&mut text, description, index);
    }
    text
}

fn write_number(text: &mut String, description: &Description, labels: &str, number: u64) {
    let metric = description.metric;
    let _ = match labels {
        "" => writeln!(text, "{metric} {number}"),
        labels => writeln!(text, "{metric}{{{labels}}} {number}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_described_once_above_its_numbers() {
        let counts: Vec<u64> = (0..CELLS as u64).collect();
        let text = app_text(&counts);
        let helps: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
        let mut names: Vec<_> = helps.iter().filter_map(|help| help.split(' ').next()).collect();
        let described = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), described, "a metric is described twice");
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), CELLS);
        assert!(text.starts_with("# HELP milliways_listening_sockets Sockets that listen.\n"), "{text}");
        assert!(text.contains("\n# TYPE milliways_open_connections gauge\n"), "{text}");
        assert!(text.contains("\nmilliways_open_connections{protocol=\"http\",tls=\"false\"} 1\n"), "{text}");
        assert!(text.contains("\nmilliways_listening_sockets 0\n"), "{text}");
    }

    #[test]
    fn threads_are_told_apart_by_a_label() {
        let counts = vec![7; descriptions().len()];
        let threads = vec![ThreadCounts { thread: 0, counts: counts.clone() }, ThreadCounts { thread: 3, counts }];
        let text = process_text(&ProcessCounts { counts: Vec::new(), threads });
        assert!(text.contains("\nmilliways_listening_sockets{thread=\"0\"} 7\n"), "{text}");
        assert!(text.contains("\nmilliways_topics{thread=\"3\"} 7\n"), "{text}");
        assert!(text.contains("\nmilliways_memory_bytes{kind=\"tls\",thread=\"3\"} 7\n"), "{text}");
    }
}
