//! Graceful shutdown: what is under way is finished, and nothing new begins.

use std::time::Duration;

use milliways_net::{AppSettings, EndError, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{
    BINARY, CLOSE, Client, Event, GET, GET_WAIT, Server, TEXT, UPGRADE, UPGRADED, frame, masked, noise, ok,
};

/// The Close frame of [`shut_down`].
fn goodbye() -> Vec<u8> {
    frame(CLOSE, b"\x03\xe9maintenance")
}

/// Shuts the server's app down within ten seconds.
fn shut_down(server: &Server) {
    let deadline = Some(server.now() + Duration::from_secs(10));
    server
        .causing(|reactor| reactor.shut_down(server.app, 1001, b"maintenance", deadline))
        .expect("a code that may be sent");
}

/// A response after which the connection closes.
fn last(body: &str) -> String {
    ok(body).replace("Date", "Connection: close\r\nDate")
}

/// A server that answers requests with "x", but those for `/http/wait` when the test says so.
fn answering() -> Server {
    Server::http(|server, event| {
        if let Event::Request { id, request, .. } = event {
            match request.request.path() {
                "/http/wait" => server.reactor.await_response(*id).expect("a request"),
                _ => server.respond(*id, "x"),
            }
        }
    })
}

/// A client that has had a response and may send another request.
fn keep_alive(server: &Server) -> Client<'_> {
    let client = server.connect();
    client.send(GET);
    client.expect_response(&ok("x"));
    server.expect(&["request GET /"]);
    client
}

#[test]
fn an_app_without_connections_has_been_shut_down_before_the_call_returns() {
    let server = answering();
    shut_down(&server);
    assert_eq!(server.take_log(), ["shut down 0 0"]);
    assert_eq!((server.stats().listeners, server.reactor.is_active()), (0, false));
    assert_eq!(server.reactor.next_deadline(), None);
}

#[test]
fn a_code_that_must_not_be_sent_changes_nothing() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    let refused = server.reactor.shut_down(server.app, 1005, b"", None);
    assert_eq!(refused, Err(EndError::InvalidCode(1005)));
    client.send(masked(TEXT, b"still open"));
    client.expect(frame(TEXT, b"still open"));
    assert_eq!(server.stats().listeners, 1);
}

#[test]
fn websockets_get_a_close_frame_and_their_handlers_the_code() {
    let server = Server::echo(WebSocketSettings::default());
    let clients = [server.open(), server.open()];
    shut_down(&server);
    server.pump();
    for client in &clients {
        client.expect(goodbye());
        client.answer_close();
        client.finish();
    }
    server.expect(&["close 1001 maintenance", "close 1001 maintenance", "shut down 2 0"]);
    server.expect_empty();
}

#[test]
fn a_second_call_changes_nothing() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    shut_down(&server);
    let again = server.causing(|reactor| reactor.shut_down(server.app, 4000, b"again", Some(server.now())));
    assert_eq!(again, Ok(()));
    server.pump();
    client.expect(goodbye());
    client.answer_close();
    client.finish();
    server.expect(&["close 1001 maintenance", "shut down 1 0"]);
}

#[test]
fn a_close_frame_follows_all_that_has_been_sent_and_published() {
    const LENGTH: usize = 4 << 20;

    let settings =
        WebSocketSettings { max_backpressure: 0, tells_subscriptions: false, ..WebSocketSettings::default() };
    let server = Server::echo(settings);
    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    server.subscribe(id, "news");
    let sent = noise(LENGTH, 1);
    server.send(id, Opcode::Binary, &sent);
    server.publish("news", b"published before");
    shut_down(&server);
    server.publish("news", b"published after");
    // The client takes its time, and each part that it takes is a sign of life.
    let expected = [frame(BINARY, &sent), frame(BINARY, b"published before"), frame(BINARY, b"published after")];
    client.expect(expected.concat());
    client.expect(goodbye());
    client.answer_close();
    client.finish();
    server.expect(&["close 1001 maintenance", "shut down 1 0"]);
}

