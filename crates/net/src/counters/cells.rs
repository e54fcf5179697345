//! What is counted: the table of all numbers, with the names under which programs and Prometheus get them.
//!
//! A number that is added here appears in `app.stats()` and in `app.metrics()`. A test compares the names with
//! `index.d.ts` and with docs/METRICS.md.

use std::sync::OnceLock;

use milliways_proto::http::HttpError;
use milliways_proto::ws::Violation;
use milliways_tls::Failure;

/// How a number changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// A number: its place in statistics, and its name in the text for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The properties that lead to it, separated by full stops.
    pub path: String,
    /// The name of its metric.
    pub metric: &'static str,
    /// The labels that distinguish it from other numbers of the metric, as in `reason="answered"`; may be empty.
    pub labels: String,
    /// The kind of the metric.
    pub kind: Kind,
    /// What the metric is.
    pub help: &'static str,
}

/// The place of a number.
pub(crate) trait Place: Copy {
    /// Whether the number counts how often something went wrong, of which observers are told. This is known when the
    /// code is compiled, so that whatever is counted for each message costs nothing more.
    const IS_CAUSE: bool;

    fn index(self) -> usize;
}

/// A place by its index, of which observers are not told.
#[derive(Clone, Copy)]
pub(crate) struct At(pub(crate) usize);

impl Place for At {
    const IS_CAUSE: bool = false;

    #[inline]
    fn index(self) -> usize {
        self.0
    }
}

/// A metric whose numbers each have a line in `metrics!`.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// The path and the labels of each number.
    numbers: &'static [(&'static str, &'static str)],
}

/// A metric with a number for each name of a list.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// The path without the name.
    path: &'static str,
    /// The label whose value the name is.
    label: &'static str,
    names: &'static [&'static str],
}

/// Declares metrics. Each line within one is a number: its name here, its path, its labels.
macro_rules! metrics {
    (
        pub(crate) enum $cells:ident, $table:ident;
        $($kind:ident $name:literal, $help:literal { $($cell:ident $path:literal $labels:literal;)* })*
    ) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $cells {
            $($($cell,)*)*
        }

        impl $cells {
            const COUNT: usize = [$($(Self::$cell,)*)*].len();
        }

        static $table: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, help: $help, numbers: &[$(($path, $labels)),*] },)*
        ];
    };
}

/// Declares an enum of causes with their names.
macro_rules! names {
    ($(#[$doc:meta])* pub(crate) enum $names:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $names {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $names {
            const NAMES: &'static [&'static str] = &[$($name),*];
        }
    };
}

