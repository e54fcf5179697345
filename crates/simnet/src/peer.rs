//! The connecting end of a connection.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use crate::connection::Side;
use crate::network::ConnectionKey;
use crate::world::Shared;

/// A client's end of a connection, which is closed when this is dropped.
#[derive(Debug)]
pub struct Peer {
    world: Shared,
    key: u64,
    address: SocketAddr,
}

impl Peer {
    pub(crate) fn new(world: Shared, key: u64, address: SocketAddr) -> Self {
        Self { world, key, address }
    }

    /// Returns the key of the connection.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey(self.key)
    }

    /// Returns the client's address, which no other client has.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads what has arrived, without waiting. Returns 0 at the end of the stream.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.lock();
        let now = world.now;
        let connection = world.connection(self.key).ok_or(ErrorKind::NotConnected)?;
        connection.end_mut(Side::Client).read(buffer, now)
    }

    /// Writes as much as there is room for, without waiting.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.world.lock();
        let now = world.now;
        let connection = world.connection(self.key).ok_or(ErrorKind::NotConnected)?;
        connection.end_mut(Side::Client).write(&[bytes], now)
    }

    /// Finishes writing: a FIN follows what has been written.
    pub fn finish(&self) {
        if let Some(connection) = self.world.lock().connection(self.key) {
            let _ = connection.end_mut(Side::Client).shut_down(false);
        }
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        let mut world = self.world.lock();
        let loses = world.loses;
        if let Some(connection) = world.connection(self.key) {
            connection.reset(loses);
        }
    }

    /// Takes the client off the network without a trace: nothing of what either end writes arrives any more.
    pub fn vanish(&self) {
        let mut world = self.world.lock();
        let now = world.now;
        if let Some(connection) = world.connection(self.key) {
            connection.vanish(now);
        }
    }

    /// Returns whether [`Peer::vanish`] was called.
    pub fn has_vanished(&self) -> bool {
        self.world.lock().connection(self.key).is_some_and(|connection| connection.has_vanished())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.world.lock().close(self.key, Side::Client);
    }
}
