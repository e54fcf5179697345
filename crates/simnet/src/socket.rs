//! The sockets of the server's side, as mio has them.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;

use mio::{Interest, Token};

use crate::connection::{Patience, Side};
use crate::network::Fault;
use crate::poll::{Registry, Source};
use crate::world::{Address, Shared, Watched};

/// The system error for a process that has run out of descriptors.
pub(crate) const EMFILE: i32 = 24;

/// Stands in for `mio::net::TcpStream`, and for the sockets of Unix sockets' connections.
#[derive(Debug)]
pub struct TcpStream(StdTcpStream);

/// Stands in for `std::net::TcpStream`: a socket on its way to a poll.
#[derive(Debug)]
pub struct StdTcpStream {
    world: Shared,
    key: u64,
}

impl StdTcpStream {
    /// Does nothing.
    pub fn set_nodelay(&self, _nodelay: bool) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: no socket here blocks.
    pub fn set_nonblocking(&self, _nonblocking: bool) -> io::Result<()> {
        Ok(())
    }
}

impl StdTcpStream {
    /// Returns the address of the client. Fails if the connection has failed, and for a Unix socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let mut world = self.world.lock();
        let has_failed = world.connection(self.key).is_none_or(|connection| connection.end(Side::Server).is_dead);
        if has_failed {
            return Err(ErrorKind::NotConnected.into());
        }
        world.client_address(self.key).ok_or_else(|| ErrorKind::Unsupported.into())
    }
}

impl Drop for StdTcpStream {
    fn drop(&mut self) {
        self.world.lock().close(self.key, Side::Server);
    }
}

impl From<TcpStream> for StdTcpStream {
    fn from(TcpStream(stream): TcpStream) -> Self {
        stream
    }
}

impl TcpStream {
    fn new(world: Shared, key: u64) -> Self {
        Self(StdTcpStream { world, key })
    }

    /// Makes a socket one that a poll can watch.
    pub fn from_std(stream: StdTcpStream) -> Self {
        Self(stream)
    }

    /// Returns the address of the client. Fails if the connection has failed, and for a Unix socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Reads without taking what was read.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.0.world.lock();
        world.suffer(Fault::Interrupt)?;
        let connection = world.connection(self.0.key).ok_or(ErrorKind::NotConnected)?;
        connection.end_mut(Side::Server).peek(buffer)
    }

    /// Finishes writing, and reading as well with [`Shutdown::Both`].
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let mut world = self.0.world.lock();
        let connection = world.connection(self.0.key).ok_or(ErrorKind::NotConnected)?;
        let result = connection.end_mut(Side::Server).shut_down(how == Shutdown::Both);
        // This wakes whoever watches the socket, even if it fails.
        world.queue(Watched::Connection(self.0.key));
        result
    }

    /// Has the connection fail if its client has been gone for this long; `None` undoes it.
    pub fn set_patience(&self, patience: Option<Patience>) {
        let mut world = self.0.world.lock();
        let now = world.now;
        if let Some(connection) = world.connection(self.0.key) {
            connection.end_mut(Side::Server).set_patience(patience, now);
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.0.world.lock();
        world.suffer(Fault::Interrupt)?;
        let now = world.now;
        let connection = world.connection(self.0.key).ok_or(ErrorKind::NotConnected)?;
        connection.end_mut(Side::Server).read(buffer, now)
    }

    fn write(&self, pieces: &[&[u8]]) -> io::Result<usize> {
        let mut world = self.0.world.lock();
        world.suffer(Fault::Interrupt)?;
        let now = world.now;
        let connection = world.connection(self.0.key).ok_or(ErrorKind::NotConnected)?;
        connection.end_mut(Side::Server).write(pieces, now)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        TcpStream::read(self, buffer)
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::read(self, buffer)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TcpStream::write(self, &[bytes])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        TcpStream::write(self, &pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TcpStream {
    /// Returns what a poll of the same network watches; fails for another one.
    fn watched_by(&self, registry: &Registry) -> io::Result<Watched> {
        if self.0.world.is(&registry.world) {
            Ok(Watched::Connection(self.0.key))
        } else {
            Err(ErrorKind::InvalidInput.into())
        }
    }
}

impl Source for TcpStream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        registry.world.lock().watch(registry.poll, self.watched_by(registry)?, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        registry.world.lock().watch_again(registry.poll, self.watched_by(registry)?, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.world.lock().unwatch(self.watched_by(registry)?)
    }
}

/// A listening socket of either kind.
#[derive(Debug)]
struct Listener {
    world: Shared,
    key: u64,
}

impl Listener {
    fn bind(address: Address, shares: bool, backlog: usize) -> io::Result<Self> {
        let world = Shared::current();
        let key = world.lock().listen(address, shares, backlog)?;
        Ok(Self { world, key })
    }

    fn accept(&self) -> io::Result<TcpStream> {
        let key = self.world.lock().accept(self.key)?;
        Ok(TcpStream::new(self.world.clone(), key))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.world.lock().stop_listening(self.key);
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        registry.world.lock().watch(registry.poll, Watched::Listener(self.key), token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        registry.world.lock().watch_again(registry.poll, Watched::Listener(self.key), token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.world.lock().unwatch(Watched::Listener(self.key))
    }
}

/// Stands in for `mio::net::TcpListener`.
#[derive(Debug)]
pub struct TcpListener(Listener);

impl TcpListener {
    /// Listens on a port of the network that this thread has entered; 0 means a free port. Unless it `shares`, fails with
    /// [`ErrorKind::AddrInUse`] if another socket listens there.
    pub fn bind(address: SocketAddr, shares: bool, backlog: usize) -> io::Result<Self> {
        Listener::bind(Address::Tcp(address), shares, backlog).map(Self)
    }

    /// Takes a connection that waits.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = self.0.accept()?;
        let address = stream.0.world.lock().client_address(stream.0.key).expect("the client of a TCP socket");
        Ok((stream, address))
    }

    /// Returns the address on which it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0.world.lock().listening_address(self.0.key) {
            Some(Address::Tcp(address)) => Ok(address),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }
}

/// Stands in for `mio::net::UnixListener`. Its connections are those of any other socket.
#[derive(Debug)]
pub struct LocalListener(Listener);

impl LocalListener {
    /// Listens on a path of the network that this thread has entered, in place of a socket that is already there.
    pub fn bind(path: &Path, backlog: usize) -> io::Result<Self> {
        Listener::bind(Address::Local(path.to_owned()), true, backlog).map(Self)
    }

    /// Takes a connection that waits.
    pub fn accept(&self) -> io::Result<TcpStream> {
        self.0.accept()
    }
}

/// Passes what a poll asks for on to the field of a tuple struct.
macro_rules! source {
    ($type:ty) => {
        impl Source for $type {
            fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                self.0.register(registry, token, interests)
            }

            fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                self.0.reregister(registry, token, interests)
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                self.0.deregister(registry)
            }
        }
    };
}

source!(TcpListener);
source!(LocalListener);
