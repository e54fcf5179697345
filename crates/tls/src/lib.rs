//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) for servers, from bytes to bytes: sessions, records, certificates, keys and server
//! names. There is no socket in this crate.
//!
//! rustls does the handshake, as a state machine over our buffers. When it is done, only the traffic secrets are kept, and
//! what computes those that follow; `record.rs` protects the records from then on, in place and into the output of the
//! connection. An idle connection has no expanded keys: they are made again with the next record.

#![forbid(unsafe_code)]

mod config;
mod der;
mod hello;
mod key;
mod names;
mod pem;
mod record;
mod session;
#[cfg(test)]
mod tests;
mod traffic;

use milliways_proto::timer::Tick;

pub use config::{CIPHERS, Pem, TlsConfig, TlsError, TlsSettings};
pub use names::{InvalidServerName, Names};
pub use session::{Received, Session};

/// Names a router of an app: that of a server name, or the app's own, which is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainId(pub u32);

/// Nothing can be sent any more.
#[derive(Debug)]
pub struct SealError;

impl From<SealError> for std::io::Error {
    fn from(SealError: SealError) -> Self {
        std::io::ErrorKind::ConnectionAborted.into()
    }
}

/// Seconds of silence after which a session forgets what it can make again, and between two looks at it. Making the keys
/// again costs less than a tenth of what a message in so many seconds does.
pub const SILENCE: Tick = 2;
