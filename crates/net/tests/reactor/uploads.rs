//! Request bodies.

use std::time::Duration;

use milliways_net::{AppSettings, BodyError, Stale};

use crate::support::{Client, Event, Server, ok, target};

/// The number of bytes of a body that are read before the handler has asked for it.
const KEPT: usize = 64 * 1024;
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n\
    <h1>Content Too Large</h1><hr><i>uWebSockets/20 Server</i>";

/// A server that awaits every response except that to `/next`, and calls `act` with every other event.
fn awaiting(act: impl Fn(&Server, &Event<'_>) + 'static) -> Server {
    Server::http(move |server, event| awaits(server, event, &act))
}

fn awaits(server: &Server, event: &Event<'_>, act: &impl Fn(&Server, &Event<'_>)) {
    match event {
        Event::Request { id, request, .. } if target(request).ends_with("/next") => server.respond(*id, "next"),
        Event::Request { id, .. } => {
            server.reactor.await_response(*id).expect("a request");
            act(server, event);
        }
        _ => act(server, event),
    }
}

fn receive(server: &Server, event: &Event<'_>) {
    if let Event::Request { id, .. } = event {
        server.reactor.receive_body(*id).expect("a request");
    }
}

fn put(length: usize) -> String {
    format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}

/// Sends until no more bytes are taken, or `most` have been. Returns how many.
fn send_until_stuck(server: &Server, client: &Client<'_>, most: usize) -> usize {
    let piece = vec![b'x'; 1 << 20];
    let (mut sent, mut stuck) = (0, 0);
    while stuck < 100 && sent < most {
        let more = client.send_some(&piece[..piece.len().min(most - sent)]);
        sent += more;
        stuck = if more == 0 { stuck + 1 } else { 0 };
        server.turn();
    }
    sent
}

#[test]
fn chunks_are_told_as_they_come_with_what_is_left() {
    let server = awaiting(receive);
    let client = server.connect();
    client.send(put(10) + "hello");
    server.expect(&["request PUT /", "data hello 5"]);
    client.send("wor");
    server.expect(&["data wor 2"]);
    client.send(["ld", NEXT].concat());
    server.expect(&["data ld 0"]);
    server.respond(server.last_id(), "done");
    client.expect_response(&[ok("done"), ok("next")].concat());
}

#[test]
fn nobody_knows_how_long_a_chunked_body_is_and_its_end_is_told_by_itself() {
    let server = awaiting(receive);
    let client = server.connect();
    client.send(CHUNKED);
    server.expect(&["request POST /"]);
    client.send("3\r\nabc\r\n2;x=y\r\nde\r\n");
    server.expect(&["data abc ?", "data de ?"]);
    client.send("0\r\nTrailer: t\r\n\r\n");
    server.expect(&["data  0"]);
}

#[test]
fn a_body_is_the_same_however_it_is_split() {
    let request = [CHUNKED, "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", NEXT].concat();
    for split in 1..request.len() {
        let server = awaiting(|server, event| match event {
            Event::Request { id, .. } => server.reactor.collect_body(*id, 100).expect("a request"),
            Event::Collected { id, body } => {
                server.respond(*id, &String::from_utf8_lossy(body.as_deref().unwrap_or_default()));
            }
            _ => {}
        });
        let client = server.connect();
        client.send_pieces(&[&request.as_bytes()[..split], &request.as_bytes()[split..]]);
        client.expect_response(&[ok("hello, world"), ok("next")].concat());
    }
}

#[test]
fn the_end_of_no_body_is_told_once() {
    let server = awaiting(|server, event| {
        if let Event::Request { id, request, .. } = event {
            if target(request).ends_with("/whole") {
                server.reactor.collect_body(*id, 0).expect("a request");
            } else {
                server.reactor.receive_body(*id).expect("a request");
            }
        }
        if let Event::Data { id, .. } | Event::Collected { id, .. } = event {
            assert_eq!(server.reactor.receive_body(*id), Err(BodyError::Taken));
            assert_eq!(server.reactor.collect_body(*id, 5), Err(BodyError::Taken));
            server.respond(*id, "x");
        }
    });
    let client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    client.expect_response(&[ok("x"), ok("x")].concat());
    server.expect(&["request GET /", "data  0", "request GET /whole", "collected "]);
}

#[test]
fn a_body_that_somebody_receives_goes_to_nobody_else() {
    for (is_whole, lines) in [(true, vec!["collected hello"]), (false, vec!["data hel 2", "data lo 0"])] {
        let server = awaiting(move |server, event| {
            if let Event::Request { id, .. } = event {
                let reactor = &server.reactor;
                if is_whole { reactor.collect_body(*id, 5) } else { reactor.receive_body(*id) }.expect("a request");
                // Another handler may take over the pieces until the first has been delivered, but never a whole body.
                let again = if is_whole { Err(BodyError::Taken) } else { Ok(()) };
                assert_eq!(reactor.receive_body(*id), again);
                assert_eq!(reactor.collect_body(*id, 5), Err(BodyError::Taken));
            }
        });
        let client = server.connect();
        client.send(put(5) + "hel");
        server.turn();
        server.take_log();
        let id = server.last_id();
        assert_eq!(server.reactor.receive_body(id), Err(BodyError::Taken));
        assert_eq!(server.reactor.collect_body(id, 100), Err(BodyError::Taken));
        client.send("lo");
        server.expect(if is_whole { &lines } else { &lines[1..] });
    }
}

