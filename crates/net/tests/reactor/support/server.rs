//! A server that writes down what its handler is told.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use milliways_net::{
    AppId, AppSettings, BehaviorId, ConnectionId, DomainId, Handler, ListenerId, Reactor, Route, RouteId,
    RoutedRequest, SendStatus, Stats, WebSocketSettings,
};
use milliways_proto::http::Request;
use milliways_proto::router::RouteKind;
use milliways_proto::topics::Change;
use milliways_proto::ws::{Opcode, Payload};
use socket2::{Domain, Socket, Type};

use super::{Client, PATIENCE, opcode, shown};

/// Turns in which what was sent before arrives, on any machine that is not overloaded. Only checks that nothing happens
/// count on it: they may miss something on an overloaded one, and never fail for no reason.
const SETTLING_TURNS: usize = 4;

/// How often the server turns before it lets others have the processor.
const TURNS_BETWEEN_YIELDS: u64 = 32;

/// What the handler was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Request { id: ConnectionId, line: String },
    Aborted { id: ConnectionId },
    Unanswered { line: String },
    Upgrade { id: ConnectionId, behavior: BehaviorId, line: String },
    Data { id: ConnectionId, data: Vec<u8>, remaining: Option<u64> },
    Collected { id: ConnectionId, body: Option<Vec<u8>> },
    Writable { id: ConnectionId, offset: u64 },
    Connected { id: ConnectionId },
    Disconnected { id: ConnectionId },
    Open { id: ConnectionId, line: String },
    Message { id: ConnectionId, payload: Vec<u8>, binary: bool },
    Ping { id: ConnectionId, payload: Vec<u8> },
    Pong { id: ConnectionId, payload: Vec<u8> },
    Drain { id: ConnectionId },
    Dropped { id: ConnectionId, message: Vec<u8>, binary: bool },
    Unsubscribed { id: ConnectionId, topic: Vec<u8>, change: Change },
    Close { id: ConnectionId, code: u16, reason: Vec<u8> },
    Panicked { message: String },
}

impl Event {
    pub(crate) fn id(&self) -> Option<ConnectionId> {
        match self {
            Self::Request { id, .. }
            | Self::Aborted { id }
            | Self::Upgrade { id, .. }
            | Self::Data { id, .. }
            | Self::Collected { id, .. }
            | Self::Writable { id, .. }
            | Self::Connected { id }
            | Self::Disconnected { id }
            | Self::Open { id, .. }
            | Self::Message { id, .. }
            | Self::Ping { id, .. }
            | Self::Pong { id, .. }
            | Self::Drain { id }
            | Self::Dropped { id, .. }
            | Self::Unsubscribed { id, .. }
            | Self::Close { id, .. } => Some(*id),
            Self::Unanswered { .. } | Self::Panicked { .. } => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { line, .. } => write!(formatter, "request {line}"),
            Self::Aborted { .. } => write!(formatter, "aborted"),
            Self::Unanswered { line } => write!(formatter, "unanswered {line}"),
            Self::Upgrade { line, .. } => write!(formatter, "upgrade {line}"),
            Self::Data { data, remaining, .. } => {
                let remaining = remaining.map_or("?".to_owned(), |remaining| remaining.to_string());
                write!(formatter, "data {} {remaining}", shown(data))
            }
            Self::Collected { body: Some(body), .. } => write!(formatter, "collected {}", shown(body)),
            Self::Collected { body: None, .. } => write!(formatter, "collected nothing"),
            Self::Writable { offset, .. } => write!(formatter, "writable {offset}"),
            Self::Connected { .. } => write!(formatter, "connected"),
            Self::Disconnected { .. } => write!(formatter, "disconnected"),
            Self::Open { line, .. } => write!(formatter, "open {line}"),
            Self::Message { payload, binary, .. } => {
                write!(formatter, "{} {}", if *binary { "binary" } else { "text" }, shown(payload))
            }
            Self::Ping { payload, .. } => write!(formatter, "ping {}", shown(payload)),
            Self::Pong { payload, .. } => write!(formatter, "pong {}", shown(payload)),
            Self::Drain { .. } => write!(formatter, "drain"),
            Self::Dropped { message, binary, .. } => {
                write!(formatter, "dropped {} {}", if *binary { "binary" } else { "text" }, shown(message))
            }
            Self::Unsubscribed { topic, change, .. } => {
                write!(formatter, "unsubscribed {} {} {}", shown(topic), change.new, change.old)
            }
            Self::Close { code, reason, .. } => write!(formatter, "close {code} {}", reason.escape_ascii()),
            Self::Panicked { message } => write!(formatter, "panicked {message}"),
        }
    }
}

