//! What handlers write of response heads: statuses, lengths, and whether the connection persists.

use milliways_net::{ConnectionId, ResponseError};
use milliways_proto::http::HeaderError;

use crate::support::{Event, GET, Server, ok};

const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A server that calls `act` for every request.
fn answering(act: impl Fn(&Server, ConnectionId) + 'static) -> Server {
    Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            act(server, *id);
        }
    })
}

/// A server that writes a Content-Length and then calls `act`.
fn announcing(length: &'static str, act: impl Fn(&Server, ConnectionId) + 'static) -> Server {
    answering(move |server, id| {
        server.reactor.write_header(id, b"content-length", length.as_bytes()).expect("a length");
        act(server, id);
    })
}

fn mismatch<T>(announced: u64, given: u64) -> Result<T, ResponseError> {
    Err(ResponseError::LengthMismatch { announced, given })
}

#[test]
fn a_length_of_the_handlers_frames_the_body_however_that_is_given() {
    let end = announcing("5", |server, id| server.respond(id, "hello"));
    let written = announcing("5", |server, id| {
        let reactor = &server.reactor;
        reactor.begin_chunks(id).expect("a request");
        assert_eq!(reactor.write_chunk(id, b"he"), Ok(true));
        assert_eq!(reactor.write_chunk(id, b""), Ok(true));
        assert_eq!(reactor.write_chunk(id, b"ll"), Ok(true));
        assert_eq!(reactor.write_offset(id), Ok(4));
        assert_eq!(reactor.try_end(id, b"o", 5, false), Err(ResponseError::Mixed));
        server.respond(id, "o");
    });
    let tried = announcing("5", |server, id| {
        assert!(!server.reactor.try_end(id, b"he", 5, false).expect("a request").is_complete);
        assert!(server.reactor.try_end(id, b"llo", 5, false).expect("a request").is_complete);
    });
    for server in [end, written, tried] {
        let client = server.connect();
        client.send(GET.repeat(2));
        client.expect_response(&ok("hello").repeat(2));
        client.expect_silence();
    }
}

#[test]
fn a_body_of_another_length_is_refused_and_can_still_be_given_rightly() {
    let server = announcing("5", |server, id| {
        let reactor = &server.reactor;
        assert_eq!(reactor.respond(id, b"hell", false), mismatch(5, 4));
        assert_eq!(reactor.respond(id, b"hello!", false), mismatch(5, 6));
        assert_eq!(reactor.respond_without_body(id, Some(4), false), mismatch(5, 4));
        assert_eq!(reactor.try_end(id, b"hell", 4, false), mismatch(5, 4));
        assert_eq!(reactor.write_chunk(id, b"hell"), Ok(true));
        assert_eq!(reactor.write_chunk(id, b"o!"), mismatch(5, 6));
        assert_eq!(reactor.respond(id, b"", false), mismatch(5, 4));
        assert_eq!(reactor.respond(id, b"o!", false), mismatch(5, 6));
        server.respond(id, "o");
    });
    let client = server.connect();
    client.send(GET.repeat(2));
    client.expect_response(&ok("hello").repeat(2));
}

#[test]
fn a_body_of_another_length_that_nobody_mends_makes_a_500() {
    let server = announcing("5", |server, id| {
        assert_eq!(server.reactor.respond(id, b"hello!", false), mismatch(5, 6));
    });
    let client = server.connect();
    client.send(GET);
    client.read_until("HTTP/1.1 500 Internal Server Error\r\n");
    client.read_until("uWebSockets/20 Server</i>");
    client.expect_end();
}

#[test]
fn a_length_of_the_handlers_counts_where_there_is_no_body() {
    let head = ok("").replace("Length: 0", "Length: 100");
    for end in ["end", "endWithoutBody", "write", "tryEnd"] {
        let server = announcing("100", move |server, id| {
            let reactor = &server.reactor;
            match end {
                "end" => reactor.respond(id, b"", false).expect("a request"),
                "endWithoutBody" => reactor.respond_without_body(id, None, false).expect("a request"),
                "write" => {
                    assert_eq!(reactor.write_chunk(id, b"some"), Ok(true));
                    reactor.respond(id, b"", false).expect("a request");
                }
                _ => assert!(reactor.try_end(id, b"some", 4, false).expect("a request").is_complete),
            }
        });
        let client = server.connect();
        client.send(HEAD.repeat(2));
        client.expect_response(&head.repeat(2));
        client.expect_silence();
    }
}