#[test]
fn handlers_may_publish_and_send_while_others_are_closing() {
    let settings = WebSocketSettings { tells_subscriptions: false, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |server, event| match event {
        Event::Open { id, .. } => _ = server.subscribe(*id, "news"),
        Event::Close { .. } => _ = server.publish("news", b"one has gone"),
        _ => {}
    });
    let clients: Vec<_> = (0..3).map(|_| server.open()).collect();
    shut_down(&server);
    for client in &clients {
        server.until("the FIN", || {
            client.try_send(&masked(CLOSE, b""));
            client.finish();
            true
        });
    }
    server.until("the end", || server.stats().connections == 0);
    let log = server.take_log();
    assert_eq!(log.last().map(String::as_str), Some("shut down 3 0"));
    assert_eq!(log.len(), 4);
}

#[test]
fn a_request_in_progress_is_answered_and_its_connection_closes() {
    let server = answering();
    let client = server.connect();
    client.send(GET_WAIT);
    server.expect(&["request GET /http/wait"]);
    let id = server.last_id();
    shut_down(&server);
    server.settle();
    client.expect_silence();
    server.respond(id, "at last");
    client.expect_response(&last("at last"));
    client.expect_end();
    client.finish();
    server.expect(&["shut down 1 0"]);
}

#[test]
fn a_response_that_has_begun_is_finished_and_its_connection_closes() {
    let server = answering();
    let client = server.connect();
    client.send(GET_WAIT);
    server.expect(&["request GET /http/wait"]);
    let id = server.last_id();
    server.reactor.write_chunk(id, b"first").expect("a request");
    shut_down(&server);
    client.read_until("5\r\nfirst\r\n");
    server.reactor.write_chunk(id, b"second").expect("a request");
    server.reactor.respond(id, b"", false).expect("a request");
    client.expect("6\r\nsecond\r\n0\r\n\r\n");
    client.expect_end();
    client.finish();
    server.expect(&["shut down 1 0"]);
}

#[test]
fn a_connection_between_two_requests_closes() {
    let server = answering();
    let client = keep_alive(&server);
    shut_down(&server);
    client.expect_end();
    client.finish();
    server.expect(&["shut down 1 0"]);
}

#[test]
fn a_request_that_has_arrived_unnoticed_is_answered() {
    let server = answering();
    let client = keep_alive(&server);
    assert_eq!(client.send_some(GET.as_bytes()), GET.len());
    shut_down(&server);
    // As a loop does before it waits.
    server.pump();
    client.expect_response(&last("x"));
    client.expect_end();
    client.finish();
    server.expect(&["request GET /", "shut down 1 0"]);
}

#[test]
fn pipelined_requests_are_all_answered() {
    let server = answering();
    let client = keep_alive(&server);
    client.send([GET_WAIT, GET, GET].concat());
    server.expect(&["request GET /http/wait"]);
    let id = server.last_id();
    shut_down(&server);
    server.settle();
    server.respond(id, "waited");
    let read = String::from_utf8(client.read_rest().expect("a FIN")).expect("ASCII");
    let bodies: Vec<_> =
        read.split("HTTP/1.1 200 OK").skip(1).map(|response| response.split("\r\n\r\n").nth(1)).collect();
    assert_eq!(bodies, [Some("waited"), Some("x"), Some("x")]);
    assert_eq!(read.matches("Connection: close").count(), 1, "the last one: {read}");
    client.finish();
    server.expect(&["request GET /", "request GET /", "shut down 1 0"]);
}

#[test]
fn a_new_connection_has_a_second_to_send_its_first_request() {
    let server = answering();
    let (prompt, silent) = (server.connect(), server.connect());
    shut_down(&server);
    server.settle();
    prompt.expect_silence();
    prompt.send(GET);
    prompt.expect_response(&last("x"));
    prompt.expect_end();
    prompt.finish();
    silent.expect_silence();
    server.pass_seconds(2);
    silent.expect_end();
    server.expect(&["request GET /", "shut down 2 0"]);
    server.expect_empty();
}