metrics! {
    pub(crate) enum Cell, METRICS;

    Gauge "milliways_listening_sockets", "Sockets that listen." {
        Listeners "listeners" "";
    }
    Gauge "milliways_open_connections", "Open connections. One that becomes a WebSocket is no longer counted as HTTP." {
        PlainHttp "connections.plain.http.open" "protocol=\"http\",tls=\"false\"";
        PlainWebSocket "connections.plain.webSocket.open" "protocol=\"websocket\",tls=\"false\"";
        TlsHttp "connections.tls.http.open" "protocol=\"http\",tls=\"true\"";
        TlsWebSocket "connections.tls.webSocket.open" "protocol=\"websocket\",tls=\"true\"";
    }
    Gauge "milliways_closing_connections",
        "Connections that are over for the program and whose last output or closing handshake is still under way." {
        PlainClosing "connections.plain.closing" "tls=\"false\"";
        TlsClosing "connections.tls.closing" "tls=\"true\"";
    }
    Counter "milliways_connections_total",
        "Connections that have begun. Each begins as HTTP; those that became WebSockets are counted again as such." {
        PlainHttpTotal "connections.plain.http.total" "protocol=\"http\",tls=\"false\"";
        PlainWebSocketTotal "connections.plain.webSocket.total" "protocol=\"websocket\",tls=\"false\"";
        TlsHttpTotal "connections.tls.http.total" "protocol=\"http\",tls=\"true\"";
        TlsWebSocketTotal "connections.tls.webSocket.total" "protocol=\"websocket\",tls=\"true\"";
    }
    Counter "milliways_connections_ended_total", "Connections that have ended, by the first reason for it." {
        HttpAnswered "ended.http.answered" "protocol=\"http\",reason=\"answered\"";
        HttpRefused "ended.http.refused" "protocol=\"http\",reason=\"refused\"";
        HttpTimedOut "ended.http.timedOut" "protocol=\"http\",reason=\"timed_out\"";
        HttpCut "ended.http.cut" "protocol=\"http\",reason=\"cut\"";
        HttpFin "ended.http.fin" "protocol=\"http\",reason=\"fin\"";
        HttpFailed "ended.http.failed" "protocol=\"http\",reason=\"failed\"";
        HttpShutDown "ended.http.shutDown" "protocol=\"http\",reason=\"shut_down\"";
        HttpTls "ended.http.tlsError" "protocol=\"http\",reason=\"tls_error\"";
        WebSocketByServer "ended.webSocket.closedByServer" "protocol=\"websocket\",reason=\"closed_by_server\"";
        WebSocketByClient "ended.webSocket.closedByClient" "protocol=\"websocket\",reason=\"closed_by_client\"";
        WebSocketViolation "ended.webSocket.protocolError" "protocol=\"websocket\",reason=\"protocol_error\"";
        WebSocketTimedOut "ended.webSocket.timedOut" "protocol=\"websocket\",reason=\"timed_out\"";
        WebSocketLifetime "ended.webSocket.lifetime" "protocol=\"websocket\",reason=\"lifetime\"";
        WebSocketCut "ended.webSocket.cut" "protocol=\"websocket\",reason=\"cut\"";
        WebSocketFin "ended.webSocket.fin" "protocol=\"websocket\",reason=\"fin\"";
        WebSocketFailed "ended.webSocket.failed" "protocol=\"websocket\",reason=\"failed\"";
        WebSocketShutDown "ended.webSocket.shutDown" "protocol=\"websocket\",reason=\"shut_down\"";
        WebSocketTls "ended.webSocket.tlsError" "protocol=\"websocket\",reason=\"tls_error\"";
    }
    Counter "milliways_accept_errors_total",
        "Connections that could not be accepted or watched, because they had failed or the system lacked memory." {
        AcceptErrors "connections.acceptErrors" "";
    }
    Counter "milliways_connections_handed_over_total", "Connections that were accepted for another app and handed over to it." {
        HandedOver "connections.handedOver" "";
    }
    Counter "milliways_socket_received_bytes_total", "Bytes read from sockets, TLS and framing included." {
        SocketReceived "sockets.bytesReceived" "";
    }
    Counter "milliways_socket_sent_bytes_total", "Bytes written to sockets, TLS and framing included." {
        SocketSent "sockets.bytesSent" "";
    }
    Gauge "milliways_waiting_bytes", "Bytes that wait because sockets have refused them (back pressure)." {
        Waiting "sockets.bytesWaiting" "";
    }
    Counter "milliways_websocket_messages_received_total", "Messages received from WebSockets." {
        MessagesReceived "webSocket.received.messages" "";
    }
    Counter "milliways_websocket_received_bytes_total",
        "Bytes of the messages received from WebSockets, after decompression." {
        BytesReceived "webSocket.received.bytes" "";
    }
    Counter "milliways_websocket_pings_received_total", "Pings received from WebSockets." {
        PingsReceived "webSocket.received.pings" "";
    }
    Counter "milliways_websocket_pongs_received_total", "Pongs received from WebSockets." {
        PongsReceived "webSocket.received.pongs" "";
    }
    Counter "milliways_websocket_messages_sent_total",
        "Messages sent to WebSockets, including each delivery of a published message." {
        MessagesSent "webSocket.sent.messages" "";
    }
    Counter "milliways_websocket_sent_bytes_total", "Bytes of the messages sent to WebSockets, before compression." {
        BytesSent "webSocket.sent.bytes" "";
    }
    Counter "milliways_websocket_pings_sent_total", "Pings sent to WebSockets, by the program or automatically." {
        PingsSent "webSocket.sent.pings" "";
    }
    Counter "milliways_websocket_messages_dropped_total",
        "Messages and fragments that were not sent because of maxBackpressure." {
        MessagesDropped "webSocket.dropped" "";
    }
    Gauge "milliways_topics", "Topics that have a subscriber." {
        Topics "pubSub.topics" "";
    }
    Gauge "milliways_subscriptions", "Subscriptions of WebSockets to topics." {
        Subscriptions "pubSub.subscriptions" "";
    }
    Counter "milliways_published_messages_total", "Messages published, whether or not anybody received them." {
        Published "pubSub.published" "";
    }
    Counter "milliways_delivered_messages_total", "Published messages that were sent to a subscriber, each counted once per subscriber." {
        Delivered "pubSub.delivered" "";
    }
    Gauge "http_server_active_requests", "Requests whose response is not complete." {
        PlainActive "http.activeRequests.plain" "url_scheme=\"http\"";
        TlsActive "http.activeRequests.tls" "url_scheme=\"https\"";
    }
    Counter "milliways_http_requests_total", "Requests whose head has been received, upgrades included." {
        Requests "http.requests" "";
    }
    Counter "milliways_http_upgrade_requests_total", "Requests to become a WebSocket, whatever became of them." {
        UpgradeRequests "http.upgradeRequests" "";
    }
    Counter "milliways_http_responses_total",
        "Responses whose head has been written, by the class of the status. 1xx are upgrades and interim responses." {
        Responses1xx "http.responses.1xx" "class=\"1xx\"";
        Responses2xx "http.responses.2xx" "class=\"2xx\"";
        Responses3xx "http.responses.3xx" "class=\"3xx\"";
        Responses4xx "http.responses.4xx" "class=\"4xx\"";
        Responses5xx "http.responses.5xx" "class=\"5xx\"";
        ResponsesOther "http.responses.other" "class=\"other\"";
    }
    Counter "milliways_http_requests_aborted_total", "Requests whose connection ended before their response was complete." {
        Aborted "http.aborted" "";
    }
    Counter "milliways_http_request_body_bytes_total", "Bytes of the bodies of requests, without the framing of chunks." {
        RequestBytes "http.requestBodyBytes" "";
    }
    Counter "milliways_http_response_body_bytes_total", "Bytes of the bodies of responses, without the framing of chunks." {
        ResponseBytes "http.responseBodyBytes" "";
    }
    Counter "milliways_tls_handshakes_total", "TLS handshakes that have been completed." {
        FullHandshakes "tls.handshakes.full" "kind=\"full\"";
        ResumedHandshakes "tls.handshakes.resumed" "kind=\"resumed\"";
    }
    Counter "milliways_handler_errors_total",
        "Exceptions that handlers have thrown, and rejections of asynchronous handlers of HTTP requests." {
        HandlerErrors "handlerErrors" "";
    }
    Counter "milliways_internal_errors_total", "Connections that were dropped because of an error of milliways itself." {
        InternalErrors "internalErrors" "";
    }
}