#[test]
fn a_body_that_somebody_asks_for_later_is_told_from_its_beginning() {
    for (start, rest, lines) in [
        ("hello", "", vec!["data hello 0"]),
        ("hel", "", vec!["data hel 2"]),
        ("hel", "lo", vec!["data hello 0"]),
        ("", "hello", vec!["data hello 0"]),
    ] {
        let server = awaiting(|_, _| {});
        let client = server.connect();
        client.send(put(5) + start);
        server.expect(&["request PUT /"]);
        let id = server.last_id();
        client.send(rest);
        server.settle();
        server.reactor.receive_body(id).expect("a request");
        assert!(server.log_lines().is_empty(), "not inside the call");
        server.pump();
        server.expect(&lines);
    }
}

#[test]
fn a_long_body_that_nobody_has_asked_for_waits_with_its_sender() {
    const LENGTH: usize = 64 << 20;
    let server = awaiting(|_, _| {});
    let client = server.connect();
    client.send(put(LENGTH));
    let sent = send_until_stuck(&server, &client, LENGTH);
    assert!((KEPT..LENGTH).contains(&sent), "{sent} bytes were taken");
    server.expect(&["request PUT /"]);
    // The body is kept until the idle timeout, which is 10 seconds.
    server.pass(Duration::from_secs(9));
    let id = server.last_id();
    server.reactor.receive_body(id).expect("a request");
    server.pump();
    let mut received = 0;
    let mut left = LENGTH - sent;
    while received < LENGTH {
        left -= client.send_some(&vec![b'x'; left.min(1 << 20)]);
        server.turn();
        for line in server.take_log() {
            let mut words = line.split(' ');
            assert_eq!(words.next(), Some("data"));
            let remaining: usize = words.next_back().expect("a number").parse().expect("a number");
            received = LENGTH - remaining;
        }
    }
    server.respond(id, "all of it");
    client.expect_response(&ok("all of it"));
}

#[test]
fn what_is_left_of_a_body_when_the_response_is_complete_is_thrown_away() {
    const LENGTH: usize = 20 << 20;
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, "no, thanks");
        }
    });
    let client = server.connect();
    client.send(put(LENGTH));
    client.expect_response(&ok("no, thanks"));
    assert_eq!(send_until_stuck(&server, &client, LENGTH), LENGTH);
    client.send(NEXT);
    client.expect_response(&ok("no, thanks"));
}

#[test]
fn a_paused_body_waits_with_its_sender_and_without_a_timeout() {
    const LENGTH: usize = 64 << 20;
    let server = awaiting(receive);
    let client = server.connect();
    client.send(put(LENGTH) + "x");
    server.expect(&["request PUT /", &format!("data x {}", LENGTH - 1)]);
    let id = server.last_id();
    server.reactor.pause_body(id).expect("a request");
    let sent = send_until_stuck(&server, &client, LENGTH - 1);
    assert!(sent < LENGTH - 1, "{sent} bytes were taken");
    server.pass(Duration::from_secs(100));
    server.expect_nothing();
    server.reactor.resume_body(id).expect("a request");
    server.pump();
    server.until("more of the body", || !server.log_lines().is_empty());
    server.reactor.pause_body(id).expect("a request");
    server.take_log();
    server.settle();
    server.expect_nothing();
}

#[test]
fn a_body_may_be_paused_before_it_is_asked_for_and_inside_a_chunk() {
    let server = awaiting(|server, event| match event {
        Event::Request { id, .. } => {
            server.reactor.pause_body(*id).expect("a request");
            server.reactor.receive_body(*id).expect("a request");
        }
        Event::Data { id, .. } => server.reactor.pause_body(*id).expect("a request"),
        _ => {}
    });
    let client = server.connect();
    client.send([CHUNKED, "1\r\na\r\n1\r\nb\r\n0\r\n\r\n"].concat());
    server.expect(&["request POST /"]);
    for line in ["data a ?", "data b ?", "data  0"] {
        server.reactor.resume_body(server.last_id()).expect("a request");
        server.pump();
        server.expect(&[line]);
    }
}

#[test]
fn a_client_that_goes_while_its_body_is_paused_is_noticed() {
    let server = awaiting(receive);
    let client = server.connect();
    client.send(put(10) + "hello");
    server.expect(&["request PUT /", "data hello 5"]);
    server.reactor.pause_body(server.last_id()).expect("a request");
    client.reset();
    server.expect(&["aborted"]);
    server.expect_empty();
}

#[test]
fn a_client_that_has_finished_in_the_middle_of_its_body_aborts_its_request() {
    for asks in [true, false] {
        let server = awaiting(move |server, event| {
            if asks {
                receive(server, event);
            }
        });
        let client = server.connect();
        client.send(put(10) + "hello");
        server.settle();
        server.take_log();
        client.finish();
        server.expect(&["aborted"]);
        assert_eq!(server.reactor.receive_body(server.last_id()), Err(BodyError::Stale));
        assert_eq!(server.reactor.pause_body(server.last_id()), Err(Stale));
    }
}

