//! Random sequences of operations by clients, handlers and the clock, and what must hold in any order: each id belongs
//! to one connection or request, each WebSocket that opens closes once, each request is answered or aborted, and
//! nothing is left in the end.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;
use std::time::Duration;

use milliways_net::{BodyError, ConnectionId, ResponseError, SendError, SendStatus, Stale, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{CLOSE, Client, Event, PING, PONG, Server, TEXT, UPGRADE, masked};

const RUNS: u64 = 15;
const STEPS: usize = 2000;

type Key = (u32, u32);

fn key(id: ConnectionId) -> Key {
    (id.slot.0, id.generation.0)
}

fn id((slot, generation): Key) -> ConnectionId {
    ConnectionId::new(slot, generation)
}

/// What the handler knows.
#[derive(Default)]
struct Known {
    seed: u64,
    websockets: BTreeSet<Key>,
    /// WebSockets that have lost a subscription by ending. Their Close event comes next.
    ending: BTreeSet<Key>,
    /// WebSockets and the topics to which they have subscribed.
    subscriptions: BTreeSet<(Key, u8)>,
    /// Requests that are to be answered later.
    awaited: BTreeSet<Key>,
    seen: HashSet<Key>,
    /// The number of connections.
    connections: usize,
    /// The last id that has become stale.
    stale: Option<Key>,
}

impl Known {
    fn below(&mut self, limit: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 33) as usize % limit
    }

    fn any_websocket(&mut self) -> Option<Key> {
        let index = self.below(self.websockets.len().max(1));
        self.websockets.iter().nth(index).copied()
    }

    fn any_awaited(&mut self) -> Option<Key> {
        let index = self.below(self.awaited.len().max(1));
        self.awaited.iter().nth(index).copied()
    }

    /// Notes an event and checks that it may happen.
    fn note(&mut self, event: &Event<'_>) {
        let key = event.id().map(key);
        match event {
            Event::Request { .. } | Event::Open { .. } => {
                assert!(self.seen.insert(key.expect("an id")), "an id is used again");
                if let Event::Open { .. } = event {
                    self.websockets.extend(key);
                }
            }
            Event::Aborted { .. } => {
                assert!(self.awaited.remove(&key.expect("an id")), "nobody waits for this");
                self.stale = key;
            }
            Event::Message { .. }
            | Event::Ping { .. }
            | Event::Pong { .. }
            | Event::Drain { .. }
            | Event::Dropped { .. } => {
                assert!(self.websockets.contains(&key.expect("an id")), "{event:?} for one that is not open");
            }
            Event::Subscription { topic, .. } => {
                let key = key.expect("an id");
                assert!(self.subscriptions.remove(&(key, topic[0])), "{event:?} for one that has not");
                assert!(
                    self.websockets.remove(&key) || self.ending.contains(&key),
                    "{event:?} for one that is not open"
                );
                self.ending.insert(key);
                self.stale = Some(key);
            }
            Event::Close { .. } => {
                let key = key.expect("an id");
                let is_open = self.websockets.remove(&key) || self.ending.remove(&key);
                assert!(is_open, "{event:?} for one that is not open");
                assert!(self.subscriptions.iter().all(|(other, _)| *other != key), "a subscription is left");
                self.stale = Some(key);
            }
            Event::Data { .. } | Event::Collected { .. } | Event::Writable { .. } => {
                assert!(self.awaited.contains(&key.expect("an id")), "{event:?} for one that nobody waits for");
            }
            Event::Connected { .. } => {
                assert!(self.seen.insert(key.expect("an id")), "an id is used again");
                self.connections += 1;
            }
            Event::Disconnected { .. } => self.connections -= 1,
            Event::Upgrade { .. }
            | Event::Unanswered { .. }
            | Event::Answered { .. }
            | Event::MissingServerName { .. }
            | Event::ShutDown { .. } => {}
            Event::Panicked { message } => panic!("{message}"),
        }
    }
}

