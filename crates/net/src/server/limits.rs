//! How many connections an app has, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::Server;
use super::app::App;
use super::closing::End;
use crate::counters::Limit;
use crate::ids::{AppId, Slot};
use crate::transport::Preface;

/// Where a connection of an app comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    app: AppId,
    network: Network,
}

/// What one client, or one attacker, can connect from: an address of IPv4, or the 64 bits of IPv6 that are the same for
/// all addresses of a link (RFC 4291 section 2.5.4), among which a host chooses at will (RFC 8981).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(Ipv4Addr),
    V6(u64),
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// The connections of the apps that limit how many one address has. There is nothing here if none does.
#[derive(Default)]
pub(super) struct Sources {
    of: HashMap<Slot, Source>,
    counts: HashMap<Source, u32>,
}

impl Sources {
    fn count(&self, source: Source) -> u32 {
        self.counts.get(&source).copied().unwrap_or(0)
    }

    fn add(&mut self, slot: Slot, source: Source) {
        self.of.insert(slot, source);
        *self.counts.entry(source).or_insert(0) += 1;
    }

    /// Forgets a connection that ends.
    pub(super) fn remove(&mut self, slot: Slot) {
        if self.of.is_empty() {
            return;
        }
        let Some(source) = self.of.remove(&slot) else { return };
        if let Some(count) = self.counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source);
            }
        }
        if self.of.is_empty() {
            // An attack may have made them large.
            *self = Self::default();
        }
    }
}

impl App {
    fn is_full(&self) -> bool {
        self.connections >= self.settings.max_connections
    }
}

impl Server {
    /// Returns where a new connection of an app comes from, if that matters and is known before a PROXY header has been
    /// received.
    pub(super) fn source_of(&self, app: AppId, address: impl FnOnce() -> Option<IpAddr>) -> Option<Source> {
        if self.apps.of(app).settings.proxy_protocol { None } else { self.counted_source(app, address) }
    }

    /// Returns where a connection of an app comes from, if the app limits how many one address has.
    fn counted_source(&self, app: AppId, address: impl FnOnce() -> Option<IpAddr>) -> Option<Source> {
        if self.apps.of(app).settings.max_connections_per_address == u32::MAX {
            return None;
        }
        Some(Source { app, network: Network::of(address()?) })
    }

    /// Returns the limit that a new connection would exceed.
    pub(super) fn limit_of_new(&self, app: AppId, source: Option<Source>) -> Option<Limit> {
        if self.apps.of(app).is_full() {
            return Some(Limit::Connections);
        }
        source.is_some_and(|source| self.is_exhausted(source)).then_some(Limit::ConnectionsPerAddress)
    }

    fn is_exhausted(&self, source: Source) -> bool {
        self.sources.count(source) >= self.apps.of(source.app).settings.max_connections_per_address
    }

    pub(super) fn note_source(&mut self, slot: Slot, source: Option<Source>) {
        if let Some(source) = source {
            self.sources.add(slot, source);
        }
    }

    /// Ends a connection whose PROXY header, or lack of one, shows that it comes from an address that has as many
    /// connections as it may have. Returns whether it did.
    pub(super) fn refuse_source(&mut self, slot: Slot, preface: Preface) -> bool {
        // A proxy that connects for itself, to see whether the server is there, names no address.
        let address = || match preface {
            Preface::Header => self.transport.proxied_address(slot),
            Preface::None => self.transport.peer_address(slot),
        };
        let source = self.counted_source(self.app_of(slot), || address().map(|address| address.ip()));
        let Some(source) = source else { return false };
        if !self.is_exhausted(source) {
            self.sources.add(slot, source);
            return false;
        }
        self.tell_client(slot);
        self.meter(slot).count_of(slot, Limit::ConnectionsPerAddress);
        self.end(slot, End::Cut);
        true
    }

    /// Counts a connection for another app, to which it is passed on.
    pub(super) fn move_source(&mut self, slot: Slot, to: AppId) {
        self.sources.remove(slot);
        let address = || self.transport.proxied_address(slot).or_else(|| self.transport.peer_address(slot));
        let source = self.counted_source(to, || address().map(|address| address.ip()));
        self.note_source(slot, source);
    }

    /// Returns whether connections of an app must not be accepted until others have ended. If so, [`Server::resume_accepting`]
    /// returns the app then.
    pub(crate) fn pauses_accepting(&mut self, app: AppId) -> bool {
        let it = self.apps.of_mut(app);
        if !it.settings.pauses_at_limit || !it.is_full() {
            return false;
        }
        if !std::mem::replace(&mut it.is_paused, true) {
            it.meter.count(Limit::Connections);
        }
        true
    }

    /// Notes that an app has one connection less.
    pub(super) fn note_room(&mut self, app: AppId) {
        let it = self.apps.of_mut(app);
        if it.is_paused && !it.is_full() {
            it.is_paused = false;
            self.with_room.push(app);
        }
    }

    /// Returns the apps that may accept connections again.
    pub(crate) fn resume_accepting(&mut self) -> Vec<AppId> {
        std::mem::take(&mut self.with_room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_client_can_connect_from() {
        let network = |address: &str| Network::of(address.parse().expect("an address"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("::"), network("0.0.0.0"));
    }
}
