//! Handlers that run the event loop, as some addons let them. Its turns serve everything but the connections whose events are
//! under way.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use milliways_net::WebSocketSettings;
use milliways_proto::ws::Opcode;

use crate::support::{Event, GET, Server, TEXT, bytes_of, frame, masked, ok, opcode, publication};

/// A server that sends messages back. `in_loop` is run for the message "loop", as the loop would run callbacks.
fn looping(settings: WebSocketSettings, in_loop: impl Fn(&Server) + 'static) -> Server {
    Server::websocket(settings, move |server, event| {
        if let Event::Message { id, payload, binary, .. } = event {
            if bytes_of(payload) == b"loop" {
                server.reactor.nested(|| in_loop(server));
            }
            server.send(*id, opcode(*binary), bytes_of(payload));
        }
    })
}

#[test]
fn what_the_kernel_has_reported_together_is_handled_in_the_nested_turns() {
    let server = looping(WebSocketSettings::default(), |server| {
        let has = |line: &str| server.log_lines().iter().any(|logged| logged == line);
        server.until("what came together", || has("text other") && has("connected") && has("text published"));
    });
    let (first, other) = (server.open(), server.open());
    let publishing = server.open();
    let id = server.last_id();
    server.subscribe(id, "news");
    server.reactor.count_connections(server.app);
    let remote = server.reactor.remote(server.app).expect("a descriptor");
    // All of this is there when the kernel is asked.
    first.send_some(&masked(TEXT, b"loop"));
    other.send_some(&masked(TEXT, b"other"));
    publishing.send_some(&masked(TEXT, b"published"));
    let new = server.connect_without_waiting();
    remote.send(publication("news", Opcode::Text, "by another thread")).expect("an app");
    first.expect(frame(TEXT, b"loop"));
    other.expect(frame(TEXT, b"other"));
    publishing.expect([frame(TEXT, b"published"), frame(TEXT, b"by another thread")].concat());
    drop(new);
}

#[test]
fn a_command_is_carried_out_in_a_nested_turn_although_an_outer_one_knows_of_it() {
    let published = Cell::new(false);
    let server = Server::websocket(WebSocketSettings::default(), move |server, event| match event {
        Event::Open { id, .. } => _ = server.subscribe(*id, "news"),
        Event::Message { payload, .. } if bytes_of(payload) == b"loop" && !published.replace(true) => {
            server.reactor.nested(|| {
                server.until("the other client's message", || server.log_lines().contains(&"text heard".to_owned()));
            });
        }
        _ => {}
    });
    let (first, other) = (server.open(), server.open());
    let remote = server.reactor.remote(server.app).expect("a descriptor");
    first.send_some(&masked(TEXT, b"loop"));
    remote.send(publication("news", Opcode::Text, "go")).expect("an app");
    // The other client speaks when it has got what was published: inside of the handler.
    other.send_some(&masked(TEXT, b"heard"));
    first.expect(frame(TEXT, b"go"));
    other.expect(frame(TEXT, b"go"));
    server.expect(&["text loop", "text heard"]);
}

#[test]
fn no_timeout_ends_a_websocket_whose_input_waits_for_its_own_handler() {
    let settings = WebSocketSettings { idle_timeout: 16, send_pings: false, ..WebSocketSettings::default() };
    let peer: Rc<RefCell<Option<TcpStream>>> = Rc::default();
    let server = looping(settings, {
        let peer = Rc::clone(&peer);
        move |server| {
            let mut peer = peer.take().expect("the loop runs once");
            peer.write_all(&masked(TEXT, b"more")).expect("room");
            server.settle();
            server.stall(Duration::from_secs(20));
            server.settle();
        }
    });
    let client = server.open();
    peer.replace(Some(client.stream.try_clone().expect("a descriptor")));
    client.send(masked(TEXT, b"loop"));
    client.expect([frame(TEXT, b"loop"), frame(TEXT, b"more")].concat());
    server.pass_seconds(2);
    assert_eq!(server.stats().websockets, 1);
    server.expect(&["text loop", "text more"]);
}

#[test]
fn what_is_left_to_a_busy_connection_does_not_keep_a_nested_loop_busy() {
    let server = Server::http(|server, event| match event {
        Event::Request { id, .. } => {
            server.reactor.await_response(*id).expect("a request");
            server.reactor.receive_body(*id).expect("a request");
            server.reactor.nested(|| {
                server.turn();
                server.pump();
                assert!(!server.reactor.has_work(), "the rest waits for this handler");
            });
        }
        Event::Data { id, .. } => server.respond(*id, "x"),
        _ => {}
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(&ok("x"));
    server.expect(&["request GET /", "data  0"]);
}

#[test]
fn a_websocket_that_a_nested_turn_would_close_for_its_back_pressure_is_closed_afterwards() {
    let settings = WebSocketSettings {
        max_backpressure: 10_000,
        close_on_backpressure_limit: true,
        ..WebSocketSettings::default()
    };
    let order = RefCell::new(Vec::new());
    let server = Server::websocket(settings, move |server, event| match event {
        Event::Message { id, .. } => {
            for _ in 0..2000 {
                server.send(*id, Opcode::Binary, &[0; 10_000]);
            }
            server.reactor.nested(|| {
                server.turn();
                server.pump();
            });
            assert!(server.reactor.check_websocket(*id).is_ok(), "it is in the middle of its event");
            order.borrow_mut().push("returned");
        }
        Event::Close { .. } => assert_eq!(*order.borrow(), ["returned"]),
        _ => {}
    });
    let client = server.connect_with_small_buffer();
    client.upgrade();
    client.send(masked(TEXT, b"fill"));
    server.until("the end", || server.log_lines().iter().any(|line| line.starts_with("close")));
    server.expect_empty();
}