/// Performs a random operation, inside or outside of an event.
fn act(server: &Server, known: &RefCell<Known>) {
    let what = known.borrow_mut().below(50);
    let websocket = known.borrow_mut().any_websocket();
    let awaited = known.borrow_mut().any_awaited();
    let length = [0, 10, 200, 40_000, 70_000, 300_000][known.borrow_mut().below(6)];
    let is_rare = known.borrow_mut().below(8) == 0;
    match (what, websocket, awaited) {
        (0..=9, Some(to), _) => {
            server.send(id(to), Opcode::Binary, &vec![7; length]);
        }
        (10..=13, Some(to), _) => {
            let append = |output: &mut Vec<u8>| output.extend(std::iter::repeat_n(7, length));
            server.reactor.send_with(id(to), Opcode::Binary, true, append).expect("an open WebSocket");
        }
        (14, Some(to), _) if is_rare => server.end(id(to), 4000, "random"),
        (15, Some(to), _) if is_rare => server.close(id(to)),
        (16..=20, Some(to), _) => {
            let outer = server.reactor.cork(id(to)).expect("an open WebSocket");
            for _ in 0..3 {
                let sent = server.reactor.send(id(to), Opcode::Text, true, b"corked");
                let status = sent.expect("an open WebSocket");
                assert!(status != SendStatus::Dropped || server.reactor.buffered_amount(id(to)) != Ok(0));
            }
            server.reactor.uncork(milliways_net::Slot(to.0), outer);
        }
        (21..=26, _, Some(to)) => handle_body(server, known, id(to), what, length),
        (27..=32, _, Some(to)) => {
            known.borrow_mut().awaited.remove(&to);
            known.borrow_mut().stale = Some(to);
            let written = server.reactor.write_header(id(to), b"A", b"b");
            assert!(matches!(written, Ok(()) | Err(ResponseError::HeadEnded)));
            server.reactor.respond(id(to), &vec![b'x'; length], length == 200).expect("a request");
        }
        (33, _, Some(to)) if is_rare => server.causing(|reactor| reactor.close_response(id(to))).expect("a request"),
        (40..=49, Some(to), _) if server.reactor.check_websocket(id(to)).is_ok() => {
            use_topics(server, known, to, what, length);
        }
        (34, ..) => server.pump(),
        (35, ..) => server.turn(),
        _ => {}
    }
    if let Some(stale) = known.borrow().stale.map(id) {
        assert_eq!(server.reactor.send(stale, Opcode::Text, true, b""), Err(SendError::Closed));
        assert_eq!(server.reactor.write_status(stale, b"200"), Err(ResponseError::Complete));
        assert_eq!(server.reactor.cork(stale), Err(Stale));
    }
}

/// Subscribes, unsubscribes or publishes.
fn use_topics(server: &Server, known: &RefCell<Known>, to: Key, what: usize, length: usize) {
    let topic = b'a' + known.borrow_mut().below(4) as u8;
    match what {
        // The events that a call causes are handled before it returns, and their handlers act as well. So what is known is
        // brought up to date before them.
        40..=43 => server.causing(|reactor| {
            let is_new = reactor.subscribe(id(to), &[topic]).expect("an open WebSocket").is_some();
            assert_eq!(known.borrow_mut().subscriptions.insert((to, topic)), is_new);
        }),
        44 => server.causing(|reactor| {
            let was = reactor.unsubscribe(id(to), &[topic]).expect("an open WebSocket").is_some();
            assert_eq!(known.borrow_mut().subscriptions.remove(&(to, topic)), was);
        }),
        45..=47 => {
            _ = server
                .causing(|reactor| reactor.publish(server.app, &[topic], Opcode::Binary, &vec![b'p'; length], false));
        }
        _ => _ = server.causing(|reactor| reactor.publish_from(id(to), &[topic], Opcode::Text, b"published", false)),
    }
}

/// Reads the body of a request, or continues a response.
fn handle_body(server: &Server, known: &RefCell<Known>, to: ConnectionId, what: usize, length: usize) {
    let reactor = &server.reactor;
    match what {
        21 | 22 => {
            let taken = if what == 21 { reactor.receive_body(to) } else { reactor.collect_body(to, length) };
            assert_ne!(taken, Err(BodyError::Stale));
        }
        23 => reactor.pause_body(to).expect("a request"),
        24 => {
            reactor.resume_body(to).expect("a request");
            reactor.want_writable(to).expect("a request");
        }
        25 => {
            let written = reactor.write_chunk(to, &vec![b'x'; length]);
            assert!(matches!(written, Ok(_) | Err(ResponseError::Mixed)), "{written:?}");
        }
        _ => match reactor.try_end(to, &vec![b'x'; length], 400_000, false) {
            Ok(ended) if ended.is_complete => {
                known.borrow_mut().awaited.remove(&key(to));
                known.borrow_mut().stale = Some(key(to));
            }
            Ok(_) | Err(ResponseError::Mixed) => {}
            Err(error) => panic!("{error}"),
        },
    }
}

fn handle(server: &Server, known: &RefCell<Known>, event: &Event<'_>) {
    known.borrow_mut().note(event);
    if let Event::Request { id, .. } = event {
        let choice = known.borrow_mut().below(16);
        match choice {
            // Neither answered nor awaited.
            0 => {}
            1..=7 => {
                server.reactor.await_response(*id).expect("a request");
                known.borrow_mut().awaited.insert(key(*id));
            }
            _ => server.reactor.respond(*id, &vec![b'x'; 1 << choice], false).expect("a request"),
        }
    }
    let actions = known.borrow_mut().below(3);
    for _ in 0..actions {
        act(server, known);
    }
}

