//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) for servers, from bytes to bytes: sessions, records, certificates, private keys
//! and server names. It opens no socket, starts no thread and knows nothing of the protocol above. Only rustls reads a
//! clock, to date tickets and to check the certificates of clients. Only [`TlsConfig::new`] and [`Names::reload`] read
//! files: those that settings name.
//!
//! rustls does the handshake, as a state machine over buffers of ours. After that only the traffic secrets are kept,
//! and what computes those that follow: `record.rs` protects the records, in place when they are opened, and straight
//! into the output when they are sealed. An idle session can drop its expanded keys with [`Session::rest`].
//!
//! ```
//! use std::io::{self, Read, Write};
//!
//! use milliways_tls::{Input, Names, Session, Then};
//!
//! /// Reads from a connection once, and sends what the handshake requires. The data is then at the beginning of
//! /// `buffer`, which is longer than `Session::MAX_PARTIAL`.
//! fn read<S: Read + Write>(
//!     stream: &mut S,
//!     session: &mut Session,
//!     names: &Names<()>,
//!     buffer: &mut [u8],
//! ) -> io::Result<Input> {
//!     let mut answer = Vec::new();
//!     let kept = session.copy_partial(buffer);
//!     let length = kept + stream.read(&mut buffer[kept..])?;
//!     let mut input = session.receive(&mut buffer[..length], &mut answer);
//!     if let Then::Hello(name) = &input.then {
//!         let (config, _) = names.choose(name.as_deref());
//!         input = session.choose(config, buffer, &mut answer);
//!     }
//!     stream.write_all(&answer)?;
//!     Ok(input)
//! }
//! ```

#![forbid(unsafe_code)]

mod config;
mod der;
mod failure;
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
pub use failure::Failure;
pub use names::{InvalidServerName, NamePattern, Names};
pub use pem::to_pem;
pub use session::{Input, SealError, Session, Then};
