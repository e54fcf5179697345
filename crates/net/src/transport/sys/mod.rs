//! Everything that depends on the platform: the poll, sockets, and system calls. No other source file of this crate uses
//! mio or socket2, or has a `cfg` of a platform.
//!
//! There are two platforms: operating systems, and the network in memory of simulations, which the feature `simulation`
//! selects.

#[cfg(not(feature = "simulation"))]
mod native;
#[cfg(feature = "simulation")]
mod simulated;

use std::io;
use std::time::Duration;

use milliways_proto::timer::Tick;

#[cfg(not(feature = "simulation"))]
use self::native as platform;
#[cfg(feature = "simulation")]
use self::simulated as platform;
pub(crate) use platform::{
    Event, Events, INVALID_ARGUMENT, Interest, LocalListener, Poll, Registry, Source, StdTcpStream, TcpListener,
    TcpStream, Token, Waker, accept_local, bind_local, bind_tcp, descriptor, is_exhaustion, is_unknown_family,
    leave_alone, look_after, may_be_connected, send, send_both,
};

/// How long a peer must be silent before the kernel sends a probe, how long the kernel waits for an answer before the
/// next one, and how many it sends. Together they take 25 seconds: short enough for a program that keeps something for
/// a client that has vanished, and long enough not to keep waking the radio of one that has not.
const KEEPALIVE_TIME: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// Returns how long what was sent to a peer may stay unacknowledged while the kernel looks after it; `None` for no limit.
fn acknowledgement_timeout(idle_timeout: Tick) -> Option<Duration> {
    let patience = KEEPALIVE_TIME + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES;
    (idle_timeout > 0).then(|| patience.max(Duration::from_secs(idle_timeout.into())))
}

/// Repeats a call for as long as a signal interrupts it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
