//! Time on a processor, from the scheduler's accounting: exact to the nanosecond, and not only to a tick.

use std::fs;
use std::io;
use std::time::Duration;

/// What all threads of a process have run for so far.
///
/// A thread that ends takes its share along: fit for processes whose threads stay, like Node's.
pub(crate) fn time_of(process: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let statistics = match fs::read_to_string(thread?.path().join("schedstat")) {
            Ok(statistics) => statistics,
            // It has ended since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => continue,
            Err(error) => return Err(error),
        };
        // "Time spent on the cpu (in nanoseconds)" is the first of three numbers, see Linux' sched-stats.rst.
        let running = statistics.split_whitespace().next().and_then(|number| number.parse().ok());
        total += Duration::from_nanos(running.ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_and_nobody_has_worked_more_than_that() {
        let own = std::process::id();
        let before = time_of(own).expect("Linux has it");
        let mut sum = 0_u64;
        while time_of(own).expect("Linux has it") == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(time_of(own).expect("Linux has it") > before);
        // The pid of no process.
        assert_eq!(time_of(u32::MAX).expect_err("no such process").kind(), io::ErrorKind::NotFound);
    }
}
