use std::time::SystemTime;

use super::*;
use crate::http::{DEFAULT_MAX_HEAD_SIZE, RequestRoom};

mod model;

const DATE: &str = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

fn marks() -> Marks {
    Marks::new(SystemTime::UNIX_EPOCH, false)
}

fn responder(method: &str, version: &str, headers: &str) -> Responder {
    let input = format!("{method} / {version}\r\nHost: h\r\n{headers}\r\n");
    let mut room = RequestRoom::default();
    let parsed = Request::parse(input.as_bytes(), &mut room, DEFAULT_MAX_HEAD_SIZE);
    Responder::new(parsed.expect("valid").expect("complete").0)
}

/// A response and what has come of it.
#[derive(Clone)]
struct Exchange {
    responder: Responder,
    draft: Draft,
    output: Vec<u8>,
}

/// What a call returns besides the bytes.
type Outcome = Result<Option<Persistence>, ResponseError>;

impl Exchange {
    fn new(method: &str, version: &str) -> Self {
        Self::of(responder(method, version, ""))
    }

    fn of(responder: Responder) -> Self {
        Self { responder, draft: Draft::default(), output: Vec::new() }
    }

    /// Sends all of what a call returned, as a caller does whose socket takes everything.
    fn send(&mut self, result: Result<Outgoing<'_>, ResponseError>) -> Outcome {
        let Outgoing { payload, tail, end } = result?;
        self.output.extend_from_slice(payload);
        self.output.extend_from_slice(tail);
        Ok(end)
    }

    fn status(&mut self, text: &str) -> Outcome {
        self.responder.write_status(&mut self.draft, text.as_bytes()).map(|()| None)
    }

    fn header(&mut self, name: &str, value: &str) -> Outcome {
        self.responder.write_header(&mut self.draft, name.as_bytes(), value.as_bytes()).map(|()| None)
    }

    fn begin(&mut self) -> Outcome {
        self.responder.begin(&mut self.draft, &marks(), &mut self.output).map(|()| None)
    }

    fn write(&mut self, piece: &str) -> Outcome {
        let result = self.responder.write(&mut self.draft, piece.as_bytes(), &marks(), &mut self.output);
        self.send(result)
    }

    /// The socket takes at most `room` bytes.
    fn try_end(&mut self, piece: &str, total: u64, close: bool, room: usize) -> Outcome {
        let Self { responder, draft, output } = self;
        let Outgoing { payload, tail, end } =
            responder.try_end(draft, piece.as_bytes(), total, close, &marks(), output)?;
        assert!(tail.is_empty() && (end.is_none() || payload.is_empty()));
        if end.is_some() {
            return Ok(end);
        }
        let taken = payload.len().min(room);
        output.extend_from_slice(&payload[..taken]);
        Ok(responder.advance(draft, taken, close))
    }

    fn end(&mut self, body: &str, close: bool) -> Outcome {
        let result = self.responder.end(&mut self.draft, body.as_bytes(), close, &marks(), &mut self.output);
        self.send(result)
    }

    fn end_without_body(&mut self, length: Option<u64>, close: bool) -> Outcome {
        let result = self.responder.end_without_body(&mut self.draft, length, close, &marks(), &mut self.output);
        self.send(result)
    }

    fn end_not_found(&mut self) -> Outcome {
        let result = self.responder.end_not_found(&mut self.draft, &marks(), &mut self.output);
        self.send(result)
    }

    fn refuse(&mut self, error: HttpError) {
        self.output.extend_from_slice(self.responder.refuse(error).as_bytes());
        self.draft.clear();
    }

    /// The bytes so far, without the Date.
    fn text(&self) -> String {
        String::from_utf8(self.output.clone()).expect("text").replacen(DATE, "", 1)
    }
}

const KEPT: Outcome = Ok(Some(Persistence::KeepAlive));
const CLOSED: Outcome = Ok(Some(Persistence::Close));
const MORE: Outcome = Ok(None);

#[test]
fn a_pending_response_takes_two_bytes_and_what_was_written_goes_into_the_draft() {
    assert_eq!(size_of::<Responder>(), 2);
    // It lies beside a phase in the byte that has room for both.
    assert_eq!(size_of::<Option<Responder>>(), 2);
    assert!(size_of::<Draft>() <= size_of::<ResponseHead>() + 16);
    assert!(Draft::default().is_empty());
}

