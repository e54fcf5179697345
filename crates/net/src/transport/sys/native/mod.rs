//! Operating systems: the poll and the sockets of mio, and system calls for them that std and mio do not offer in the
//! form needed here.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

use std::io::{self, IoSlice, Write};
use std::net::SocketAddr;

use milliways_proto::timer::Tick;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, KEEPALIVE_TIME, acknowledgement_timeout, retry};

pub(crate) use mio::event::{Event, Source};
pub(crate) use mio::net::{TcpListener, TcpStream};
pub(crate) use mio::{Events, Interest, Poll, Registry, Token, Waker};
pub(crate) use std::net::TcpStream as StdTcpStream;

#[cfg(not(unix))]
use self::other as os;
#[cfg(unix)]
use self::unix as os;
use os::allow_reuse;
pub(crate) use os::{
    INVALID_ARGUMENT, LocalListener, accept_local, bind_local, descriptor, is_exhaustion, is_unknown_family,
};

/// Listens on a TCP address. Unless `exclusive`, other sockets may listen on it as well and share its connections.
pub(crate) fn bind_tcp(address: SocketAddr, exclusive: bool, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    allow_reuse(&socket, !exclusive)?;
    // Accepted sockets inherit this, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

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

/// Returns whether a socket is a stream socket that does not listen. It may have failed, for example because its peer
/// has reset the connection.
pub(crate) fn may_be_connected(stream: &StdTcpStream) -> bool {
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let listens = socket.is_listener().unwrap_or(false);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let listens = false;
    !listens && socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
}

/// Has the kernel probe whether the peer is still there (RFC 9293 section 3.8.4). The connection fails if the peer does
/// not answer, or does not acknowledge what was sent to it, within 25 seconds (see [`KEEPALIVE_TIME`]) or `idle_timeout`
/// seconds, whichever is longer; an `idle_timeout` of 0 sets no limit for acknowledgements. Unix sockets do not have these options, and
/// end with their peer.
pub(crate) fn look_after(stream: &TcpStream, idle_timeout: Tick) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    // The kernel sends no probes while data is unacknowledged, and would retransmit for a quarter of an hour.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(timeout) = acknowledgement_timeout(idle_timeout) {
        let _ = socket.set_tcp_user_timeout(Some(timeout));
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = acknowledgement_timeout(idle_timeout);
}

/// Undoes [`look_after`].
pub(crate) fn leave_alone(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_keepalive(false);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_user_timeout(None);
}
