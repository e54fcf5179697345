//! The clients: what they send, and whether they see what they must.

mod deflate;
mod frames;
mod responses;
mod tls;

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::SocketAddr;

use milliways_simnet::{ConnectionKey, Peer};

use self::deflate::Contexts;
pub(crate) use self::deflate::OFFER;
use self::frames::Frames;
use self::responses::{Answered, Responses};
use self::tls::Tls;
pub(crate) use self::tls::{client_config, server_config};
use crate::content::Content;
use crate::http::{Body, Request, Route};
use crate::model::Connection;
use crate::random::Random;
use crate::websocket::Heard;
use crate::world::World;

/// The key of the example in RFC 6455 section 1.3, and what answers it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The number of bytes that wait in a client from which on it has nothing more to say.
const MUCH: usize = 200_000;

/// The number of requests that a client sends ahead of responses.
const PIPELINED: usize = 4;

/// How a client behaves.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// It wants a WebSocket.
    pub(crate) wants_websocket: bool,
    /// It reads, answers, and ends in order.
    pub(crate) is_faithful: bool,
    pub(crate) answers_pings: bool,
    pub(crate) answers_close: bool,
    /// It reads at all.
    pub(crate) reads: bool,
}

/// What a client sees: responses, or frames.
enum View {
    Http(Responses),
    WebSocket(Frames),
}

/// The client's end of a connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Client {
    pub(crate) which: usize,
    /// `None` once it has been closed or reset.
    peer: Option<Peer>,
    pub(crate) manner: Manner,
    view: View,
    /// What compresses messages, if that was agreed on.
    contexts: Option<Box<Contexts>>,
    tls: Option<Box<Tls>>,
    /// What is to be said.
    said: Vec<u8>,
    /// What is to be sent, of which `sent` bytes have been.
    outgoing: Vec<u8>,
    sent: usize,
    /// The number of bytes that have been read, of what TLS has opened if there is TLS.
    read: u64,
    /// The number of requests, or of messages and Pings, so far.
    number: u32,
    /// It wants to finish when everything has been sent.
    wants_to_finish: bool,
    has_finished: bool,
    /// Nothing more may be sent but Pongs: it has sent a Close frame, something invalid, or its last request.
    is_done: bool,
    has_sent_close: bool,
    /// The number of a request for a WebSocket that has not been answered.
    upgrading: Option<u32>,
    /// Frames of a message that is not complete have been queued.
    is_in_message: Option<(u32, usize, bool)>,
}

impl Client {
    pub(crate) fn connect(world: &World) -> Option<Self> {
        let is_adopted = world.afar.is_some() && world.once_in(4);
        let peer = match &world.afar {
            Some(afar) if is_adopted => afar.connect(world)?,
            _ => world.network.connect(world.address).ok()?,
        };
        let plan = &world.plan;
        let mut random = world.random();
        let is_faithful = random.below(10) < plan.faithful;
        let manner = Manner {
            wants_websocket: random.below(10) < plan.websockets,
            is_faithful,
            answers_pings: is_faithful || random.once_in(2),
            answers_close: is_faithful || random.once_in(2),
            reads: is_faithful || !random.once_in(4),
        };
        let is_named = plan.is_proxied && random.once_in(2);
        drop(random);
        let mut connection = Connection::new(peer.key(), peer.address(), plan.is_secure, world.now());
        let mut outgoing = Vec::new();
        if is_named {
            let proxied = SocketAddr::from(([192, 0, 2, 1], peer.address().port()));
            outgoing.extend_from_slice(proxy_header(proxied).as_bytes());
            connection.proxied = Some(proxied);
        }
        let which = world.model().add(connection);
        world.log(|| format!("client {which} connects: {manner:?}"));
        Some(Self {
            which,
            peer: Some(peer),
            manner,
            view: View::Http(Responses::new()),
            contexts: None,
            tls: world.tls.as_ref().map(|config| Box::new(Tls::new(config))),
            said: Vec::new(),
            outgoing,
            sent: 0,
            read: 0,
            number: 0,
            wants_to_finish: false,
            has_finished: false,
            is_done: false,
            has_sent_close: false,
            upgrading: None,
            is_in_message: None,
        })
    }

