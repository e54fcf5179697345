//! How WebSockets end: the events, and the bytes on the wire.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use milliways_net::{
    AppSettings, ConnectionId, EndError, Generation, ResponseError, SendError, SendStatus, Slot, Stale,
    WebSocketSettings,
};
use milliways_proto::ws::Opcode;

use crate::support::{
    BINARY, CLOSE, Event, GET, PING, PONG, Server, TEXT, UPGRADE, UPGRADED, bytes_of, frame, masked, ok,
};

/// A server that executes the commands in text messages and echoes any other text.
fn commanded() -> Server {
    Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Message { id, payload, .. } = event {
            match bytes_of(payload) {
                b"end" => server.end(*id, 4001, "bye"),
                b"close" => server.close(*id),
                b"close app" => server.close_app(server.app),
                other => _ = server.send(*id, Opcode::Text, other),
            }
        }
    })
}

#[test]
fn the_client_closes() {
    let server = Server::echo(WebSocketSettings::default());
    for (payload, told) in [
        (&b"\x03\xe8r"[..], "close 1000 r"),
        (b"", "close 1005 "),
        (b"\x0b\xb8", "close 3000 "),
        (b"\x0f\xa1\xc3\xa9", r"close 4001 \xc3\xa9"),
    ] {
        let client = server.open();
        // Nothing after a Close frame is read.
        client.send([masked(CLOSE, payload), masked(TEXT, b"ignored"), masked(CLOSE, b"")].concat());
        client.expect(frame(CLOSE, payload));
        client.expect_end();
        server.expect(&[told]);
        assert_eq!((server.stats().connections, server.stats().websockets), (1, 0));
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn the_server_closes() {
    let server = Server::echo(WebSocketSettings::default());
    let long = "é".repeat(100);
    for (code, reason, wire, told) in [
        (4001, "bye", frame(CLOSE, b"\x0f\xa1bye"), "close 4001 bye".to_owned()),
        (1000, "", frame(CLOSE, b"\x03\xe8"), "close 1000 ".to_owned()),
        // Without a code.
        (0, "", frame(CLOSE, b""), "close 0 ".to_owned()),
        (0, "lost", frame(CLOSE, b""), "close 0 lost".to_owned()),
        (
            4000,
            &long,
            frame(CLOSE, &[b"\x0f\xa0", "é".repeat(61).as_bytes()].concat()),
            format!("close 4000 {}", long.as_bytes().escape_ascii()),
        ),
    ] {
        let client = server.open();
        let id = server.last_id();
        server.end(id, code, reason);
        // The event has been handled before `end` returned.
        assert_eq!(server.take_log(), [told]);
        assert_eq!(server.stats().websockets, 0);
        assert_eq!(server.causing(|reactor| reactor.end(id, Some(1000), b"")), Err(EndError::Stale));
        server.pump();
        client.expect(wire);
        // The peer may go on sending for a while. That causes no events.
        client.send(masked(TEXT, b"late"));
        client.answer_close();
        client.send([masked(TEXT, b"later"), masked(CLOSE, b"\x0f\xa1bye")].concat());
        server.expect_nothing();
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn a_code_that_must_not_be_sent_is_not_and_nothing_is_closed() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    let id = server.last_id();
    for code in (0..1000).chain(1004..1007).chain(1015..3000).chain([5000, 5001, u16::MAX]) {
        assert_eq!(server.causing(|reactor| reactor.end(id, Some(code), b"")), Err(EndError::InvalidCode(code)));
    }
    server.pump();
    client.expect_silence();
    server.expect_nothing();
    client.send(masked(TEXT, b"still open"));
    client.expect(frame(TEXT, b"still open"));
    server.expect(&["text still open"]);
    for code in (1000..1004).chain(1007..1015).chain([3000, 3999, 4000, 4999]) {
        let client = server.open();
        server.end(server.last_id(), code, "");
        server.pump();
        client.expect(frame(CLOSE, &code.to_be_bytes()));
        client.answer_close();
        client.finish();
        server.expect(&[&format!("close {code} ")]);
        server.until("the end of the connection", || server.stats().connections == 1);
    }
}

#[test]
fn the_server_drops_the_connection() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    server.close(server.last_id());
    assert_eq!(server.take_log(), ["close 1006 "]);
    client.expect_gone();
    server.expect_empty();
}

#[test]
fn each_violation_has_its_code_on_the_wire_and_its_reason() {
    let server = Server::echo(WebSocketSettings { max_payload: 100, ..WebSocketSettings::default() });
    let frame_reason = "Received invalid WebSocket frame";
    let (reserved, opcode) = ("frame with RSV2 or RSV3 set", "frame with the reserved opcode");
    let rsv1 = "RSV1 set without permessage-deflate, or not in a message's first frame";
    let length = "payload length in more bytes than needed, or of more than 63 bits";
    let (too_big, over) = ("Received too big message", "message over maxPayloadLength of 100 bytes");
    let (utf8, not_utf8) = ("Received invalid UTF-8", "text that is not UTF-8");
    let close_reason = "Received invalid close payload";
    for (input, code, reason, told) in [
        (b"\x81\x01a".to_vec(), 1002_u16, frame_reason, "frame without a mask"),
        (masked(0xC1, b"a"), 1002, frame_reason, rsv1),
        (masked(0xA1, b"a"), 1002, frame_reason, reserved),
        (masked(0x91, b"a"), 1002, frame_reason, reserved),
        (masked(0x83, b"a"), 1002, frame_reason, &format!("{opcode} 3")),
        (masked(0x8B, b"a"), 1002, frame_reason, &format!("{opcode} 11")),
        (masked(0x09, b"a"), 1002, frame_reason, "control frame in fragments"),
        (masked(PING, &[0; 126]), 1002, frame_reason, "control frame of more than 125 bytes"),
        (masked(CLOSE, &[0; 126]), 1002, frame_reason, "control frame of more than 125 bytes"),
        (masked(0x80, b"a"), 1002, frame_reason, "continuation frame without a message to continue"),
        (
            [masked(0x01, b"a"), masked(TEXT, b"b")].concat(),
            1002,
            frame_reason,
            "message between the fragments of another",
        ),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00".to_vec(), 1002, frame_reason, length),
        (b"\x82\xfe\x00\x01".to_vec(), 1002, frame_reason, length),
        (masked(BINARY, &[0; 101])[..6].to_vec(), 1009, too_big, over),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04".to_vec(), 1009, too_big, over),
        (masked(TEXT, b"a\xffb"), 1007, utf8, not_utf8),
        (masked(0x01, b"\xed\xa0")[..8].to_vec(), 1007, utf8, not_utf8),
        (masked(TEXT, b"\xe2\x82"), 1007, utf8, not_utf8),
        (masked(CLOSE, b"\x03"), 1002, close_reason, "close frame with a payload of one byte"),
        (masked(CLOSE, b"\x03\xed"), 1002, close_reason, "close frame with the code 1005"),
        (masked(CLOSE, b"\x03\xe8\xff"), 1002, close_reason, "close frame with a reason that is not UTF-8"),
    ] {
        // A valid message before the violation is still answered.
        let client = server.open();
        client.send([masked(TEXT, b"good"), input.clone()].concat());
        let close = [&code.to_be_bytes(), told.as_bytes()].concat();
        client.expect([frame(TEXT, b"good"), frame(CLOSE, &close)].concat());
        client.expect_end();
        server.expect(&["text good", &format!("close 1006 {reason}")]);
        assert_eq!(server.stats().websockets, 0, "{}", input.escape_ascii());
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn a_client_that_finishes_without_a_close_frame() {
    let server = Server::echo(WebSocketSettings::default());
    let whole = masked(TEXT, b"hello");
    // Between frames, in a header, in a payload, between fragments.
    for input in [&[][..], &whole[..1], &whole[..5], &whole[..8], &masked(0x01, b"a")] {
        let client = server.open();
        client.send([masked(TEXT, b"x"), input.to_vec()].concat());
        client.finish();
        client.expect(frame(TEXT, b"x"));
        client.expect_end();
        server.expect(&["text x", "close 1006 Received TCP FIN before WebSocket close frame"]);
        server.expect_empty();
    }
}

#[test]
fn a_client_that_finishes_right_behind_its_close_frame() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    client.send(masked(CLOSE, b"\x03\xe8r"));
    client.finish();
    client.expect(frame(CLOSE, b"\x03\xe8r"));
    client.expect_end();
    server.expect(&["close 1000 r"]);
    server.expect_empty();
}

#[test]
fn a_reset_ends_a_connection_in_every_state() {
    let server = commanded();
    let nothing: &[&str] = &[];
    let head = &UPGRADE[..50];
    for head in ["", head] {
        let client = server.connect();
        client.send(head);
        server.settle();
        client.reset();
        server.expect_empty();
        server.expect(nothing);
    }

    let whole = masked(TEXT, b"hello");
    for input in [&[][..], &whole[..1], &whole[..8], &masked(0x01, b"a")] {
        let client = server.open();
        client.send(input);
        server.settle();
        client.reset();
        server.expect(&["close 1006 "]);
        server.expect_empty();
    }

    // While the server waits for the peer's Close frame, or for its FIN.
    for answers in [false, true] {
        let client = server.open();
        client.send(masked(TEXT, b"end"));
        client.expect(frame(CLOSE, b"\x0f\xa1bye"));
        if answers {
            client.answer_close();
        }
        client.reset();
        server.expect_empty();
        server.expect(&["text end", "close 4001 bye"]);
    }

    // With output waiting.
    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    while server.send(id, Opcode::Binary, &vec![0; 60_000]) != SendStatus::Backpressure {}
    client.reset();
    // There is no `drain`, because the socket has not taken anything.
    server.expect(&["close 1006 "]);
    server.expect_empty();
}

#[test]
fn ending_inside_open() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Open { id, .. } = event {
            server.send(*id, Opcode::Text, b"no");
            server.end(*id, 4000, "full");
            assert_eq!(server.reactor.send(*id, Opcode::Text, true, b""), Err(SendError::Closed));
        }
    });
    let client = server.connect();
    client.send([UPGRADE.as_bytes(), &masked(TEXT, b"not read")].concat());
    client.expect_response(UPGRADED);
    client.expect([frame(TEXT, b"no"), frame(CLOSE, b"\x0f\xa0full")].concat());
    client.answer_close();
    server.expect(&["open GET /", "close 4000 full"]);
    client.finish();
    server.expect_empty();
}

