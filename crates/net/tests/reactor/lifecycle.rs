//! Listening and accepting, slots and generations.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::env;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{Ipv6Addr, TcpStream};
use std::process::Command;
use std::rc::Rc;

use milliways_net::{ListenError, Reactor, Stats, WebSocketSettings};

use crate::support::{
    CLOSE, Client, Event, GET_WAIT, NOTHING, Server, TEXT, UPGRADE, UPGRADED, bytes_of, frame, masked, ok, opcode,
    target,
};

/// A server with a WebSocket route at `/` that echoes messages, and an HTTP route at `/http/*`.
fn server() -> Server {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| match event {
        Event::Message { id, payload, binary, .. } => _ = server.send(*id, opcode(*binary), bytes_of(payload)),
        Event::Request { id, request, .. } if target(request).contains("wait") => {
            server.reactor.await_response(*id).expect("a request");
        }
        Event::Request { id, .. } => server.respond(*id, "x"),
        _ => {}
    });
    server.route("/http/*");
    server
}

const GET_HTTP: &str = "GET /http/ HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn nothing_is_left_of_connections_that_have_gone() {
    let server = server();
    let websocket = server.open();
    let ended = server.open();
    let closing = server.last_id();
    let fragment = server.open();
    fragment.send(masked(0x01, b"half a message"));
    let keep_alive = server.connect();
    keep_alive.send(GET_HTTP);
    keep_alive.expect_response(&ok("x"));
    let waiting = server.connect();
    waiting.send(GET_WAIT.repeat(2));
    let half = server.connect();
    half.send("GET /");
    let silent = server.connect();
    server.end(closing, 1000, "");
    server.settle();
    server.take_log();
    assert_eq!(server.stats(), Stats { connections: 7, websockets: 2, listeners: 1 });
    assert!(server.reactor.is_active());

    server.close_app(server.app);
    assert_eq!(server.stats(), NOTHING);
    assert!(!server.reactor.is_active());
    assert_eq!(server.next_deadline(), None);
    let mut log = server.take_log();
    log.sort_unstable();
    assert_eq!(log, ["aborted", "close 1006 ", "close 1006 "]);
    for client in [websocket, keep_alive, waiting, half, silent, fragment] {
        client.expect_gone();
    }
    ended.read_rest().ok();
    server.expect_nothing();
    assert!(!server.reactor.has_work());
}

#[test]
fn listening_again_after_closing_the_app() {
    let mut server = server();
    server.close_app(server.app);
    server.listener = server.reactor.listen(server.app, Some("127.0.0.1"), 0, true).expect("a free port");
    let client = server.open();
    client.send(masked(TEXT, b"hi"));
    client.expect(frame(TEXT, b"hi"));
}

#[test]
fn slots_are_used_again_with_new_generations() {
    let server = server();
    let mut seen = HashSet::new();
    let mut slots = HashSet::new();
    for round in 0..100 {
        let client = server.open();
        let id = server.last_id();
        assert!(seen.insert(id), "{id:?} again");
        slots.insert(id.slot);
        if round % 2 == 0 {
            client.send(masked(CLOSE, b""));
            client.finish();
            client.read_rest().expect("FIN, not a reset");
        } else {
            client.reset();
        }
        server.expect_empty();
        server.take_log();
        for old in &seen {
            assert!(server.reactor.check_websocket(*old).is_err());
        }
    }
    assert_eq!(slots.len(), 1);
}

#[test]
fn a_slot_is_not_used_again_in_the_turn_that_vacates_it() {
    let victim = Rc::new(Cell::new(None));
    let server = Server::websocket(WebSocketSettings::default(), {
        let victim = Rc::clone(&victim);
        move |server, event| {
            if let Event::Message { .. } = event
                && let Some(victim) = victim.take()
            {
                server.close(victim);
            }
        }
    });
    for _ in 0..50 {
        let leaver = server.open();
        let old = server.last_id();
        victim.set(Some(old));
        let speaker = server.open();
        // One batch of events contains the command, a new connection, and input of the connection that is closed.
        speaker.send_some(&masked(TEXT, b"close the other"));
        let comer = server.connect_without_waiting();
        leaver.send_some(&masked(TEXT, b"too late"));
        server.turn();
        let in_one_turn = victim.take().is_none() && server.stats().connections == 2;
        server.until("the event", || server.log_lines().len() >= 2);
        assert_eq!(server.take_log(), ["text close the other", "close 1006 "]);
        comer.upgrade();
        let new = server.last_id();
        for client in [leaver, speaker, comer] {
            client.reset();
        }
        server.expect_empty();
        server.take_log();
        if in_one_turn {
            assert_ne!(old.slot, new.slot);
            return;
        }
    }
    panic!("the events never came together");
}

