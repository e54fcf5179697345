//! System calls that std's and mio's types do not offer in the form needed here.

use std::io::{self, IoSlice, Write};

use mio::net::TcpStream;
use socket2::SockRef;

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

/// Repeats a call that a signal has interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