#[test]
fn closing_inside_open() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Open { id, .. } = event {
            server.close(*id);
        }
    });
    let client = server.connect();
    client.send([UPGRADE.as_bytes(), &masked(TEXT, b"not read")].concat());
    let rest = client.read_rest().unwrap_or_default();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 101 "), "{}", rest.escape_ascii());
    server.expect(&["open GET /", "close 1006 "]);
    server.expect_empty();
}

#[test]
fn closing_inside_a_batch_drops_the_rest_of_it() {
    let server = commanded();
    for (command, told, wire) in
        [("end", "close 4001 bye", frame(CLOSE, b"\x0f\xa1bye")), ("close", "close 1006 ", Vec::new())]
    {
        let client = server.open();
        client.send(
            [masked(TEXT, b"1"), masked(TEXT, command.as_bytes()), masked(TEXT, b"2"), masked(0x83, b"")].concat(),
        );
        if command == "end" {
            client.expect([frame(TEXT, b"1"), wire].concat());
            client.expect_end();
            client.finish();
        }
        server.expect(&["text 1", &format!("text {command}"), told]);
        server.expect_empty();
    }
}

#[test]
fn closing_inside_ping_and_pong() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| match event {
        Event::Ping { id, .. } => server.end(*id, 4002, ""),
        Event::Pong { id, .. } => server.end(*id, 4003, ""),
        _ => {}
    });
    let client = server.open();
    client.send([masked(PING, b"x"), masked(TEXT, b"not read")].concat());
    client.expect([frame(PONG, b"x"), frame(CLOSE, b"\x0f\xa2")].concat());
    client.answer_close();
    server.expect(&["ping x", "close 4002 "]);
    let client = server.open();
    client.send([masked(PONG, b"x"), masked(TEXT, b"not read")].concat());
    client.expect(frame(CLOSE, b"\x0f\xa3"));
    server.expect(&["pong x", "close 4003 "]);
}

