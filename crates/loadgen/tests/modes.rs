//! Each mode, for a moment, against a server of milliways-net: that it runs, counts, and notices wrong answers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use milliways_net::{AppSettings, ConnectionId, DomainId, Event, Reactor, Route, RouteId, WebSocketSettings};
use milliways_proto::http::Method;
use milliways_proto::router::RouteKind;
use milliways_proto::ws::{DeflateSettings, Opcode, Payload};
use serde_json::Value;

/// What the server does with a message.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Echo,
    /// The same, compressed.
    Deflate,
    /// The same length, another content.
    Wrong,
    /// To everyone but the sender.
    Publish,
}

struct Service {
    answer: Answer,
    members: std::cell::RefCell<Vec<ConnectionId>>,
}

impl Service {
    fn handle(&self, reactor: &Reactor, event: Event<'_>) {
        match event {
            Event::Request { id, .. } => {
                reactor.respond(id, b"Hello World!", false).expect("a request of this moment");
            }
            Event::Open { id, .. } => self.members.borrow_mut().push(id),
            Event::Close { id, .. } => self.members.borrow_mut().retain(|member| *member != id),
            Event::Message { id, payload, binary, .. } => self.answer(reactor, id, payload, binary),
            _ => {}
        }
    }

    fn answer(&self, reactor: &Reactor, id: ConnectionId, mut payload: Payload<'_>, binary: bool) {
        let opcode = if binary { Opcode::Binary } else { Opcode::Text };
        if self.answer == Answer::Wrong {
            payload.bytes().fill(b'#');
        }
        let is_addressed = |member: &ConnectionId| (*member == id) != (self.answer == Answer::Publish);
        let members: Vec<_> = self.members.borrow().iter().copied().filter(is_addressed).collect();
        for member in members {
            if self.answer == Answer::Deflate {
                reactor.send_compressed(member, opcode, || payload.bytes()).expect("an open WebSocket");
            } else {
                reactor.send(member, opcode, true, payload.bytes()).expect("an open WebSocket");
            }
        }
    }
}

/// A server on a thread of its own, until it is dropped.
struct Server {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(answer: Answer) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let sees_over = Arc::clone(&is_over);
        let (tell_port, port) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let reactor = Reactor::new(Instant::now()).expect("a poll");
            let app = reactor.add_app(AppSettings::default());
            let deflate = Some(DeflateSettings { compressor: None, decompressor: None });
            let settings = WebSocketSettings { max_backpressure: 0, deflate, ..WebSocketSettings::default() };
            let behavior = reactor.add_behavior(app, settings, false);
            reactor
                .route(app, DomainId::default(), RouteKind::Upgrade, "/*", Some(Route::WebSocket(behavior)))
                .expect("short");
            let get = RouteKind::Method(Method::Get);
            reactor.route(app, DomainId::default(), get, "/*", Some(Route::Http(RouteId(0)))).expect("short");
            let listener = reactor.listen(app, Some("127.0.0.1"), 0, true).expect("a free port");
            tell_port.send(reactor.local_port(listener).expect("it listens")).expect("someone waits");
            let service = Service { answer, members: std::cell::RefCell::default() };
            while !sees_over.load(Ordering::Acquire) {
                let turn = reactor.turn(Instant::now()).expect("a poll");
                reactor.run(turn, |event| service.handle(&reactor, event));
                std::thread::yield_now();
            }
        });
        Self { port: port.recv().expect("it listens"), is_over, thread: Some(thread) }
    }

    fn command(&self, mode: &str, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_milliways-loadgen"));
        command.args([mode, "--address", &format!("127.0.0.1:{}", self.port), "--seconds", "0.2", "--warmup", "0.1"]);
        command.args(["--server-pid", &std::process::id().to_string()]);
        command.args(options);
        command
    }

    /// Runs a mode to its end.
    fn load(&self, mode: &str, options: &[&str]) -> Value {
        let output = self.command(mode, options).output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a line of JSON")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ended well");
        }
    }
}

fn assert_measured(result: &Value) {
    assert!(result["count"].as_u64() > Some(0), "{result}");
    assert_eq!(result["errors"], 0, "{result}");
    assert!(result["rate"].as_f64() > Some(0.0), "{result}");
    assert!(result["load_cpu_seconds"].as_f64() > Some(0.0), "{result}");
    // May be 0: the server is a thread of this process, and the threads of tests that end meanwhile take their share along.
    assert!(result["server_cpu_seconds"].is_f64(), "{result}");
    assert!(result["latency_us"]["p50"].as_f64() <= result["latency_us"]["max"].as_f64(), "{result}");
}

#[test]
fn echo_in_every_form() {
    let server = Server::start(Answer::Echo);
    for options in [
        &["--connections", "20"][..],
        &["--connections", "3", "--depth", "64", "--text", "--mask", "random"],
        &["--size", "0", "--mask", "zero"],
        &["--size", "16000", "--depth", "4"],
        &["--connections", "4", "--sources", "2", "--first-source", "2"],
    ] {
        assert_measured(&server.load("echo", options));
    }
    let result = server.load("echo", &["--offer-deflate"]);
    assert!(result["errors"].as_u64() > Some(0), "not compressed: {result}");

    let server = Server::start(Answer::Deflate);
    assert_measured(&server.load("echo", &["--offer-deflate", "--text", "--size", "1000", "--depth", "4"]));
}

#[test]
fn wrong_echoes_are_noticed() {
    let server = Server::start(Answer::Wrong);
    let result = server.load("echo", &["--depth", "64"]);
    assert!(result["errors"].as_u64() > Some(0), "{result}");
}

#[test]
fn http_with_and_without_pipelining() {
    let server = Server::start(Answer::Echo);
    assert_measured(&server.load("http", &["--connections", "10", "--path", "/hello"]));
    assert_measured(&server.load("http", &["--connections", "2", "--depth", "16"]));
}

#[test]
fn connections_come_and_go() {
    let server = Server::start(Answer::Echo);
    assert_measured(&server.load("connect", &["--connections", "10"]));
}

#[test]
fn receivers_get_everything_in_order() {
    let server = Server::start(Answer::Publish);
    let result = server.load("subscribe", &["--connections", "20", "--depth", "8", "--size", "100"]);
    assert_measured(&result);
    assert_eq!(result["receivers"], 20);
}

#[test]
fn idle_connections_are_held_until_standard_input_ends() {
    let server = Server::start(Answer::Echo);
    let mut child = server
        .command("idle", &["--connections", "300"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert_eq!(lines.next().expect("a line").expect("readable"), r#"{"open":300}"#);
    drop(child.stdin.take());
    assert_eq!(lines.next().expect("a line").expect("readable"), r#"{"open":300,"pings":0}"#);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn load_goes_nowhere_but_to_the_loopback_address() {
    let output = Command::new(env!("CARGO_BIN_EXE_milliways-loadgen"))
        .args(["echo", "--address", "192.0.2.1:80"])
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"));
}