names! {
    /// A limit that protects the server. Each name is that of the option, or of what is limited if there is none.
    pub(crate) enum Limit {
        /// A request's head is too long.
        HeaderSize = "maxHeaderSize",
        /// A request has too many header fields.
        HeaderCount = "headerCount",
        /// A chunked body has too many bytes of framing.
        ChunkFraming = "chunkFraming",
        /// A request's body is too long.
        BodySize = "maxBodySize",
        /// A message is too long, perhaps only when it is decompressed.
        PayloadLength = "maxPayloadLength",
        /// A message has too many fragments.
        Fragments = "maxFragments",
        /// A text message is longer than the longest string.
        StringLength = "stringLength",
        /// A message was dropped, because too much was waiting already.
        Backpressure = "maxBackpressure",
        /// A WebSocket was closed because a message to it was dropped.
        CloseOnBackpressure = "closeOnBackpressureLimit",
        /// A WebSocket did not subscribe to a topic, because it had subscribed to as many as it may.
        Topics = "maxTopics",
        /// A connection was closed, or left to wait, because the app had as many as it may have.
        Connections = "maxConnections",
        /// A connection was closed, because its address had as many as it may have.
        ConnectionsPerAddress = "maxConnectionsPerAddress",
        /// A client's part of the TLS handshake is too long.
        TlsHandshake = "tlsHandshakeSize",
        /// A connection could not be accepted, because the process had no file descriptor or no memory left.
        Descriptors = "descriptors",
    }
}

