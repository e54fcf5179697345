//! WebSockets: the bytes on the wire, and the events.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::rc::Rc;

use milliways_net::{AppSettings, ConnectionId, SendStatus, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{
    BINARY, CLOSE, Event, PING, PONG, Server, TEXT, UPGRADE, UPGRADED, bytes_of, frame, masked, noise, ok, opcode,
};

fn large() -> WebSocketSettings {
    WebSocketSettings { max_payload: 1 << 20, max_backpressure: 0, ..WebSocketSettings::default() }
}

#[test]
fn the_bytes_of_a_handshake() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.connect();
    client.send(UPGRADE);
    client.expect_response(UPGRADED);
    server.expect(&["open GET /"]);
    assert_eq!(server.stats().websockets, 1);

    let client = server.connect();
    client.send(UPGRADE.replace("Host: h", "Host: h\r\nSec-WebSocket-Protocol: chat, superchat"));
    client.expect_response(&UPGRADED.replace("Date", "Sec-WebSocket-Protocol: chat\r\nDate"));
    server.expect(&["open GET /"]);
    client.expect_silence();
}

#[test]
fn a_handshake_is_understood_however_it_is_split() {
    let server = Server::echo(WebSocketSettings::default());
    let input = [UPGRADE.as_bytes(), &masked(TEXT, b"hi"), &masked(PING, b"p")].concat();
    for split in (0..input.len()).step_by(3).chain(UPGRADE.len() - 3..input.len()) {
        let client = server.connect();
        let (first, second) = input.split_at(split);
        client.send_pieces(&[first, second]);
        client.expect_response(UPGRADED);
        client.expect([frame(TEXT, b"hi"), frame(PONG, b"p")].concat());
        server.expect(&["open GET /", "text hi", "ping p"]);
        client.reset();
        server.expect_empty();
        server.take_log();
    }
}

