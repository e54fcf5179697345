//! The socket layer of milliways: a mio reactor that accepts connections, moves bytes between sockets and the protocol
//! machines of milliways-proto, and returns [`Event`]s, one at a time.
//!
//! It knows no JavaScript, no libuv and no thread. It never waits: its driver runs a [`Reactor::turn`] when its
//! descriptor is readable, a [`Reactor::pump`] before going to sleep, and a [`Reactor::expire`] at
//! [`Reactor::next_deadline`].
//!
//! Nothing of the reactor is borrowed while an event is handled, so every method may be called.

#![forbid(unsafe_code)]

mod acceptor;
mod core;
mod counters;
mod event;
mod flags;
mod ids;
mod kernel;
mod listener;
mod mailbox;
mod reactor;
mod server;
mod token;
mod transport;
mod turn;
mod watch;

pub use counters::{
    Description, Kind, ProcessCounts, ThreadCounts, app_text, descriptions, process_counts, process_text,
};
pub use event::{Event, RoutedRequest};
pub use ids::{AppId, BehaviorId, ConnectionId, DomainId, Generation, ListenerId, RouteId, Slot, Stale};
pub use listener::ListenError;
pub use mailbox::{Command, Remote, Undelivered};
pub use milliways_proto::http::RequestRoom;
pub use milliways_tls::{InvalidServerName, Pem, TlsConfig, TlsError, TlsSettings};
pub use reactor::calls::RouteError;
pub use reactor::{Reactor, Stats};
pub use server::app::Kept;
pub use server::http::{BodyError, ResponseError, TryEnd, UpgradeError};

pub use server::pubsub::SubscribeError;
pub use server::settings::{AppSettings, Route, SettingsError, WebSocketSettings};
pub use server::trap::{Layer, panic_message};
pub use server::websocket::{EndError, SendError, SendStatus};
pub use turn::{Polled, Turn};
pub use watch::{Fact, Watching, What};
