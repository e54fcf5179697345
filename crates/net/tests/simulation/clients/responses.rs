//! Responses as a client sees them (RFC 9112).

use std::time::Duration;

use super::ACCEPT;
use crate::http::Answer;
use crate::model::Connection;
use crate::world::{World, ensure};

/// What a client is in the middle of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    /// A body, of which this many bytes are left.
    Length(usize),
    /// The size of a chunk.
    Size,
    /// The data of a chunk, of which this many bytes are left.
    Chunk(usize),
    /// The line break behind a chunk's data.
    Break,
    /// The line break behind the last chunk.
    LastBreak,
    /// A body up to the end of the connection.
    UntilClose,
}

/// The responses of a connection.
pub(super) struct Responses {
    stage: Stage,
    /// A head, or a line, that is not complete.
    line: Vec<u8>,
    /// The number of bytes of the body so far.
    read: usize,
    /// The body of an error, which is not compared, has begun.
    is_error: bool,
}

/// What a client has seen.
pub(super) struct Seen {
    pub(super) consumed: usize,
    /// A response has begun.
    pub(super) answered: Option<Answered>,
}

/// A request whose response has begun.
pub(super) struct Answered {
    pub(super) number: u32,
    /// It has become a WebSocket, with these extensions.
    pub(super) upgraded: Option<String>,
}

