//! Requests and responses.

use std::cell::RefCell;
use std::rc::Rc;

use milliways_net::{AppSettings, ConnectionId, ResponseError, Slot, Stale};
use milliways_proto::http::{DEFAULT_MAX_HEAD_SIZE, HeaderError, MAX_HEADERS};

use crate::support::{Event, GET, Server, UPGRADE, ok, target};

const NOT_FOUND: &str = "HTTP/1.1 404 File Not Found\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 81\r\n\r\n\
    <html><body><h1>File Not Found</h1><hr><i>uWebSockets/20 Server</i></body></html>";
const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n\
    <h1>Bad Request</h1><hr><i>uWebSockets/20 Server</i>";
const UNANSWERED: &str = "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n\
    <h1>Internal Server Error</h1><hr><i>uWebSockets/20 Server</i>";

/// A server that answers every request with its path.
pub(crate) fn path_server() -> Server {
    Server::http(answer_with_path)
}

fn answer_with_path(server: &Server, event: &Event<'_>) {
    if let Event::Request { id, request, .. } = event {
        server.respond(*id, target(request).split(' ').next_back().unwrap_or_default());
    }
}

/// A server that awaits the response if the path contains `wait`, and otherwise answers with the path.
pub(crate) fn waiting_server() -> Server {
    Server::http(|server, event| {
        if let Event::Request { id, request, .. } = event {
            if target(request).contains("wait") {
                server.reactor.await_response(*id).expect("a request");
            } else {
                server.respond(*id, target(request).split(' ').next_back().unwrap_or_default());
            }
        }
    })
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn a_request_without_a_route_gets_404_and_the_next_one_its_answer() {
    let server = Server::new(|server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, "found");
        }
    });
    server.route("/here");
    let client = server.connect();
    client.send([get("/"), get("/here/"), get("/here?a=b")].concat());
    client.expect_response(&[NOT_FOUND, NOT_FOUND, &ok("found")].concat());
    server.expect(&["request GET /here?a=b"]);
    client.expect_silence();
}

#[test]
fn the_bytes_of_a_response() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            let reactor = &server.reactor;
            reactor.write_status(*id, b"201 Made").expect("good");
            reactor.write_status(*id, b"500 Ignored").expect("ignored");
            reactor.write_header(*id, b"Set-Cookie", b"a=b").expect("good");
            reactor.write_header(*id, b"set-cookie", b"").expect("good");
            server.respond(*id, "body");
        }
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(
        "HTTP/1.1 201 Made\r\nSet-Cookie: a=b\r\nset-cookie: \r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 4\r\n\r\n\
         body",
    );
    client.expect_silence();
}

#[test]
fn a_header_without_a_status_implies_200() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.write_header(*id, b"A", b"b").expect("good");
            server.reactor.write_status(*id, b"404 Too Late").expect("ignored");
            server.respond(*id, "");
        }
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response("HTTP/1.1 200 OK\r\nA: b\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn responses_that_have_no_body_send_none() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, request, .. } = event {
            let target = target(request);
            let status = target.rsplit('/').next().unwrap_or_default();
            server.reactor.write_status(*id, status.as_bytes()).expect("good");
            server.respond(*id, "never sent");
        }
    });
    let client = server.connect();
    client.send("HEAD /200 HTTP/1.1\r\nHost: h\r\n\r\n");
    client.expect_response("HTTP/1.1 200 OK\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 10\r\n\r\n");
    for (status, reason) in [("204", "No Content"), ("304", "Not Modified")] {
        client.send(get(&format!("/{status}")));
        client.expect_response(&format!("HTTP/1.1 {status} {reason}\r\nDate: *\r\nuWebSockets: 20\r\n\r\n"));
    }
    client.send(get("/200"));
    client.expect_response("HTTP/1.1 200 OK\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 10\r\n\r\nnever sent");
    client.expect_silence();
}

#[test]
fn no_answer_to_head_has_a_body_whoever_gives_it() {
    let server = Server::new(|_, _| {});
    server.route("/silent");
    let client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD /silent HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = |response: &str| response.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned();
    client.expect_response(&(head(NOT_FOUND) + &head(UNANSWERED)));
    client.expect_end();
}

#[test]
fn a_connection_that_the_client_wants_closed_is_closed_after_the_response() {
    let server = path_server();
    let client = server.connect();
    client
        .send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Close\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    client.expect_response(&ok("/a").replace("Date", "Connection: close\r\nDate"));
    client.expect_end();
    client.finish();
    server.expect_empty();
    assert_eq!(server.take_log(), ["request GET /a"]);
}

