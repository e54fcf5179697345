//! Stand-ins for platforms that are not Unix: there are no Unix sockets, and no other loop can watch a poll.

use std::ffi::c_int;
use std::io;
use std::path::Path;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Poll, Registry, Token};
use socket2::Socket;

/// `WSAEMFILE`, `WSAENOBUFS`, `WSAEINVAL`, `WSAEAFNOSUPPORT` and `WSAEADDRNOTAVAIL` of Windows Sockets.
const NO_DESCRIPTORS: c_int = 10_024;
const NO_BUFFERS: c_int = 10_055;
const NO_FAMILY: c_int = 10_047;
const NO_ADDRESS: c_int = 10_049;

/// The system error for an invalid argument.
pub(crate) const INVALID_ARGUMENT: c_int = 10_022;

/// Fails: a poll of Windows is a completion port, which is not a socket that another poll could watch.
pub(crate) fn descriptor(_poll: &Poll) -> io::Result<c_int> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether a call has failed because the process or the system has run out of descriptors or memory.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(NO_DESCRIPTORS | NO_BUFFERS))
}

/// Returns whether binding has failed because this machine does not have the family of the address.
pub(crate) fn is_unknown_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(NO_FAMILY | NO_ADDRESS))
}

/// Does nothing. Windows lets a port be bound that has connections in TIME-WAIT, and its `SO_REUSEADDR` would let one
/// process take the port of another.
#[expect(clippy::unnecessary_wraps, reason = "fails on Unix")]
pub(crate) fn allow_reuse(_socket: &Socket, _is_shared: bool) -> io::Result<()> {
    Ok(())
}

/// A listening Unix socket, of which there are none.
pub(crate) enum LocalListener {}

/// Fails.
pub(crate) fn bind_local(_path: &Path, _backlog: c_int) -> io::Result<LocalListener> {
    Err(io::Error::from_raw_os_error(NO_FAMILY))
}

pub(crate) fn accept_local(listener: &LocalListener) -> io::Result<TcpStream> {
    match *listener {}
}

impl Source for LocalListener {
    fn register(&mut self, _registry: &Registry, _token: Token, _interests: Interest) -> io::Result<()> {
        match *self {}
    }

    fn reregister(&mut self, _registry: &Registry, _token: Token, _interests: Interest) -> io::Result<()> {
        match *self {}
    }

    fn deregister(&mut self, _registry: &Registry) -> io::Result<()> {
        match *self {}
    }
}