#[test]
fn nothing_can_be_done_with_a_websocket_that_has_closed() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Close { id, .. } = event {
            check_stale(server, *id);
        }
    });
    let client = server.open();
    client.send(masked(CLOSE, b""));
    server.expect(&["close 1005 "]);
    check_stale(&server, server.last_id());
    client.expect(frame(CLOSE, b""));
    client.expect_end();
    client.finish();
    server.expect_empty();
    check_stale(&server, server.last_id());

    // The old id does not refer to the next connection in its slot.
    let old = server.last_id();
    let client = server.open();
    assert_eq!(server.last_id().slot, old.slot);
    check_stale(&server, old);
    client.expect_silence();
}

fn check_stale(server: &Server, id: ConnectionId) {
    let reactor = &server.reactor;
    assert_eq!(reactor.send(id, Opcode::Text, true, b"x"), Err(SendError::Closed));
    assert_eq!(reactor.send(id, Opcode::Binary, true, &vec![0; 100_000]), Err(SendError::Closed));
    assert_eq!(reactor.send_with(id, Opcode::Text, true, |_| unreachable!("nothing is sent")), Err(SendError::Closed));
    assert_eq!(reactor.ping(id, b""), Err(SendError::Closed));
    assert_eq!(reactor.buffered_amount(id), Err(Stale));
    assert_eq!(reactor.check_websocket(id), Err(Stale));
    assert_eq!(reactor.end(id, Some(1000), b""), Err(EndError::Stale));
    assert_eq!(reactor.close(id), Err(Stale));
    // The id is not that of a request, either.
    assert_eq!(reactor.respond(id, b"", false), Err(ResponseError::Complete));
}