impl Responses {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Head, line: Vec::new(), read: 0, is_error: false }
    }

    pub(super) fn see(&mut self, world: &World, which: usize, bytes: &[u8]) -> Seen {
        let mut answered = None;
        let consumed = match self.stage {
            Stage::Head => {
                let Some(consumed) = self.take_up_to(bytes, b"\r\n\r\n") else { return Seen::all(bytes) };
                let head = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                answered = self.see_head(world, which, &head);
                consumed
            }
            Stage::Size => {
                let Some(consumed) = self.take_up_to(bytes, b"\r\n") else { return Seen::all(bytes) };
                let line = std::mem::take(&mut self.line);
                let size = std::str::from_utf8(&line).ok().and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
                match size {
                    Some(0) => self.stage = Stage::LastBreak,
                    Some(size) => self.stage = Stage::Chunk(size),
                    None => world.fail(&format!("client {which} sees a chunk of {}", line.escape_ascii())),
                }
                consumed
            }
            Stage::Break | Stage::LastBreak => {
                let Some(consumed) = self.take_up_to(bytes, b"\r\n") else { return Seen::all(bytes) };
                let is_empty = std::mem::take(&mut self.line) == b"\r\n";
                ensure!(world, is_empty, "client {which} sees something between two chunks");
                if self.stage == Stage::LastBreak {
                    self.see_end(world, which);
                } else {
                    self.stage = Stage::Size;
                }
                consumed
            }
            Stage::Length(left) => {
                let count = left.min(bytes.len());
                self.see_body(world, which, &bytes[..count]);
                self.stage = Stage::Length(left - count);
                if left == count {
                    self.see_end(world, which);
                }
                count
            }
            Stage::Chunk(left) => {
                let count = left.min(bytes.len());
                self.see_body(world, which, &bytes[..count]);
                self.stage = if left == count { Stage::Break } else { Stage::Chunk(left - count) };
                count
            }
            Stage::UntilClose => {
                self.see_body(world, which, bytes);
                bytes.len()
            }
        };
        Seen { consumed, answered }
    }

    /// Moves bytes to the line up to and including `end`; returns how many. Returns `None`, and moves all of them, if the end
    /// is not among them.
    fn take_up_to(&mut self, bytes: &[u8], end: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            self.line.push(*byte);
            if self.line.ends_with(end) {
                return Some(index + 1);
            }
        }
        None
    }

    /// Reads a head. Returns what it answers.
    fn see_head(&mut self, world: &World, which: usize, head: &str) -> Option<Answered> {
        let status: u16 = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        if status == 100 {
            return None;
        }
        world.log(|| format!("client {which} sees {status}"));
        let mut model = world.model();
        let it = &mut model.all[which];
        let refuses = matches!(status, 400 | 413 | 431 | 505);
        if refuses && it.is_invalid && it.requests.is_empty() && it.answers.is_empty() {
            self.is_error = true;
            self.stage = Stage::UntilClose;
            return None;
        }
        let Some(answer) = answer_of(it, world.now()) else {
            world.fail(&format!("client {which} sees {status} without having asked, or before a handler has answered"))
        };
        ensure!(world, answer.status == status, "client {which} sees {status} instead of {answer:?}");
        let mark = format!("\r\nMark: {which}-{}\r\n", answer.number);
        let is_marked = head.contains("\r\nMark: ");
        ensure!(world, !is_marked || head.contains(&mark), "client {which} sees {head:?}, not {answer:?}");
        let (number, is_bodiless) = (answer.number, answer.is_bodiless);
        let value = |name: &str| {
            let start = head.find(&format!("\r\n{name}: "))? + name.len() + 4;
            head[start..].split("\r\n").next()
        };
        if status == 101 {
            ensure!(world, value("Sec-WebSocket-Accept") == Some(ACCEPT), "client {which} sees {head:?}");
            it.answers.pop_front();
            return Some(Answered {
                number,
                upgraded: Some(value("Sec-WebSocket-Extensions").unwrap_or_default().to_owned()),
            });
        }
        self.read = 0;
        self.stage = match (value("Content-Length"), value("Transfer-Encoding")) {
            _ if is_bodiless => Stage::Length(0),
            (Some(length), None) => Stage::Length(length.parse().unwrap_or(usize::MAX)),
            (None, Some("chunked")) => Stage::Size,
            (None, None) => Stage::UntilClose,
            other => world.fail(&format!("client {which} sees {other:?}")),
        };
        drop(model);
        if self.stage == Stage::Length(0) {
            self.see_end(world, which);
        }
        Some(Answered { number, upgraded: None })
    }

    fn see_body(&mut self, world: &World, which: usize, bytes: &[u8]) {
        if self.is_error {
            return;
        }
        let start = self.read;
        self.read += bytes.len();
        let model = world.model();
        let Some(answer) = model.all[which].answers.front() else { world.fail("a body without a response") };
        if answer.is_handlers {
            let is_same = answer.content(which).is_at(start, bytes);
            ensure!(world, is_same, "client {which} sees other bytes from {start} on: {answer:?}");
            ensure!(world, self.read <= answer.written, "client {which} sees {} bytes of {answer:?}", self.read);
        }
    }

    /// The end of a response has come.
    fn see_end(&mut self, world: &World, which: usize) {
        let mut model = world.model();
        let Some(answer) = model.all[which].answers.pop_front() else { world.fail("the end without a response") };
        ensure!(world, answer.is_complete || answer.is_bodiless, "client {which} sees the end of {answer:?}");
        let is_whole = !answer.is_handlers || answer.is_bodiless || self.read == answer.written;
        ensure!(world, is_whole, "client {which} sees {} bytes of {answer:?}", self.read);
        self.stage = Stage::Head;
        self.read = 0;
    }

    /// The connection has ended, with a FIN if it is `in_order`.
    pub(super) fn end(&mut self, world: &World, which: usize, in_order: bool) {
        if in_order && self.stage == Stage::UntilClose && !self.is_error {
            let is_complete = world.model().all[which].answers.front().is_some_and(|answer| answer.is_complete);
            if is_complete && self.is_whole(world, which) {
                self.see_end(world, which);
            }
        }
        world.check_end(which, in_order);
    }

    fn is_whole(&self, world: &World, which: usize) -> bool {
        let model = world.model();
        model.all[which].answers.front().is_some_and(|answer| !answer.is_handlers || self.read == answer.written)
    }
}

/// Returns the response that comes next. One to a request that no route takes needs no handler.
fn answer_of(it: &mut Connection, now: Duration) -> Option<&Answer> {
    if it.answers.is_empty() {
        it.skip_missing(now);
    }
    it.answers.front()
}

impl Seen {
    fn all(bytes: &[u8]) -> Self {
        Self { consumed: bytes.len(), answered: None }
    }
}