/// What a test has done inside an event.
type Act = Box<dyn Fn(&Server, &Event)>;

/// The same, where a request is more than its line.
type Pass = Box<dyn Fn(&Server, ConnectionId, &RoutedRequest<'_>)>;

/// A reactor with one app that listens on a free port, its handler, and its clock.
pub(crate) struct Server {
    pub(crate) reactor: Reactor,
    pub(crate) app: AppId,
    pub(crate) listener: ListenerId,
    act: Act,
    pass: Option<Pass>,
    log: RefCell<Vec<Event>>,
    /// The id that the last event had; stays when the log is taken.
    last_id: Cell<Option<ConnectionId>>,
    start: Instant,
    now: Cell<Instant>,
}

impl Server {
    /// `act` does what the test wants done inside an event, after it has been written down.
    pub(crate) fn new(act: impl Fn(&Self, &Event) + 'static) -> Self {
        Self::with(AppSettings::default(), act)
    }

    pub(crate) fn with(settings: AppSettings, act: impl Fn(&Self, &Event) + 'static) -> Self {
        let start = Instant::now();
        let reactor = Reactor::new(start).expect("a poll");
        let app = reactor.add_app(settings);
        let listener = reactor.listen(app, Some("127.0.0.1"), 0, false).expect("a free port");
        Self {
            reactor,
            app,
            listener,
            act: Box::new(act),
            pass: None,
            log: RefCell::default(),
            last_id: Cell::default(),
            start,
            now: Cell::new(start),
        }
    }

    /// Without routes; `pass` gets their requests.
    pub(crate) fn passing(pass: impl Fn(&Self, ConnectionId, &RoutedRequest<'_>) + 'static) -> Self {
        Self { pass: Some(Box::new(pass)), ..Self::new(|_, _| {}) }
    }

    /// With a route for every path, of any method.
    pub(crate) fn http(act: impl Fn(&Self, &Event) + 'static) -> Self {
        let server = Self::new(act);
        server.route("/*");
        server
    }

    /// With a WebSocket route at `/`.
    pub(crate) fn websocket(settings: WebSocketSettings, act: impl Fn(&Self, &Event) + 'static) -> Self {
        let server = Self::new(act);
        server.websocket_route("/", settings);
        server
    }

    /// With a WebSocket route at `/` that sends every message back.
    pub(crate) fn echo(settings: WebSocketSettings) -> Self {
        Self::websocket(settings, |server, event| {
            if let Event::Message { id, payload, binary } = event {
                server.send(*id, opcode(*binary), payload);
            }
        })
    }

    pub(crate) fn route(&self, pattern: &str) {
        self.route_kind(RouteKind::Any, pattern);
    }

    pub(crate) fn route_kind(&self, kind: RouteKind, pattern: &str) {
        self.reactor
            .route(self.app, DomainId::default(), kind, pattern, Some(Route::Http(RouteId(0))))
            .expect("a pattern");
    }

    pub(crate) fn websocket_route(&self, pattern: &str, settings: WebSocketSettings) {
        self.upgrade_route(pattern, settings, false);
    }

    /// With `asks`, the handler's upgrade event decides.
    pub(crate) fn upgrade_route(&self, pattern: &str, settings: WebSocketSettings, asks: bool) {
        settings.check().expect("good settings");
        let behavior = self.reactor.add_behavior(self.app, settings, asks);
        self.reactor
            .route(self.app, DomainId::default(), RouteKind::Upgrade, pattern, Some(Route::WebSocket(behavior)))
            .expect("a pattern");
    }

    pub(crate) fn send(&self, id: ConnectionId, opcode: Opcode, payload: &[u8]) -> SendStatus {
        self.reactor.send(id, opcode, true, payload).expect("an open WebSocket")
    }

    pub(crate) fn subscribe(&self, id: ConnectionId, topic: &str) -> Option<Change> {
        self.reactor.subscribe(id, topic.as_bytes()).expect("an open WebSocket")
    }

    /// To the app's subscribers.
    pub(crate) fn publish(&self, topic: &str, message: &[u8]) -> bool {
        self.reactor.publish(self.app, topic.as_bytes(), Opcode::Binary, message, false)
    }

    pub(crate) fn publish_from(&self, id: ConnectionId, topic: &str, message: &[u8]) -> bool {
        self.reactor.publish_from(id, topic.as_bytes(), Opcode::Text, message, false).expect("an open WebSocket")
    }

    /// Answers 200 with a body.
    pub(crate) fn respond(&self, id: ConnectionId, body: &str) {
        self.reactor.respond(id, body.as_bytes(), false).expect("a request to be answered");
    }

    pub(crate) fn end(&self, id: ConnectionId, code: u16, reason: &str) {
        self.reactor.end(id, (code > 0).then_some(code), reason.as_bytes(), self).expect("an open WebSocket");
    }

    pub(crate) fn close(&self, id: ConnectionId) {
        self.reactor.close(id, self).expect("an open WebSocket");
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn turn(&self) {
        self.reactor.turn(self.now(), self).expect("a poll that works");
    }

    fn expire(&self) {
        self.reactor.expire(self.now(), self).expect("a poll that works");
    }

    pub(crate) fn pump(&self) {
        self.reactor.pump(self.now(), self);
    }

    /// Turns until `condition` holds.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        for turn in 1_u64.. {
            self.turn();
            if condition() {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what} in vain; log: {:#?}", self.log_lines());
            // What is sent on the loopback interface has usually arrived when the call returns; if not, the kernel may
            // need the processor for it. On a busy machine this is a long wait.
            if turn.is_multiple_of(TURNS_BETWEEN_YIELDS) {
                thread::yield_now();
            }
        }
    }

    /// Handles what is under way.
    pub(crate) fn settle(&self) {
        for _ in 0..SETTLING_TURNS {
            self.turn();
        }
    }

    /// Turns until as many events have been told, and checks that they are these. Takes the log.
    #[track_caller]
    pub(crate) fn expect(&self, lines: &[&str]) {
        self.until(&format!("{lines:?}"), || self.log.borrow().len() >= lines.len());
        self.settle();
        assert_eq!(self.take_log(), lines);
    }

    #[track_caller]
    pub(crate) fn expect_nothing(&self) {
        self.expect(&[]);
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        self.log.take().iter().map(Event::to_string).collect()
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.borrow().iter().map(Event::to_string).collect()
    }

    /// The id of the last event that had one.
    pub(crate) fn last_id(&self) -> ConnectionId {
        self.last_id.get().expect("an event with an id")
    }

    pub(crate) fn stats(&self) -> Stats {
        self.reactor.stats()
    }

    /// Waits until no connection is left.
    pub(crate) fn expect_empty(&self) {
        self.until("the end of all connections", || self.stats().connections == 0);
        assert_eq!(self.stats().websockets, 0);
        assert_eq!(self.reactor.next_deadline(), None);
    }

    /// Lets time pass and does at each deadline what a driver does.
    pub(crate) fn pass(&self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        let mut deadlines = 0;
        while let Some(deadline) = self.reactor.next_deadline().filter(|deadline| *deadline <= end) {
            self.now.set(deadline.max(self.now()));
            self.expire();
            self.settle();
            deadlines += 1;
            assert!(deadlines < 10_000, "deadlines without end");
        }
        self.now.set(end);
        self.settle();
    }

    /// Lets time pass in which the thread has no time for the server, and then does what is due.
    pub(crate) fn stall(&self, time: Duration) {
        self.now.set(self.now() + time);
        self.expire();
        self.settle();
    }

    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Seconds from the server's creation to its next deadline.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.reactor.next_deadline().map(|deadline| deadline.duration_since(self.start).as_secs())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let port = self.reactor.local_port(self.listener).expect("a listener");
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// A connection that the server knows.
    pub(crate) fn connect(&self) -> Client<'_> {
        let before = self.stats().connections;
        let client = self.connect_without_waiting();
        self.until("a connection", || self.stats().connections > before);
        client
    }

    /// A connection that the server may still have to accept.
    pub(crate) fn connect_without_waiting(&self) -> Client<'_> {
        Client::new(self, TcpStream::connect(self.address()).expect("a listening server"))
    }

    /// A connection whose client takes little before it reads.
    pub(crate) fn connect_with_small_buffer(&self) -> Client<'_> {
        let before = self.stats().connections;
        let client = self.connect_with_small_buffer_without_waiting();
        self.until("a connection", || self.stats().connections > before);
        client
    }

    pub(crate) fn connect_with_small_buffer_without_waiting(&self) -> Client<'_> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Before connecting: the window that the peer sees is scaled by it.
        socket.set_recv_buffer_size(4096).expect("a size");
        socket.connect(&self.address().into()).expect("a listening server");
        Client::new(self, socket.into())
    }

    /// A WebSocket at `/`, open on both sides.
    pub(crate) fn open(&self) -> Client<'_> {
        let client = self.connect();
        client.upgrade();
        client
    }

    fn tell(&self, event: &Event) {
        if let Some(id) = event.id() {
            self.last_id.set(Some(id));
        }
        self.log.borrow_mut().push(event.clone());
        (self.act)(self, event);
    }
}

