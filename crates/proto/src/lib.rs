//! The protocol core of milliways: HTTP/1.1 requests and responses, WebSocket frames, the router,
//! topics and the timer wheel.
//!
//! Everything here takes bytes and time as arguments and gives events or bytes back. There is no socket, no clock, no
//! thread and no JavaScript in this crate, and no `unsafe`: `crates/net` brings the sockets, the addon brings the rest.
//! Input that is not complete yet is never an error; it is kept by the machine that read it, or asked for again.

#![forbid(unsafe_code)]

pub mod chunks;
pub mod closing;
pub mod http;
pub mod proxy;
pub mod router;
pub mod timer;
pub mod topics;
pub mod ws;
