//! The network in memory beside mio and the kernel: the same operations on both have the same results and cause the same
//! events. Everything arrives at once here, as it does on the loopback interface.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use milliways_simnet::{self as memory, Entered, Network, Peer, Side};
use mio::{Interest, Token};
use socket2::SockRef;

/// How long an event of the kernel may take. None takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What an event reports.
#[expect(clippy::struct_excessive_bools, reason = "as many as there are")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    readable: bool,
    writable: bool,
    error: bool,
    read_closed: bool,
    write_closed: bool,
}

impl Flags {
    fn merge(&mut self, other: Self) {
        self.readable |= other.readable;
        self.writable |= other.writable;
        self.error |= other.error;
        self.read_closed |= other.read_closed;
        self.write_closed |= other.write_closed;
    }
}

/// Returns what an event of either kind reports.
macro_rules! flags {
    ($event:expr) => {
        Flags {
            readable: $event.is_readable(),
            writable: $event.is_writable(),
            error: $event.is_error(),
            read_closed: $event.is_read_closed(),
            write_closed: $event.is_write_closed(),
        }
    };
}

type Reports = BTreeMap<usize, Flags>;

/// The result of an operation.
type Outcome = Result<usize, ErrorKind>;

/// A server's end and a client's end of a connection, and a poll that watches the former.
trait Pair {
    fn poll(&mut self) -> Reports;
    fn server_read(&mut self, length: usize) -> Outcome;
    fn server_write(&mut self, length: usize) -> Outcome;
    fn server_finish(&mut self) -> Outcome;
    fn register_again(&mut self);
    fn client_read(&mut self, length: usize) -> Outcome;
    fn client_write(&mut self, length: usize) -> Outcome;
    fn client_finish(&mut self);
    fn client_close(&mut self);
    fn client_reset(&mut self);
}

fn outcome(result: io::Result<usize>) -> Outcome {
    result.map_err(|error| error.kind())
}

/// A pair of the kernel's.
struct Real {
    poll: mio::Poll,
    events: mio::Events,
    server: mio::net::TcpStream,
    client: Option<TcpStream>,
}

impl Real {
    fn new() -> Self {
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let mut listener = mio::net::TcpListener::bind(address).expect("a free port");
        let mut poll = mio::Poll::new().expect("a poll");
        let mut events = mio::Events::with_capacity(16);
        poll.registry().register(&mut listener, Token(0), Interest::READABLE).expect("a new socket");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a listening socket");
        client.set_nonblocking(true).expect("a socket");
        client.set_nodelay(true).expect("a socket");
        while events.is_empty() {
            poll.poll(&mut events, Some(PATIENCE)).expect("a poll");
        }
        let mut server = listener.accept().expect("a connection").0;
        server.set_nodelay(true).expect("a socket");
        poll.registry().register(&mut server, Token(1), BOTH).expect("a new socket");
        Self { poll, events, server, client: Some(client) }
    }

    fn client(&self) -> &TcpStream {
        self.client.as_ref().expect("a client that has not closed")
    }
}

impl Pair for Real {
    fn poll(&mut self) -> Reports {
        self.poll.poll(&mut self.events, Some(Duration::from_millis(1))).expect("a poll");
        self.events.iter().map(|event| (event.token().0, flags!(event))).collect()
    }

    fn server_read(&mut self, length: usize) -> Outcome {
        outcome(self.server.read(&mut vec![0; length]))
    }

    fn server_write(&mut self, length: usize) -> Outcome {
        outcome(self.server.write(&vec![0; length]))
    }

    fn server_finish(&mut self) -> Outcome {
        outcome(self.server.shutdown(Shutdown::Write).map(|()| 0))
    }

    fn register_again(&mut self) {
        self.poll.registry().reregister(&mut self.server, Token(1), BOTH).expect("a registered socket");
    }

    fn client_read(&mut self, length: usize) -> Outcome {
        outcome(self.client().read(&mut vec![0; length]))
    }

    fn client_write(&mut self, length: usize) -> Outcome {
        outcome(self.client().write(&vec![0; length]))
    }

    fn client_finish(&mut self) {
        let _ = self.client().shutdown(Shutdown::Write);
    }

    fn client_close(&mut self) {
        self.client = None;
    }