#[test]
fn a_whole_body_has_its_length_announced() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.status("201 Made"), MORE);
    assert_eq!(exchange.header("A", "b"), MORE);
    assert!(!exchange.draft.is_empty() && exchange.output.is_empty() && !exchange.responder.has_begun());
    assert_eq!(exchange.end("hello", false), KEPT);
    assert_eq!(exchange.text(), "HTTP/1.1 201 Made\r\nA: b\r\nContent-Length: 5\r\n\r\nhello");
    assert!(exchange.draft.is_empty() && exchange.responder.is_complete());
}

#[test]
fn pieces_come_in_chunks() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.begin(), MORE);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(exchange.text(), head);
    assert!(exchange.draft.is_empty(), "a body in chunks needs no draft");
    assert_eq!(exchange.begin(), MORE);
    assert_eq!(exchange.write(""), MORE);
    assert_eq!(exchange.write("hello, chunks!!!"), MORE);
    let mut last = exchange.clone();
    assert_eq!(exchange.end("", false), KEPT);
    assert_eq!(exchange.text(), format!("{head}10\r\nhello, chunks!!!\r\n0\r\n\r\n"));
    assert_eq!(last.end("x", true), CLOSED);
    assert_eq!(last.text(), format!("{head}10\r\nhello, chunks!!!\r\n1\r\nx\r\n0\r\n\r\n"));
}

#[test]
fn pieces_come_by_the_length_that_was_written() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.header("Content-Length", "5"), MORE);
    assert_eq!(exchange.write("hel"), MORE);
    assert_eq!(exchange.draft.offset(), 3);
    assert_eq!(exchange.write("lo!"), Err(ResponseError::LengthMismatch { announced: 5, given: 6 }));
    assert_eq!(exchange.end("l", false), Err(ResponseError::LengthMismatch { announced: 5, given: 4 }));
    assert_eq!(exchange.end("lo", false), KEPT);
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");

    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.header("Content-Length", "2").expect("good");
    assert_eq!(exchange.end("hello", false), Err(ResponseError::LengthMismatch { announced: 2, given: 5 }));
    assert!(exchange.output.is_empty(), "an error sends nothing");
    assert_eq!(exchange.write("hello"), Err(ResponseError::LengthMismatch { announced: 2, given: 5 }));
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "but for the head of a body in pieces");
}

#[test]
fn what_the_socket_does_not_take_is_offered_again() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.try_end("hello", 8, false, 2), MORE);
    assert_eq!(exchange.draft.offset(), 2);
    assert_eq!(exchange.try_end("llo", 1000, false, 0), MORE);
    assert_eq!(exchange.try_end("llo", 1000, true, 3), MORE, "the first total counts");
    assert_eq!(exchange.draft.offset(), 5);
    assert_eq!(exchange.write("x"), Err(ResponseError::Mixed));
    assert_eq!(exchange.begin(), Err(ResponseError::Mixed));
    let (mut short, mut long) = (exchange.clone(), exchange.clone());
    assert_eq!(exchange.try_end("you, and more", 8, false, 100), KEPT);
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhelloyou";
    assert_eq!(exchange.text(), expected);
    assert_eq!(long.end("you, and more", false), KEPT);
    assert_eq!(long.text(), expected);
    assert_eq!(short.end("yo", false), CLOSED, "the client waits for more");
    assert_eq!(short.text(), &expected[..expected.len() - 1]);
}