    pub(crate) fn key(&self) -> Option<ConnectionKey> {
        self.peer.as_ref().map(Peer::key)
    }

    /// Returns whether it has ended its end of the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.peer.is_none()
    }

    pub(crate) fn has_vanished(&self) -> bool {
        self.peer.as_ref().is_some_and(Peer::has_vanished)
    }

    /// Returns whether it has something to send now.
    pub(crate) fn has_to_send(&self) -> bool {
        self.sent < self.outgoing.len() || !self.said.is_empty()
    }

    /// Returns whether it has sent all that it has said.
    pub(crate) fn has_sent_all(&self) -> bool {
        !self.has_to_send() && self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    fn waiting(&self) -> usize {
        self.said.len() + self.outgoing.len() - self.sent
    }

    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.view, View::WebSocket(_))
    }

    pub(crate) fn is_in_message(&self) -> bool {
        self.is_in_message.is_some()
    }

    /// Says something more, at random.
    pub(crate) fn speak(&mut self, world: &World) {
        if self.is_done || self.is_over() || self.wants_to_finish || self.waiting() > MUCH {
            return;
        }
        if self.is_websocket() {
            return self.speak_frames(world);
        }
        let ahead = {
            let model = world.model();
            let it = &model.all[self.which];
            it.requests.len() + it.answers.len()
        };
        if self.upgrading.is_some() || ahead >= PIPELINED {
            return;
        }
        let rudeness = if self.manner.is_faithful { 0 } else { world.below(30) };
        match rudeness {
            1 => self.say_nonsense(world),
            2 => self.finish(),
            _ => self.ask(world),
        }
    }

    /// Sends something that is not HTTP.
    fn say_nonsense(&mut self, world: &World) {
        let nonsense: &[u8] = match world.below(3) {
            0 => b"nonsense\r\n\r\n",
            1 => b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            _ => &[b'x'; 5000],
        };
        self.said.extend_from_slice(nonsense);
        self.is_done = true;
        world.model().all[self.which].is_invalid = true;
    }

    /// Sends a request.
    fn ask(&mut self, world: &World) {
        let request = {
            let mut random = world.random();
            self.request(&mut random, world.behaviors.len())
        };
        self.number += 1;
        let head = head_of(self.which, &request);
        self.said.extend_from_slice(head.as_bytes());
        self.said.extend_from_slice(&body_of(self.which, &request, &mut world.random()));
        self.is_done |= request.closes || request.is_old;
        self.upgrading = matches!(request.route, Route::Upgrade(_)).then_some(request.number);
        world.log(|| format!("client {} asks {request:?}", self.which));
        world.model().all[self.which].requests.push_back(request);
    }

    fn request(&self, random: &mut Random, behaviors: usize) -> Request {
        let upgrades = self.manner.wants_websocket && random.once_in(2);
        if upgrades {
            return Request {
                number: self.number,
                method: "GET",
                route: Route::Upgrade(random.below(behaviors)),
                body: Body::None,
                is_old: false,
                closes: false,
                expects: false,
                deflates: random.once_in(2),
            };
        }
        let method = random.pick(&["GET", "GET", "HEAD", "POST", "PUT"]);
        let has_body = matches!(method, "POST" | "PUT");
        let is_old = random.once_in(40);
        let body = match random.below(3) {
            _ if !has_body => Body::None,
            0 if !is_old => Body::Chunked(random.length()),
            _ => Body::Length(random.length()),
        };
        let route = match random.below(12) {
            0 => Route::Yielded,
            1 => Route::Missing,
            _ => Route::Handled,
        };
        let expects = has_body && !is_old && random.once_in(10);
        let closes = random.once_in(25);
        Request { number: self.number, method, route, body, is_old, closes, expects, deflates: false }
    }

    /// Finishes once everything has been sent. In the middle of a TLS handshake it does not, because that would be a violation
    /// of the protocol.
    pub(crate) fn finish(&mut self) {
        if self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            return;
        }
        if !self.wants_to_finish
            && let Some(tls) = &mut self.tls
        {
            tls.say(&self.said);
            self.said.clear();
            tls.say_goodbye();
        }
        self.wants_to_finish = true;
        self.is_in_message = None;
    }

    /// Writes up to `most` bytes of what it has said.
    pub(crate) fn push(&mut self, world: &World, most: usize) {
        self.seal();
        let Some(peer) = &self.peer else { return };
        let end = self.outgoing.len().min(self.sent.saturating_add(most));
        if self.sent < end {
            match peer.write(&self.outgoing[self.sent..end]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What there is to read says why.
                Err(_) => self.sent = self.outgoing.len(),
            }
        }
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
            if self.wants_to_finish && !self.has_finished {
                self.has_finished = true;
                world.log(|| format!("client {} finishes", self.which));
                let now = world.now();
                let it = &mut world.model().all[self.which];
                (it.has_finished, it.left_at) = (true, now);
                peer.finish();
            }
        }
    }

    /// Moves what it has said to what it sends, by way of TLS if there is TLS.
    fn seal(&mut self) {
        match &mut self.tls {
            None => self.outgoing.append(&mut self.said),
            Some(tls) => {
                tls.say(&self.said);
                self.said.clear();
                tls.seal(&mut self.outgoing);
            }
        }
    }

    /// Reads up to `most` bytes, and checks them.
    pub(crate) fn pull(&mut self, world: &World, most: usize) {
        let mut buffer = vec![0; most.min(64 * 1024)];
        let mut left = most;
        while left > 0 {
            let Some(peer) = &self.peer else { return };
            let length = buffer.len().min(left);
            match peer.read(&mut buffer[..length]) {
                // Without a `close_notify`, it is not known whether that is the end.
                Ok(0) => return self.end(world, self.tls.is_none()),
                Ok(count) => {
                    left -= count;
                    self.open(world, &buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.end(world, false),
            }
        }
    }

    /// Reads bytes, by way of TLS if there is TLS.
    fn open(&mut self, world: &World, bytes: &[u8]) {
        let Some(tls) = &mut self.tls else { return self.see(world, bytes) };
        let opened = tls.open(bytes);
        tls.seal(&mut self.outgoing);
        self.see(world, &opened.bytes);
        if let Some(failure) = &opened.failure {
            world.log(|| format!("client {}: TLS has failed: {failure}", self.which));
        }
        if opened.is_closed || opened.failure.is_some() {
            self.end(world, opened.is_closed);
        }
    }

    fn see(&mut self, world: &World, mut bytes: &[u8]) {
        self.read += bytes.len() as u64;
        while !bytes.is_empty() {
            match &mut self.view {
                View::Http(responses) => {
                    let seen = responses.see(world, self.which, bytes);
                    bytes = &bytes[seen.consumed..];
                    if let Some(Answered { number, upgraded }) = seen.answered {
                        self.upgrading.take_if(|asked| *asked == number);
                        if let Some(extensions) = upgraded {
                            self.contexts = Contexts::new(&extensions).map(Box::new);
                            self.view = View::WebSocket(Frames::new());
                            self.number = 0;
                            let at = self.read - bytes.len() as u64;
                            world.model().all[self.which].upgraded_at = Some(at);
                        }
                    }
                }
                View::WebSocket(_) => {
                    self.see_frames(world, bytes);
                    return;
                }
            }
        }
    }

    /// The stream has ended, with a FIN if it is `in_order`.
    fn end(&mut self, world: &World, in_order: bool) {
        world.log(|| format!("client {} sees the end, in order: {in_order}", self.which));
        match &mut self.view {
            View::Http(responses) => responses.end(world, self.which, in_order),
            View::WebSocket(frames) => frames.end(world, self.which, in_order),
        }
        self.note_left(world);
        self.peer = None;
    }

    fn note_left(&self, world: &World) {
        let now = world.now();
        let it = &mut world.model().all[self.which];
        (it.has_left, it.left_at) = (true, now);
    }

    /// Ends in order: with a Close frame, or with a FIN.
    pub(crate) fn leave_in_order(&mut self, world: &World) {
        if self.is_websocket() && !self.is_done && !self.wants_to_finish {
            self.say_close(world);
        } else {
            self.finish();
        }
    }

    /// Closes its end.
    pub(crate) fn close(&mut self, world: &World) {
        world.log(|| format!("client {} closes", self.which));
        self.note_left(world);
        self.peer = None;
    }

    pub(crate) fn reset(&mut self, world: &World) {
        world.log(|| format!("client {} resets", self.which));
        self.note_left(world);
        if let Some(peer) = self.peer.take() {
            peer.reset();
        }
    }

    pub(crate) fn vanish(&mut self, world: &World) {
        world.log(|| format!("client {} vanishes", self.which));
        self.note_left(world);
        if let Some(peer) = &self.peer {
            peer.vanish();
        }
    }

    fn hear_later(&self, world: &World, heard: Heard) {
        world.log(|| format!("client {} says {heard:?}", self.which));
        world.model().all[self.which].from_client.push_back(heard);
    }
}

/// Returns the header by which a proxy names a client (the PROXY protocol, version 1).
fn proxy_header(client: SocketAddr) -> String {
    format!("PROXY TCP4 {} 192.0.2.2 {} 80\r\n", client.ip(), client.port())
}

/// Returns the head of a request.
fn head_of(which: usize, request: &Request) -> String {
    let Request { number, method, route, body, is_old, closes, expects, deflates } = *request;
    let path = match route {
        Route::Handled => "h".to_owned(),
        Route::Yielded => "y".to_owned(),
        Route::Missing => "m".to_owned(),
        Route::Upgrade(kind) => format!("w{kind}"),
    };
    let version = if is_old { "1.0" } else { "1.1" };
    let mark = format!("{which}-{number}");
    let mut head = format!("{method} /{path}/{which}/{number}?{mark} HTTP/{version}\r\nHost: h\r\nMark: {mark}\r\n");
    if closes {
        head.push_str("Connection: close\r\n");
    }
    if expects {
        head.push_str("Expect: 100-continue\r\n");
    }
    match (route, body) {
        (Route::Upgrade(_), _) => {
            head.push_str("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
            let _ = write!(head, "Sec-WebSocket-Key: {KEY}\r\n");
            if deflates {
                let _ = write!(head, "Sec-WebSocket-Extensions: {OFFER}\r\n");
            }
        }
        (_, Body::None) => {}
        (_, Body::Length(length)) => _ = write!(head, "Content-Length: {length}\r\n"),
        (_, Body::Chunked(_)) => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    head
}

/// Returns the body of a request as it is sent.
fn body_of(which: usize, request: &Request, random: &mut Random) -> Vec<u8> {
    let content = Content::new('b', which, request.number);
    match request.body {
        Body::None => Vec::new(),
        Body::Length(length) => content.bytes(0, length),
        Body::Chunked(length) => {
            let mut body = Vec::new();
            let mut start = 0;
            while start < length {
                let size = 1 + random.below(length - start);
                body.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                body.extend_from_slice(&content.bytes(start, size));
                body.extend_from_slice(b"\r\n");
                start += size;
            }
            body.extend_from_slice(b"0\r\n\r\n");
            body
        }
    }
}
