//! Deadlines, with a simulated clock. A timeout is never early and less than two seconds late, because time is counted
//! in whole seconds.

use std::time::Duration;

use milliways_net::{SendStatus, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{
    CLOSE, Client, Event, GET, PING, PONG, Server, TEXT, UPGRADE, UPGRADED, frame, masked, ok, target,
};

const PING_FRAME: &[u8] = b"\x89\x00";
const TIMED_OUT: &str = "close 1006 WebSocket timed out from inactivity";

fn idle_after(idle_timeout: u32) -> WebSocketSettings {
    WebSocketSettings { idle_timeout, ..WebSocketSettings::default() }
}

/// Returns the Close frame for a WebSocket that has been silent for that many seconds.
fn away(seconds: u32) -> Vec<u8> {
    frame(CLOSE, &[b"\x03\xe9", format!("nothing received for {seconds} seconds").as_bytes()].concat())
}

fn almost(seconds: u64) -> Duration {
    Duration::from_millis(seconds * 1000 - 1)
}

#[test]
fn a_silent_websocket_is_pinged_a_margin_before_its_timeout_and_then_closed() {
    for (idle_timeout, margin) in [(8, 4), (15, 4), (16, 8), (31, 8), (32, 16), (120, 16), (960, 16)] {
        let server = Server::echo(idle_after(idle_timeout));
        let client = server.open();
        let ping_after = u64::from(idle_timeout) - margin;
        server.pass(almost(ping_after));
        client.expect_silence();
        server.pass_seconds(2);
        client.expect(PING_FRAME);
        client.expect_silence();
        server.expect_nothing();
        // The timeout counts from when something was last received, not from the Ping.
        server.pass(almost(margin - 2));
        client.expect_silence();
        server.pass_seconds(2);
        client.expect(away(idle_timeout));
        client.expect_end();
        server.expect(&[TIMED_OUT]);
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn whatever_is_received_keeps_a_websocket_open() {
    let server = Server::echo(idle_after(30));
    let client = server.open();
    for round in 0..20 {
        server.pass_seconds(24);
        client.expect(PING_FRAME);
        server.pass_seconds(4);
        client.send(match round % 4 {
            0 => masked(PONG, b""),
            1 => masked(PING, b""),
            2 => masked(0x01, b"fragment"),
            _ => masked(0x80, b""),
        });
        server.settle();
        match round % 4 {
            1 => client.expect(frame(PONG, b"")),
            3 => client.expect(frame(TEXT, b"fragment")),
            _ => {}
        }
    }
    client.expect_silence();
    // A part of a frame counts as well.
    for piece in masked(TEXT, b"0123456789").chunks(3) {
        server.pass_seconds(20);
        client.send(piece);
    }
    client.expect(frame(TEXT, b"0123456789"));
    client.expect_silence();
    assert!(!server.take_log().contains(&TIMED_OUT.to_owned()));
}

#[test]
fn a_busy_websocket_is_not_pinged() {
    let server = Server::echo(idle_after(30));
    let client = server.open();
    for _ in 0..100 {
        server.pass_seconds(7);
        client.send(masked(TEXT, b"x"));
        client.expect(frame(TEXT, b"x"));
    }
    client.expect_silence();
}

#[test]
fn what_is_sent_does_not_keep_a_websocket_open() {
    let server = Server::echo(idle_after(30));
    let client = server.open();
    let id = server.last_id();
    for _ in 0..29 {
        server.pass_seconds(1);
        server.send(id, Opcode::Text, b"x");
    }
    server.pass_seconds(2);
    server.expect(&[TIMED_OUT]);
    let received = client.read_rest().expect("FIN, not a reset");
    assert!(received.ends_with(&away(30)), "{}", received.escape_ascii());
}

#[test]
fn without_pings_a_silent_websocket_is_closed_all_the_same() {
    let server = Server::echo(WebSocketSettings { send_pings: false, ..idle_after(30) });
    let client = server.open();
    server.pass(almost(30));
    client.expect_silence();
    client.send(masked(TEXT, b"x"));
    client.expect(frame(TEXT, b"x"));
    server.pass(almost(30));
    client.expect_silence();
    server.pass_seconds(2);
    client.expect(away(30));
    client.expect_end();
    server.expect(&["text x", TIMED_OUT]);
}

#[test]
fn without_an_idle_timeout_nothing_ever_happens_and_nobody_is_woken() {
    let server = Server::echo(idle_after(0));
    let client = server.open();
    assert_eq!(server.next_deadline(), None);
    assert!(!server.reactor.has_work());
    server.pass_seconds(1_000_000);
    client.send(masked(TEXT, b"still here"));
    client.expect(frame(TEXT, b"still here"));
    assert_eq!(server.next_deadline(), None);
    assert!(!server.reactor.has_work());
}

#[test]
fn a_websocket_ends_with_its_lifetime() {
    for settings in [
        WebSocketSettings { max_lifetime: 1, ..idle_after(0) },
        WebSocketSettings { max_lifetime: 1, ..idle_after(960) },
        WebSocketSettings { max_lifetime: 1, ..idle_after(16) },
    ] {
        let server = Server::echo(settings);
        let client = server.open();
        for second in 0..60 {
            if second % 5 == 0 {
                client.send(masked(TEXT, b"x"));
                client.expect(frame(TEXT, b"x"));
            }
            server.pass(if second == 59 { almost(1) } else { Duration::from_secs(1) });
        }
        client.expect_silence();
        server.take_log();
        server.pass_seconds(2);
        client.expect([&b"\x88\x12\x03\xe8"[..], b"please reconnect"].concat());
        client.answer_close();
        server.expect(&["close 1000 please reconnect"]);
    }
}

#[test]
fn the_longest_lifetime() {
    let server = Server::echo(WebSocketSettings { max_lifetime: 240, ..idle_after(0) });
    let client = server.open();
    server.pass(almost(240 * 60));
    client.expect_silence();
    server.pass_seconds(2);
    server.expect(&["close 1000 please reconnect"]);
}

#[test]
fn a_websocket_whose_peer_does_not_read_is_dropped_in_the_end() {
    let server = Server::websocket(WebSocketSettings { max_backpressure: 0, ..idle_after(30) }, |_, _| {});
    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    while server.send(id, Opcode::Binary, &vec![0; 60_000]) != SendStatus::Backpressure {}
    server.pass(almost(30));
    server.expect_nothing();
    server.pass_seconds(2);
    server.expect(&[TIMED_OUT]);
    server.expect_empty();
}

#[test]
fn a_connection_that_says_nothing_is_dropped() {
    let server = Server::http(|_, _| {});
    let client = server.connect();
    server.pass(almost(10));
    client.expect_silence();
    server.pass_seconds(2);
    client.expect_gone();
    server.expect_empty();
    server.expect_nothing();
}

#[test]
fn a_head_must_be_complete_in_time_however_it_dribbles() {
    let server = Server::http(|_, _| {});
    let client = server.connect();
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "y".repeat(1000));
    for byte in head.as_bytes().iter().take(9) {
        client.send([*byte]);
        server.pass_seconds(1);
    }
    client.expect_silence();
    client.send(&head[9..10]);
    server.pass_seconds(2);
    client.expect_gone();
    server.expect_empty();
}

#[test]
fn a_connection_is_kept_for_the_next_request_for_a_while() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, "x");
        }
    });
    let client = server.connect();
    for _ in 0..5 {
        server.pass_seconds(8);
        client.send(GET);
        client.expect_response(&ok("x"));
    }
    server.pass(almost(10));
    client.expect_silence();
    server.pass_seconds(2);
    client.expect_gone();
    server.expect_empty();
}

