//! Control frames for clients that read slowly: they do not wait behind messages.

use milliways_net::{ConnectionId, SendStatus, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{BINARY, CLOSE, Client, PING, PONG, Server, TEXT, frame, frames, masked, noise};

fn unlimited() -> WebSocketSettings {
    WebSocketSettings { max_backpressure: 0, ..WebSocketSettings::default() }
}

fn open_slow(server: &Server) -> (Client<'_>, ConnectionId) {
    let client = server.connect_with_small_buffer();
    client.upgrade();
    (client, server.last_id())
}

fn buffered(server: &Server, id: ConnectionId) -> usize {
    server.reactor.buffered_amount(id).expect("an open WebSocket")
}

/// Sends messages of `length` bytes until the socket takes no more, and then some that wait in full. Returns the
/// frames.
fn fill(server: &Server, id: ConnectionId, length: usize) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut waiting = 0;
    while waiting < 20 {
        let payload = noise(length, sent.len() as u64 + 1);
        assert_ne!(server.send(id, Opcode::Binary, &payload), SendStatus::Dropped);
        sent.push(frame(BINARY, &payload));
        server.pump();
        server.settle();
        waiting += usize::from(buffered(server, id) > 0);
    }
    server.take_log();
    sent
}

/// Waits for these pings. The kernel may take more output at any time, so there may be drains between them.
#[track_caller]
fn expect_pings(server: &Server, lines: &[&str]) {
    let pings = || server.log_lines().into_iter().filter(|line| line != "drain").collect::<Vec<_>>();
    server.until(&format!("{lines:?}"), || pings().len() >= lines.len());
    server.settle();
    assert_eq!(pings(), lines);
    server.take_log();
}

/// Returns the number of frames that have been sent at least in part.
fn begun(server: &Server, id: ConnectionId, sent: &[Vec<u8>]) -> usize {
    let total: usize = sent.iter().map(Vec::len).sum();
    let mut left = total - buffered(server, id);
    sent.iter()
        .take_while(|frame| {
            let is_begun = left > 0;
            left = left.saturating_sub(frame.len());
            is_begun
        })
        .count()
}

/// Reads all that has been sent.
fn read_to_the_end(server: &Server, client: &Client<'_>, id: ConnectionId) -> Vec<u8> {
    let end = frame(TEXT, b"the end");
    server.send(id, Opcode::Text, b"the end");
    server.pump();
    let mut received = Vec::new();
    server.until("all that was sent", || {
        while let Some(Ok(more)) = client.read_some() {
            received.extend(more);
        }
        received.ends_with(&end)
    });
    received.truncate(received.len() - end.len());
    received
}

#[test]
fn the_newest_ping_is_answered_ahead_of_what_waits() {
    for length in [100, 10_000, 300_000, 4 << 20] {
        let server = Server::websocket(unlimited(), |_, _| {});
        let (client, id) = open_slow(&server);
        let mut sent = fill(&server, id, length);
        let before = buffered(&server, id);
        let begun = begun(&server, id, &sent);
        assert!(begun < sent.len());
        client.send([masked(PING, b"1"), masked(PING, b"the second"), masked(PING, b"3")].concat());
        expect_pings(&server, &["ping 1", "ping the second", "ping 3"]);
        assert_eq!(buffered(&server, id), before + frame(PONG, b"3").len());
        sent.insert(begun, frame(PONG, b"3"));
        client.expect(sent.concat());
        client.expect_silence();
        assert_eq!(buffered(&server, id), 0);
    }
}

#[test]
fn each_ping_is_answered_while_a_long_queue_is_read() {
    let server = Server::websocket(unlimited(), |_, _| {});
    let (client, id) = open_slow(&server);
    let sent = fill(&server, id, 100_000);
    let (mut received, mut pings) = (Vec::new(), 0);
    while server.reactor.buffered_amount(id) != Ok(0) {
        pings += 1;
        client.send(masked(PING, format!("{pings}").as_bytes()));
        server.settle();
        received.extend(client.read(150_000));
    }
    received.extend(read_to_the_end(&server, &client, id));
    let (answers, messages): (Vec<_>, Vec<_>) = frames(&received).into_iter().partition(|(first, _)| *first == PONG);
    assert!(messages.iter().map(|(first, payload)| frame(*first, payload)).eq(sent.iter().cloned()));
    let answered: Vec<u32> =
        answers.iter().map(|(_, payload)| String::from_utf8_lossy(payload).parse().expect("a number")).collect();
    assert!(answered.is_sorted() && answered.last() == Some(&pings), "{answered:?} of {pings}");
    assert!(answered.len() > 1, "{answered:?} of {pings}");
}

