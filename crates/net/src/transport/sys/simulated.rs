//! The platform of simulations: a network in memory, whose clients and whose clock a test drives.

use std::ffi::c_int;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use milliways_proto::timer::Tick;
use milliways_simnet::Patience;

use super::{KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, KEEPALIVE_TIME, acknowledgement_timeout, retry};

pub(crate) use milliways_simnet::{
    Event, Events, Interest, LocalListener, Poll, Registry, Source, StdTcpStream, TcpListener, TcpStream, Token, Waker,
};

/// The system error for an invalid argument, which the network never fails with.
pub(crate) const INVALID_ARGUMENT: c_int = 22;

/// The system error for a process that has run out of descriptors.
const EMFILE: c_int = 24;

/// Fails: the test knows when the network has events.
pub(crate) fn descriptor(_poll: &Poll) -> io::Result<c_int> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether a call has failed because the process or the system has run out of descriptors or memory.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EMFILE)
}

/// Returns false: there are IPv4 and IPv6.
pub(crate) fn is_unknown_family(_error: &io::Error) -> bool {
    false
}

/// Listens on an address. Unless `exclusive`, other sockets may listen on it as well and share its connections.
pub(crate) fn bind_tcp(address: SocketAddr, exclusive: bool, backlog: i32) -> io::Result<TcpListener> {
    TcpListener::bind(address, !exclusive, usize::try_from(backlog).unwrap_or_default())
}

/// Listens at a path, which exists in the network only.
pub(crate) fn bind_local(path: &Path, backlog: c_int) -> io::Result<LocalListener> {
    LocalListener::bind(path, usize::try_from(backlog).unwrap_or_default())
}

pub(crate) fn accept_local(listener: &LocalListener) -> io::Result<TcpStream> {
    listener.accept()
}

/// Sends the beginning of `bytes`; returns the number of bytes that the socket has taken.
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    retry(|| stream.write(bytes))
}

/// Sends the beginning of `first` followed by `second`; returns the number of bytes that the socket has taken.
pub(crate) fn send_both(mut stream: &TcpStream, first: &[u8], second: &[u8]) -> io::Result<usize> {
    retry(|| stream.write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(second)]))
}

/// Returns true: there are no other sockets.
pub(crate) fn may_be_connected(_stream: &StdTcpStream) -> bool {
    true
}

/// Has the connection fail if the peer has vanished; see the function of the same name in `native`.
pub(crate) fn look_after(stream: &TcpStream, idle_timeout: Tick) {
    let silence = KEEPALIVE_TIME + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES;
    stream.set_patience(Some(Patience { silence, unacknowledged: acknowledgement_timeout(idle_timeout) }));
}

/// Undoes [`look_after`].
pub(crate) fn leave_alone(stream: &TcpStream) {
    stream.set_patience(None);
}