#[test]
fn a_handler_may_take_its_time() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    let client = server.connect();
    client.send([GET, GET].concat());
    server.pass_seconds(10_000);
    assert_eq!(server.next_deadline(), None);
    server.respond(server.last_id(), "at last");
    client.expect_response(&ok("at last"));
    server.pass_seconds(10_000);
    client.expect_silence();
    server.respond(server.last_id(), "again");
    client.expect_response(&ok("again"));
    server.pass(almost(10));
    client.expect_silence();
    server.pass_seconds(2);
    client.expect_gone();
    assert_eq!(server.take_log().len(), 2);
}

#[test]
fn a_body_must_keep_a_pace() {
    // 16 KiB a second, over ten seconds.
    const PIECE: usize = 16 * 1024 * 10;
    let server = Server::http(|server, event| {
        if let Event::Request { id, request, .. } = event {
            if target(request).contains("wait") {
                server.reactor.await_response(*id).expect("a request");
                server.reactor.collect_body(*id, 10 * PIECE).expect("a request");
            } else {
                server.respond(*id, "early");
            }
        }
    });
    for (path, told) in [("/wait", vec!["request PUT /wait", "aborted"]), ("/", vec!["request PUT /"])] {
        let client = server.connect();
        client.send(format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", 10 * PIECE));
        if path == "/" {
            client.expect_response(&ok("early"));
        }
        for _ in 0..5 {
            server.pass_seconds(8);
            client.send(vec![b'x'; PIECE]);
        }
        server.pass_seconds(8);
        client.send("hardly anything");
        client.expect_silence();
        server.pass_seconds(4);
        client.expect_gone();
        server.expect(&told);
        server.expect_empty();
    }
}

#[test]
fn a_request_that_waits_behind_another_does_not_time_out_with_its_body() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    let client = server.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloPUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    server.expect(&["request PUT /"]);
    server.pass_seconds(100);
    server.respond(server.last_id(), "one");
    client.expect_response(&ok("one"));
    server.expect(&["request PUT /"]);
    // Now the timeout for the second body begins.
    server.pass(almost(10));
    server.expect_nothing();
    server.pass_seconds(2);
    server.expect(&["aborted"]);
    client.expect_gone();
}