#[test]
fn a_connection_that_the_server_wants_closed_says_so() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.respond(*id, b"x", true).expect("a request");
        }
    });
    for request in [GET, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"] {
        let client = server.connect();
        client.send(request);
        client.expect_response(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 1\r\n\r\nx",
        );
        client.expect_end();
        client.finish();
        server.expect_empty();
    }
}

#[test]
fn a_response_from_outside_of_events_goes_out_with_the_next_pump() {
    let server = waiting_server();
    let client = server.connect();
    client.send(get("/wait"));
    server.expect(&["request GET /wait"]);
    assert!(!server.reactor.has_work());
    server.respond(server.last_id(), "later");
    assert!(server.reactor.has_work());
    server.pump();
    assert!(!server.reactor.has_work());
    client.expect_response(&ok("later"));
}

#[test]
fn what_is_written_under_a_cork_goes_out_with_it() {
    let server = waiting_server();
    let client = server.connect();
    client.send(get("/wait"));
    server.expect(&["request GET /wait"]);
    let id = server.last_id();
    let outer = server.reactor.cork(id).expect("a request");
    assert!(server.reactor.is_corked(id));
    server.reactor.write_header(id, b"A", b"b").expect("good");
    let inner = server.reactor.cork(id).expect("a request");
    server.respond(id, "now");
    server.reactor.uncork(id.slot, inner);
    client.expect_silence();
    assert!(!server.reactor.has_work());
    server.reactor.uncork(id.slot, outer);
    assert!(!server.reactor.is_corked(id));
    // The response has been sent without another turn of the server.
    let response = client.read_some().expect("sent").expect("a connection");
    assert!(response.ends_with(b"now"), "{}", response.escape_ascii());
    assert_eq!(server.reactor.cork(id), Err(Stale));
    server.reactor.uncork(Slot(u32::MAX), None);
}

#[test]
fn a_client_that_asks_whether_to_go_on_is_told_to() {
    let server = waiting_server();
    let client = server.connect();
    client.send("PUT /wait HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    client.expect("HTTP/1.1 100 Continue\r\n\r\n");
    client.send(["hi", &get("/next")].concat());
    client.expect_silence();
    server.expect(&["request PUT /wait"]);
    server.respond(server.last_id(), "done");
    client.expect_response(&[ok("done"), ok("/next")].concat());
    // A request without a body gets no 100 Continue.
    client.send("GET /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n");
    client.expect_response(&ok("/a"));
}

#[test]
fn requests_that_are_refused() {
    let server = path_server();
    let too_large = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(DEFAULT_MAX_HEAD_SIZE));
    let too_many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS));
    let version = UPGRADE.replace("Version: 13", "Version: 8");
    let with_body = UPGRADE.replace("Host: h", "Host: h\r\nContent-Length: 1") + "x";
    server.websocket_route("/", milliways_net::WebSocketSettings::default());
    for (request, answer) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nHost: h\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\nHost: h\n\n", "400 Bad Request"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request"),
        ("\u{16}\u{3}\u{1}", "400 Bad Request"),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 HTTP Version Not Supported"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request"),
        (&too_large, "431 Request Header Fields Too Large"),
        (&too_many, "431 Request Header Fields Too Large"),
        (&version, "426 Upgrade Required"),
        (&with_body, "400 Bad Request"),
    ] {
        let client = server.connect();
        client.send(request);
        let response = client.read_rest().expect("FIN, not a reset");
        let response = String::from_utf8_lossy(&response);
        let (status_line, rest) = response.split_once("\r\n").unwrap_or_default();
        assert_eq!(status_line, format!("HTTP/1.1 {answer}"), "{request:?}");
        let (headers, body) = rest.split_once("\r\n\r\n").expect("a head");
        assert!(headers.split("\r\n").any(|header| header == "Connection: close"), "{headers}");
        assert!(body.ends_with("<hr><i>uWebSockets/20 Server</i>"), "{body}");
        if answer.starts_with("426") {
            assert!(headers.contains("Sec-WebSocket-Version: 13"), "{headers}");
        }
        client.finish();
        server.expect_empty();
    }
    server.expect_nothing();
}

#[test]
fn the_answer_to_a_bad_request_comes_behind_those_to_the_good_ones() {
    let server = path_server();
    let client = server.connect();
    client.send([&get("/a"), &get("/b"), "GET /x HTTP/1.1\r\n\r\n", &get("/c")].concat());
    client.expect_response(&[&ok("/a"), &ok("/b"), BAD_REQUEST].concat());
    client.expect_end();
    server.expect(&["request GET /a", "request GET /b"]);
}

