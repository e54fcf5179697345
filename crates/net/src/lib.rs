//! The socket layer of milliways: a mio reactor that accepts connections, moves bytes between sockets and the protocol
//! machines of milliways-proto, and tells a [`Handler`] what happened.
//!
//! It knows no JavaScript and no libuv, and not which thread it runs on. It never waits: whoever drives it calls
//! [`Reactor::turn`] when its file descriptor is readable, [`Reactor::pump`] before going to sleep, and
//! [`Reactor::expire`] at [`Reactor::next_deadline`].
//!
//! No borrow of the reactor's state is alive while a handler runs, so that handlers may call every method of it.

#![forbid(unsafe_code)]

mod connection;
mod handler;
mod http;
mod input;
mod lifetime;
mod listener;
mod output;
mod pubsub;
mod reactor;
mod settings;
mod state;
mod sys;
mod table;
mod timeouts;
mod tls;
mod websocket;

pub use handler::Handler;
pub use http::{BodyError, ResponseError, RoutedRequest, TryEnd, UpgradeError};
pub use lifetime::Kept;
pub use listener::{ListenError, ListenerId};
pub use reactor::{AppId, Reactor, RouteError, Stats, panic_message};
pub use settings::{AppSettings, BehaviorId, Route, RouteId, SettingsError, WebSocketSettings};
pub use table::{ConnectionId, Stale};
pub use tls::{CIPHERS, DomainId, InvalidServerName, Pem, TlsConfig, TlsError, TlsSettings};
pub use websocket::{EndError, SendError, SendStatus};
