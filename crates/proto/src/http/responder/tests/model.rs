//! Every order of calls, compared with a model that keeps facts and, after each call, renders from them all that has been
//! sent so far.

use super::*;

/// How deep the orders of calls go.
const DEPTH: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Call {
    Continue,
    Status,
    Header,
    Length,
    CloseHeader,
    Begin,
    Write(&'static str),
    /// A piece of a body of three bytes, of which the socket takes so many.
    TryEnd(&'static str, usize),
    TryEndAndClose,
    End(&'static str),
    EndAndClose,
    EndWithoutBody(Option<u64>),
    NotFound,
    Refuse,
    Upgrade,
}

const CALLS: [Call; 19] = [
    Call::Continue,
    Call::Status,
    Call::Header,
    Call::Length,
    Call::CloseHeader,
    Call::Begin,
    Call::Write(""),
    Call::Write("ab"),
    Call::TryEnd("ab", 9),
    Call::TryEnd("abcd", 1),
    Call::TryEndAndClose,
    Call::End(""),
    Call::End("c"),
    Call::EndAndClose,
    Call::EndWithoutBody(None),
    Call::EndWithoutBody(Some(3)),
    Call::NotFound,
    Call::Refuse,
    Call::Upgrade,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Pieces,
    TryEnd,
    Whole,
    /// The bytes of an error, or of another protocol.
    Other,
}

#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts about a response as they come, and not a state machine")]
struct Model {
    is_head: bool,
    is_old: bool,
    /// The client wants the connection to close.
    asks_to_close: bool,
    continues: usize,
    status: Option<&'static str>,
    headers: Vec<&'static str>,
    own_length: Option<u64>,
    wants_close: bool,
    /// How the body has begun; `None` before the head is sent.
    way: Option<Way>,
    /// The length in the head.
    announced: Option<u64>,
    /// The length of a body that `try_end` has begun.
    total: u64,
    says_close: bool,
    pieces: Vec<String>,
    /// The error that was sent instead.
    error: &'static str,
    is_refused: bool,
    end: Option<Persistence>,
}

impl Model {
    fn code(&self) -> &str {
        self.status.map_or("200", |status| &status[..3])
    }

    fn status_has_body(&self) -> bool {
        !["204", "304"].contains(&self.code())
    }

    fn has_body(&self) -> bool {
        self.status_has_body() && !self.is_head
    }

    fn is_touched(&self) -> bool {
        self.status.is_some() || !self.headers.is_empty() || self.own_length.is_some() || self.wants_close
    }

    fn sent(&self) -> u64 {
        self.pieces.concat().len() as u64
    }

    fn start(&mut self, way: Way, announced: Option<u64>, close: bool) {
        self.way = Some(way);
        self.announced = announced;
        let only_close_ends_it = self.is_old && announced.is_none() && self.has_body();
        self.says_close = self.asks_to_close || self.wants_close || close || only_close_ends_it;
    }

    fn finish(&mut self, close: bool) -> Option<Persistence> {
        let closes = close || self.says_close;
        self.end = Some(if closes { Persistence::Close } else { Persistence::KeepAlive });
        self.end
    }

    /// What the head says of a body that is said to have `length` bytes.
    fn agree(&self, length: Option<u64>) -> Result<Option<u64>, ResponseError> {
        match (self.own_length, length) {
            (Some(announced), Some(given)) if self.has_body() && announced != given => {
                Err(ResponseError::LengthMismatch { announced, given })
            }
            (own, length) => Ok(own.or(length)),
        }
    }

    fn call(&mut self, call: Call) -> Outcome {
        match (call, self.way) {
            (Call::Continue | Call::Refuse | Call::Upgrade, _) => {}
            _ if self.end.is_some() => return Err(ResponseError::Complete),
            (Call::Header | Call::Length | Call::CloseHeader, Some(_)) => return Err(ResponseError::HeadEnded),
            (Call::Begin | Call::Write(_), Some(Way::TryEnd))
            | (Call::TryEnd(..) | Call::TryEndAndClose, Some(Way::Pieces)) => return Err(ResponseError::Mixed),
            _ => {}
        }
        match call {
            Call::Continue => self.continues += usize::from(self.way.is_none() && !self.is_old),
            Call::Status if self.is_touched() || self.way.is_some() => {}
            Call::Status => self.status = Some("404 Gone Away"),
            Call::Header => self.headers.push("A: b\r\n"),
            Call::Length => self.own_length = Some(3),
            Call::CloseHeader => self.wants_close = true,
            Call::Begin => self.begin(),
            Call::Write(piece) => return self.write(piece),
            Call::TryEnd(piece, room) => return self.try_end(piece, room, false),
            Call::TryEndAndClose => return self.try_end("bcd", 1, true),
            Call::End(body) => return self.end(body, false),
            Call::EndAndClose => return self.end("abc", true),
            Call::EndWithoutBody(length) if self.way.is_none() => {
                let announced = self.agree(length)?;
                self.start(Way::Whole, announced, false);
                return Ok(self.finish(false));
            }
            Call::EndWithoutBody(_) => return self.end("", false),
            Call::NotFound => return self.not_found(),
            Call::Refuse => {
                let error = HttpError::NoResponse;
                if self.way.is_none() {
                    self.error = if self.is_head { error.head() } else { error.response() };
                    self.way = Some(Way::Other);
                }
                self.is_refused |= self.end.is_none();
                self.end = Some(Persistence::Close);
            }
            Call::Upgrade if self.way.is_none() && self.status.is_none() => {
                self.way = Some(Way::Other);
                self.end = Some(Persistence::KeepAlive);
            }
            Call::Upgrade => {}
        }
        MORE
    }

    fn begin(&mut self) {
        if self.way.is_none() {
            self.start(Way::Pieces, self.own_length, false);
        }
    }

    fn write(&mut self, piece: &str) -> Outcome {
        self.begin();
        let given = self.sent() + piece.len() as u64;
        match self.announced {
            Some(announced) if self.has_body() && given > announced => {
                return Err(ResponseError::LengthMismatch { announced, given });
            }
            _ => self.pieces.push(piece.to_owned()),
        }
        MORE
    }

    fn try_end(&mut self, piece: &str, room: usize, close: bool) -> Outcome {
        if self.way.is_none() {
            let announced = self.agree(self.status_has_body().then_some(3))?;
            self.start(Way::TryEnd, announced, close);
            self.total = 3;
        }
        if self.has_body() {
            let left = usize::try_from(self.total - self.sent()).expect("small");
            self.pieces.push(piece[..piece.len().min(left).min(room)].to_owned());
        }
        if !self.has_body() || self.sent() == self.total { Ok(self.finish(close)) } else { MORE }
    }

    fn end(&mut self, body: &str, close: bool) -> Outcome {
        let mut close = close;
        let mut body = body;
        match self.way {
            None => {
                let announced = self.agree(self.status_has_body().then_some(body.len() as u64))?;
                self.start(Way::Whole, announced, close);
            }
            Some(Way::Pieces) => {
                let given = self.sent() + body.len() as u64;
                if let Some(announced) = self.announced.filter(|announced| self.has_body() && *announced != given) {
                    return Err(ResponseError::LengthMismatch { announced, given });
                }
            }
            Some(_) => {
                let left = usize::try_from(self.total - self.sent()).expect("small");
                close |= body.len() < left;
                body = &body[..body.len().min(left)];
            }
        }
        self.pieces.push(body.to_owned());
        Ok(self.finish(close))
    }

    fn not_found(&mut self) -> Outcome {
        let body = str::from_utf8(NOT_FOUND_BODY).expect("text");
        if self.way.is_none() {
            if self.own_length.is_some() && self.has_body() {
                (self.status, self.own_length, self.wants_close) = (None, None, false);
                self.headers.clear();
            }
            if !self.is_touched() {
                self.status = Some("404 File Not Found");
            }
        }
        self.end(body, false)
    }

    /// All that has been sent.
    fn text(&self) -> String {
        let mut text = "HTTP/1.1 100 Continue\r\n\r\n".repeat(self.continues);
        let has_chunks = self.way == Some(Way::Pieces) && self.announced.is_none() && !self.is_old;
        match self.way {
            None => return text,
            Some(Way::Other) => return text + self.error,
            Some(_) => {}
        }
        let connection = match (self.says_close, self.is_old) {
            (true, _) => "Connection: close\r\n",
            (false, true) => "Connection: keep-alive\r\n",
            (false, false) => "",
        };
        let framing = match self.announced {
            Some(length) if self.code() != "204" => format!("Content-Length: {length}\r\n"),
            None if has_chunks && self.status_has_body() => "Transfer-Encoding: chunked\r\n".to_owned(),
            _ => String::new(),
        };
        let (status, headers) = (self.status.unwrap_or("200 OK"), self.headers.concat());
        text = format!("{text}HTTP/1.1 {status}\r\n{headers}{connection}{DATE}{framing}\r\n");
        if !self.has_body() {
            return text;
        }
        if !has_chunks {
            return text + &self.pieces.concat();
        }
        for piece in self.pieces.iter().filter(|piece| !piece.is_empty()) {
            text = format!("{text}{:x}\r\n{piece}\r\n", piece.len());
        }
        // A response that was refused in the middle has no end.
        let is_whole = self.end.is_some() && !self.is_refused;
        text + if is_whole { "0\r\n\r\n" } else { "" }
    }
}

impl Exchange {
    fn call(&mut self, call: Call) -> Outcome {
        match call {
            Call::Continue => self.responder.write_continue(&mut self.output),
            Call::Status => return self.status("404 Gone Away"),
            Call::Header => return self.header("A", "b"),
            Call::Length => return self.header("Content-Length", "3"),
            Call::CloseHeader => return self.header("Connection", "close"),
            Call::Begin => return self.begin(),
            Call::Write(piece) => return self.write(piece),
            Call::TryEnd(piece, room) => return self.try_end(piece, 3, false, room),
            Call::TryEndAndClose => return self.try_end("bcd", 3, true, 1),
            Call::End(body) => return self.end(body, false),
            Call::EndAndClose => return self.end("abc", true),
            Call::EndWithoutBody(length) => return self.end_without_body(length, false),
            Call::NotFound => return self.end_not_found(),
            Call::Refuse => self.refuse(HttpError::NoResponse),
            Call::Upgrade => {
                let (responder, had) = (self.responder, self.draft.head.own_status().is_some());
                let expected = match responder {
                    _ if responder.is_complete() => Err(InvalidUpgrade::Complete),
                    _ if responder.has_begun() => Err(InvalidUpgrade::HasBegun),
                    _ if had => Err(InvalidUpgrade::OtherStatus),
                    _ => Ok(()),
                };
                assert_eq!(responder.check_upgrade(&self.draft), expected);
                assert_eq!(self.responder.upgrade(&mut self.draft).map(|_| ()), expected);
            }
        }
        MORE
    }
}

/// Tries every call after those of `path`, and every call after each.
fn explore(path: &mut Vec<Call>, exchange: &Exchange, model: &Model, count: &mut usize) {
    for call in CALLS {
        let (mut exchange, mut model) = (exchange.clone(), model.clone());
        path.push(call);
        *count += 1;
        assert_eq!(exchange.call(call), model.call(call), "{path:?} {model:?}");
        let sent = String::from_utf8_lossy(&exchange.output);
        assert_eq!(sent, model.text(), "{path:?} {model:?}");
        let responder = exchange.responder;
        assert_eq!((responder.has_begun(), responder.is_complete()), (model.way.is_some(), model.end.is_some()));
        let is_counted =
            model.way == Some(Way::TryEnd) || (model.way == Some(Way::Pieces) && model.announced.is_some());
        let offset = if is_counted && model.has_body() && model.end.is_none() { model.sent() } else { 0 };
        assert_eq!(exchange.draft.offset(), offset, "{path:?} {model:?}");
        assert!(model.end.is_none() || exchange.draft.is_empty(), "{path:?}");
        // After the end, all calls fail alike.
        if path.len() < DEPTH && (model.end.is_none() || path.len() < 2) {
            explore(path, &exchange, &model, count);
        }
        path.pop();
    }
}

#[test]
fn every_order_of_calls_sends_what_the_model_says() {
    let mut count = 0;
    for method in ["GET", "HEAD"] {
        for (version, headers) in [
            ("HTTP/1.1", ""),
            ("HTTP/1.1", "Connection: close\r\n"),
            ("HTTP/1.0", ""),
            ("HTTP/1.0", "Connection: keep-alive\r\n"),
        ] {
            for status in [None, Some("204 No Content"), Some("304 Not Modified")] {
                let mut exchange = Exchange::of(responder(method, version, headers));
                if let Some(status) = status {
                    exchange.status(status).expect("good");
                }
                let model = Model {
                    is_head: method == "HEAD",
                    is_old: version == "HTTP/1.0",
                    asks_to_close: headers.contains("close") || (version == "HTTP/1.0" && headers.is_empty()),
                    status,
                    ..Model::default()
                };
                explore(&mut Vec::new(), &exchange, &model, &mut count);
            }
        }
    }
    assert!(count > 100_000, "only {count} orders of calls");
}