/// Returns random input, which may be of the wrong protocol or incomplete.
fn speech(known: &mut Known, to_websocket: bool) -> Vec<u8> {
    let length = known.below(300);
    let is_rare = known.below(30) == 0;
    let to_websocket = to_websocket != (known.below(100) == 0);
    let mut bytes = match (to_websocket, known.below(8)) {
        (false, 0..=3) => b"GET /http HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1 + length % 10),
        (false, 4 | 5) => {
            let head = format!("PUT /http HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", length + 1);
            [head.into_bytes(), vec![b'x'; length + 1]].concat()
        }
        (false, 6) => {
            b"POST /http HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()
        }
        (false, _) => b"GET /http HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec(),
        (true, 0) if is_rare => masked(CLOSE, b"\x03\xe8"),
        (true, 1) if is_rare => masked(0x01, b"first"),
        (true, 0..=3) => masked(TEXT, &vec![b'x'; length]).repeat(1 + length % 10),
        (true, 4 | 5) => masked(PING, &vec![b'p'; length % 126]),
        (true, _) => [masked(0x01, b"first"), masked(PONG, b""), masked(0x80, b"last")].concat(),
    };
    if known.below(50) == 0 {
        bytes.truncate(known.below(bytes.len()));
    }
    bytes
}

#[test]
fn nothing_is_lost_or_mixed_up_in_any_order_of_operations() {
    for run in 1..=RUNS {
        let known = Rc::new(RefCell::new(Known { seed: run * 0x9E37_79B9, ..Known::default() }));
        let settings = WebSocketSettings {
            idle_timeout: 16,
            max_backpressure: 100_000,
            close_on_backpressure_limit: run % 2 == 0,
            max_lifetime: u32::from(run % 3 == 0),
            ..WebSocketSettings::default()
        };
        let server = Server::websocket(settings, {
            let known = Rc::clone(&known);
            move |server, event| handle(server, &known, event)
        });
        server.route("/http");
        server.reactor.count_connections(server.app);
        // Clients, and whether each has asked for a WebSocket.
        let mut clients: Vec<(Client<'_>, bool)> = Vec::new();
        for _ in 0..STEPS {
            let what = known.borrow_mut().below(60);
            let index = known.borrow_mut().below(clients.len().max(1));
            let is_full = clients.len() == 30;
            match (what, clients.get_mut(index)) {
                (0 | 1, _) if !is_full => clients.push((server.connect_without_waiting(), false)),
                (2 | 3, _) if !is_full => {
                    clients.push((server.connect_with_small_buffer_without_waiting(), false));
                }
                (4..=9, Some((client, is_websocket @ false))) => {
                    client.try_send(UPGRADE.as_bytes());
                    *is_websocket = true;
                }
                (10, Some(_)) => clients.swap_remove(index).0.reset(),
                (11, Some(_)) => drop(clients.swap_remove(index)),
                (12, Some((client, _))) => client.finish(),
                (13..=25, Some((client, _))) => {
                    // Sometimes a little, sometimes everything.
                    let mut pieces = if what < 20 { 3 } else { 100 };
                    let has_ended = loop {
                        match client.read_some() {
                            Some(Ok(bytes)) if bytes.is_empty() => break true,
                            Some(Err(_)) => break true,
                            None => break false,
                            Some(Ok(_)) => {}
                        }
                        server.turn();
                        pieces -= 1;
                        if pieces == 0 {
                            break false;
                        }
                    };
                    if has_ended {
                        clients.swap_remove(index);
                    }
                }
                (26..=50, Some((client, is_websocket))) => {
                    let bytes = speech(&mut known.borrow_mut(), *is_websocket);
                    client.try_send(&bytes);
                }
                (51, _) => {
                    let milliseconds = known.borrow_mut().below(600) as u64;
                    server.stall(Duration::from_millis(milliseconds));
                }
                _ => (0..8).for_each(|_| act(&server, &known)),
            }
            if run % 5 != 0 {
                server.turn();
                assert_eq!(server.stats().websockets, known.borrow().websockets.len());
            }
        }
        if run % 2 == 0 {
            server.close_app(server.app);
            assert_eq!(server.stats().connections, 0);
        } else {
            for (client, _) in clients.drain(..) {
                client.reset();
            }
            server.until("the end of all connections", || server.stats().connections == 0);
        }
        assert_eq!(server.stats().websockets, 0, "run {run}");
        assert!(known.borrow().websockets.is_empty(), "run {run}");
        assert!(known.borrow().awaited.is_empty(), "run {run}");
        server.settle();
        assert_eq!(known.borrow().connections, 0, "run {run}");
        assert_eq!(server.next_deadline(), None, "run {run}");
        assert!(!server.reactor.has_work(), "run {run}");
    }
}
