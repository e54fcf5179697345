//! A server that logs its events.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use milliways_net::{
    AppId, AppSettings, ConnectionId, DomainId, Event, Kind, ListenerId, Reactor, Route, RouteId, RoutedRequest,
    SendStatus, Stats, Turn, WebSocketSettings, descriptions,
};
use milliways_proto::router::RouteKind;
use milliways_proto::topics::Change;
use milliways_proto::ws::{Opcode, Payload};
use socket2::{Domain, Socket, Type};

use super::{Client, PATIENCE, opcode, shown};

/// The number of turns in which sent bytes arrive, on a machine that is not overloaded. Only checks that nothing
/// happens rely on it: on an overloaded machine they may miss something, but they never fail for no reason.
const SETTLING_TURNS: usize = 4;

/// The number of turns after which the server yields the processor.
const TURNS_BETWEEN_YIELDS: u64 = 32;

/// Returns the line of the log for an event.
fn line_of(event: &Event<'_>) -> String {
    match event {
        Event::Request { request, .. } => format!("request {}", target(request)),
        Event::Upgrade { request, .. } => format!("upgrade {}", target(request)),
        Event::Open { request, .. } => format!("open {}", target(request)),
        Event::Aborted { .. } => "aborted".to_owned(),
        Event::Answered { .. } => "answered".to_owned(),
        Event::Unanswered { method, path, query } => {
            let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
            format!("unanswered {method} {path}{query}")
        }
        Event::Data { data, remaining, .. } => {
            let remaining = remaining.map_or("?".to_owned(), |remaining| remaining.to_string());
            format!("data {} {remaining}", shown(data))
        }
        Event::Collected { body: Some(body), .. } => format!("collected {}", shown(body)),
        Event::Collected { body: None, .. } => "collected nothing".to_owned(),
        Event::Writable { offset, .. } => format!("writable {offset}"),
        Event::Connected { .. } => "connected".to_owned(),
        Event::Disconnected { .. } => "disconnected".to_owned(),
        Event::Message { payload, binary, .. } => {
            format!("{} {}", if *binary { "binary" } else { "text" }, shown(bytes_of(payload)))
        }
        Event::Ping { payload, .. } => format!("ping {}", shown(bytes_of(payload))),
        Event::Pong { payload, .. } => format!("pong {}", shown(bytes_of(payload))),
        Event::Drain { .. } => "drain".to_owned(),
        Event::Dropped { message, binary, .. } => {
            format!("dropped {} {}", if *binary { "binary" } else { "text" }, shown(message))
        }
        Event::Subscription { topic, change, .. } => {
            let verb = if change.new > change.old { "subscribed" } else { "unsubscribed" };
            format!("{verb} {} {} {}", shown(topic), change.new, change.old)
        }
        Event::Close { code, reason, .. } => format!("close {code} {}", reason.escape_ascii()),
        Event::MissingServerName { name, .. } => format!("missing {name}"),
        Event::ShutDown { closed, forced, .. } => format!("shut down {closed} {forced}"),
        Event::Panicked { message } => format!("panicked {message}"),
    }
}

/// Returns the method, path and query of a request.
pub(crate) fn target(request: &RoutedRequest<'_>) -> String {
    let request = &request.request;
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{} {}{query}", request.method(), request.path())
}

/// Returns the bytes of a payload that [`copied`] has returned.
pub(crate) fn bytes_of<'p>(payload: &'p Payload<'_>) -> &'p [u8] {
    match payload {
        Payload::Owned(bytes) => bytes,
        Payload::Borrowed { .. } => unreachable!("the server has copied it"),
    }
}

