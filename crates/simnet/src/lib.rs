//! A network in memory with the interface of mio, for simulations of milliways-net.
//!
//! [`Poll`], [`TcpStream`] and the other types of the server's side are named as in mio and behave as those of mio do on
//! Linux. In particular, events are edge-triggered: a socket is reported once after something has happened to it, with
//! everything that is true of it at that moment, and not again before the next thing happens.
//!
//! A [`Network`] is what they all belong to, and what a test drives. Nothing moves by itself, no time passes by itself,
//! and nothing is random: bytes that were written arrive when [`Network::deliver`] says so, and as many as it says. A
//! run is therefore repeated by repeating its calls.
//!
//! It has one process's view: the accepting ends of connections are sockets that a poll can watch, the connecting ends
//! are [`Peer`]s, which the test asks.

#![forbid(unsafe_code)]

mod connection;
mod network;
mod peer;
mod poll;
mod socket;
mod world;

pub use mio::{Interest, Token};

pub use connection::{Patience, Side};
pub use network::{ConnectionKey, EndState, Entered, Fault, Network};
pub use peer::Peer;
pub use poll::{Event, Events, Poll, Registry, Source, Waker};
pub use socket::{LocalListener, StdTcpStream, TcpListener, TcpStream};