    fn client_reset(&mut self) {
        SockRef::from(self.client()).set_linger(Some(Duration::ZERO)).expect("a socket");
        self.client = None;
    }
}

/// A pair in memory.
struct InMemory {
    poll: memory::Poll,
    events: memory::Events,
    server: memory::TcpStream,
    client: Option<Peer>,
    key: memory::ConnectionKey,
    network: Network,
    _entered: Entered,
}

impl InMemory {
    fn new() -> Self {
        let network = Network::new();
        let entered = network.enter();
        // On Linux, what has arrived can be read after a reset.
        network.set_loses(false);
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let listener = memory::TcpListener::bind(address, true, 16).expect("a free port");
        let poll = memory::Poll::new().expect("a poll");
        let client = network.connect(listener.local_addr().expect("an address")).expect("a listening socket");
        let mut server = listener.accept().expect("a connection").0;
        poll.registry().register(&mut server, Token(1), BOTH).expect("a new socket");
        let (events, key) = (memory::Events::with_capacity(16), client.key());
        Self { poll, events, server, client: Some(client), key, network, _entered: entered }
    }

    fn client(&self) -> &Peer {
        self.client.as_ref().expect("a client that has not closed")
    }

    /// Returns what is reported of the socket whether or not something has happened to it.
    fn state(&mut self) -> Reports {
        self.network.report_spuriously(self.key);
        self.poll()
    }

    fn deliver(&self) {
        for side in [Side::Client, Side::Server, Side::Client, Side::Server] {
            self.network.deliver(self.key, side, usize::MAX);
        }
    }
}

impl Pair for InMemory {
    fn poll(&mut self) -> Reports {
        self.deliver();
        self.poll.poll(&mut self.events, None).expect("a poll");
        self.events.iter().map(|event| (event.token().0, flags!(event))).collect()
    }

    fn server_read(&mut self, length: usize) -> Outcome {
        self.deliver();
        outcome((&self.server).read(&mut vec![0; length]))
    }

    fn server_write(&mut self, length: usize) -> Outcome {
        self.deliver();
        outcome((&self.server).write(&vec![0; length]))
    }

    fn server_finish(&mut self) -> Outcome {
        self.deliver();
        outcome(self.server.shutdown(Shutdown::Write).map(|()| 0))
    }

    fn register_again(&mut self) {
        self.deliver();
        self.poll.registry().reregister(&mut self.server, Token(1), BOTH).expect("a registered socket");
    }

    fn client_read(&mut self, length: usize) -> Outcome {
        self.deliver();
        outcome(self.client().read(&mut vec![0; length]))
    }

    fn client_write(&mut self, length: usize) -> Outcome {
        self.deliver();
        outcome(self.client().write(&vec![0; length]))
    }

    fn client_finish(&mut self) {
        self.client().finish();
    }

    fn client_close(&mut self) {
        self.deliver();
        self.client = None;
    }

    fn client_reset(&mut self) {
        self.deliver();
        self.client.take().expect("a client that has not closed").reset();
    }
}

/// What can be done to a pair.
#[derive(Clone, Copy, Debug)]
enum Act {
    Poll,
    ServerRead(usize),
    ServerWrite(usize),
    ServerFinish,
    RegisterAgain,
    ClientRead(usize),
    ClientWrite(usize),
    ClientFinish,
    ClientClose,
    ClientReset,
}

/// Performs an operation. Returns its result, if it has one.
fn perform(pair: &mut impl Pair, act: Act) -> Option<Outcome> {
    match act {
        Act::Poll => return None,
        Act::ServerRead(length) => return Some(pair.server_read(length)),
        Act::ServerWrite(length) => return Some(pair.server_write(length)),
        Act::ServerFinish => return Some(pair.server_finish()),
        Act::RegisterAgain => pair.register_again(),
        Act::ClientRead(length) => return Some(pair.client_read(length)),
        Act::ClientWrite(length) => return Some(pair.client_write(length)),
        Act::ClientFinish => pair.client_finish(),
        Act::ClientClose => pair.client_close(),
        Act::ClientReset => pair.client_reset(),
    }
    None
}