fn large_response(close: bool) -> (Server, String) {
    let body = "0123456789abcdef".repeat(1 << 18);
    let response = ok(&body);
    let response = if close { response.replace("Date", "Connection: close\r\nDate") } else { response };
    let server = Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.respond(*id, body.as_bytes(), close).expect("a request");
        }
    });
    (server, response)
}

#[test]
fn a_response_that_is_not_read_ends_its_connection() {
    for close in [false, true] {
        let (server, _) = large_response(close);
        let client = server.connect_with_small_buffer();
        client.send(GET);
        server.expect(&["request GET /"]);
        server.pass(almost(10));
        assert_eq!(server.stats().connections, 1);
        server.pass_seconds(4);
        server.expect_empty();
        let received = client.read_rest().unwrap_or_default();
        assert!(received.len() < 4 << 20);
    }
}

/// Reads a response in pieces and lets time pass before each, two minutes in all.
fn read_slowly(server: &Server, client: &Client<'_>, response: &str) {
    let length = response.len() + "Sun, 06 Nov 1994 08:49:37 GMT".len() - 1;
    let piece = length / 20;
    let mut read = 0;
    while read < length {
        server.pass_seconds(6);
        read += client.read(piece.min(length - read)).len();
    }
}

#[test]
fn a_response_that_is_read_slowly_arrives() {
    let (server, response) = large_response(false);
    let client = server.connect_with_small_buffer();
    client.send(GET);
    server.expect(&["request GET /"]);
    read_slowly(&server, &client, &response);
    // The kernel delivers what it has taken by itself, so the server's timeout may have expired before this.
    server.pass_seconds(12);
    client.expect_gone();
}

#[test]
fn a_response_that_is_read_slowly_arrives_before_its_connection_is_closed() {
    let (server, response) = large_response(true);
    let client = server.connect_with_small_buffer();
    client.send(GET);
    server.expect(&["request GET /"]);
    read_slowly(&server, &client, &response);
    client.expect_end();
    server.pass_seconds(12);
    server.expect_empty();
}

#[test]
fn a_peer_that_does_not_answer_our_close_frame_or_our_fin_is_dropped() {
    for answers in [false, true] {
        let server = Server::echo(WebSocketSettings::default());
        let client = server.open();
        server.end(server.last_id(), 1000, "");
        client.expect(b"\x88\x02\x03\xe8");
        if answers {
            client.answer_close();
        }
        // What the peer sends does not give it more time.
        for _ in 0..9 {
            client.send(masked(TEXT, b"and another thing"));
            server.pass_seconds(1);
        }
        assert_eq!((server.stats().connections, server.stats().websockets), (1, 0));
        server.pass_seconds(2);
        server.expect_empty();
        server.expect(&["close 1000 "]);
    }
}

