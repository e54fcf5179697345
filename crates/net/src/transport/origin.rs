//! Where connections come from, if the kernel does not know: the addresses that proxies announce in a header at the
//! beginning of a connection (the PROXY protocol), and those that the program sets.

use std::collections::HashMap;
use std::net::SocketAddr;

use milliways_proto::proxy::ProxyPrefix;

use crate::ids::Slot;

#[derive(Default)]
pub(super) struct Origins {
    /// What proxies have announced. There are entries only for apps with the option, and only where a header names an
    /// address or is incomplete.
    announced: HashMap<Slot, Origin>,
    /// The addresses of peers that the program has set.
    peers: HashMap<Slot, SocketAddr>,
}

enum Origin {
    /// The beginning of an incomplete header.
    Partial(Vec<u8>),
    Address(SocketAddr),
}

/// What the first bytes of a connection are.
pub(super) enum Beginning {
    /// The beginning of a header, which has been kept.
    Incomplete,
    /// A header of this many bytes; 0 if there is none.
    Complete(usize),
    Invalid,
}

impl Origins {
    /// Moves the beginning of an incomplete header to the beginning of `buffer`. Returns its length.
    pub(super) fn take_partial(&mut self, slot: Slot, buffer: &mut [u8]) -> usize {
        let Some(Origin::Partial(bytes)) = self.announced.remove(&slot) else { return 0 };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    }

    pub(super) fn keep(&mut self, slot: Slot, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.announced.insert(slot, Origin::Partial(bytes.to_vec()));
        }
    }

    pub(super) fn receive(&mut self, slot: Slot, bytes: &[u8]) -> Beginning {
        match ProxyPrefix::parse(bytes) {
            Ok(ProxyPrefix::Complete(header)) => {
                if let Some(source) = header.source {
                    self.announced.insert(slot, Origin::Address(source));
                }
                Beginning::Complete(header.length)
            }
            Ok(ProxyPrefix::Incomplete) => {
                self.keep(slot, bytes);
                Beginning::Incomplete
            }
            Ok(ProxyPrefix::Absent) => Beginning::Complete(0),
            Err(_) => Beginning::Invalid,
        }
    }

    pub(super) fn address(&self, slot: Slot) -> Option<SocketAddr> {
        match self.announced.get(&slot)? {
            Origin::Address(address) => Some(*address),
            Origin::Partial(_) => None,
        }
    }

    pub(super) fn set_peer(&mut self, slot: Slot, address: SocketAddr) {
        self.peers.insert(slot, address);
    }

    pub(super) fn peer(&self, slot: Slot) -> Option<SocketAddr> {
        self.peers.get(&slot).copied()
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        if !self.announced.is_empty() {
            self.announced.remove(&slot);
        }
        if !self.peers.is_empty() {
            self.peers.remove(&slot);
        }
    }
}