names! {
    /// Time that has passed.
    pub(crate) enum Timeout {
        /// A TLS handshake was not complete in time.
        TlsHandshake = "tlsHandshake",
        /// A connection had no request in time.
        HttpIdle = "httpIdle",
        /// A request's head was not complete in time.
        HttpHead = "httpHead",
        /// A request's body did not make enough progress.
        HttpBody = "httpBody",
        /// A client did not take a response.
        HttpResponse = "httpResponse",
        /// No handler asked for a request's body in time, and it was discarded.
        UnclaimedBody = "unclaimedBody",
        /// A client that had sent its FIN was considered gone.
        HalfClosed = "halfClosed",
        /// A closing connection made no progress.
        Closing = "closing",
        /// A WebSocket was silent.
        WebSocketIdle = "webSocketIdle",
        /// A WebSocket reached its maximum lifetime.
        WebSocketLifetime = "webSocketLifetime",
    }
}

/// The metrics with a number for each name, in the order of their places, which follow those of [`Cell`].
static FAMILIES: [Family; 5] = [
    Family {
        name: "milliways_http_errors_total",
        kind: Kind::Counter,
        help: "Requests that the server has refused by itself, by cause.",
        path: "http.errors",
        label: "cause",
        names: HttpError::NAMES,
    },
    Family {
        name: "milliways_websocket_errors_total",
        kind: Kind::Counter,
        help: "WebSockets that the server has failed because of what they sent, by cause.",
        path: "webSocket.errors",
        label: "cause",
        names: Violation::NAMES,
    },
    Family {
        name: "milliways_tls_errors_total",
        kind: Kind::Counter,
        help: "TLS handshakes and sessions that have failed, by cause.",
        path: "tls.errors",
        label: "cause",
        names: Failure::NAMES,
    },
    Family {
        name: "milliways_limit_hits_total",
        kind: Kind::Counter,
        help: "Times that a limit was exceeded, by limit.",
        path: "limits",
        label: "limit",
        names: Limit::NAMES,
    },
    Family {
        name: "milliways_timeouts_total",
        kind: Kind::Counter,
        help: "Times that something was not done in time, by what it was.",
        path: "timeouts",
        label: "timeout",
        names: Timeout::NAMES,
    },
];

const HTTP_ERRORS: usize = Cell::COUNT;
const WEBSOCKET_ERRORS: usize = HTTP_ERRORS + HttpError::NAMES.len();
const TLS_ERRORS: usize = WEBSOCKET_ERRORS + Violation::NAMES.len();
const LIMITS: usize = TLS_ERRORS + Failure::NAMES.len();
const TIMEOUTS: usize = LIMITS + Limit::NAMES.len();

/// The number of numbers that an app has.
pub(crate) const CELLS: usize = TIMEOUTS + Timeout::NAMES.len();

impl Place for Cell {
    const IS_CAUSE: bool = false;

    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Place for HttpError {
    const IS_CAUSE: bool = true;

    fn index(self) -> usize {
        HTTP_ERRORS + self.index()
    }
}

impl Place for Violation {
    const IS_CAUSE: bool = true;

    fn index(self) -> usize {
        WEBSOCKET_ERRORS + self.index()
    }
}

impl Place for Failure {
    const IS_CAUSE: bool = true;

    fn index(self) -> usize {
        TLS_ERRORS + self.index()
    }
}

impl Place for Limit {
    const IS_CAUSE: bool = true;

    fn index(self) -> usize {
        LIMITS + self as usize
    }
}

impl Place for Timeout {
    const IS_CAUSE: bool = true;