/// Returns a payload with bytes of its own. Checks that both ways to read the bytes return the same.
fn copied(mut payload: Payload<'_>) -> Payload<'static> {
    let mut copy = vec![0; payload.len()];
    payload.copy_into(&mut copy);
    assert!(copy == payload.bytes(), "copied and unmasked in place are the same");
    Payload::Owned(copy)
}

/// What a test does in each event.
type Act = Box<dyn Fn(&Server, &Event<'_>)>;

/// What a test does with each request.
type Pass = Box<dyn Fn(&Server, ConnectionId, &RoutedRequest<'_>)>;

/// A reactor with one app that listens on a free port, a handler, and a clock.
pub(crate) struct Server {
    pub(crate) reactor: Reactor,
    pub(crate) app: AppId,
    pub(crate) listener: ListenerId,
    act: Act,
    pass: Option<Pass>,
    log: RefCell<Vec<String>>,
    /// The id of the last event that had one. Taking the log does not reset it.
    last_id: Cell<Option<ConnectionId>>,
    start: Instant,
    now: Cell<Instant>,
}

impl Server {
    /// Creates a server that logs each event and then calls `act` with it.
    pub(crate) fn new(act: impl Fn(&Self, &Event<'_>) + 'static) -> Self {
        Self::with(AppSettings::default(), act)
    }

    pub(crate) fn with(settings: AppSettings, act: impl Fn(&Self, &Event<'_>) + 'static) -> Self {
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

    /// Creates a server that calls `pass` with each request. It has no routes yet.
    pub(crate) fn passing(pass: impl Fn(&Self, ConnectionId, &RoutedRequest<'_>) + 'static) -> Self {
        Self { pass: Some(Box::new(pass)), ..Self::new(|_, _| {}) }
    }

    /// Creates a server with a route for every path and method.
    pub(crate) fn http(act: impl Fn(&Self, &Event<'_>) + 'static) -> Self {
        let server = Self::new(act);
        server.route("/*");
        server
    }

    /// Creates a server with a WebSocket route at `/`.
    pub(crate) fn websocket(settings: WebSocketSettings, act: impl Fn(&Self, &Event<'_>) + 'static) -> Self {
        let server = Self::new(act);
        server.websocket_route("/", settings);
        server
    }

    /// Creates a server with a WebSocket route at `/` that echoes every message.
    pub(crate) fn echo(settings: WebSocketSettings) -> Self {
        Self::websocket(settings, |server, event| {
            if let Event::Message { id, payload, binary, .. } = event {
                server.send(*id, opcode(*binary), bytes_of(payload));
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

    /// Adds a WebSocket route. `asks`: whether its requests become upgrade events.
    pub(crate) fn upgrade_route(&self, pattern: &str, settings: WebSocketSettings, asks: bool) {
        settings.check().expect("good settings");
        let behavior = self.reactor.add_behavior(self.app, settings, asks);
        self.reactor
            .route(self.app, DomainId::default(), RouteKind::Upgrade, pattern, Some(Route::WebSocket(behavior)))
            .expect("a pattern");
    }

    pub(crate) fn send(&self, id: ConnectionId, opcode: Opcode, payload: &[u8]) -> SendStatus {
        self.causing(|reactor| reactor.send(id, opcode, true, payload)).expect("an open WebSocket")
    }

    pub(crate) fn subscribe(&self, id: ConnectionId, topic: &str) -> Option<Change> {
        self.causing(|reactor| reactor.subscribe(id, topic.as_bytes())).expect("an open WebSocket")
    }

    /// Publishes a binary message to the app's subscribers.
    pub(crate) fn publish(&self, topic: &str, message: &[u8]) -> bool {
        self.causing(|reactor| reactor.publish(self.app, topic.as_bytes(), Opcode::Binary, message, false))
    }

    pub(crate) fn publish_from(&self, id: ConnectionId, topic: &str, message: &[u8]) -> bool {
        self.causing(|reactor| reactor.publish_from(id, topic.as_bytes(), Opcode::Text, message, false))
            .expect("an open WebSocket")
    }

    /// Responds with 200 and a body.
    pub(crate) fn respond(&self, id: ConnectionId, body: &str) {
        self.reactor.respond(id, body.as_bytes(), false).expect("a request to be answered");
    }

    pub(crate) fn end(&self, id: ConnectionId, code: u16, reason: &str) {
        self.causing(|reactor| reactor.end(id, (code > 0).then_some(code), reason.as_bytes()))
            .expect("an open WebSocket");
    }

    pub(crate) fn close(&self, id: ConnectionId) {
        self.causing(|reactor| reactor.close(id)).expect("an open WebSocket");
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn turn(&self) {
        self.turn_at(self.now());
    }

    fn expire(&self) {
        self.expire_at(self.now());
    }

    pub(crate) fn turn_at(&self, now: Instant) {
        self.run(self.reactor.turn(now).expect("a poll that works"));
    }

    pub(crate) fn expire_at(&self, now: Instant) {
        self.run(self.reactor.expire(now).expect("a poll that works"));
    }

    pub(crate) fn pump(&self) {
        self.run(self.reactor.pump(self.now()));
    }

    /// Turns the server until `condition` holds.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        for turn in 1_u64.. {
            self.turn();
            if condition() {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what} in vain; log: {:#?}", self.log_lines());
            // Bytes sent on the loopback interface have usually arrived when the call returns. If not, the kernel may
            // need the processor to deliver them. Yielding takes long on a busy machine, so not every turn does it.
            if turn.is_multiple_of(TURNS_BETWEEN_YIELDS) {
                thread::yield_now();
            }
        }
    }

    /// Handles everything that is under way.
    pub(crate) fn settle(&self) {
        for _ in 0..SETTLING_TURNS {
            self.turn();
        }
    }

    /// Turns the server until there are as many events as `lines`, and checks that they are these. Takes the log.
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
        self.log.take()
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Returns the id of the last event that had one.
    pub(crate) fn last_id(&self) -> ConnectionId {
        self.last_id.get().expect("an event with an id")
    }

    pub(crate) fn stats(&self) -> Stats {
        self.reactor.stats()
    }

    /// Waits until there are no connections.
    pub(crate) fn expect_empty(&self) {
        self.until("the end of all connections", || self.stats().connections == 0);
        assert_eq!(self.stats().websockets, 0);
        assert_eq!(self.reactor.next_deadline(), None);
        self.expect_gauges_of_nothing();
    }

    /// Returns one of the app's numbers by its path.
    #[track_caller]
    pub(crate) fn count(&self, path: &str) -> u64 {
        let index = descriptions().iter().position(|description| description.path == path);
        self.reactor.app_counts(self.app)[index.unwrap_or_else(|| panic!("no number at {path}"))]
    }

    /// Checks that every gauge says that there is nothing, except for listening sockets.
    #[track_caller]
    fn expect_gauges_of_nothing(&self) {
        for (description, count) in descriptions().iter().zip(self.reactor.app_counts(self.app)) {
            if description.kind == Kind::Gauge && description.path != "listeners" {
                assert_eq!(count, 0, "{}", description.path);
            }
        }
    }

    /// Lets time pass, and handles each deadline on time as a driver does.
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

    /// Lets time pass in which the thread is too busy for the server, and then handles what is due.
    pub(crate) fn stall(&self, time: Duration) {
        self.now.set(self.now() + time);
        self.expire();
        self.settle();
    }

    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Returns the next deadline, in seconds since the server was created.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.reactor.next_deadline().map(|deadline| deadline.duration_since(self.start).as_secs())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let port = self.reactor.local_port(self.listener).expect("a listener");
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// Connects a client, and waits until the server has accepted it.
    pub(crate) fn connect(&self) -> Client<'_> {
        let before = self.stats().connections;
        let client = self.connect_without_waiting();
        self.until("a connection", || self.stats().connections > before);
        client
    }

    /// Connects a client. The server may not have accepted it yet.
    pub(crate) fn connect_without_waiting(&self) -> Client<'_> {
        Client::new(self, TcpStream::connect(self.address()).expect("a listening server"))
    }

    /// Connects a client with a small receive buffer, and waits until the server has accepted it.
    pub(crate) fn connect_with_small_buffer(&self) -> Client<'_> {
        let before = self.stats().connections;
        let client = self.connect_with_small_buffer_without_waiting();
        self.until("a connection", || self.stats().connections > before);
        client
    }

    pub(crate) fn connect_with_small_buffer_without_waiting(&self) -> Client<'_> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // This has to precede connecting, because it determines the window scale.
        socket.set_recv_buffer_size(4096).expect("a size");
        socket.connect(&self.address().into()).expect("a listening server");
        Client::new(self, socket.into())
    }

    /// Connects a client that opens a WebSocket at `/`.
    pub(crate) fn open(&self) -> Client<'_> {
        let client = self.connect();
        client.upgrade();
        client
    }

    fn run(&self, turn: Box<Turn>) {
        self.reactor.run(turn, |event| self.handle(event));
    }

    /// Makes a call, and then handles the events that it has caused.
    pub(crate) fn causing<R>(&self, call: impl FnOnce(&Reactor) -> R) -> R {
        let mark = self.reactor.mark();
        let result = call(&self.reactor);
        self.reactor.run_caused(mark, |event| self.handle(event));
        result
    }

    pub(crate) fn close_app(&self, app: AppId) {
        let mark = self.reactor.mark();
        self.reactor.close_app(app, || self.reactor.run_caused(mark, |event| self.handle(event)));
    }

    fn handle(&self, event: Event<'_>) {
        let event = match event {
            Event::Message { behavior, id, payload, binary } => {
                Event::Message { behavior, id, payload: copied(payload), binary }
            }
            Event::Ping { behavior, id, payload } => Event::Ping { behavior, id, payload: copied(payload) },
            Event::Pong { behavior, id, payload } => Event::Pong { behavior, id, payload: copied(payload) },
            other => other,
        };
        if let Some(id) = event.id() {
            self.last_id.set(Some(id));
        }
        // Calls return what they change about subscriptions, so this is not logged.
        let is_returned = matches!(&event, Event::Subscription { id, .. } if self.reactor.check_websocket(*id).is_ok());
        if is_returned {
            return;
        }
        self.log.borrow_mut().push(line_of(&event));
        let act = || (self.act)(self, &event);
        if matches!(event, Event::Dropped { .. }) {
            self.reactor.telling_dropped(act);
        } else {
            act();
        }
        if let (Event::Request { id, request, .. }, Some(pass)) = (&event, &self.pass) {
            pass(self, *id, request);
        }
    }
}