#[test]
fn a_connection_that_comes_while_another_goes_is_never_mistaken_for_it() {
    let opened = Rc::new(RefCell::new(Vec::new()));
    let server = Server::websocket(WebSocketSettings::default(), {
        let opened = Rc::clone(&opened);
        move |_, event| {
            if let Event::Open { id, .. } = event {
                opened.borrow_mut().push(*id);
            }
        }
    });
    for _ in 0..50 {
        let leaver = server.open();
        leaver.reset();
        // Both events come in one turn, or in two.
        let comer = server.connect_without_waiting();
        comer.send(UPGRADE);
        comer.expect_response(UPGRADED);
        server.until("both events", || server.log_lines().len() == 2);
        let [old, new] = opened.take()[..] else { panic!("two opened") };
        assert_ne!(old, new);
        assert!(server.reactor.check_websocket(old).is_err());
        assert!(server.reactor.check_websocket(new).is_ok());
        comer.reset();
        server.expect_empty();
        server.take_log();
    }
}

#[test]
fn thousands_of_connections_come_and_go() {
    const COUNT: usize = 2000;
    // The number of clients that connect before the server turns: more than it accepts at once, but fewer than the
    // kernel queues for it.
    const AT_ONCE: usize = 700;
    if !with_open_files(2 * COUNT as u32 + 200, "lifecycle::thousands_of_connections_come_and_go") {
        return;
    }
    let server = server();
    for round in 0..2 {
        let mut clients: Vec<Client<'_>> = Vec::with_capacity(COUNT);
        while clients.len() < COUNT {
            clients.extend((0..AT_ONCE.min(COUNT - clients.len())).map(|_| server.connect_without_waiting()));
            server.until("all connections", || server.stats().connections == clients.len());
        }
        for client in &clients {
            client.send(UPGRADE);
        }
        for client in &clients {
            client.expect_response(UPGRADED);
        }
        assert_eq!(server.stats(), Stats { connections: COUNT, websockets: COUNT, listeners: 1 });
        for (number, client) in clients.iter().enumerate() {
            client.send(masked(TEXT, number.to_string().as_bytes()));
        }
        for (number, client) in clients.iter().enumerate() {
            client.expect(frame(TEXT, number.to_string().as_bytes()));
        }
        for client in clients {
            client.reset();
        }
        server.expect_empty();
        let log = server.take_log();
        assert_eq!(log.iter().filter(|line| *line == "close 1006 ").count(), COUNT);
        assert_eq!(log.len(), 3 * COUNT, "round {round}");
    }
    // Slots are reused, so the table does not grow with the number of connections over time.
    let _client = server.open();
    assert!((server.last_id().slot.0 as usize) < COUNT);
}

#[test]
fn a_closed_listener_keeps_its_connections() {
    let server = server();
    let client = server.open();
    let address = server.address();
    assert!(server.reactor.close_listener(server.listener));
    assert!(!server.reactor.close_listener(server.listener));
    assert_eq!(server.reactor.local_port(server.listener), None);
    assert_eq!(TcpStream::connect(address).map_err(|error| error.kind()).err(), Some(ErrorKind::ConnectionRefused));
    client.send(masked(TEXT, b"still here"));
    client.expect(frame(TEXT, b"still here"));
    assert!(server.reactor.is_active());
    client.reset();
    server.expect_empty();
    assert!(!server.reactor.is_active());
    assert!(!server.reactor.close_listener(milliways_net::ListenerId(1000)));
    assert_eq!(server.reactor.local_port(milliways_net::ListenerId(1000)), None);
}

#[test]
fn a_handler_may_close_the_listener_that_has_more() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Open { .. } = event {
            server.reactor.close_listener(server.listener);
        }
    });
    let client = server.connect();
    let more: Vec<_> = (0..10).map(|_| server.connect_without_waiting()).collect();
    client.upgrade();
    assert_eq!(server.stats().listeners, 0);
    for client in more {
        client.reset();
    }
    server.until("the others' end", || server.stats().connections == 1);
    client.expect_silence();
}

/// An address of this machine that no other test uses, if there is one. Tests run in parallel, and a port that one of
/// them has released may be taken by another.
const QUIET_HOST: &str = if cfg!(target_os = "linux") { "127.0.0.2" } else { "127.0.0.1" };

#[test]
fn a_port_can_be_shared_unless_it_is_exclusive() {
    let server = server();
    let reactor = &server.reactor;
    let listen = |port, exclusive| reactor.listen(server.app, Some(QUIET_HOST), port, exclusive);
    let first = listen(0, false).expect("a free port");
    let port = reactor.local_port(first).expect("a listener");
    // Both listeners have to allow sharing.
    let second = listen(port, false).expect("shared");
    assert_eq!(reactor.local_port(second), Some(port));
    assert_eq!(listen(port, true), Err(ListenError::System(libc::EADDRINUSE)));
    assert!(reactor.close_listener(second));
    assert!(reactor.close_listener(first));

    let exclusive = listen(port, true).expect("free");
    assert_eq!(listen(port, true), Err(ListenError::System(libc::EADDRINUSE)));
    assert_eq!(listen(port, false), Err(ListenError::System(libc::EADDRINUSE)));
    assert_eq!(reactor.stats().listeners, 2);
    assert!(reactor.close_listener(exclusive));
    assert!(listen(port, true).is_ok());
}

