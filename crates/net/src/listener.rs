//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

use crate::AppId;

/// Connections that the kernel may hold ready to be accepted; it takes its own limit where that is lower.
const BACKLOG: i32 = 4096;

/// Names a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(pub u32);

pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) app: AppId,
    /// Accepting failed for want of descriptors or memory. It is tried again when there may be some.
    pub(crate) starved: bool,
}

/// Binds to the first address of `host` that works; without a host, to every address of IPv6 and IPv4.
///
/// The lookup of a host name blocks.
pub(crate) fn bind(host: Option<&str>, port: u16, exclusive: bool) -> io::Result<TcpListener> {
    let Some(host) = host else {
        let any = |address: IpAddr| SocketAddr::new(address, port);
        return bind_to(any(Ipv6Addr::UNSPECIFIED.into()), exclusive).or_else(|error| match error.raw_os_error() {
            // No IPv6 on this machine.
            Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => bind_to(any(Ipv4Addr::UNSPECIFIED.into()), exclusive),
            _ => Err(error),
        });
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match bind_to(address, exclusive) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_to(address: SocketAddr, exclusive: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    #[cfg(not(windows))]
    {
        // A restarted server may bind while connections of its predecessor are still in TIME-WAIT.
        socket.set_reuse_address(true)?;
        if !exclusive {
            socket.set_reuse_port(true)?;
        }
    }
    // Inherited by the sockets that are accepted, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}