#[test]
fn a_client_that_has_gone_after_its_body_is_noticed_though_nobody_has_read_it() {
    let server = awaiting(|_, _| {});
    let client = server.connect();
    client.send(put(5) + "hello");
    server.expect(&["request PUT /"]);
    client.finish();
    server.settle();
    server.pass_seconds(1);
    server.expect(&["aborted"]);
}

#[test]
fn a_whole_body_is_told_up_to_its_limit_and_nothing_as_soon_as_it_is_longer() {
    for (body, limit, told) in [
        ("5\r\nhello\r\n0\r\n\r\n", 5, "collected hello"),
        ("5\r\nhello\r\n", 4, "collected nothing"),
        ("3\r\nhel\r\n2\r\nlo\r\n", 4, "collected nothing"),
    ] {
        let server = awaiting(move |server, event| {
            if let Event::Request { id, .. } = event {
                server.reactor.collect_body(*id, limit).expect("a request");
            }
        });
        let client = server.connect();
        client.send([CHUNKED, body].concat());
        server.expect(&["request POST /", told]);
        if !body.ends_with("0\r\n\r\n") {
            client.send("7\r\nignored\r\n0\r\n\r\n");
        }
        client.send(NEXT);
        server.expect_nothing();
        server.respond(server.last_id(), "done");
        client.expect_response(&[ok("done"), ok("next")].concat());
    }
}

#[test]
fn a_body_that_was_thrown_away_is_no_matter_of_the_next_request() {
    let server = Server::http(|server, event| match event {
        Event::Request { id, .. } => {
            server.reactor.await_response(*id).expect("a request");
            server.reactor.collect_body(*id, 1).expect("a request");
        }
        Event::Collected { id, .. } => server.respond(*id, "x"),
        _ => {}
    });
    let client = server.connect();
    client.send(put(5) + "he");
    client.expect_response(&ok("x"));
    client.send(["llo", &(put(1) + "y")].concat());
    client.expect_response(&ok("x"));
    server.expect(&["request PUT /", "collected nothing", "request PUT /", "collected y"]);
}

#[test]
fn a_body_over_the_limit_of_its_app_is_refused() {
    let settings = AppSettings { max_body_size: 5, ..AppSettings::default() };
    let server = Server::with(settings, |server, event| awaits(server, event, &receive));
    server.route("/*");
    // A Content-Length over the limit is refused without any event.
    let client = server.connect();
    client.send(put(6));
    client.expect(TOO_LARGE);
    client.expect_end();
    server.expect_nothing();
    let client = server.connect();
    client.send([CHUNKED, "5\r\nhello\r\n"].concat());
    server.expect(&["request POST /", "data hello ?"]);
    client.send("1\r\n!");
    client.expect(TOO_LARGE);
    client.expect_end();
    server.expect(&["aborted"]);
    let client = server.connect();
    client.send(put(5) + "hello");
    server.expect(&["request PUT /", "data hello 0"]);
}

#[test]
fn a_client_that_leaves_behind_a_body_that_nobody_asked_for_is_noticed() {
    for is_paused in [false, true] {
        let server = Server::http(move |server, event| {
            if let Event::Request { id, .. } = event {
                server.reactor.await_response(*id).expect("a request");
                if is_paused {
                    server.reactor.receive_body(*id).expect("a request");
                    server.reactor.pause_body(*id).expect("a request");
                }
            }
        });
        let client = server.connect();
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
        client.try_send(&vec![b'x'; 300_000]);
        server.expect(&["request POST /x"]);
        drop(client);
        server.settle();
        server.pass_seconds(9);
        if server.log_lines().is_empty() && !is_paused {
            // The FIN comes after data that nobody reads and the kernel has no room for, so it is noticed only once the
            // body is discarded.
            server.pass_seconds(3);
        }
        server.expect(&["aborted"]);
        server.expect_empty();
    }
}

#[test]
fn a_body_can_be_asked_for_until_the_client_has_waited_too_long() {
    const LENGTH: usize = 16 << 20;
    for (seconds, is_early) in [(9, true), (12, false)] {
        let server = awaiting(|_, _| {});
        let client = server.connect();
        client.send(put(LENGTH));
        let mut sent = send_until_stuck(&server, &client, LENGTH);
        server.expect(&["request PUT /"]);
        let id = server.last_id();
        server.pass_seconds(seconds);
        assert_eq!(server.reactor.collect_body(id, LENGTH), if is_early { Ok(()) } else { Err(BodyError::Stale) });
        server.pump();
        while sent < LENGTH {
            sent += client.send_some(&vec![b'x'; (LENGTH - sent).min(1 << 20)]);
            server.turn();
        }
        server.settle();
        assert_eq!(server.take_log().len(), usize::from(is_early));
        // The request is answered in either case, and the next one as well.
        server.respond(id, "late");
        client.send(NEXT);
        client.expect_response(&[ok("late"), ok("next")].concat());
    }
}