#[test]
fn a_head_may_be_as_long_as_the_limit() {
    let with_filler = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        format!("{start}{}\r\n\r\n", "y".repeat(length - start.len() - 4))
    };
    let server = path_server();
    let client = server.connect();
    client.send(with_filler(DEFAULT_MAX_HEAD_SIZE));
    client.expect_response(&ok("/"));
    let server = Server::with(AppSettings { max_head_size: 20_000, ..AppSettings::default() }, answer_with_path);
    server.route("/*");
    let client = server.connect();
    client.send_pieces(&with_filler(20_000).as_bytes().chunks(7000).collect::<Vec<_>>());
    client.expect_response(&ok("/"));
    client.send(with_filler(20_001));
    let response = client.read_rest().expect("FIN, not a reset");
    assert!(response.starts_with(b"HTTP/1.1 431 "), "{}", response.escape_ascii());
}

#[test]
fn a_body_that_breaks_its_framing_aborts_its_request() {
    let server = waiting_server();
    let client = server.connect();
    client.send("POST /wait HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    server.expect(&["request POST /wait"]);
    let id = server.last_id();
    client.send("lo!");
    client.expect(BAD_REQUEST);
    client.expect_end();
    server.expect(&["aborted"]);
    assert_eq!(server.last_id().slot, id.slot);
    assert_eq!(server.reactor.await_response(id), Err(Stale));
}

#[test]
fn a_request_that_its_handler_forgets_gets_500() {
    let server = Server::http(|_, _| {});
    let client = server.connect();
    client.send([get("/forgotten?q"), get("/next")].concat());
    client.expect(UNANSWERED);
    client.expect_end();
    server.expect(&["request GET /forgotten?q", "unanswered GET /forgotten?q"]);
    client.finish();
    server.expect_empty();
    assert_eq!(server.reactor.await_response(server.last_id()), Err(Stale));
}

#[test]
fn a_request_forgotten_behind_a_written_status_is_answered_with_500() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.write_status(*id, b"200 OK").expect("good");
            server.reactor.write_header(*id, b"A", b"b").expect("good");
        }
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(UNANSWERED);
    client.expect_end();
    server.expect(&["request GET /", "unanswered GET /"]);
}

#[test]
fn a_request_forgotten_behind_a_header_is_answered_with_500() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.write_header(*id, b"A", b"b").expect("good");
        }
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response(UNANSWERED);
    client.expect_end();
    server.expect(&["request GET /", "unanswered GET /"]);
}

#[test]
fn a_handler_that_failed_can_have_its_request_answered_with_500() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, request, .. } = event {
            if target(request).contains("awaited") {
                server.reactor.await_response(*id).expect("a request");
            } else if target(request).contains("answered") {
                server.respond(*id, "good");
            }
            server.causing(|reactor| reactor.fail_response(*id));
        }
    });
    let client = server.connect();
    client.send([get("/answered"), get("/awaited")].concat());
    client.expect_response(&ok("good"));
    client.expect_silence();
    server.respond(server.last_id(), "late");
    client.expect_response(&ok("late"));
    client.send(get("/"));
    client.expect(UNANSWERED);
    client.expect_end();
    // There is no `unanswered`, because the caller of `fail_response` reports the failure itself.
    server.expect(&["request GET /answered", "request GET /awaited", "request GET /"]);
}

#[test]
fn aborted_is_told_once_when_the_client_goes() {
    let server = Server::http(|server, event| match event {
        Event::Request { id, .. } => server.reactor.await_response(*id).expect("a request"),
        Event::Aborted { id } => {
            assert_eq!(server.reactor.respond(*id, b"", false), Err(ResponseError::Complete));
        }
        _ => {}
    });
    for with_reset in [false, true] {
        let client = server.connect();
        client.send(GET);
        server.expect(&["request GET /"]);
        let id = server.last_id();
        if with_reset {
            client.reset();
        } else {
            client.finish();
            server.settle();
            server.pass_seconds(1);
            client.expect_end();
        }
        server.expect(&["aborted"]);
        server.expect_empty();
        let reactor = &server.reactor;
        assert_eq!(reactor.await_response(id), Err(Stale));
        assert_eq!(reactor.write_status(id, b"200 OK"), Err(ResponseError::Complete));
        assert_eq!(reactor.write_header(id, b"A", b"b"), Err(ResponseError::Complete));
        assert_eq!(reactor.respond(id, b"", false), Err(ResponseError::Complete));
        assert_eq!(reactor.close_response(id), Err(Stale));
        reactor.fail_response(id);
        server.expect_nothing();
    }
}

#[test]
fn requests_whose_sender_has_finished_are_answered() {
    let server = waiting_server();
    let client = server.connect();
    client.send([get("/1"), get("/2")].concat());
    client.finish();
    client.expect_response(&[ok("/1"), ok("/2")].concat());
    client.expect_end();
    server.expect(&["request GET /1", "request GET /2"]);
    server.expect_empty();
}