#[test]
fn only_a_new_connection_has_that_deadline_even_if_the_thread_was_busy() {
    let server = answering();
    let client = server.connect();
    // The connection is examined in its tenth second, because its deadline was then when it was new.
    server.pass_seconds(9);
    client.send(GET);
    client.expect_response(&ok("x"));
    shut_down(&server);
    server.stall(Duration::from_secs(2));
    client.expect_end();
    // Whoever is cut is gone now.
    assert_eq!(server.stats().connections, 1);
    client.finish();
    server.expect(&["request GET /", "shut down 1 0"]);
}

#[test]
fn a_request_of_which_a_part_has_arrived_may_come_and_is_answered() {
    let server = answering();
    let clients = [server.connect(), keep_alive(&server)];
    let (begin, rest) = GET.split_at(10);
    for client in &clients {
        client.send(begin);
    }
    server.settle();
    shut_down(&server);
    server.pass_seconds(5);
    for client in &clients {
        client.expect_silence();
        client.send(rest);
        client.expect_response(&last("x"));
        client.expect_end();
        client.finish();
    }
    server.expect(&["request GET /", "request GET /", "shut down 2 0"]);
}

#[test]
fn the_body_of_a_request_is_received() {
    let server = Server::http(|server, event| match event {
        Event::Request { id, .. } => {
            server.reactor.await_response(*id).expect("a request");
            server.reactor.collect_body(*id, 100).expect("a request");
        }
        Event::Collected { id, .. } => server.respond(*id, "got it"),
        _ => {}
    });
    let client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfirst");
    server.expect(&["request POST /"]);
    shut_down(&server);
    server.settle();
    client.send("after");
    client.expect_response(&last("got it"));
    client.expect_end();
    client.finish();
    server.expect(&["collected firstafter", "shut down 1 0"]);
}

#[test]
fn a_request_that_becomes_a_websocket_meanwhile_opens_and_closes() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.connect();
    shut_down(&server);
    server.settle();
    client.send(UPGRADE);
    client.expect_response(UPGRADED);
    client.expect(goodbye());
    client.answer_close();
    client.finish();
    server.expect(&["open GET /", "close 1001 maintenance", "shut down 1 0"]);
}

#[test]
fn what_is_left_at_the_deadline_is_cut() {
    let server = answering();
    server.websocket_route("/", WebSocketSettings::default());
    let waiting = server.connect();
    waiting.send(GET_WAIT);
    let deaf = server.connect();
    deaf.send(UPGRADE);
    deaf.expect_response(UPGRADED);
    server.until("both", || server.log_lines().len() == 2);
    server.take_log();
    shut_down(&server);
    server.pass(Duration::from_millis(9_900));
    deaf.expect(goodbye());
    deaf.expect_silence();
    waiting.expect_silence();
    server.expect(&["close 1001 maintenance"]);
    server.pass(Duration::from_millis(200));
    deaf.expect_gone();
    waiting.expect_gone();
    server.expect(&["aborted", "shut down 0 2"]);
    server.expect_empty();
}

