//! Several requests on one connection: how they are split, which one waits for which, and clients that do not read.

use crate::http::{get, path_server, waiting_server};
use crate::support::{Event, Server, ok};

#[test]
fn requests_in_one_segment_are_answered_in_order() {
    let server = path_server();
    let client = server.connect();
    let paths: Vec<String> = (0..100).map(|number| format!("/{number}")).collect();
    client.send(paths.iter().map(|path| get(path)).collect::<String>());
    client.expect_response(&paths.iter().map(|path| ok(path)).collect::<String>());
    client.expect_silence();
}

#[test]
fn a_request_that_is_answered_later_holds_back_the_ones_behind_it() {
    let server = waiting_server();
    let client = server.connect();
    client.send([get("/1"), get("/wait/2"), get("/3"), get("/wait/4"), get("/5")].concat());
    client.expect_response(&ok("/1"));
    server.expect(&["request GET /1", "request GET /wait/2"]);
    // Later requests have to wait as well, wherever they are kept.
    client.send(get("/6"));
    client.expect_silence();
    server.expect_nothing();

    server.respond(server.last_id(), "second");
    client.expect_response(&[ok("second"), ok("/3")].concat());
    server.expect(&["request GET /3", "request GET /wait/4"]);
    client.send(get("/7"));
    client.expect_silence();

    server.respond(server.last_id(), "fourth");
    client.expect_response(&[ok("fourth"), ok("/5"), ok("/6"), ok("/7")].concat());
    server.expect(&["request GET /5", "request GET /6", "request GET /7"]);
    client.expect_silence();
}

#[test]
fn many_requests_answered_later_one_after_the_other() {
    let server = waiting_server();
    let client = server.connect();
    client.send(get("/wait").repeat(300));
    for number in 0..300 {
        server.until("a request", || !server.log_lines().is_empty());
        assert_eq!(server.take_log(), ["request GET /wait"]);
        server.respond(server.last_id(), &number.to_string());
        client.expect_response(&ok(&number.to_string()));
    }
    server.expect_nothing();
    client.expect_silence();
}