#[test]
fn an_id_of_the_one_kind_is_stale_for_the_other() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    let id = server.last_id();
    assert_eq!(server.reactor.respond(id, b"", false), Err(ResponseError::Complete));
    assert_eq!(server.reactor.await_response(id), Err(Stale));
    assert_eq!(server.causing(|reactor| reactor.close_response(id)), Err(Stale));
    server.causing(|reactor| reactor.fail_response(id));
    client.expect_silence();

    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            check_websocket_stale(server, *id);
            server.respond(*id, "fine");
        }
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(&ok("fine"));
}

fn check_websocket_stale(server: &Server, id: ConnectionId) {
    assert_eq!(server.reactor.send(id, Opcode::Text, true, b""), Err(SendError::Closed));
    assert_eq!(server.causing(|reactor| reactor.end(id, Some(1000), b"")), Err(EndError::Stale));
    assert_eq!(server.causing(|reactor| reactor.close(id)), Err(Stale));
    assert_eq!(server.reactor.buffered_amount(id), Err(Stale));
    for id in [
        ConnectionId { slot: Slot(u32::MAX), ..id },
        ConnectionId { generation: Generation(id.generation.0 + 1), ..id },
    ] {
        assert_eq!(server.reactor.send(id, Opcode::Text, true, b""), Err(SendError::Closed));
    }
}

#[test]
fn closing_the_app_inside_a_handler() {
    let server = commanded();
    let other = server.reactor.add_app(AppSettings::default());
    let listener = server.reactor.listen(other, Some("127.0.0.1"), 0, false).expect("a free port");
    let first = server.open();
    let second = server.open();
    let third = server.connect();
    let port = server.reactor.local_port(listener).expect("a listener");
    let stranger = TcpStream::connect(("127.0.0.1", port)).expect("the other app listens");
    server.until("four connections", || server.stats().connections == 4);

    second.send([masked(TEXT, b"close app"), masked(TEXT, b"not read")].concat());
    server.expect(&["text close app", "close 1006 ", "close 1006 "]);
    for client in [&first, &second, &third] {
        client.expect_gone();
    }
    assert_eq!((server.stats().connections, server.stats().websockets, server.stats().listeners), (1, 0, 1));
    assert_eq!(server.reactor.local_port(server.listener), None);
    assert!(server.reactor.is_active());
    // The other app is not affected.
    stranger.set_nonblocking(true).expect("a socket");
    assert_eq!((&stranger).read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    server.close_app(other);
    assert!(!server.reactor.is_active());
}

#[test]
fn our_fin_waits_for_the_close_frame_of_the_peer_at_every_split() {
    let frames = [
        masked(0x01, b"the first half,"),
        masked(PING, b"still there?"),
        masked(0x80, b"the second"),
        masked(BINARY, &[0; 1000]),
    ]
    .concat();
    let close = masked(CLOSE, b"\x03\xe8");
    let all = [&frames[..], &close].concat();
    for split in (0..40).chain([frames.len(), frames.len() + 1, frames.len() + 7]) {
        // The first part arrives after the server has ended the WebSocket, or before.
        for before in [false, true] {
            let server = Server::echo(WebSocketSettings::default());
            let client = server.open();
            if before {
                client.send(&all[..split]);
                server.settle();
            }
            server.end(server.last_id(), 1000, "");
            server.settle();
            while matches!(client.read_some(), Some(Ok(bytes)) if !bytes.is_empty()) {}
            if !before {
                client.send(&all[..split]);
            }
            client.expect_silence();
            client.send(&all[split..]);
            client.expect_end();
            client.finish();
            server.expect_empty();
        }
    }
}

#[test]
fn our_fin_does_not_wait_for_who_says_nothing_that_counts() {
    for bytes in [b"\xff".to_vec(), masked(BINARY, &vec![0; 70_000])] {
        let server = Server::echo(WebSocketSettings::default());
        let client = server.open();
        server.end(server.last_id(), 1000, "");
        client.expect(b"\x88\x02\x03\xe8");
        client.send(bytes.repeat(2));
        client.expect_end();
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn a_cork_may_be_closed_in() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    let id = server.last_id();
    let outer = server.reactor.cork(id).expect("an open WebSocket");
    server.send(id, Opcode::Text, b"last");
    server.end(id, 4000, "");
    server.reactor.uncork(id.slot, outer);
    client.expect([frame(TEXT, b"last"), frame(CLOSE, b"\x0f\xa0")].concat());
    client.answer_close();
    client.finish();
    server.take_log();
    server.expect_empty();

    let client = server.open();
    let id = server.last_id();
    let outer = server.reactor.cork(id).expect("an open WebSocket");
    server.close(id);
    server.reactor.uncork(id.slot, outer);
    client.expect_gone();
    server.take_log();
    server.expect_empty();
}
