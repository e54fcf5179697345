//! Everything that depends on the platform: system calls that std and mio do not offer in the form needed here. No
//! other source file of this crate has a `cfg` of an operating system.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

use std::io::{self, IoSlice, Write};
use std::time::Duration;

use milliways_proto::timer::Tick;
use mio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

#[cfg(not(unix))]
use self::other as platform;
#[cfg(unix)]
use self::unix as platform;
pub(crate) use platform::{
    INVALID_ARGUMENT, LocalListener, accept_local, allow_reuse, bind_local, descriptor, is_exhaustion,
    is_unknown_family,
};

/// Sending to a peer that has gone must not raise SIGPIPE, whatever the host process does about that signal. Where the
/// flag does not exist, std and mio set the socket option that does the same.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const FLAGS: i32 = 0;

/// Sends the beginning of `bytes`; returns the number of bytes that the socket has taken.
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    retry(|| stream.write(bytes))
}

/// Sends the beginning of `first` followed by `second` with one system call; returns the number of bytes that the
/// socket has taken.
pub(crate) fn send_both(stream: &TcpStream, first: &[u8], second: &[u8]) -> io::Result<usize> {
    let buffers = [IoSlice::new(first), IoSlice::new(second)];
    retry(|| SockRef::from(stream).send_vectored_with_flags(&buffers, FLAGS))
}

/// How long a peer must be silent before the kernel sends a probe, how long the kernel waits for an answer before the
/// next one, and how many it sends. Together they take 25 seconds: short enough for a program that keeps something for
/// a client that has vanished, and long enough not to keep waking the radio of one that has not.
const KEEPALIVE_TIME: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// Has the kernel probe whether the peer is still there (RFC 9293 section 3.8.4). The connection fails if the peer does
/// not answer, or does not acknowledge what was sent to it, within the time above or `idle_timeout` seconds, whichever
/// is longer; an `idle_timeout` of 0 sets no limit for acknowledgements. Unix sockets do not have these options, and
/// end with their peer.
pub(crate) fn look_after(stream: &TcpStream, idle_timeout: Tick) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    // The kernel sends no probes while data is unacknowledged, and would retransmit for a quarter of an hour.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if idle_timeout > 0 {
        let patience = KEEPALIVE_TIME + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES;
        let _ = socket.set_tcp_user_timeout(Some(patience.max(Duration::from_secs(idle_timeout.into()))));
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = idle_timeout;
}

/// Undoes [`look_after`].
pub(crate) fn leave_alone(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_keepalive(false);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_user_timeout(None);
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