impl Handler for Server {
    fn request(&self, _: &Reactor, _: RouteId, id: ConnectionId, request: &RoutedRequest<'_>) {
        self.tell(&Event::Request { id, line: line(request.request) });
        if let Some(pass) = &self.pass {
            pass(self, id, request);
        }
    }

    fn upgrade(&self, _: &Reactor, behavior: BehaviorId, id: ConnectionId, request: &RoutedRequest<'_>) {
        self.tell(&Event::Upgrade { id, behavior, line: line(request.request) });
    }

    fn data(&self, _: &Reactor, id: ConnectionId, data: &[u8], remaining: Option<u64>) {
        self.tell(&Event::Data { id, data: data.to_vec(), remaining });
    }

    fn collected(&self, _: &Reactor, id: ConnectionId, body: Option<Vec<u8>>) {
        self.tell(&Event::Collected { id, body });
    }

    fn writable(&self, _: &Reactor, id: ConnectionId, offset: u64) {
        self.tell(&Event::Writable { id, offset });
    }

    fn connected(&self, _: &Reactor, _: AppId, id: ConnectionId) {
        self.tell(&Event::Connected { id });
    }

    fn disconnected(&self, _: &Reactor, _: AppId, id: ConnectionId) {
        self.tell(&Event::Disconnected { id });
    }