#[test]
fn a_try_end_that_closes_says_so_in_the_head_if_it_is_the_first() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.try_end("hello", 5, true, 2), MORE);
    assert_eq!(exchange.try_end("llo", 5, false, 3), CLOSED);
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.try_end("hello", 5, false, 2), MORE);
    assert_eq!(exchange.try_end("llo", 5, true, 3), CLOSED);
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.try_end("", 0, false, 0), KEPT);
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_response_to_head_announces_what_get_would_have_had() {
    let head = |run: fn(&mut Exchange)| {
        let mut exchange = Exchange::new("HEAD", "HTTP/1.1");
        run(&mut exchange);
        assert!(exchange.responder.is_complete());
        exchange.text().strip_prefix("HTTP/1.1 200 OK\r\n").expect("the status").to_owned()
    };
    let end = |exchange: &mut Exchange| assert_eq!(exchange.end("hello", false), KEPT);
    assert_eq!(head(end), "Content-Length: 5\r\n\r\n");
    assert_eq!(head(|exchange| assert_eq!(exchange.end_without_body(None, false), KEPT)), "\r\n");
    assert_eq!(
        head(|exchange| assert_eq!(exchange.end_without_body(Some(7), false), KEPT)),
        "Content-Length: 7\r\n\r\n"
    );
    assert_eq!(head(|exchange| assert_eq!(exchange.try_end("he", 5, false, 9), KEPT)), "Content-Length: 5\r\n\r\n");
    let own = |exchange: &mut Exchange| {
        exchange.header("Content-Length", "9").expect("good");
        assert_eq!(exchange.end("", false), KEPT);
    };
    assert_eq!(head(own), "Content-Length: 9\r\n\r\n");
    let pieces = |exchange: &mut Exchange| {
        assert_eq!(exchange.write("hello"), MORE);
        assert_eq!(exchange.end("x", false), KEPT);
    };
    assert_eq!(head(pieces), "Transfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn statuses_without_a_body() {
    for (status, body, framing) in
        [("204 No Content", "", ""), ("304 Not Modified", "", ""), ("304", "hello", ""), ("204", "hello", "")]
    {
        let mut exchange = Exchange::new("GET", "HTTP/1.1");
        exchange.status(status).expect("good");
        assert_eq!(exchange.end(body, false), KEPT);
        assert!(exchange.text().ends_with(&format!("\r\n{framing}\r\n")), "{}", exchange.text());
        assert!(!exchange.text().contains("hello"));
    }
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.status("304 Not Modified").expect("good");
    assert_eq!(exchange.end_without_body(Some(100), false), KEPT);
    assert_eq!(exchange.text(), "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n");
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_and_hears_that_its_connection_is_kept() {
    let keep = || Exchange::of(responder("GET", "HTTP/1.0", "Connection: keep-alive\r\n"));
    let mut exchange = keep();
    assert_eq!(exchange.end("hello", false), KEPT);
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");
    let mut exchange = keep();
    assert_eq!(exchange.write("hel"), MORE);
    assert_eq!(exchange.end("lo", false), CLOSED);
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    let mut exchange = keep();
    exchange.status("204 No Content").expect("good");
    assert_eq!(exchange.end("", false), KEPT);
    assert_eq!(exchange.text(), "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
    let mut exchange = Exchange::new("GET", "HTTP/1.0");
    assert_eq!(exchange.end("hello", false), CLOSED);
    assert_eq!(exchange.text(), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
}

#[test]
fn the_connection_closes_if_anybody_wants_it_to() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let mut exchange = Exchange::of(responder("GET", "HTTP/1.1", "Connection: close\r\n"));
    assert_eq!(exchange.end("", false), CLOSED);
    assert_eq!(exchange.text(), closing);
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.end("", true), CLOSED);
    assert_eq!(exchange.text(), closing);
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.header("Connection", "close").expect("good");
    assert_eq!(exchange.end("", false), CLOSED);
    assert_eq!(exchange.text(), closing);
}

#[test]
fn a_100_continue_comes_before_the_response_and_never_to_http_1_0() {
    let mut exchange = Exchange::new("PUT", "HTTP/1.1");
    exchange.responder.write_continue(&mut exchange.output);
    assert_eq!(exchange.end("", false), KEPT);
    exchange.responder.write_continue(&mut exchange.output);
    assert_eq!(exchange.text(), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut output = Vec::new();
    responder("PUT", "HTTP/1.0", "").write_continue(&mut output);
    assert!(output.is_empty());
}

#[test]
fn a_request_that_no_route_answers_keeps_the_headers_that_fit() {
    let body = str::from_utf8(NOT_FOUND_BODY).expect("text");
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.end_not_found(), KEPT);
    assert_eq!(exchange.text(), format!("HTTP/1.1 404 File Not Found\r\n{length}"));

    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.header("A", "b").expect("good");
    assert_eq!(exchange.end_not_found(), KEPT);
    assert_eq!(exchange.text(), format!("HTTP/1.1 200 OK\r\nA: b\r\n{length}"), "a status would come too late");

    for (name, value) in [("Content-Length", "3"), ("status", "101")] {
        let mut exchange = Exchange::new("GET", "HTTP/1.1");
        let written = if name == "status" { exchange.status(value) } else { exchange.header(name, value) };
        written.expect("good");
        exchange.header("A", "b").expect("good");
        assert_eq!(exchange.end_not_found(), KEPT);
        assert_eq!(exchange.text(), format!("HTTP/1.1 404 File Not Found\r\n{length}"));
    }

    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.write("x").expect("good");
    assert_eq!(exchange.end_not_found(), KEPT);
    assert!(exchange.draft.is_empty(), "the next response has its own status");
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.header("Content-Length", "3").expect("good");
    exchange.write("x").expect("good");
    assert!(matches!(exchange.end_not_found(), Err(ResponseError::LengthMismatch { announced: 3, .. })));
}

#[test]
fn an_error_is_a_response_unless_one_has_begun() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.header("A", "b").expect("good");
    exchange.refuse(HttpError::NoResponse);
    assert_eq!(exchange.text(), HttpError::NoResponse.response());
    assert_eq!(exchange.end("", false), Err(ResponseError::Complete));
    let mut exchange = Exchange::new("HEAD", "HTTP/1.1");
    exchange.refuse(HttpError::NoResponse);
    assert_eq!(exchange.text(), HttpError::NoResponse.head());
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.begin().expect("good");
    let before = exchange.text();
    exchange.refuse(HttpError::NoResponse);
    assert_eq!(exchange.text(), before);
}

#[test]
fn only_an_upgrade_completes_a_101() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    exchange.status("101 Switching Protocols").expect("good");
    exchange.header("A", "b").expect("good");
    for outcome in [
        exchange.begin(),
        exchange.write("x"),
        exchange.try_end("x", 1, false, 1),
        exchange.end("", false),
        exchange.end_without_body(None, false),
    ] {
        assert_eq!(outcome, Err(ResponseError::Switching));
    }
    assert!(exchange.output.is_empty());
    assert_eq!(exchange.responder.check_upgrade(&exchange.draft), Ok(()));
    let head = exchange.responder.upgrade(&mut exchange.draft).expect("a 101");
    assert_eq!(head.own_status(), Some(Status::SWITCHING_PROTOCOLS));
    assert!(exchange.responder.is_complete() && exchange.draft.is_empty());
    assert_eq!(exchange.responder.upgrade(&mut exchange.draft).err(), Some(InvalidUpgrade::Complete));

    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.responder.check_upgrade(&exchange.draft), Ok(()));
    exchange.status("200 OK").expect("good");
    assert_eq!(exchange.responder.upgrade(&mut exchange.draft).err(), Some(InvalidUpgrade::OtherStatus));
    exchange.begin().expect("good");
    assert_eq!(exchange.responder.upgrade(&mut exchange.draft).err(), Some(InvalidUpgrade::HasBegun));
}

#[test]
fn what_comes_too_late_or_cannot_be_sent_is_an_error() {
    let mut exchange = Exchange::new("GET", "HTTP/1.1");
    assert_eq!(exchange.status("100 Continue"), Err(ResponseError::InvalidStatus));
    assert_eq!(exchange.status("200 \r\n"), Err(ResponseError::InvalidHeader(HeaderError::Splits)));
    assert_eq!(exchange.header("a b", ""), Err(ResponseError::InvalidHeader(HeaderError::Splits)));
    assert_eq!(exchange.header("Content-Length", "x"), Err(ResponseError::InvalidHeader(HeaderError::Length)));
    assert!(exchange.draft.is_empty());
    exchange.begin().expect("good");
    assert_eq!(exchange.status("404 Not Found"), MORE, "ignored");
    assert_eq!(exchange.status("x"), Err(ResponseError::InvalidStatus));
    assert_eq!(exchange.header("a", "b"), Err(ResponseError::HeadEnded));
    assert_eq!(exchange.try_end("x", 1, false, 1), Err(ResponseError::Mixed));
    assert!(exchange.draft.is_empty());
}
