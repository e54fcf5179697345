//! Where connections come from, when a proxy says it in a header before anything else (the PROXY protocol).

use std::collections::HashMap;
use std::net::SocketAddr;

use milliways_proto::proxy::ProxyPrefix;

use crate::ids::Slot;

/// What proxies have said. Only connections of apps that ask for it, and whose proxy says something, are in here.
#[derive(Default)]
pub(super) struct Origins(HashMap<Slot, Origin>);

enum Origin {
    /// The beginning of a header.
    Partial(Vec<u8>),
    Address(SocketAddr),
}

/// What has come of the bytes where a header may stand.
pub(super) enum Preface {
    /// They have been kept: more are needed.
    Incomplete,
    /// A header of so many bytes, 0 for none.
    Complete(usize),
    Invalid,
}

impl Origins {
    /// Moves what has been kept to the beginning of the buffer; returns how much that is.
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