#[test]
fn a_peer_that_does_not_read_what_waited_at_the_end_is_dropped() {
    for message in [60_000, 3 << 20] {
        let server = Server::websocket(WebSocketSettings { max_backpressure: 0, ..idle_after(0) }, |_, _| {});
        let client = server.connect_with_small_buffer();
        client.upgrade();
        let id = server.last_id();
        while server.send(id, Opcode::Binary, &vec![0; message]) != SendStatus::Backpressure {}
        server.end(id, 1000, "");
        server.expect(&["close 1000 "]);
        // What the peer sends does not give it more time.
        client.send(masked(PING, b""));
        server.pass(almost(10));
        assert_eq!(server.stats().connections, 1);
        // The kernel may have taken a little more in the first second or two, which gives the peer more time.
        server.pass_seconds(4);
        server.expect_empty();
    }
}

#[test]
fn a_peer_that_reads_what_waited_at_the_end_slowly_gets_it_and_time_to_answer() {
    let server = Server::websocket(WebSocketSettings { max_backpressure: 0, ..idle_after(0) }, |_, _| {});
    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    let message = vec![7; 8 << 20];
    assert_eq!(server.send(id, Opcode::Binary, &message), SendStatus::Backpressure);
    server.end(id, 1000, "");
    let all = [frame(0x82, &message), b"\x88\x02\x03\xe8".to_vec()].concat();
    // The kernel holds the last third, so the server sees no progress while that is read.
    let (slowly, rest) = all.split_at(all.len() / 3 * 2);
    for piece in slowly.chunks(all.len() / 20) {
        server.pass_seconds(6);
        client.expect(piece);
    }
    client.expect(rest);
    server.pass_seconds(8);
    client.answer_close();
    client.finish();
    server.expect_empty();
}

#[test]
fn there_is_no_deadline_when_nothing_is_there() {
    let server = Server::echo(WebSocketSettings::default());
    assert_eq!(server.next_deadline(), None);
    let client = server.open();
    assert!(server.next_deadline().is_some());
    client.reset();
    server.expect_empty();
    assert_eq!(server.next_deadline(), None);
    // A time before the creation of the server does no harm, either.
    let before = server.now().checked_sub(Duration::from_secs(5)).expect("a machine that has been up for a while");
    server.turn_at(before);
    server.expire_at(before);
}

#[test]
fn many_deadlines_at_once() {
    let server = Server::echo(idle_after(30));
    let clients: Vec<_> = (0..100).map(|_| server.open()).collect();
    let silent = server.connect();
    server.pass_seconds(12);
    silent.expect_gone();
    server.pass_seconds(12);
    for client in &clients {
        client.expect(PING_FRAME);
    }
    for client in &clients[..50] {
        client.send(masked(PONG, b""));
    }
    server.pass_seconds(8);
    assert_eq!(server.stats().websockets, 50);
    for client in &clients[..50] {
        client.expect_silence();
    }
    for client in &clients[50..] {
        client.expect(away(30));
        client.expect_end();
    }
}

#[test]
fn a_websocket_that_could_not_be_pinged_in_time_is_pinged_late() {
    let server = Server::echo(idle_after(30));
    let client = server.open();
    let silent = server.open();
    server.stall(Duration::from_secs(1000));
    client.expect(PING_FRAME);
    silent.expect(PING_FRAME);
    server.expect_nothing();
    client.send(masked(PONG, b""));
    server.pass(almost(8));
    client.expect_silence();
    silent.expect_silence();
    server.pass_seconds(2);
    silent.expect(away(30));
    client.expect_silence();
    server.expect(&["pong ", TIMED_OUT]);
}

#[test]
fn what_waits_in_the_socket_is_read_before_a_deadline_ends_the_connection() {
    let server = Server::echo(idle_after(8));
    server.route("/http");
    let websocket = server.open();
    let http = server.connect();
    // These arrive while a handler blocks the thread for a minute. Afterwards, timers run first.
    websocket.send_some(&masked(TEXT, b"in time"));
    http.send_some(UPGRADE.as_bytes());
    server.stall(Duration::from_secs(60));
    websocket.expect(frame(TEXT, b"in time"));
    http.expect_response(UPGRADED);
    let mut log = server.take_log();
    log.sort_unstable();
    assert_eq!(log, ["open GET /", "text in time"]);
}