#[test]
fn a_request_to_upgrade_may_follow_others() {
    let server = Server::new(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    server.route("/http");
    server.websocket_route("/", WebSocketSettings::default());
    let client = server.connect();
    client.send(["GET /http HTTP/1.1\r\nHost: h\r\n\r\n".as_bytes(), UPGRADE.as_bytes(), &masked(TEXT, b"x")].concat());
    server.expect(&["request GET /http"]);
    server.respond(server.last_id(), "first");
    client.expect_response(&[&ok("first"), UPGRADED].concat());
    server.expect(&["open GET /", "text x"]);
}

#[test]
fn messages_come_back() {
    let server = Server::echo(large());
    let client = server.open();
    for length in [0, 1, 7, 125, 126, 1000, 65_535, 65_536, 300_000, 1 << 20] {
        let payload = noise(length, length as u64);
        client.send(masked(BINARY, &payload));
        client.expect(frame(BINARY, &payload));
        let text = "é€😀z".repeat(length / 10);
        client.send(masked(TEXT, text.as_bytes()));
        client.expect(frame(TEXT, text.as_bytes()));
        assert_eq!(server.take_log().len(), 2);
    }
    client.expect_silence();
}

#[test]
fn a_message_may_be_as_long_as_the_limit() {
    let server = Server::echo(WebSocketSettings { max_payload: 1000, ..WebSocketSettings::default() });
    let client = server.open();
    client.send(masked(BINARY, &[7; 1000]));
    client.expect(frame(BINARY, &[7; 1000]));
    client.send([masked(0x02, &[7; 999]), masked(PING, &[7; 125]), masked(0x80, b"7")].concat());
    client.expect([frame(PONG, &[7; 125]), frame(BINARY, &[&[7; 999][..], b"7"].concat())].concat());
    client.send([masked(0x02, &[7; 999]), masked(0x80, b"78")].concat());
    client.expect(frame(CLOSE, b"\x03\xf1message over maxPayloadLength of 1000 bytes"));
    client.expect_end();
}

#[test]
fn a_text_may_have_as_many_utf_16_code_units_as_the_limit() {
    let settings = WebSocketSettings { max_text: 10, ..large() };
    let server = Server::echo(settings);
    for (fits, is_over) in [
        ("0123456789", "0123456789a"),
        ("éééééééééé", "ééééééééééé"),
        ("€€€€€€€€€€", "€€€€€€€€€€a"),
        ("😀😀😀😀😀", "😀😀😀😀😀a"),
    ] {
        let (first, last) = is_over.as_bytes().split_at(4);
        for message in [masked(TEXT, is_over.as_bytes()), [masked(0x01, first), masked(0x80, last)].concat()] {
            let client = server.open();
            client.send([masked(BINARY, is_over.as_bytes()), masked(TEXT, fits.as_bytes())].concat());
            client.expect([frame(BINARY, is_over.as_bytes()), frame(TEXT, fits.as_bytes())].concat());
            server.take_log();
            client.send(message);
            client.expect(frame(CLOSE, b"\x03\xf1text over the longest string of 10 UTF-16 code units"));
            client.expect_end();
            server.expect(&["close 1006 Received too big message"]);
            client.finish();
            server.expect_empty();
        }
    }
}

/// Returns frames of every kind, the log of their events, and the frames with which an echo server answers.
fn mixed_frames() -> (Vec<u8>, Vec<String>, Vec<u8>) {
    let payload = noise(200, 9);
    let input = [
        masked(TEXT, b"hello"),
        masked(BINARY, b""),
        masked(PING, b"a"),
        masked(0x01, "aé".as_bytes()),
        masked(PING, b"between"),
        masked(0x00, b""),
        masked(PONG, b""),
        masked(0x80, "€".as_bytes()),
        masked(0x02, b""),
        masked(0x80, &payload),
        masked(BINARY, &payload),
    ]
    .concat();
    let log = [
        "text hello".to_owned(),
        "binary ".to_owned(),
        "ping a".to_owned(),
        "ping between".to_owned(),
        "pong ".to_owned(),
        format!("text {}", "aé€".as_bytes().escape_ascii()),
        format!("binary {}", payload.escape_ascii()),
        format!("binary {}", payload.escape_ascii()),
    ];
    let output = [
        frame(TEXT, b"hello"),
        frame(BINARY, b""),
        frame(PONG, b"a"),
        frame(PONG, b"between"),
        frame(TEXT, "aé€".as_bytes()),
        frame(BINARY, &payload),
        frame(BINARY, &payload),
    ]
    .concat();
    (input, log.to_vec(), output)
}

#[test]
fn frames_are_understood_however_they_are_split() {
    let (input, log, output) = mixed_frames();
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    for split in 0..=input.len() {
        let (first, second) = input.split_at(split);
        client.send_pieces(&[first, second]);
        client.expect(&output);
        assert_eq!(server.take_log(), log, "split at {split}");
    }
    client.send_pieces(&input.chunks(1).collect::<Vec<_>>());
    client.expect(&output);
    server.settle();
    assert_eq!(server.take_log(), log);
    client.expect_silence();
}

#[test]
fn what_a_batch_of_frames_is_answered_with_goes_out_at_its_end() {
    let probe = Rc::new(RefCell::new(None::<TcpStream>));
    let server = Server::websocket(WebSocketSettings::default(), {
        let probe = Rc::clone(&probe);
        move |server, event| {
            if let Event::Message { id, payload, .. } = event {
                assert_eq!(server.send(*id, Opcode::Text, bytes_of(payload)), SendStatus::Sent);
                let mut probe = probe.borrow_mut();
                let stream = probe.as_mut().expect("a client");
                let outcome = stream.read(&mut [0]).map_err(|error| error.kind());
                assert_eq!(outcome, Err(ErrorKind::WouldBlock), "sent before the end of the batch");
            }
        }
    });
    let client = server.open();
    probe.replace(Some(client.stream.try_clone().expect("a descriptor")));
    client.send([masked(TEXT, b"1"), masked(PING, b"2"), masked(TEXT, b"3"), masked(TEXT, b"4")].concat());
    server.until("all messages", || server.log_lines().len() == 4);
    let answer = client.read_some().expect("an answer").expect("a connection");
    let expected = [frame(TEXT, b"1"), frame(PONG, b"2"), frame(TEXT, b"3"), frame(TEXT, b"4")].concat();
    assert_eq!(answer.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert!(!server.take_log().iter().any(|line| line.starts_with("panicked")));
}

#[test]
fn what_is_sent_to_many_inside_one_handler_arrives_in_order() {
    let everyone = Rc::new(RefCell::new(BTreeSet::new()));
    let server = Server::websocket(WebSocketSettings::default(), {
        let everyone = Rc::clone(&everyone);
        move |server, event| match event {
            Event::Open { id, .. } => {
                everyone.borrow_mut().insert((id.slot.0, id.generation.0));
            }
            Event::Message { id, payload, .. } => {
                for number in 0..3 {
                    for (slot, generation) in everyone.borrow().iter() {
                        let to = ConnectionId::new(*slot, *generation);
                        server.send(to, Opcode::Text, &[bytes_of(payload), &[b'0' + number]].concat());
                    }
                    server.send(*id, Opcode::Text, b"you");
                }
            }
            _ => {}
        }
    });
    let clients: Vec<_> = (0..20).map(|_| server.open()).collect();
    clients[3].send([masked(TEXT, b"a"), masked(TEXT, b"b")].concat());
    for (index, client) in clients.iter().enumerate() {
        let mut expected = Vec::new();
        for letter in ["a", "b"] {
            for number in 0..3 {
                expected.extend(frame(TEXT, format!("{letter}{number}").as_bytes()));
                if index == 3 {
                    expected.extend(frame(TEXT, b"you"));
                }
            }
        }
        client.expect(expected);
        client.expect_silence();
    }
}

#[test]
fn what_is_sent_outside_of_events_goes_out_with_the_next_pump() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    let id = server.last_id();
    assert_eq!(server.send(id, Opcode::Text, b"1"), SendStatus::Sent);
    assert_eq!(server.reactor.ping(id, b"2"), Ok(SendStatus::Sent));
    assert!(client.read_some().is_none());
    assert!(server.reactor.has_work());
    server.pump();
    client.expect([frame(TEXT, b"1"), frame(PING, b"2")].concat());

    let outer = server.reactor.cork(id).expect("an open WebSocket");
    server.send(id, Opcode::Text, b"3");
    server.send(id, Opcode::Text, b"4");
    server.pump();
    assert!(client.read_some().is_none());
    server.reactor.uncork(id.slot, outer);
    client.expect([frame(TEXT, b"3"), frame(TEXT, b"4")].concat());
}

#[test]
fn fragments_and_pings_of_the_servers_own() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    let id = server.last_id();
    let reactor = &server.reactor;
    for (opcode, fin, payload) in
        [(Opcode::Text, false, &b"a"[..]), (Opcode::Continuation, false, b""), (Opcode::Continuation, true, b"b")]
    {
        assert_eq!(reactor.send(id, opcode, fin, payload), Ok(SendStatus::Sent));
    }
    assert_eq!(reactor.ping(id, &[b'p'; 200]), Ok(SendStatus::Sent));
    server.pump();
    client.expect([frame(0x01, b"a"), frame(0x00, b""), frame(0x80, b"b"), frame(PING, &[b'p'; 125])].concat());
    client.send(masked(PONG, b"any"));
    server.expect(&["pong any"]);
}

