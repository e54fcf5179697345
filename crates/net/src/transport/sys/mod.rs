//! System calls that std's and mio's types do not offer in the form needed here.

use std::io::{self, IoSlice, Write};
use std::time::Duration;

use milliways_proto::timer::Tick;
use mio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

/// No signal for a peer that has gone: whatever the host process does about SIGPIPE, a library must not raise it. Where
/// the flag doesn't exist, std and mio set the socket option for it.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const FLAGS: i32 = 0;

/// Sends the beginning of `bytes`.
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    retry(|| stream.write(bytes))
}

/// Sends the beginning of `first` and `second`, one after the other, with one system call.
pub(crate) fn send_both(stream: &TcpStream, first: &[u8], second: &[u8]) -> io::Result<usize> {
    let buffers = [IoSlice::new(first), IoSlice::new(second)];
    retry(|| SockRef::from(stream).send_vectored_with_flags(&buffers, FLAGS))
}

/// How long a peer has to be silent for the kernel to ask whether it is there, how long the kernel waits for an answer before it
/// asks again, and how often it does. Twenty-five seconds together: short enough for whoever holds something for a client that
/// has gone, long enough not to wake the radio of one that hasn't all the time.
const KEEPALIVE_TIME: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// Has the kernel look whether the peer is still there, and end the connection with an error if it does not answer (RFC 9293
/// section 3.8.4), nor acknowledge what was sent to it, within the time above or `idle_timeout` seconds, whichever is more; 0 is
/// never. A socket that has no such options, a Unix one, ends with its peer anyway.
pub(crate) fn look_after(stream: &TcpStream, idle_timeout: Tick) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    // While something is not acknowledged there is no keep-alive, and TCP would go on for a quarter of an hour.
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

/// Repeats a call that a signal has interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
