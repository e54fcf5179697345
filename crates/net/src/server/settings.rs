//! Routes, and the settings of apps and WebSocket routes.

use std::fmt;
use std::rc::Rc;

use milliways_proto::http::{DEFAULT_MAX_HEAD_SIZE, Declared};
use milliways_proto::timer::Tick;
use milliways_proto::ws::DeflateSettings;

use crate::counters::Meter;
use crate::{AppId, BehaviorId, RouteId};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// It becomes [`Event::Request`](crate::Event::Request).
    Http(RouteId),
    /// It gets this response without any event.
    Declared(Rc<Declared>),
    /// It becomes a WebSocket at once, or [`Event::Upgrade`](crate::Event::Upgrade) if the behavior asks.
    WebSocket(BehaviorId),
}

/// Limits and timeouts of an app's HTTP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The maximum size of a request head in bytes. The default is 4096.
    pub max_head_size: usize,
    /// The maximum size of a request body in bytes. By default there is no limit.
    pub max_body_size: u64,
    /// Seconds for which a connection may make no progress when it is the client's turn: before and between requests,
    /// and while a head is incomplete or a body or a response does not move. 0 means no timeout; the default is 10.
    pub idle_timeout: Tick,
    /// Whether connections may begin with a header of the PROXY protocol. The default is false.
    pub proxy_protocol: bool,
    /// The number of connections that the app may have. By default there is no limit.
    pub max_connections: u32,
    /// Whether connections above `max_connections` wait, where they are accepted, until others have ended. If not, they
    /// are closed. The default is false.
    pub pauses_at_limit: bool,
    /// The number of connections that the app may have from one address: one of IPv4, or a network of 64 bits of IPv6. It
    /// is the address of the client that a header of the PROXY protocol names, if there is one. By default there is no
    /// limit.
    pub max_connections_per_address: u32,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            max_head_size: DEFAULT_MAX_HEAD_SIZE,
            max_body_size: u64::MAX,
            idle_timeout: 10,
            proxy_protocol: false,
            max_connections: u32::MAX,
            pauses_at_limit: false,
            max_connections_per_address: u32::MAX,
        }
    }
}

/// Limits and timeouts of a route's WebSockets.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketSettings {
    /// The maximum size of a received message in bytes. The default is 16 KiB.
    pub max_payload: usize,
    /// The maximum length of a received text message in UTF-16 code units. By default there is no limit.
    pub max_text: usize,
    /// The maximum number of fragments of a received message. The default is 16,384.
    pub max_fragments: u32,
    /// Seconds of silence after which a WebSocket is closed: 8 to 960, or 0 for no timeout. The default is 120.
    pub idle_timeout: u32,
    /// The number of buffered bytes above which messages are dropped; 0 means no limit. The default is 64 KiB.
    pub max_backpressure: usize,
    /// Whether a WebSocket is closed when a message to it is dropped. The default is false.
    pub close_on_backpressure_limit: bool,
    /// Whether a silent peer gets a Ping 4 to 16 seconds before `idle_timeout`. The default is true.
    pub send_pings: bool,
    /// Minutes after which a WebSocket is closed with 1000: up to 240, or 0 for no limit. The default is 0.
    pub max_lifetime: u32,
    /// The maximum number of topics that a WebSocket subscribes to. By default there is no limit.
    pub max_topics: u32,
    /// How messages are compressed if the client supports it. The default is `None`, for no compression.
    pub deflate: Option<DeflateSettings>,
    /// The size in bytes from which on messages are compressed. The default is 0.
    pub compression_threshold: usize,
    /// Whether [`Event::Dropped`](crate::Event::Dropped) is wanted. If not, dropped messages need not be kept. The
    /// default is true.
    pub tells_dropped: bool,
    /// Whether [`Event::Subscription`](crate::Event::Subscription) is wanted. The default is true.
    pub tells_subscriptions: bool,
}

impl Default for WebSocketSettings {
    fn default() -> Self {
        Self {
            max_payload: 16 * 1024,
            max_text: usize::MAX,
            max_fragments: 16 * 1024,
            idle_timeout: 120,
            max_backpressure: 64 * 1024,
            close_on_backpressure_limit: false,
            send_pings: true,
            max_lifetime: 0,
            max_topics: u32::MAX,
            deflate: None,
            compression_threshold: 0,
            tells_dropped: true,
            tells_subscriptions: true,
        }
    }
}

impl AppSettings {
    /// The longest idle timeout, in seconds: the same as for WebSockets, and below the horizon of the timer wheel.
    pub const MAX_IDLE_TIMEOUT: Tick = 960;
}

impl WebSocketSettings {
    /// The longest idle timeout, in seconds.
    pub const MAX_IDLE_TIMEOUT: u32 = 960;
    /// The shortest idle timeout, in seconds, except 0.
    pub const MIN_IDLE_TIMEOUT: u32 = 8;
    /// The longest lifetime, in minutes.
    pub const MAX_LIFETIME: u32 = 240;

    /// Checks that the timeouts are in range.
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

    /// Returns how many seconds before the idle timeout a Ping is sent, which is also the time that the peer has to
    /// answer.
    pub(crate) fn ping_margin(&self) -> Tick {
        match self.idle_timeout {
            32.. => 16,
            16.. => 8,
            _ => 4,
        }
    }
}

/// A setting that is out of range. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it all")]
pub enum SettingsError {
    IdleTimeoutTooShort,
    IdleTimeoutTooLong,
    LifetimeTooLong,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 8 is allowed. This is the wording of uWebSockets.js, which users know and search for.
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
    /// The meter of the app, which each message needs.
    pub(crate) meter: Meter,
    pub(crate) settings: WebSocketSettings,
    /// Whether a handler decides about requests to upgrade.
    pub(crate) asks: bool,
    /// The number of routes and WebSockets that have this behavior.
    pub(crate) uses: u32,
}
