//! Listening sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use crate::ids::{AppId, ListenerId};
use crate::token::Named;
use crate::transport::sys::{self, Interest, Registry, Source, TcpListener, TcpStream, Token};

/// The maximum number of connections that wait to be accepted. The kernel's own limit applies if it is lower.
pub(crate) const BACKLOG: u16 = 4096;

/// Why listening has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// The host is neither an address nor a name that has one.
    HostNotFound,
    /// The host's name could not be looked up at present. Trying again may help.
    LookupFailed,
    /// The system has failed with this error number (`errno`).
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
        Self::System(error.raw_os_error().unwrap_or(sys::INVALID_ARGUMENT))
    }
}

impl ListenError {
    /// Converts an error of [`ToSocketAddrs`], which has the error number of `getaddrinfo` only as text.
    fn of_lookup(error: &io::Error) -> Self {
        /// `EAI_AGAIN` in the words of glibc and Apple's C library, and in those of musl.
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
    /// Accepting has failed for lack of descriptors or memory, or the kernel may not report that connections wait. Either is
    /// to be retried.
    is_starved: bool,
}

impl Listener {
    /// Registers the socket again. If the kernel has no memory for that, it is retried: no connection that waits would be
    /// reported otherwise.
    fn rearm(&mut self, registry: &Registry, id: ListenerId) {
        let result = registry.reregister(&mut self.socket, Named::Listener(id).token(), Interest::READABLE);
        self.is_starved = result.is_err();
    }
}

/// The listening sockets of a reactor.
#[derive(Default)]
pub(crate) struct Listeners {
    /// Numbers are not reused.
    at: BTreeMap<ListenerId, Listener>,
    next: u32,
}

/// The result of accepting.
pub(crate) enum Accepted {
    Connection(AppId, TcpStream),
    /// The connection had already failed.
    Failed(AppId),
    /// No connection waits.
    Nothing,
    /// Descriptors or memory have run out.
    Starved(AppId),
}

impl Listeners {
    pub(crate) fn insert(&mut self, registry: &Registry, app: AppId, mut socket: Listening) -> io::Result<ListenerId> {
        let id = ListenerId(self.next);
        registry.register(&mut socket, Named::Listener(id).token(), Interest::READABLE)?;
        self.at.insert(id, Listener { socket, app, is_starved: false });
        self.next += 1;
        Ok(id)
    }

    /// Closes a listening socket; returns its app.
    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<AppId> {
        self.at.remove(&id).map(|listener| listener.app)
    }

    /// Returns the app of a listening socket.
    pub(crate) fn app(&self, id: ListenerId) -> Option<AppId> {
        self.at.get(&id).map(|listener| listener.app)
    }

    /// Returns the listening sockets of an app.
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
            Err(error) if sys::is_exhaustion(&error) => {
                listener.is_starved = true;
                Accepted::Starved(listener.app)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nothing,
            // ECONNABORTED, EPROTO, or an error of the network (accept(2)): the next connection may be good.
            Err(_) => Accepted::Failed(listener.app),
        }
    }

    /// Registers a listening socket again, so that the kernel reports it if connections wait.
    pub(crate) fn rearm(&mut self, registry: &Registry, id: ListenerId) {
        if let Some(listener) = self.at.get_mut(&id) {
            listener.rearm(registry, id);
        }
    }

    /// Registers all listening sockets again.
    pub(crate) fn rearm_all(&mut self, registry: &Registry) {
        for id in self.at.keys().copied().collect::<Vec<_>>() {
            self.rearm(registry, id);
        }
    }

    pub(crate) fn has_starved(&self) -> bool {
        self.at.values().any(|listener| listener.is_starved)
    }

    /// Registers the sockets again on which accepting has failed for lack of resources.
    pub(crate) fn wake_starved(&mut self, registry: &Registry) {
        for (id, listener) in self.at.iter_mut().filter(|(_, listener)| listener.is_starved) {
            listener.rearm(registry, *id);
        }
    }
}

/// A listening socket of either kind. Accepted connections are treated alike.
pub(crate) enum Listening {
    Tcp(TcpListener),
    Local(sys::LocalListener),
}

impl Listening {
    pub(crate) fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _address)| stream),
            Self::Local(listener) => sys::accept_local(listener),
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Local(_) => None,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Local(listener) => listener,
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

/// Listens on a Unix socket; see [`sys::bind_local`].
pub(crate) fn bind_local(path: &Path) -> io::Result<sys::LocalListener> {
    sys::bind_local(path, BACKLOG.into())
}

/// Binds to the first address of `host` that works; without a host, to every address of IPv6 and IPv4.
///
/// The lookup of a host name blocks.
pub(crate) fn bind(host: Option<&str>, port: u16, exclusive: bool) -> Result<TcpListener, ListenError> {
    let Some(host) = host else {
        let any = |address: IpAddr| SocketAddr::new(address, port);
        return Ok(match sys::bind_tcp(any(Ipv6Addr::UNSPECIFIED.into()), exclusive, BACKLOG.into()) {
            Err(error) if sys::is_unknown_family(&error) => {
                sys::bind_tcp(any(Ipv4Addr::UNSPECIFIED.into()), exclusive, BACKLOG.into())?
            }
            bound => bound?,
        });
    };
    let mut last = ListenError::HostNotFound;
    for address in (host, port).to_socket_addrs().map_err(|error| ListenError::of_lookup(&error))? {
        match sys::bind_tcp(address, exclusive, BACKLOG.into()) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::sys::Poll;

    /// There is no memory in the kernel to run out of here, so another poll stands in: the socket is not registered with it.
    #[test]
    fn a_socket_that_cannot_be_registered_again_is_retried() {
        let (poll, other) = (Poll::new().expect("a poll"), Poll::new().expect("a poll"));
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let socket = Listening::Tcp(sys::bind_tcp(address, false, 1).expect("a free port"));
        let mut listeners = Listeners::default();
        let id = listeners.insert(poll.registry(), AppId(0), socket).expect("a new socket");
        listeners.rearm(other.registry(), id);
        assert!(listeners.has_starved());
        listeners.wake_starved(other.registry());
        assert!(listeners.has_starved());
        listeners.wake_starved(poll.registry());
        assert!(!listeners.has_starved());
    }
}
