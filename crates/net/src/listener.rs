//! Listening sockets.

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

use crate::AppId;

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

pub(crate) struct Listener {
    pub(crate) socket: Listening,
    pub(crate) app: AppId,
    /// Accepting failed for want of descriptors or memory. It is tried again when there may be some.
    pub(crate) starved: bool,
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