#[test]
fn a_304_announces_the_length_that_it_is_told_and_a_204_none() {
    for (status, own, given, expected) in [
        ("304 Not Modified", None, Some(100), "Content-Length: 100\r\n"),
        ("304 Not Modified", Some("100"), None, "Content-Length: 100\r\n"),
        ("304 Not Modified", None, None, ""),
        ("204 No Content", None, Some(100), ""),
        ("204 No Content", Some("0"), None, ""),
    ] {
        let server = answering(move |server, id| {
            server.reactor.write_status(id, status.as_bytes()).expect("a request");
            if let Some(length) = own {
                server.reactor.write_header(id, b"Content-Length", length.as_bytes()).expect("a length");
            }
            server.reactor.respond_without_body(id, given, false).expect("a request");
        });
        let client = server.connect();
        client.send(GET.repeat(2));
        let response = format!("HTTP/1.1 {status}\r\nDate: *\r\nuWebSockets: 20\r\n{expected}\r\n");
        client.expect_response(&response.repeat(2));
    }
}

#[test]
fn close_in_a_connection_header_closes_and_is_said_once() {
    for (own, close, announced) in [
        ("close", false, "close"),
        ("Close", true, "close"),
        ("keep-alive", true, "close"),
        ("x, CLOSE", false, "close, x"),
    ] {
        let server = answering(move |server, id| {
            server.reactor.write_header(id, b"CONNECTION", own.as_bytes()).expect("a header");
            server.reactor.respond(id, b"x", close).expect("a request");
        });
        let client = server.connect();
        client.send(GET.repeat(2));
        client.expect_response(&ok("x").replace("Date", &format!("Connection: {announced}\r\nDate")));
        client.expect_end();
    }
    let server = answering(|server, id| {
        server.reactor.write_header(id, b"connection", b"close").expect("a header");
        assert_eq!(server.reactor.write_chunk(id, b"x"), Ok(true));
        server.respond(id, "");
    });
    let client = server.connect();
    client.send(GET.repeat(2));
    client.read_until("1\r\nx\r\n0\r\n\r\n");
    client.expect_end();
}

#[test]
fn statuses_that_no_response_has_are_refused() {
    let server = answering(|server, id| {
        let reactor = &server.reactor;
        for status in ["", "OK", "1000 x", "100 Continue", "103 Early Hints", "20", "200OK"] {
            assert_eq!(reactor.write_status(id, status.as_bytes()), Err(ResponseError::InvalidStatus), "{status}");
        }
        reactor.write_status(id, b"404").expect("a status");
        server.respond(id, "");
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(&ok("").replace("200 OK", "404 Not Found"));
}

#[test]
fn a_response_with_the_status_of_an_upgrade_is_not_completed_otherwise() {
    let server = answering(|server, id| {
        let reactor = &server.reactor;
        reactor.write_status(id, b"101 Switching Protocols").expect("a status");
        assert_eq!(reactor.respond(id, b"", false), Err(ResponseError::Switching));
        assert_eq!(reactor.respond_without_body(id, None, false), Err(ResponseError::Switching));
        assert_eq!(reactor.write_chunk(id, b"x"), Err(ResponseError::Switching));
        assert_eq!(reactor.begin_chunks(id), Err(ResponseError::Switching));
        assert_eq!(reactor.try_end(id, b"x", 1, false), Err(ResponseError::Switching));
    });
    let client = server.connect();
    client.send(GET);
    client.read_until("HTTP/1.1 500 Internal Server Error\r\n");
}

#[test]
fn headers_that_frame_wrongly_are_refused() {
    let server = answering(|server, id| {
        let reactor = &server.reactor;
        let refused = |error| Err(ResponseError::InvalidHeader(error));
        assert_eq!(reactor.write_header(id, b"Content-Length", b"5x"), refused(HeaderError::Length));
        assert_eq!(reactor.write_header(id, b"transfer-encoding", b"gzip, chunked"), refused(HeaderError::Coding));
        assert_eq!(reactor.write_header(id, b"Content-Length ", b"5"), refused(HeaderError::Splits));
        server.respond(id, "whole");
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(&ok("whole"));
}