#[test]
fn a_port_can_be_used_again_at_once() {
    let server = server();
    let listen = |port| {
        let listener = server.reactor.listen(server.app, Some(QUIET_HOST), port, true).expect("a free port");
        server.reactor.local_port(listener).expect("a listener")
    };
    let connect = |port| {
        let stream = TcpStream::connect((QUIET_HOST, port)).expect("a listening server");
        server.until("a connection", || server.stats().connections == 1);
        stream
    };
    let port = listen(0);
    let mut stream = connect(port);
    // The server closes first, so that its end of the connection stays in TIME-WAIT.
    server.close_app(server.app);
    assert!(matches!(stream.read(&mut [0]), Ok(0)));
    drop(stream);
    assert_eq!(listen(port), port);
    connect(port);
}

#[test]
fn without_a_host_both_families_are_listened_on() {
    let server = server();
    let listener = server.reactor.listen(server.app, None, 0, false).expect("a free port");
    let port = server.reactor.local_port(listener).expect("a listener");
    let _client = TcpStream::connect(("127.0.0.1", port)).expect("a listening server");
    server.until("IPv4", || server.stats().connections == 1);
    // Not every machine has IPv6.
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        let _client = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("a listening server");
        server.until("IPv6", || server.stats().connections >= 2);
    }
}

#[test]
fn an_address_that_is_not_ours_is_an_error() {
    let server = server();
    // TEST-NET-1 (RFC 5737).
    assert!(server.reactor.listen(server.app, Some("192.0.2.1"), 0, false).is_err());
    assert!(server.reactor.listen(server.app, Some("no host name"), 0, false).is_err());
    assert_eq!(server.stats().listeners, 1);
}

#[test]
fn dropping_the_reactor_closes_its_sockets() {
    let server = server();
    let mut stream = TcpStream::connect(server.address()).expect("a listening server");
    server.until("a connection", || server.stats().connections == 1);
    let address = server.address();
    drop(server);
    assert!(matches!(stream.read(&mut [0]), Ok(0)));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn accepting_goes_on_when_there_are_descriptors_again() {
    if !with_open_files(100, "lifecycle::accepting_goes_on_when_there_are_descriptors_again") {
        return;
    }
    // Descriptors become available because connections end.
    let server = server();
    let mut clients: Vec<_> = (0..60).map(|_| server.connect_without_waiting()).collect();
    server.until("want of descriptors", || server.next_deadline() == Some(1));
    let accepted = server.stats().connections;
    assert!(accepted < 60, "{accepted}");
    clients.drain(..30).for_each(Client::reset);
    server.until("the other connections", || server.stats().connections == 30);
    for client in &clients {
        client.send(GET_HTTP);
    }
    for client in &clients {
        client.expect_response(&ok("x"));
    }
    clients.drain(..).for_each(Client::reset);
    server.expect_empty();

    // Descriptors become available elsewhere in the process, without notice to the server.
    let client = server.connect_without_waiting();
    let mut hoard: Vec<File> = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    client.send(GET_HTTP);
    server.settle();
    assert_eq!(server.stats().connections, 0);
    let retry = server.next_deadline();
    assert!(retry.is_some());
    // There are still none.
    server.pass_seconds(3);
    assert_eq!(server.stats().connections, 0);
    assert!(server.next_deadline() > retry);
    drop(hoard);
    server.settle();
    assert_eq!(server.stats().connections, 0);
    server.pass_seconds(1);
    client.expect_response(&ok("x"));
}

#[test]
fn a_listener_that_closes_while_there_are_no_descriptors() {
    if !with_open_files(100, "lifecycle::a_listener_that_closes_while_there_are_no_descriptors") {
        return;
    }
    let server = server();
    let mut clients: Vec<_> = (0..60).map(|_| server.connect_without_waiting()).collect();
    server.until("want of descriptors", || server.next_deadline() == Some(1));
    server.reactor.close_listener(server.listener);
    clients.drain(..).for_each(Client::reset);
    server.until("the end of all connections", || server.stats().connections == 0);
    server.pass_seconds(2);
    assert_eq!(server.next_deadline(), None);
}

#[test]
fn an_empty_reactor_has_nothing_to_do() {
    let now = std::time::Instant::now();
    let reactor = Reactor::new(now).expect("a poll");
    assert_eq!(reactor.stats(), NOTHING);
    assert!(!reactor.is_active());
    assert!(!reactor.has_work());
    assert_eq!(reactor.next_deadline(), None);
}

/// Returns whether this process may have exactly `limit` open files. If not, the test is run in a process that may, and
/// must pass there.
fn with_open_files(limit: u32, test: &str) -> bool {
    const MARK: &str = "MILLIWAYS_TEST_OPEN_FILES";
    if env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")])
        .arg(env::current_exe().expect("a program"))
        .args(["--exact", test, "--test-threads=1"])
        .env(MARK, limit.to_string())
        .output()
        .expect("a shell");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "with {limit} open files: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}
