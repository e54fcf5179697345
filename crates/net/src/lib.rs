//! The socket layer of milliways: a mio reactor that accepts connections, moves bytes between sockets and the protocol
//! machines of milliways-proto, and tells a [`Handler`] what happened.
//!
//! It knows no JavaScript and no libuv, and not which thread it runs on. It never waits: whoever drives it calls
//! [`Reactor::turn`] when its file descriptor is readable, [`Reactor::pump`] before going to sleep, and
//! [`Reactor::expire`] at [`Reactor::next_deadline`].
//!
//! No borrow of the reactor's state is alive while a handler runs, so that handlers may call every method of it.

#![forbid(unsafe_code)]

mod handler;
mod ids;
mod listener;
mod reactor;
mod server;
mod tls;
mod transport;

pub use handler::Handler;
pub use ids::{AppId, BehaviorId, ConnectionId, DomainId, ListenerId, RouteId, Stale};
pub use listener::ListenError;
pub use milliways_tls::{InvalidServerName, Pem, TlsConfig, TlsError, TlsSettings};
pub use reactor::{Reactor, RouteError, Stats, panic_message};
pub use server::http::{BodyError, ResponseError, RoutedRequest, TryEnd, UpgradeError};
pub use server::lifetime::Kept;
pub use server::settings::{AppSettings, Route, SettingsError, WebSocketSettings};
pub use server::websocket::{EndError, SendError, SendStatus};