#[test]
fn a_long_response_reaches_a_client_that_has_finished() {
    let body = "0123456789abcdef".repeat(1 << 18);
    let response = ok(&body);
    let server = Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, &body);
        }
    });
    for finish_first in [true, false] {
        let client = server.connect_with_small_buffer();
        client.send(GET);
        if finish_first {
            client.finish();
        }
        server.settle();
        if !finish_first {
            client.finish();
        }
        server.settle();
        client.expect_response(&response);
        client.expect_end();
        server.expect_empty();
    }
}

#[test]
fn headers_that_would_split_a_response_are_refused_and_nothing_of_them_is_sent() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            let reactor = &server.reactor;
            let refused = Err(ResponseError::InvalidHeader(HeaderError::Splits));
            for bad in [&b"200 OK\r\nX: y"[..], b"200 OK\n", b"200\0"] {
                assert_eq!(reactor.write_status(*id, bad), refused);
            }
            for bad in [&b"a\r\nb: c"[..], b"a\n", b"\0"] {
                assert_eq!(reactor.write_header(*id, bad, b"v"), refused);
                assert_eq!(reactor.write_header(*id, b"n", bad), refused);
            }
            assert_eq!(reactor.write_header(*id, b"", b"v"), refused);
            reactor.write_status(*id, b"202 Accepted").expect("good");
            assert_eq!(reactor.write_header(*id, b"n", b"a\r\nb"), refused);
            server.respond(*id, "");
        }
    });
    let client = server.connect();
    client.send(GET);
    client.expect_response("HTTP/1.1 202 Accepted\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn an_id_is_stale_once_its_request_is_answered() {
    let ids = Rc::new(RefCell::new(Vec::<ConnectionId>::new()));
    let server = Server::http({
        let ids = Rc::clone(&ids);
        move |server, event| {
            if let Event::Request { id, .. } = event {
                // The previous ids have the same slot and are stale.
                for old in ids.borrow().iter() {
                    assert_eq!((old.slot, old.generation == id.generation), (id.slot, false));
                    assert_eq!(server.reactor.respond(*old, b"wrong", false), Err(ResponseError::Complete));
                    assert_eq!(server.reactor.write_header(*old, b"a", b"b"), Err(ResponseError::Complete));
                    assert_eq!(server.causing(|reactor| reactor.close_response(*old)), Err(Stale));
                    assert_eq!(server.reactor.await_response(*old), Err(Stale));
                }
                ids.borrow_mut().push(*id);
                server.respond(*id, "right");
                assert_eq!(server.reactor.respond(*id, b"again", false), Err(ResponseError::Complete));
            }
        }
    });
    let client = server.connect();
    client.send(GET.repeat(2));
    client.expect_response(&ok("right").repeat(2));
    client.send(GET);
    client.expect_response(&ok("right"));
    assert_eq!(ids.borrow().len(), 3);
    client.expect_silence();
}

#[test]
fn closing_instead_of_responding_drops_the_connection() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, request, .. } = event {
            if target(request).contains("await") {
                server.reactor.await_response(*id).expect("a request");
            }
            server.reactor.write_status(*id, b"200 OK").expect("good");
            server.causing(|reactor| reactor.close_response(*id)).expect("a request");
            assert_eq!(server.causing(|reactor| reactor.close_response(*id)), Err(Stale));
        }
    });
    let client = server.connect();
    client.send(get("/await").repeat(2));
    client.expect_gone();
    server.expect(&["request GET /await", "aborted"]);
    let client = server.connect();
    client.send(get("/"));
    client.expect_gone();
    server.expect(&["request GET /"]);
    server.expect_empty();
}

#[test]
fn a_handler_that_turns_the_reactor_does_no_harm() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, request, .. } = event {
            server.turn();
            server.pump();
            server.respond(*id, &target(request));
            server.pump();
            server.turn();
        }
    });
    let client = server.connect();
    let other = server.connect();
    client.send([get("/1"), get("/2"), get("/3")].concat());
    other.send(get("/other"));
    client.expect_response(&[ok("GET /1"), ok("GET /2"), ok("GET /3")].concat());
    other.expect_response(&ok("GET /other"));
    assert_eq!(server.take_log().len(), 4);
}

#[test]
fn a_method_that_routes_cannot_name_reaches_any() {
    let server = path_server();
    let client = server.connect();
    client.send("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\nget /lower HTTP/1.1\r\nHost: h\r\n\r\n");
    client.expect_response(&[ok("/pot"), ok("/lower")].concat());
    server.expect(&["request BREW /pot", "request get /lower"]);
}