    fn aborted(&self, _: &Reactor, id: ConnectionId) {
        self.tell(&Event::Aborted { id });
    }

    fn unanswered(&self, _: &Reactor, request: &Request<'_>) {
        self.tell(&Event::Unanswered { line: line(request) });
    }

    fn open(&self, _: &Reactor, _: BehaviorId, id: ConnectionId, request: &RoutedRequest<'_>) {
        self.tell(&Event::Open { id, line: line(request.request) });
    }

    fn message(&self, _: &Reactor, _: BehaviorId, id: ConnectionId, mut payload: Payload<'_>, binary: bool) {
        // Both ways to get at the bytes.
        let mut copy = vec![0; payload.len()];
        payload.copy_into(&mut copy);
        assert!(copy == payload.bytes(), "copied and unmasked in place are the same");
        self.tell(&Event::Message { id, payload: copy, binary });
    }

    fn dropped(&self, _: &Reactor, _: BehaviorId, id: ConnectionId, message: &[u8], binary: bool) {
        self.tell(&Event::Dropped { id, message: message.to_vec(), binary });
    }

    fn unsubscribed(&self, _: &Reactor, _: BehaviorId, id: ConnectionId, topic: &[u8], change: Change) {
        self.tell(&Event::Unsubscribed { id, topic: topic.to_vec(), change });
    }

    fn ping(&self, _: &Reactor, _: BehaviorId, id: ConnectionId, mut payload: Payload<'_>) {
        self.tell(&Event::Ping { id, payload: payload.bytes().to_vec() });
    }

    fn pong(&self, _: &Reactor, _: BehaviorId, id: ConnectionId, mut payload: Payload<'_>) {
        self.tell(&Event::Pong { id, payload: payload.bytes().to_vec() });
    }

    fn drain(&self, _: &Reactor, _: BehaviorId, id: ConnectionId) {
        self.tell(&Event::Drain { id });
    }

    fn close(&self, _: &Reactor, _: BehaviorId, id: ConnectionId, code: u16, reason: &[u8]) {
        self.tell(&Event::Close { id, code, reason: reason.to_vec() });
    }

    fn panicked(&self, _: &Reactor, message: &str) {
        self.tell(&Event::Panicked { message: message.to_owned() });
    }
}

fn line(request: &Request<'_>) -> String {
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{} {}{query}", request.method(), request.path())
}