#[test]
fn a_peer_that_pings_and_never_reads_takes_no_memory() {
    let server = Server::websocket(unlimited(), |_, _| {});
    let (client, id) = open_slow(&server);
    fill(&server, id, 10_000);
    let before = buffered(&server, id);
    for _ in 0..100 {
        client.send(masked(PING, &[b'x'; 125]).repeat(500));
        server.settle();
        server.take_log();
        let more = buffered(&server, id).saturating_sub(before);
        assert!(more <= 127, "{more}");
    }
}

#[test]
fn a_pong_and_what_was_published_meanwhile_around_the_fragments_of_a_message() {
    let server = Server::websocket(unlimited(), |_, _| {});
    let (client, id) = open_slow(&server);
    server.subscribe(id, "news");
    let mut sent = fill(&server, id, 50_000);
    let push = |opcode, fin, payload: &[u8]| server.reactor.send(id, opcode, fin, payload).expect("in order");
    push(Opcode::Binary, false, b"first");
    server.publish("news", b"held");
    server.pump();
    let begun = begun(&server, id, &sent);
    client.send(masked(PING, b"?"));
    expect_pings(&server, &["ping ?"]);
    push(Opcode::Continuation, true, b"last");
    sent.extend([frame(0x02, b"first"), frame(0x80, b"last"), frame(BINARY, b"held")]);
    sent.insert(begun, frame(PONG, b"?"));
    client.expect(sent.concat());
    client.expect_silence();
    // Without waiting output, the Pong goes between the fragments.
    push(Opcode::Binary, false, b"first");
    server.publish("news", b"held");
    server.pump();
    client.send(masked(PING, b"!"));
    client.expect([frame(0x02, b"first"), frame(PONG, b"!")].concat());
    push(Opcode::Continuation, true, b"last");
    server.pump();
    client.expect([frame(0x80, b"last"), frame(BINARY, b"held")].concat());
}

#[test]
fn a_peer_is_pinged_ahead_of_what_waits() {
    let settings = WebSocketSettings { idle_timeout: 16, ..unlimited() };
    let server = Server::websocket(settings, |_, _| {});
    let (client, id) = open_slow(&server);
    let sent = fill(&server, id, 10_000);
    let begun = begun(&server, id, &sent);
    server.pass_seconds(12);
    client.send(masked(PING, b"both"));
    server.until("the ping", || server.log_lines().contains(&"ping both".to_owned()));
    // The kernel may take more at any time, so where exactly the two go out is its affair.
    let length = sent.concat().len() + frame(PING, b"").len() + frame(PONG, b"both").len();
    let mut received = frames(&client.read(length));
    let place_of = |first| received.iter().position(|frame| frame.0 == first).expect("one that is expedited");
    let (asked, answered) = (place_of(PING), place_of(PONG));
    assert!(begun <= asked && asked < answered && answered < sent.len(), "{begun} {asked} {answered}");
    assert_eq!(received.remove(answered).1, b"both");
    assert_eq!(received.remove(asked).1, b"");
    let rest: Vec<_> = received.iter().map(|(first, payload)| frame(*first, payload)).collect();
    assert!(rest == sent, "everything else is in order");
    client.expect_silence();
}

#[test]
fn a_peer_that_takes_a_long_message_slowly_is_not_idle() {
    let settings = WebSocketSettings { idle_timeout: 16, ..unlimited() };
    let server = Server::websocket(settings, |_, _| {});
    let (client, id) = open_slow(&server);
    let message = noise(16 << 20, 1);
    server.send(id, Opcode::Binary, &message);
    let whole = frame(BINARY, &message);
    for piece in whole.chunks(whole.len() / 10 + 1) {
        server.pass_seconds(10);
        client.expect(piece);
    }
    server.settle();
    assert!(server.take_log().iter().all(|line| line == "drain"));
    server.pass_seconds(10);
    client.expect(frame(PING, b""));
}

#[test]
fn a_peer_that_takes_less_than_the_kernel_tells_of_is_not_idle() {
    for send_pings in [true, false] {
        let settings = WebSocketSettings { idle_timeout: 16, send_pings, ..unlimited() };
        let server = Server::websocket(settings, |_, _| {});
        let (client, id) = open_slow(&server);
        let message = noise(16 << 20, 1);
        server.send(id, Opcode::Binary, &message);
        let whole = frame(BINARY, &message);
        for piece in whole.chunks(100_000).take(12) {
            server.pass_seconds(6);
            client.expect(piece);
        }
        assert!(server.take_log().iter().all(|line| line == "drain"), "{send_pings}");
        // A peer that takes nothing more is idle.
        server.pass_seconds(40);
        assert_eq!(
            server.take_log().last().map(String::as_str),
            Some("close 1006 WebSocket timed out from inactivity")
        );
        server.expect_empty();
    }
}