/// Returns a stream of requests with every kind of framing, the log of their events, and their responses.
fn mixed_requests() -> (String, Vec<&'static str>, String) {
    let stream = [
        "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nGET /x HTTP",
        "POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
         a;ext=\"1\"\r\nGET /y HTT\r\n01\r\nP\r\n0\r\nTrailer: t\r\n\r\n",
        "\r\nGET /d HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
    .concat();
    let log = vec!["request GET /a?x=1", "request PUT /b", "request POST /c", "request GET /d"];
    (stream, log, [ok("/a?x=1"), ok("/b"), ok("/c"), ok("/d")].concat())
}

#[test]
fn requests_are_understood_however_they_are_split() {
    let (stream, log, responses) = mixed_requests();
    let server = path_server();
    let client = server.connect();
    for split in 0..=stream.len() {
        let (first, second) = stream.as_bytes().split_at(split);
        client.send_pieces(&[first, second]);
        client.expect_response(&responses);
        assert_eq!(server.take_log(), log, "split at {split}");
    }
    client.send_pieces(&stream.as_bytes().chunks(1).collect::<Vec<_>>());
    client.expect_response(&responses);
    server.expect(&log);
    client.expect_silence();
}

#[test]
fn requests_answered_later_are_understood_however_they_are_split() {
    let (stream, log, responses) = mixed_requests();
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    let client = server.connect();
    for split in (0..=stream.len()).step_by(3) {
        let (first, second) = stream.as_bytes().split_at(split);
        // All of the requests have been sent before the first is answered. Then one is answered in each turn.
        client.send_pieces(&[first]);
        client.send(second);
        let mut answered = Vec::new();
        server.until("all requests", || {
            for line in server.take_log() {
                server.respond(server.last_id(), line.split(' ').next_back().unwrap_or_default());
                answered.push(line);
            }
            answered.len() == log.len()
        });
        client.expect_response(&responses);
        assert_eq!(answered, log, "split at {split}");
    }
}

#[test]
fn a_response_may_come_before_its_request_has_ended() {
    let server = path_server();
    let client = server.connect();
    client.send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n0123456789");
    client.expect_response(&ok("/a"));
    client.send_pieces(&[
        b"0123456789",
        b"0123456789POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ]);
    client.expect_response(&ok("/b"));
    client.send_pieces(&[b"lo\r\n0\r", b"\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n"]);
    client.expect_response(&ok("/c"));
    server.expect(&["request PUT /a", "request POST /b", "request GET /c"]);
}

#[test]
fn a_body_that_somebody_wants_is_read_while_its_response_is_awaited_and_the_next_request_is_not() {
    let server = waiting_server();
    let client = server.connect();
    client.send(format!("PUT /wait HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", 20 << 20));
    server.expect(&["request PUT /wait"]);
    server.reactor.collect_body(server.last_id(), 0).expect("a request");
    // Far more than the kernel's buffers hold, in all.
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        client.send(&piece);
    }
    client.send(get("/next"));
    server.expect(&["collected nothing"]);
    server.respond(server.last_id(), "done");
    client.expect_response(&[ok("done"), ok("/next")].concat());
}

#[test]
fn what_follows_an_awaited_request_waits_with_its_sender() {
    let server = waiting_server();
    let client = server.connect();
    client.send(get("/wait"));
    server.expect(&["request GET /wait"]);
    // The kernel's buffers fill up, but the server's do not, so the client cannot go on forever.
    let requests = get("/next").repeat(1000);
    let mut sent = 0;
    let mut stuck = 0;
    while stuck < 100 {
        let more = client.send_some(&requests.as_bytes()[sent % requests.len()..]);
        sent += more;
        stuck = if more == 0 { stuck + 1 } else { 0 };
        server.turn();
        assert!(sent < 256 << 20, "the server takes whatever comes");
    }
    server.expect_nothing();
}

#[test]
fn a_client_that_never_reads_is_not_served_for_ever() {
    const BODY: usize = 10_000;
    let body = "x".repeat(BODY);
    let server = Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, &body);
        }
    });
    let client = server.connect_with_small_buffer();
    let requests = get("/").repeat(1000);
    let (mut sent, mut answered, mut stuck) = (0, 0, 0);
    while stuck < 100 {
        let more = client.send_some(&requests.as_bytes()[sent % requests.len()..]);
        sent += more;
        stuck = if more == 0 { stuck + 1 } else { 0 };
        server.turn();
        answered += server.take_log().len();
        // A request of 28 bytes asks for 10,000. The kernel buffers far less than this limit.
        assert!(answered * BODY < 32 << 20, "responses pile up in the server's memory");
    }
}

#[test]
fn requests_that_waited_for_the_reader_are_answered_when_it_reads() {
    let body = "x".repeat(10_000);
    let response = ok(&body);
    let server = Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, &body);
        }
    });
    let client = server.connect_with_small_buffer();
    client.send(get("/").repeat(2000));
    server.settle();
    for _ in 0..2000 {
        client.expect_response(&response);
    }
    assert_eq!(server.take_log().len(), 2000);
    client.expect_silence();
    client.send(get("/"));
    client.expect_response(&response);
}

#[test]
fn what_waits_behind_the_last_response_is_taken_and_thrown_away() {
    let server = waiting_server();
    let client = server.connect();
    client.send(get("/wait"));
    server.expect(&["request GET /wait"]);
    // The client reads only after it has sent everything, which is more than the kernel's buffers hold.
    let requests = get("/never").repeat(400_000);
    let mut sent = 0;
    let mut stuck = 0;
    while stuck < 100 {
        let more = client.send_some(&requests.as_bytes()[sent..]);
        sent += more;
        stuck = if more == 0 { stuck + 1 } else { 0 };
        server.turn();
        assert!(sent < requests.len(), "the server takes whatever comes");
    }
    server.reactor.respond(server.last_id(), b"last", true).expect("a request");
    client.send(&requests.as_bytes()[sent..]);
    client.expect_response(&ok("last").replace("Date", "Connection: close\r\nDate"));
    client.expect_end();
    client.finish();
    server.expect_empty();
    server.expect_nothing();
}