#[test]
fn without_a_deadline_only_the_timeouts_of_connections_apply() {
    let server = Server::with(AppSettings { idle_timeout: 0, ..AppSettings::default() }, |server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    server.route("/*");
    let client = server.connect();
    client.send(GET_WAIT);
    server.expect(&["request GET /http/wait"]);
    let id = server.last_id();
    server.causing(|reactor| reactor.shut_down(server.app, 1001, b"", None)).expect("a code");
    server.pass_seconds(100_000);
    client.expect_silence();
    server.respond(id, "x");
    client.expect_response(&last("x"));
    client.finish();
    server.expect(&["shut down 1 0"]);
}

#[test]
fn closing_the_app_ends_the_waiting() {
    let server = answering();
    let client = server.connect();
    client.send(GET_WAIT);
    server.expect(&["request GET /http/wait"]);
    shut_down(&server);
    server.settle();
    server.close_app(server.app);
    client.expect_gone();
    server.expect(&["aborted", "shut down 0 1"]);
    server.expect_empty();
}

#[test]
fn another_app_of_the_reactor_goes_on() {
    let server = Server::echo(WebSocketSettings::default());
    let other = server.reactor.add_app(AppSettings::default());
    let listener = server.reactor.listen(other, Some("127.0.0.1"), 0, false).expect("a free port");
    let client = server.open();
    server.causing(|reactor| reactor.shut_down(other, 1001, b"", None)).expect("a code");
    assert_eq!(server.take_log(), ["shut down 0 0"]);
    assert_eq!(server.reactor.local_port(listener), None);
    client.send(masked(TEXT, b"still open"));
    client.expect(frame(TEXT, b"still open"));
}

#[test]
fn many_connections_are_visited_in_several_turns() {
    const MANY: usize = 1200;

    let server = Server::echo(WebSocketSettings::default());
    let clients: Vec<_> = (0..MANY).map(|_| server.open()).collect();
    shut_down(&server);
    server.pump();
    let after_one_turn = server.stats().websockets;
    assert!((1..MANY).contains(&after_one_turn), "{after_one_turn} are left");
    for client in &clients {
        client.expect(goodbye());
        client.send(masked(CLOSE, b""));
        client.finish();
    }
    server.until("the end", || server.stats().connections == 0);
    let log = server.take_log();
    assert_eq!(log.last(), Some(&format!("shut down {MANY} 0")));
    assert_eq!(log.iter().filter(|line| *line == "close 1001 maintenance").count(), MANY);
}

#[test]
fn an_app_can_listen_again_after_its_shutdown() {
    let mut server = answering();
    shut_down(&server);
    assert_eq!(server.take_log(), ["shut down 0 0"]);
    server.listener = server.reactor.listen(server.app, Some("127.0.0.1"), 0, false).expect("a free port");
    let client = keep_alive(&server);
    shut_down(&server);
    client.expect_end();
    client.finish();
    server.expect(&["shut down 1 0"]);
}

#[test]
fn a_handler_that_runs_the_loop_while_its_app_is_shut_down_is_finished_first() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Message { id, .. } = event {
            shut_down(server);
            server.reactor.nested(|| server.until("the others' end", || server.stats().websockets == 1));
            server.send(*id, Opcode::Text, b"the last word");
        }
    });
    let (looping, other) = (server.open(), server.open());
    looping.send(masked(TEXT, b"go"));
    other.expect(goodbye());
    looping.expect([frame(TEXT, b"the last word"), goodbye()].concat());
}

#[test]
fn a_response_that_is_written_right_after_the_call_says_that_its_connection_closes() {
    let server = answering();
    let client = server.connect();
    client.send(GET_WAIT);
    server.expect(&["request GET /http/wait"]);
    let id = server.last_id();
    shut_down(&server);
    server.respond(id, "at once");
    client.expect_response(&last("at once"));
    client.finish();
    server.expect(&["shut down 1 0"]);
}

#[test]
fn a_handler_shuts_down_before_it_responds_and_pipelined_requests_are_answered() {
    for requests in 1..=3 {
        let server = Server::http(|server, event| {
            if let Event::Request { id, .. } = event {
                shut_down(server);
                server.respond(*id, "x");
            }
        });
        let client = server.connect();
        client.send(GET.repeat(requests));
        client.expect_response(&[ok("x").repeat(requests - 1), last("x")].concat());
        client.finish();
        server.until("the end", || server.log_lines().last().is_some_and(|line| line == "shut down 1 0"));
    }
}

#[test]
fn a_reason_that_is_not_text_becomes_text() {
    let server = Server::echo(WebSocketSettings::default());
    let (by_shutdown, by_end) = (server.open(), server.open());
    server.causing(|reactor| reactor.end(server.last_id(), Some(1000), b"a\xff")).expect("an open WebSocket");
    server.causing(|reactor| reactor.shut_down(server.app, 1001, b"b\xfe", None)).expect("a code");
    by_end.expect(frame(CLOSE, &[&[0x03, 0xe8][..], "a\u{fffd}".as_bytes()].concat()));
    by_shutdown.expect(frame(CLOSE, &[&[0x03, 0xe9][..], "b\u{fffd}".as_bytes()].concat()));
}
