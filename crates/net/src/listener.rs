//! Listening sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use mio::event::Source;
#[cfg(unix)]
use mio::net::UnixListener;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::ids::{AppId, ListenerId};
use crate::token::Named;

/// Connections that the kernel may hold ready to be accepted; it takes its own limit where that is lower.
const BACKLOG: i32 = 4096;

/// Why nothing listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// The host is not an address, and a name that has none.
    HostNotFound,
    /// Whether the host's name has an address could not be found out just now.
    LookupFailed,
    /// The system refused with this error number (`errno`).
    System(i32),
}

impl fmt::Display for ListenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNotFound => formatter.write_str("the host has no address"),
            Self::LookupFailed => formatter.write_str("the host could not be looked up"),
            Self::System(number) => io::Error::from_raw_os_error(*number).fmt(formatter),
        }
    }
}

impl std::error::Error for ListenError {}

impl From<io::Error> for ListenError {
    fn from(error: io::Error) -> Self {
        Self::System(error.raw_os_error().unwrap_or(libc::EINVAL))
    }
}

impl ListenError {
    /// For an error of [`ToSocketAddrs`]. It has the error number of `getaddrinfo` in its text only.
    fn of_lookup(error: &io::Error) -> Self {
        /// `EAI_AGAIN` in the words of glibc and Apple's C library, and of musl.
        const TRY_AGAIN: [&str; 2] = ["Temporary failure in name resolution", "Try again"];

        if let Some(number) = error.raw_os_error() {
            return Self::System(number);
        }
        let text = error.to_string();
        if TRY_AGAIN.iter().any(|reason| text.ends_with(reason)) { Self::LookupFailed } else { Self::HostNotFound }
    }
}

/// A listening socket.
struct Listener {
    socket: Listening,
    app: AppId,
    /// Accepting failed for want of descriptors or memory. It is tried again when there may be some.
    is_starved: bool,
}

/// The listening sockets of a reactor.
#[derive(Default)]
pub(crate) struct Listeners {
    /// Numbers are not used again.
    at: BTreeMap<ListenerId, Listener>,
    next: u32,
}

/// What accepting has come to.
pub(crate) enum Accepted {
    Connection(AppId, TcpStream),
    /// A connection that had failed already.
    Failed,
    /// There is none now.
    Nothing,
    /// There are no descriptors, or there is no memory.
    Starved,
}

impl Listeners {
    pub(crate) fn insert(&mut self, registry: &Registry, app: AppId, mut socket: Listening) -> io::Result<ListenerId> {
        let id = ListenerId(self.next);
        registry.register(&mut socket, Named::Listener(id).token(), Interest::READABLE)?;
        self.at.insert(id, Listener { socket, app, is_starved: false });
        self.next += 1;
        Ok(id)
    }

    /// Closes a listening socket; returns whose it was.
    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<AppId> {
        self.at.remove(&id).map(|listener| listener.app)
    }

    /// The listening sockets of an app.
    pub(crate) fn of(&self, app: AppId) -> Vec<ListenerId> {
        self.at.iter().filter(|(_, listener)| listener.app == app).map(|(id, _)| *id).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.at.len()
    }

    pub(crate) fn address(&self, id: ListenerId) -> Option<SocketAddr> {
        self.at.get(&id)?.socket.address()
    }

    pub(crate) fn accept(&mut self, id: ListenerId) -> Accepted {
        let Some(listener) = self.at.get_mut(&id) else { return Accepted::Nothing };
        match listener.socket.accept() {
            Ok(stream) => Accepted::Connection(listener.app, stream),
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => {
                    listener.is_starved = true;
                    Accepted::Starved
                }
                _ if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nothing,
                // (accept(2): ECONNABORTED, EPROTO and errors of the network.) The next may be good.
                _ => Accepted::Failed,
            },
        }
    }

    /// Has the kernel tell again of a listening socket.
    pub(crate) fn rearm(&mut self, registry: &Registry, id: ListenerId) {
        if let Some(listener) = self.at.get_mut(&id) {
            let _ = registry.reregister(&mut listener.socket, Named::Listener(id).token(), Interest::READABLE);
        }
    }

    pub(crate) fn has_starved(&self) -> bool {
        self.at.values().any(|listener| listener.is_starved)
    }

    /// Has the kernel tell again of those that had no descriptors.
    pub(crate) fn wake_starved(&mut self, registry: &Registry) {
        for (id, listener) in self.at.iter_mut().filter(|(_, listener)| listener.is_starved) {
            listener.is_starved = false;
            let _ = registry.reregister(&mut listener.socket, Named::Listener(*id).token(), Interest::READABLE);
        }
    }
}

/// A listening socket of either kind. What it accepts is read and written in the same way.
pub(crate) enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listening {
    pub(crate) fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _address)| stream),
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (stream, _address) = listener.accept()?;
                let descriptor = std::os::fd::OwnedFd::from(std::os::unix::net::UnixStream::from(stream));
                Ok(TcpStream::from_std(descriptor.into()))
            }
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            #[cfg(unix)]
            Self::Unix(listener) => listener,
        }
    }
}

impl Source for Listening {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}

/// Binds to a path, in place of a socket that is there already, of a predecessor for example.
#[cfg(unix)]
pub(crate) fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    // The kernel would bind to what stands before a NUL.
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The one thing that can be wrong with it.
    let address = SockAddr::unix(path).map_err(|_| io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
    socket.bind(&address)?;
    // Before anyone can connect: that is only possible once it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    socket.listen(BACKLOG)?;
    Ok(UnixListener::from_std(std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket))))
}

/// Binds to the first address of `host` that works; without a host, to every address of IPv6 and IPv4.
///
/// The lookup of a host name blocks.
pub(crate) fn bind(host: Option<&str>, port: u16, exclusive: bool) -> Result<TcpListener, ListenError> {
    let Some(host) = host else {
        let any = |address: IpAddr| SocketAddr::new(address, port);
        let bound = bind_to(any(Ipv6Addr::UNSPECIFIED.into()), exclusive).or_else(|error| match error.raw_os_error() {
            // No IPv6 on this machine.
            Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => bind_to(any(Ipv4Addr::UNSPECIFIED.into()), exclusive),
            _ => Err(error),
        });
        return Ok(bound?);
    };
    let mut last = ListenError::HostNotFound;
    for address in (host, port).to_socket_addrs().map_err(|error| ListenError::of_lookup(&error))? {
        match bind_to(address, exclusive) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error.into(),
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
