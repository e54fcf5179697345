//! The protocol core of milliways: HTTP/1.1, the WebSocket protocol, the end of connections, the router, topics and the
//! timer wheel.
//!
//! The core takes bytes and time as arguments and returns events or bytes. It has no socket, no clock, no thread, no
//! JavaScript and no `unsafe` code: `crates/net` adds the sockets, and the addon adds the rest. Incomplete input is
//! never an error. The machine that read it keeps it, or asks for it again.

#![forbid(unsafe_code)]

mod cause;
pub mod chunks;
pub mod closing;
pub mod http;
pub mod proxy;
pub mod router;
pub mod timer;
pub mod topics;
pub mod ws;