    fn index(self) -> usize {
        TIMEOUTS + self as usize
    }
}

/// Returns the limit that a request has exceeded.
pub(crate) fn limit_of_request(error: HttpError) -> Option<Limit> {
    Some(match error {
        HttpError::HeadTooLarge => Limit::HeaderSize,
        HttpError::TooManyHeaders => Limit::HeaderCount,
        HttpError::ChunkFramingTooLarge => Limit::ChunkFraming,
        HttpError::BodyTooLarge => Limit::BodySize,
        _ => return None,
    })
}

/// Returns the limit that a WebSocket has exceeded.
pub(crate) fn limit_of_message(violation: Violation) -> Option<Limit> {
    Some(match violation {
        Violation::TooBig | Violation::InflatedTooBig => Limit::PayloadLength,
        Violation::TooManyFragments => Limit::Fragments,
        Violation::TextTooLong => Limit::StringLength,
        _ => return None,
    })
}

names! {
    /// What a thread holds native memory for.
    pub(crate) enum Memory {
        /// The entries that every connection has.
        Connections = "connections",
        /// What only busy connections have: incomplete requests and messages, heads of responses, compression windows.
        Busy = "busyConnections",
        /// Output that waits, and boxes for it.
        Output = "output",
        /// TLS sessions.
        Tls = "tls",
        /// Topics and subscriptions.
        PubSub = "pubSub",
        /// Buffers that all connections share.
        Buffers = "buffers",
    }
}

/// The number of numbers that only a thread has, which follow those that an app has as well.
pub(crate) const MEMORY: usize = Memory::NAMES.len();

/// The number of numbers that a thread has.
pub(crate) const NUMBERS: usize = CELLS + MEMORY;

impl Place for Memory {
    const IS_CAUSE: bool = false;

    fn index(self) -> usize {
        CELLS + self as usize
    }
}

static MEMORY_FAMILY: Family = Family {
    name: "milliways_memory_bytes",
    kind: Kind::Gauge,
    help: "Native memory that is held, by what it is held for.",
    path: "memory",
    label: "kind",
    names: Memory::NAMES,
};

/// Returns what the numbers are: first those that apps have, too, and then those that only threads have.
pub fn descriptions() -> &'static [Description] {
    static DESCRIPTIONS: OnceLock<Vec<Description>> = OnceLock::new();

    DESCRIPTIONS.get_or_init(|| {
        let families = FAMILIES.iter().chain([&MEMORY_FAMILY]).flat_map(Family::descriptions);
        METRICS.iter().flat_map(Metric::descriptions).chain(families).collect()
    })
}

impl Metric {
    fn descriptions(&self) -> impl Iterator<Item = Description> {
        let Self { name, kind, help, numbers } = *self;
        numbers.iter().map(move |(path, labels)| Description {
            path: (*path).to_owned(),
            metric: name,
            labels: (*labels).to_owned(),
            kind,
            help,
        })
    }
}

impl Family {
    fn descriptions(&self) -> impl Iterator<Item = Description> {
        let Self { name, kind, help, path, label, names } = *self;
        names.iter().map(move |cause| Description {
            path: format!("{path}.{cause}"),
            metric: name,
            labels: format!("{label}=\"{cause}\""),
            kind,
            help,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        assert_eq!(descriptions().len(), NUMBERS);
        let paths: HashSet<_> = descriptions().iter().map(|description| &description.path).collect();
        assert_eq!(paths.len(), NUMBERS);
        let series: HashSet<_> = descriptions().iter().map(|number| (number.metric, &number.labels)).collect();
        assert_eq!(series.len(), NUMBERS);
    }

    #[test]
    fn places_are_those_of_the_descriptions() {
        let path = |place: &dyn Fn() -> usize| descriptions()[place()].path.as_str();
        assert_eq!(path(&|| Cell::HandlerErrors.index()), "handlerErrors");
        assert_eq!(path(&|| Place::index(HttpError::InvalidTarget)), "http.errors.INVALID_TARGET");
        assert_eq!(path(&|| Place::index(Violation::CloseCode(1))), "webSocket.errors.INVALID_CLOSE_CODE");
        assert_eq!(path(&|| Place::index(Failure::NotTls)), "tls.errors.NOT_TLS");
        assert_eq!(path(&|| Limit::Descriptors.index()), "limits.descriptors");
        assert_eq!(path(&|| Timeout::Closing.index()), "timeouts.closing");
        assert_eq!(path(&|| Memory::Buffers.index()), "memory.buffers");
    }

    /// Prometheus requires it: <https://prometheus.io/docs/practices/naming/>.
    #[test]
    fn only_counters_are_called_total() {
        for description in descriptions() {
            assert_eq!(description.metric.ends_with("_total"), description.kind == Kind::Counter, "{description:?}");
        }
    }
}
