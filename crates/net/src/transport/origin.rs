//! The addresses that proxies announce in a header at the beginning of a connection (the PROXY protocol).

use std::collections::HashMap;
use std::net::SocketAddr;

use milliways_proto::proxy::ProxyPrefix;

use crate::ids::Slot;

/// What proxies have announced, by slot. There are entries only for apps with the option, and only where a header names
/// an address or is incomplete.
#[derive(Default)]
pub(super) struct Origins(HashMap<Slot, Origin>);

enum Origin {
    /// The beginning of an incomplete header.
    Partial(Vec<u8>),
    Address(SocketAddr),
}

/// What the first bytes of a connection are.
pub(super) enum Preface {
    /// The beginning of a header, which has been kept.
    Incomplete,
    /// A header of this many bytes; 0 if there is none.
    Complete(usize),
    Invalid,
}

impl Origins {
    /// Moves the beginning of an incomplete header to the beginning of `buffer`. Returns its length.
    pub(super) fn take_partial(&mut self, slot: Slot, buffer: &mut [u8]) -> usize {
        let Some(Origin::Partial(bytes)) = self.0.remove(&slot) else { return 0 };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    }

    pub(super) fn keep(&mut self, slot: Slot, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.insert(slot, Origin::Partial(bytes.to_vec()));
        }
    }

    pub(super) fn receive(&mut self, slot: Slot, bytes: &[u8]) -> Preface {
        match ProxyPrefix::parse(bytes) {
            Ok(ProxyPrefix::Complete(header)) => {
                if let Some(source) = header.source {
                    self.0.insert(slot, Origin::Address(source));
                }
                Preface::Complete(header.length)
            }
            Ok(ProxyPrefix::Incomplete) => {
                self.keep(slot, bytes);
                Preface::Incomplete
            }
            Ok(ProxyPrefix::Absent) => Preface::Complete(0),
            Err(_) => Preface::Invalid,
        }
    }

    pub(super) fn address(&self, slot: Slot) -> Option<SocketAddr> {
        match self.0.get(&slot)? {
            Origin::Address(address) => Some(*address),
            Origin::Partial(_) => None,
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        if !self.0.is_empty() {
            self.0.remove(&slot);
        }
    }
}
