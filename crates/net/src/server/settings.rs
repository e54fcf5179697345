//! What is decided when a route is registered.

use std::fmt;
use std::rc::Rc;

use milliways_proto::http::{DEFAULT_MAX_HEAD_SIZE, Declared};
use milliways_proto::timer::Tick;
use milliways_proto::ws::DeflateSettings;

use crate::{AppId, BehaviorId, RouteId};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To [`Event::Request`](crate::Event::Request).
    Http(RouteId),
    /// It is answered with this, and nobody is told.
    Declared(Rc<Declared>),
    /// It becomes a WebSocket, or goes to [`Event::Upgrade`](crate::Event::Upgrade).
    WebSocket(BehaviorId),
}

/// Limits and timeouts of an app's HTTP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// Bytes that the head of a request may have.
    pub max_head_size: usize,
    /// Bytes that the body of a request may have.
    pub max_body_size: u64,
    /// Seconds that a connection may stand still when it is the client's turn: before and between requests, while a head
    /// is incomplete, a body or a response does not move.
    pub idle_timeout: Tick,
    /// Whether connections may begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self { max_head_size: DEFAULT_MAX_HEAD_SIZE, max_body_size: u64::MAX, idle_timeout: 10, proxy_protocol: false }
    }
}

/// Limits and timeouts of a route's WebSockets.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketSettings {
    /// Bytes of the longest message that is accepted.
    pub max_payload: usize,
    /// UTF-16 code units of the longest text that is accepted.
    pub max_text: usize,
    /// Seconds without anything received after which a WebSocket is closed; 0: never, or 8 to 960.
    pub idle_timeout: u32,
    /// Buffered bytes above which messages are dropped; 0: none are.
    pub max_backpressure: usize,
    /// Whether a WebSocket is closed where a message would be dropped.
    pub close_on_backpressure_limit: bool,
    /// Whether a ping goes out in time before `idle_timeout`.
    pub send_pings: bool,
    /// Minutes after which a WebSocket is closed with 1000; 0: never, or up to 240.
    pub max_lifetime: u32,
    /// How messages are compressed with clients that can do it; `None`: they are not.
    pub deflate: Option<DeflateSettings>,
    /// Bytes from which on messages are compressed.
    pub compression_threshold: usize,
    /// Whether [`Event::Dropped`](crate::Event::Dropped) is wanted. Without it the bytes of what is dropped need not be looked
    /// at.
    pub tells_dropped: bool,
    /// Whether [`Event::Subscription`](crate::Event::Subscription) is wanted.
    pub tells_subscriptions: bool,
}

impl Default for WebSocketSettings {
    fn default() -> Self {
        Self {
            max_payload: 16 * 1024,
            max_text: usize::MAX,
            idle_timeout: 120,
            max_backpressure: 64 * 1024,
            close_on_backpressure_limit: false,
            send_pings: true,
            max_lifetime: 0,
            deflate: None,
            compression_threshold: 0,
            tells_dropped: true,
            tells_subscriptions: true,
        }
    }
}

impl AppSettings {
    /// The longest idle timeout, in seconds. Beyond it the wheel could not tell a deadline from one that has passed.
    pub const MAX_IDLE_TIMEOUT: Tick = 960;
}

impl WebSocketSettings {
    /// The longest idle timeout, in seconds.
    pub const MAX_IDLE_TIMEOUT: u32 = 960;
    /// The shortest idle timeout, in seconds, but for 0.
    pub const MIN_IDLE_TIMEOUT: u32 = 8;
    /// The longest lifetime, in minutes.
    pub const MAX_LIFETIME: u32 = 240;

    /// Whether the timeouts are in range.
    pub fn check(&self) -> Result<(), SettingsError> {
        if (1..Self::MIN_IDLE_TIMEOUT).contains(&self.idle_timeout) {
            return Err(SettingsError::IdleTimeoutTooShort);
        }
        if self.idle_timeout > Self::MAX_IDLE_TIMEOUT {
            return Err(SettingsError::IdleTimeoutTooLong);
        }
        if self.max_lifetime > Self::MAX_LIFETIME {
            return Err(SettingsError::LifetimeTooLong);
        }
        Ok(())
    }

    /// How long before the idle timeout a ping goes out, in seconds. The peer has as long to answer.
    pub(crate) fn ping_margin(&self) -> Tick {
        match self.idle_timeout {
            32.. => 16,
            16.. => 8,
            _ => 4,
        }
    }
}

/// A setting that is out of range; the API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it all")]
pub enum SettingsError {
    IdleTimeoutTooShort,
    IdleTimeoutTooLong,
    LifetimeTooLong,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 8 itself is allowed; the wording is the one that users of the interface know and search for.
        formatter.write_str(match self {
            Self::IdleTimeoutTooShort => "idleTimeout must be either 0 or greater than 8!",
            Self::IdleTimeoutTooLong => "idleTimeout must not be greater than 960 seconds!",
            Self::LifetimeTooLong => "maxLifetime must not be greater than 240 minutes!",
        })
    }
}

impl std::error::Error for SettingsError {}

pub(crate) struct Behavior {
    pub(crate) app: AppId,
    pub(crate) settings: WebSocketSettings,
    /// Whether a handler decides what becomes of a request.
    pub(crate) asks: bool,
    /// How many routes and WebSockets have it.
    pub(crate) uses: u32,
}