#[test]
fn pings_are_answered_while_what_was_sent_before_the_end_is_read() {
    for length in [10_000, 4 << 20] {
        let server = Server::websocket(unlimited(), |_, _| {});
        let (client, id) = open_slow(&server);
        let mut sent = fill(&server, id, length);
        let begun = begun(&server, id, &sent);
        // Before the server ends the WebSocket, and after.
        client.send(masked(PING, b"1"));
        expect_pings(&server, &["ping 1"]);
        server.end(id, 1000, "done");
        client.send([masked(TEXT, b"late"), masked(PING, b"2")].concat());
        server.expect(&["close 1000 done"]);
        sent.push(frame(CLOSE, b"\x03\xe8done"));
        sent.insert(begun, frame(PONG, b"2"));
        let all = sent.concat();
        client.expect(&all);
        // Nothing follows our Close frame.
        client.send(masked(PING, b"3"));
        client.answer_close();
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn no_pong_follows_a_close_frame_that_has_begun_to_go_out() {
    let server = Server::websocket(unlimited(), |_, _| {});
    let (client, id) = open_slow(&server);
    let sent = fill(&server, id, 10_000);
    server.end(id, 1000, "");
    client.send(masked(PING, b"1").repeat(2));
    let all = [sent.concat(), frame(CLOSE, b"\x03\xe8")].concat();
    let mut received = Vec::new();
    // Ping whenever a little has been read.
    while !received.ends_with(b"\x88\x02\x03\xe8") {
        client.send(masked(PING, b"x"));
        received.extend(client.read(1));
        while let Some(Ok(more)) = client.read_some().filter(|_| received.len() < all.len()) {
            received.extend(more);
        }
    }
    client.expect_silence();
    let kinds = frames(&received);
    assert_eq!(kinds.last().map(|(first, _)| *first), Some(CLOSE));
    assert_eq!(kinds.iter().filter(|(first, _)| *first == BINARY).count(), sent.len());
}

#[test]
fn a_violation_is_told_to_a_client_that_has_much_to_read() {
    for (length, input, code) in [
        (10_000, masked(0x83, b""), 1002_u16),
        (4 << 20, masked(TEXT, b"\xff"), 1007),
        (1 << 20, masked(BINARY, &vec![0; 20_000]), 1009),
    ] {
        let server = Server::websocket(unlimited(), |_, _| {});
        let (client, id) = open_slow(&server);
        let sent = fill(&server, id, length);
        let begun = begun(&server, id, &sent);
        client.send([masked(PING, b"owed"), input].concat());
        server.until("the end", || server.stats().websockets == 0);
        // Only the frames that had been sent at least in part.
        client.expect(sent[..begun].concat());
        let received = client.read_rest().expect("FIN, not a reset");
        assert_eq!(received[..1], [CLOSE]);
        assert_eq!(received[2..4], code.to_be_bytes());
        assert_eq!(frames(&received).len(), 1);
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn messages_arrive_whole_and_in_order_whatever_comes_between_them() {
    let server = Server::websocket(unlimited(), |_, _| {});
    for seed in 1..40 {
        let (client, id) = open_slow(&server);
        let dice = noise(4000, seed);
        let mut dice = dice.chunks_exact(2).map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])));
        let mut next = |limit: usize| dice.next().expect("enough of them") % limit;
        let (mut sent, mut received, mut pings) = (Vec::new(), Vec::new(), 0);
        for _ in 0..300 {
            match next(4) {
                0 | 1 => {
                    let length = [0, 100, 130, 5000, 40_000, 65_535][next(6)] + next(100);
                    let payload = noise(length, sent.len() as u64 + seed);
                    server.send(id, Opcode::Binary, &payload);
                    server.pump();
                    sent.push((BINARY, payload));
                }
                2 => {
                    pings += 1;
                    client.send(masked(PING, format!("{pings}{}", ".".repeat(next(120))).as_bytes()));
                    server.settle();
                }
                _ => {
                    for _ in 0..next(3) {
                        if let Some(Ok(more)) = client.read_some() {
                            received.extend(more);
                        }
                    }
                    server.settle();
                }
            }
        }
        received.extend(read_to_the_end(&server, &client, id));
        let (answers, messages): (Vec<_>, Vec<_>) =
            frames(&received).into_iter().partition(|(first, _)| *first == PONG);
        assert!(messages == sent, "{} of {}", messages.len(), sent.len());
        let last =
            answers.last().map(|(_, payload)| payload.iter().take_while(|byte| **byte != b'.').copied().collect());
        assert_eq!(last, (pings > 0).then(|| pings.to_string().into_bytes()));
        client.reset();
        server.expect_empty();
        server.take_log();
    }
}
