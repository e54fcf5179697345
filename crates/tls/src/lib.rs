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

pub use config::{Pem, TlsConfig, TlsError, TlsSettings};
pub use names::{InvalidServerName, NamePattern, Names};
pub use pem::to_pem;
pub use session::{Input, SealError, Session, Then};
