//! Responses that are written in several parts.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use milliways_net::{AppSettings, ConnectionId, ResponseError, Stale, TryEnd};

use crate::support::{Event, GET, Server, ok, target};

const CHUNKED_HEAD: &str = "HTTP/1.1 200 OK\r\nDate: *\r\nuWebSockets: 20\r\nTransfer-Encoding: chunked\r\n\r\n";
const DONE: TryEnd = TryEnd { is_taken: true, is_complete: true };
const TAKEN: TryEnd = TryEnd { is_taken: true, is_complete: false };

/// A server that calls `act` for every request.
fn answering(act: impl Fn(&Server, ConnectionId) + 'static) -> Server {
    Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            act(server, *id);
        }
    })
}

fn head_of(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn chunks_and_their_end() {
    let server = answering(|server, id| {
        let reactor = &server.reactor;
        reactor.write_status(id, b"201 Made").expect("a request");
        reactor.write_header(id, b"A", b"b").expect("a request");
        assert_eq!(reactor.write_chunk(id, b"0123456789abcdef"), Ok(true));
        assert_eq!(reactor.write_chunk(id, b""), Ok(true), "an empty chunk is none");
        assert_eq!(reactor.write_header(id, b"C", b"d"), Err(ResponseError::HeadEnded));
        assert_eq!(reactor.write_status(id, b"500"), Ok(()), "later ones are ignored");
        assert_eq!(reactor.try_end(id, b"x", 1, false), Err(ResponseError::Mixed));
        assert_eq!(reactor.write_offset(id), Ok(0));
        reactor.respond(id, b"last", false).expect("a request");
        assert_eq!(reactor.write_chunk(id, b"x"), Err(ResponseError::Complete));
    });
    let client = server.connect();
    client.send([GET, GET].concat());
    let response = "HTTP/1.1 201 Made\r\nA: b\r\nDate: *\r\nuWebSockets: 20\r\nTransfer-Encoding: chunked\r\n\r\n\
        10\r\n0123456789abcdef\r\n4\r\nlast\r\n0\r\n\r\n";
    client.expect_response(&[response, response].concat());
}

#[test]
fn a_body_that_is_begun_and_empty_has_only_an_end() {
    let server = answering(|server, id| {
        server.reactor.begin_chunks(id).expect("a request");
        server.reactor.begin_chunks(id).expect("a request");
        server.reactor.respond(id, b"", false).expect("a request");
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(&[CHUNKED_HEAD, "0\r\n\r\n"].concat());
}

#[test]
fn a_response_without_a_body_announces_what_it_is_told_to() {
    for (length, close, expected) in [
        (None, false, "HTTP/1.1 200 OK\r\nDate: *\r\nuWebSockets: 20\r\n\r\n"),
        (Some(5), false, "HTTP/1.1 200 OK\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 5\r\n\r\n"),
        (
            Some(0),
            true,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let server = answering(move |server, id| {
            server.reactor.respond_without_body(id, length, close).expect("a request");
        });
        let client = server.connect();
        client.send(GET);
        client.expect_response(expected);
        if close {
            client.expect_end();
        }
    }
}

#[test]
fn pieces_of_an_announced_length() {
    let server = answering(|server, id| {
        let reactor = &server.reactor;
        assert_eq!(reactor.try_end(id, b"abc", 6, false), Ok(TAKEN));
        assert_eq!(reactor.write_offset(id), Ok(3));
        assert_eq!(reactor.write_chunk(id, b"x"), Err(ResponseError::Mixed));
        // The length that was announced first counts. What exceeds it is cut off.
        assert_eq!(reactor.try_end(id, b"defghi", 100, false), Ok(DONE));
        assert_eq!(reactor.write_offset(id), Err(Stale));
    });
    let client = server.connect();
    client.send([GET, GET].concat());
    client.expect_response(&[ok("abcdef"), ok("abcdef")].concat());
}

#[test]
fn a_response_that_ends_short_of_its_length_ends_its_connection() {
    let server = answering(|server, id| {
        assert_eq!(server.reactor.try_end(id, b"abc", 6, false), Ok(TAKEN));
        server.reactor.respond(id, b"de", false).expect("a request");
    });
    let client = server.connect();
    client.send([GET, GET].concat());
    client.expect_response(&(head_of(6) + "abcde"));
    client.expect_end();
}

#[test]
fn no_part_of_a_body_follows_the_head_of_a_head() {
    let server = answering(|server, id| {
        if server.stats().connections == 1 {
            assert_eq!(server.reactor.try_end(id, b"abc", 6, false), Ok(DONE));
        } else {
            assert_eq!(server.reactor.write_chunk(id, b"abc"), Ok(true));
            server.reactor.respond(id, b"def", false).expect("a request");
        }
    });
    let request = GET.replace("GET", "HEAD");
    let first = server.connect();
    first.send([&*request, &*request].concat());
    first.expect_response(&[head_of(6), head_of(6)].concat());
    let second = server.connect();
    second.send([&*request, &*request].concat());
    second.expect_response(&[CHUNKED_HEAD, CHUNKED_HEAD].concat());
}

/// Returns a server that sends bodies of `length` bytes in pieces with `try_end`, as fast as the socket takes them, and
/// the number of bytes that it has taken.
fn streaming(length: usize, piece: usize) -> (Server, Rc<Cell<usize>>) {
    let taken = Rc::new(Cell::new(0));
    let counter = Rc::clone(&taken);
    let go_on = move |server: &Server, id: ConnectionId, offset: u64| {
        let mut offset = usize::try_from(offset).expect("small");
        loop {
            let bytes: Vec<u8> = (offset..length.min(offset + piece)).map(|index| index as u8).collect();
            let ended = server.reactor.try_end(id, &bytes, length as u64, false).expect("a request");
            if ended.is_complete {
                counter.set(length);
                return;
            }
            offset = usize::try_from(server.reactor.write_offset(id).expect("a request")).expect("small");
            counter.set(offset);
            if !ended.is_taken {
                return;
            }
        }
    };
    let server = Server::http(move |server, event| match event {
        Event::Request { id, .. } => {
            server.reactor.await_response(*id).expect("a request");
            server.reactor.want_writable(*id).expect("a request");
            go_on(server, *id, 0);
        }
        Event::Writable { id, offset } => go_on(server, *id, *offset),
        _ => {}
    });
    (server, taken)
}

#[test]
fn a_body_of_any_length_goes_out_as_fast_as_it_is_read_and_nothing_is_kept() {
    const LENGTH: usize = 20 << 20;
    for piece in [10_000, 100_000, LENGTH] {
        let (server, taken) = streaming(LENGTH, piece);
        let client = server.connect_with_small_buffer();
        client.send([GET, GET].concat());
        server.settle();
        let in_flight = taken.get();
        assert!(in_flight < LENGTH, "the kernel's buffers are smaller than that");
        let body: Vec<u8> = (0..LENGTH).map(|index| index as u8).collect();
        for _ in 0..2 {
            client.expect_response(&head_of(LENGTH));
            assert!(client.read(LENGTH) == body, "the body arrives as it was sent");
        }
        server.take_log();
        client.expect_silence();
    }
}

#[test]
fn a_client_that_does_not_read_a_stream_is_dropped_after_the_timeout() {
    let (server, _) = streaming(20 << 20, 100_000);
    let client = server.connect_with_small_buffer();
    client.send(GET);
    server.settle();
    server.pass(Duration::from_secs(9));
    assert_eq!(server.stats().connections, 1);
    server.pass(Duration::from_secs(5));
    assert_eq!(server.take_log().last().map(String::as_str), Some("aborted"));
    server.expect_empty();
    drop(client);
}

#[test]
fn a_client_that_reads_a_stream_slowly_has_its_time() {
    let (server, taken) = streaming(20 << 20, 100_000);
    let client = server.connect_with_small_buffer();
    client.send(GET);
    server.settle();
    for _ in 0..10 {
        let before = taken.get();
        // Too little for the kernel to report the socket as writable.
        client.read(30_000);
        server.pass(Duration::from_secs(11));
        assert_eq!(server.stats().connections, 1, "after {before}");
    }
}

#[test]
fn chunks_wait_for_a_client_that_does_not_keep_up_and_it_is_told_when_it_does() {
    let server = Server::http(|server, event| match event {
        Event::Request { id, .. } => {
            server.reactor.await_response(*id).expect("a request");
            server.reactor.want_writable(*id).expect("a request");
            while server.reactor.write_chunk(*id, &[b'x'; 10_000]).expect("a request") {}
        }
        Event::Writable { id, offset } => {
            assert_eq!(*offset, 0);
            server.reactor.respond(*id, b"end", false).expect("a request");
        }
        _ => {}
    });
    let client = server.connect_with_small_buffer();
    client.send(GET);
    server.expect(&["request GET /"]);
    client.expect_response(CHUNKED_HEAD);
    let piece = ["2710\r\n", &"x".repeat(10_000), "\r\n"].concat();
    let mut pieces = 0;
    while server.log_lines().is_empty() {
        client.expect(&piece);
        pieces += 1;
    }
    server.expect(&["writable 0"]);
    let rest = client.read_to("3\r\nend\r\n0\r\n\r\n");
    assert_eq!(rest.len() % piece.len(), 0, "behind {pieces} whole chunks come whole chunks");
    assert!(rest.chunks(piece.len()).all(|chunk| chunk == piece.as_bytes()));
}

#[test]
fn a_large_body_goes_out_from_where_it_lies_and_its_connection_goes_on() {
    let body = "0123456789abcdef".repeat(1 << 16);
    let expected = ok(&body);
    let server = answering(move |server, id| server.respond(id, &body));
    let client = server.connect();
    client.send([GET, GET, GET].concat());
    client.expect_response(&[&*expected, &*expected, &*expected].concat());
}

#[test]
fn what_waits_for_a_client_goes_on_also_when_a_tick_has_sent_it() {
    const LENGTH: usize = 4 << 20;
    for idle_timeout in [0, 10] {
        let left = Rc::new(Cell::new(LENGTH));
        let settings = AppSettings { idle_timeout, ..AppSettings::default() };
        let server = {
            let left = Rc::clone(&left);
            let go_on = move |server: &Server, id| {
                while left.get() > 0 {
                    left.set(left.get() - 4096);
                    if !server.reactor.write_chunk(id, &[b'x'; 4096]).expect("a request") {
                        return;
                    }
                }
                server.reactor.respond(id, b"", false).expect("a request");
            };
            Server::with(settings, move |server, event| match event {
                Event::Request { id, request, .. } if target(request) == "GET /" => {
                    server.reactor.await_response(*id).expect("a request");
                    server.reactor.want_writable(*id).expect("a request");
                    go_on(server, *id);
                }
                Event::Request { id, .. } => server.respond(*id, "next"),
                Event::Writable { id, .. } => go_on(server, *id),
                _ => {}
            })
        };
        server.route("/*");
        let client = server.connect_with_small_buffer();
        client.send([GET, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
        server.settle();
        client.expect_response(CHUNKED_HEAD);
        let mut read = 0;
        while read < LENGTH / 4096 {
            // Too little for the kernel to report the socket as writable.
            for _ in 0..16 {
                client.expect(["1000\r\n", &"x".repeat(4096), "\r\n"].concat());
                read += 1;
            }
            server.pass(Duration::from_secs(1));
        }
        client.expect("0\r\n\r\n");
        client.expect_response(&ok("next"));
    }
}