#[test]
fn messages_whose_length_is_known_last() {
    let server = Server::echo(large());
    let client = server.open();
    let id = server.last_id();
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
        let payload = noise(length, 3);
        for _ in 0..2 {
            let status =
                server.reactor.send_with(id, Opcode::Binary, true, |output| output.extend_from_slice(&payload));
            assert!(status.is_ok());
        }
        server.pump();
        client.expect([frame(BINARY, &payload), frame(BINARY, &payload)].concat());
    }
}

#[test]
fn a_client_that_pings_and_never_reads_does_not_fill_the_servers_memory() {
    let server = Server::websocket(WebSocketSettings::default(), |_, _| {});
    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    let pings = masked(PING, &[b'p'; 125]).repeat(500);
    for _ in 0..200 {
        client.send(&pings);
        server.take_log();
        // Only the most recent Ping has to be answered (RFC 6455 section 5.5.3).
        let buffered = server.reactor.buffered_amount(id).expect("an open WebSocket");
        assert!(buffered < 1 << 20, "{buffered} bytes of Pong frames");
    }
}

#[test]
fn two_apps_have_their_own_routes() {
    let server = Server::echo(WebSocketSettings::default());
    let other = server.reactor.add_app(AppSettings::default());
    let listener = server.reactor.listen(other, Some("127.0.0.1"), 0, false).expect("a free port");
    let port = server.reactor.local_port(listener).expect("a listener");
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).expect("the other app listens");
    stranger.set_nonblocking(true).expect("a socket");
    std::io::Write::write_all(&mut stranger, UPGRADE.as_bytes()).expect("room");
    let mut response = Vec::new();
    server.until("404", || {
        let mut piece = [0; 1000];
        if let Ok(length) = stranger.read(&mut piece) {
            response.extend_from_slice(&piece[..length]);
        }
        response.ends_with(b"</html>")
    });
    assert!(response.starts_with(b"HTTP/1.1 404"));
    server.expect_nothing();
}

