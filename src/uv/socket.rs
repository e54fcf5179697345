//! Sockets of the system that a program has as numbers.

use std::ffi::c_int;
use std::net::TcpStream;

use super::ffi;

/// Returns the stream socket with this number, or `None` if the number is not that of an open stream socket or pipe.
///
/// # Safety
///
/// The caller either owns the descriptor, or gives the socket back ([`give_back`]) instead of dropping it.
#[cfg(unix)]
pub(crate) unsafe fn stream_of(number: c_int) -> Option<TcpStream> {
    use std::os::fd::FromRawFd;

    // SAFETY: it asks the kernel about any number.
    let kind = unsafe { ffi::uv_guess_handle(number) };
    let is_stream = kind == ffi::UV_TCP || kind == ffi::UV_NAMED_PIPE;
    // SAFETY: it is open, and the caller promises the rest.
    is_stream.then(|| unsafe { TcpStream::from_raw_fd(number) })
}

/// Leaves a socket open for its owner.
#[cfg(unix)]
pub(crate) fn give_back(stream: TcpStream) {
    use std::os::fd::IntoRawFd;

    let _ = stream.into_raw_fd();
}

/// Returns `None`: sockets have no descriptors here.
#[cfg(not(unix))]
pub(crate) unsafe fn stream_of(_number: c_int) -> Option<TcpStream> {
    None
}

#[cfg(not(unix))]
pub(crate) fn give_back(stream: TcpStream) {
    drop(stream);
}