/// Polls both until the kernel has reported what the network in memory reports. If that is nothing, polls once. The kernel
/// may then report the state of the socket once more, because an acknowledgement has come late.
fn expect_same_events(real: &mut Real, in_memory: &mut InMemory, done: &[Act]) {
    let expected = in_memory.poll();
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Reports::new();
    loop {
        for (token, flags) in real.poll() {
            seen.entry(token).or_default().merge(flags);
        }
        if seen == expected || expected.is_empty() && seen == in_memory.state() {
            return;
        }
        let is_late = expected.is_empty() || Instant::now() > deadline;
        assert!(!is_late, "the kernel reports {seen:?}, and the network in memory {expected:?}, after {done:?}");
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }

    fn act(&mut self, is_open: bool) -> Act {
        // Less than any buffer holds.
        let length = 1 + self.below(500);
        match self.below(if is_open { 40 } else { 16 }) {
            5..=9 => Act::ServerRead(length * 2),
            10..=12 => Act::ServerWrite(length),
            13 => Act::ServerFinish,
            14 | 15 => Act::RegisterAgain,
            16..=23 => Act::ClientWrite(length),
            24..=31 => Act::ClientRead(length * 2),
            32..=34 => Act::ClientFinish,
            35 | 36 => Act::ClientClose,
            37 => Act::ClientReset,
            _ => Act::Poll,
        }
    }
}

#[test]
fn everything_happens_as_with_mio_and_the_kernel() {
    for seed in 1..=400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (mut real, mut in_memory) = (Real::new(), InMemory::new());
        let mut done = Vec::new();
        let mut is_open = true;
        for _ in 0..30 {
            let act = random.act(is_open);
            done.push(act);
            is_open &= !matches!(act, Act::ClientClose | Act::ClientReset);
            let expected = perform(&mut in_memory, act);
            let result = perform(&mut real, act);
            assert_eq!(result, expected, "the kernel's result and that in memory, after {done:?}");
            // Whatever has happened has to arrive before the next operation.
            expect_same_events(&mut real, &mut in_memory, &done);
        }
    }
}

/// Writes until the socket takes nothing more, and forgets the events so far.
fn fill(pair: &mut impl Pair) {
    while pair.server_write(64 * 1024).is_ok() {
        pair.poll();
    }
    while !pair.poll().is_empty() || pair.server_write(1024).is_ok() {}
}

fn room_is_reported_once_the_client_has_read(pair: &mut impl Pair) {
    pair.poll();
    fill(pair);
    assert_eq!(pair.server_write(1), Err(ErrorKind::WouldBlock));
    assert_eq!(pair.poll(), Reports::new());
    let deadline = Instant::now() + PATIENCE;
    let writable = Flags { writable: true, ..Flags::default() };
    loop {
        let read = pair.client_read(64 * 1024);
        let events = pair.poll();
        if events == Reports::from([(1, writable)]) {
            break;
        }
        assert_eq!(events, Reports::new());
        assert!(Instant::now() < deadline && read != Ok(0), "{read:?}, and no event");
    }
    assert!(pair.server_write(1).is_ok());
}

#[test]
fn a_full_socket_is_reported_when_there_is_room_again() {
    room_is_reported_once_the_client_has_read(&mut Real::new());
    room_is_reported_once_the_client_has_read(&mut InMemory::new());
}

fn nothing_is_reported_twice(pair: &mut impl Pair) {
    let both = Flags { readable: true, writable: true, ..Flags::default() };
    pair.poll();
    pair.client_write(10).expect("room");
    let deadline = Instant::now() + PATIENCE;
    while pair.poll() != Reports::from([(1, both)]) {
        assert!(Instant::now() < deadline);
    }
    // It has not been read, and is not reported again, unless more arrives or the socket is registered again.
    assert_eq!(pair.poll(), Reports::new());
    pair.client_write(10).expect("room");
    while pair.poll() != Reports::from([(1, both)]) {
        assert!(Instant::now() < deadline);
    }
    pair.register_again();
    assert_eq!(pair.poll(), Reports::from([(1, both)]));
    assert_eq!(pair.poll(), Reports::new());
    assert_eq!(pair.server_read(100), Ok(20));
    pair.register_again();
    assert_eq!(pair.poll(), Reports::from([(1, Flags { writable: true, ..Flags::default() })]));
}

#[test]
fn an_event_is_reported_once() {
    nothing_is_reported_twice(&mut Real::new());
    nothing_is_reported_twice(&mut InMemory::new());
}
