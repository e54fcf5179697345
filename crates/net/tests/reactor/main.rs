//! Tests of the reactor with real sockets on the loopback interface and a simulated clock: time passes when a test says
//! so, and nothing sleeps. Server and clients share one thread, so that each test decides what happens in which order.

#![expect(clippy::disallowed_methods, reason = "a test ends what hangs, and its clock starts somewhere")]

mod backpressure;
mod closing;
mod control_frames;
mod counters;
mod downloads;
mod half_closed;
mod handover;
mod heads;
mod http;
mod lifecycle;
mod limits;
mod mailbox;
mod nesting;
mod panics;
mod pipelining;
mod pubsub;
mod random;
mod shutdown;
mod support;
mod timeouts;
mod tls;
mod tungstenite;
mod upgrades;
mod uploads;
mod watch;
mod websocket;