#[test]
fn a_handler_that_turns_the_reactor_does_no_harm() {
    let depth = Rc::new(Cell::new(0));
    let server = Server::websocket(WebSocketSettings::default(), {
        let depth = Rc::clone(&depth);
        move |server, event| {
            depth.set(depth.get() + 1);
            assert_eq!(depth.get(), 1, "an event inside an event");
            if let Event::Message { id, payload, binary, .. } = event {
                server.send(*id, opcode(*binary), bytes_of(payload));
                server.turn();
                server.pump();
            }
            depth.set(depth.get() - 1);
        }
    });
    let client = server.open();
    client.send([masked(TEXT, b"1"), masked(TEXT, b"2"), masked(BINARY, b"3")].concat());
    client.expect([frame(TEXT, b"1"), frame(TEXT, b"2"), frame(BINARY, b"3")].concat());
    server.expect(&["text 1", "text 2", "binary 3"]);
}

#[test]
fn a_paused_websocket_is_not_read_and_does_not_time_out() {
    let settings = WebSocketSettings { idle_timeout: 16, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |server, event| {
        if let Event::Message { id, payload, .. } = event
            && bytes_of(payload) == b"pause"
        {
            server.reactor.pause_websocket(*id).expect("an open WebSocket");
        }
    });
    let client = server.open();
    let id = server.last_id();
    server.take_log();
    // Frames that have been read together with the message are kept.
    client.send([masked(TEXT, b"pause"), masked(TEXT, b"kept"), masked(PING, b"p")].concat());
    server.expect(&["text pause"]);
    client.send(masked(TEXT, b"unread"));
    server.pass_seconds(100);
    server.expect_nothing();
    client.expect_silence();
    // Messages can still be sent to it.
    server.send(id, Opcode::Text, b"hello");
    server.pump();
    client.expect(frame(TEXT, b"hello"));
    server.reactor.resume_websocket(id).expect("an open WebSocket");
    server.pump();
    server.expect(&["text kept", "ping p", "text unread"]);
    client.expect(frame(PONG, b"p"));
    // The idle timeout begins anew.
    server.pass_seconds(9);
    client.expect(frame(PING, b""));
}

#[test]
fn a_paused_websocket_ends_when_its_peer_has_gone() {
    let server = Server::echo(WebSocketSettings::default());
    for resumes in [false, true] {
        let client = server.open();
        let id = server.last_id();
        server.reactor.pause_websocket(id).expect("an open WebSocket");
        server.take_log();
        client.send(masked(TEXT, b"unread"));
        server.settle();
        if resumes {
            client.send(masked(CLOSE, b"\x03\xe8"));
            server.expect_nothing();
            server.reactor.resume_websocket(id).expect("an open WebSocket");
            server.expect(&["text unread", "close 1000 "]);
        } else {
            client.reset();
            server.until("the end", || !server.log_lines().is_empty());
            assert!(server.take_log()[0].starts_with("close 1006"));
        }
    }
}

#[test]
fn a_paused_websocket_slows_its_peer_down() {
    let server =
        Server::websocket(WebSocketSettings { max_payload: 1 << 20, ..WebSocketSettings::default() }, |_, _| {});
    let client = server.open();
    let id = server.last_id();
    server.reactor.pause_websocket(id).expect("an open WebSocket");
    server.take_log();
    let message = masked(BINARY, &vec![1; 60_000]);
    let mut sent = 0;
    loop {
        let some = client.send_some(&message[sent % message.len()..]);
        server.settle();
        if some == 0 {
            break;
        }
        sent += some;
        assert!(sent < 64 << 20, "the kernel takes whatever comes");
    }
    server.expect_nothing();
    server.reactor.resume_websocket(id).expect("an open WebSocket");
    let whole = sent / message.len();
    server.until("all that was sent", || server.log_lines().len() == whole);
}
