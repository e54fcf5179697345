//! What other threads ask of a reactor.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use milliways_net::{AppId, AppSettings, Command, Reactor, Remote, Undelivered, WebSocketSettings};
use milliways_proto::ws::Opcode;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::support::{self, BINARY, Client, Event, GET, NOTHING, Server, TEXT, frame, frames, ok};

/// Ends a wait that would otherwise never end. Nothing takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// More commands than a reactor carries out at once.
const MANY: usize = 2000;

fn publication(topic: &str, message: impl AsRef<[u8]>) -> Command {
    support::publication(topic, Opcode::Binary, message)
}

/// A server whose WebSockets subscribe to "news".
fn news() -> Server {
    Server::websocket(WebSocketSettings { max_backpressure: 0, ..WebSocketSettings::default() }, |server, event| {
        if let Event::Open { id, .. } = event {
            server.subscribe(*id, "news");
        }
    })
}

/// A server that responds to every request with "x".
fn responding() -> Server {
    Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, "x");
        }
    })
}

fn remote(server: &Server) -> Remote {
    server.reactor.remote(server.app).expect("a descriptor")
}

/// Both ends of a connection that no reactor has accepted.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a listening socket");
    (client, listener.accept().expect("a connection").0)
}

/// Expects that the other end is closed.
fn expect_closed(mut client: &TcpStream) {
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)), "no bytes");
}

#[test]
fn another_thread_publishes_to_the_subscribers_of_an_app() {
    let server = news();
    let (one, other) = (server.open(), server.open());
    let remote = remote(&server);
    let thread = thread::spawn(move || {
        remote.send(publication("weather", "nobody is subscribed")).expect("an app");
        remote.send(publication("news", "first")).expect("an app");
        let text = Command::Publish {
            topic: (*b"news").into(),
            opcode: Opcode::Text,
            message: "zweitens: ä".as_bytes().into(),
            compress: true,
        };
        remote.send(text).expect("an app");
    });
    let expected = [frame(BINARY, b"first"), frame(TEXT, "zweitens: ä".as_bytes())].concat();
    one.expect(&expected);
    other.expect(&expected);
    thread.join().expect("no panic");
    one.expect_silence();
}

#[test]
fn commands_of_many_threads_all_arrive_and_those_of_each_in_order() {
    const THREADS: usize = 4;

    let server = news();
    let client = server.open();
    let remote = remote(&server);
    let threads: Vec<_> = (0..THREADS as u32)
        .map(|thread| {
            let remote = remote.clone();
            thread::spawn(move || {
                for number in 0..MANY as u32 {
                    let message = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                    remote.send(publication("news", message)).expect("an app");
                }
            })
        })
        .collect();
    let mut next = [0; THREADS];
    for (_, message) in frames(&client.read(THREADS * MANY * frame(BINARY, &[0; 8]).len())) {
        let number = |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
        let next = &mut next[number(0) as usize];
        assert_eq!(number(4), *next);
        *next += 1;
    }
    assert_eq!(next, [MANY as u32; THREADS]);
    for thread in threads {
        thread.join().expect("no panic");
    }
    client.expect_silence();
}

#[test]
fn commands_that_have_waited_are_carried_out_in_several_turns_without_another_one() {
    let server = news();
    let client = server.open();
    let remote = remote(&server);
    for number in 0..MANY {
        remote.send(publication("news", number.to_string())).expect("an app");
    }
    let expected: Vec<_> = (0..MANY).flat_map(|number| frame(BINARY, number.to_string().as_bytes())).collect();
    client.expect(expected);
}

#[test]
fn a_reactor_works_through_a_long_queue_in_the_time_that_its_length_takes() {
    const COMMANDS: usize = 400_000;

    let server = news();
    let client = server.open();
    let remote = remote(&server);
    for number in 0..COMMANDS {
        let topic = if number % 100_000 == 0 { "news" } else { "nobody is subscribed" };
        remote.send(publication(topic, number.to_string())).expect("an app");
    }
    let expected: Vec<_> = (0..4).flat_map(|times| frame(BINARY, (times * 100_000).to_string().as_bytes())).collect();
    client.expect(expected);
    server.until("the end of the queue", || !server.reactor.has_work());
}

#[test]
fn what_waits_keeps_a_loop_alive_and_connections_that_were_handed_over_end_with_their_app() {
    let server = responding();
    server.reactor.close_listener(server.listener);
    assert!(!server.reactor.is_active());
    let (client, stream) = connection();
    remote(&server).send(Command::Adopt { stream }).expect("an app");
    assert!(server.reactor.is_active());
    server.close_app(server.app);
    expect_closed(&client);
    server.expect_empty();
    assert!(!server.reactor.is_active());
}

#[test]
fn a_handler_may_send_to_its_own_app() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| match event {
        Event::Open { id, .. } => {
            server.subscribe(*id, "news");
        }
        Event::Message { .. } => remote(server).send(publication("news", "from the handler")).expect("an app"),
        _ => {}
    });
    let client = server.open();
    client.send(support::masked(TEXT, b"go"));
    client.expect(frame(BINARY, b"from the handler"));
}

#[test]
fn another_thread_hands_over_connections_of_either_kind_blocking_or_not() {
    let server = responding();
    server.reactor.count_connections(server.app);
    let remote = remote(&server);
    let adopted = thread::spawn(move || {
        let (client, stream) = connection();
        remote.send(Command::Adopt { stream }).expect("an app");
        let (non_blocking_client, stream) = connection();
        stream.set_nonblocking(true).expect("a socket");
        remote.send(Command::Adopt { stream }).expect("an app");
        let (local_client, stream) = UnixStream::pair().expect("a pair");
        remote.send(Command::Adopt { stream: OwnedFd::from(stream).into() }).expect("an app");
        [client, non_blocking_client, OwnedFd::from(local_client).into()]
    });
    let streams = adopted.join().expect("no panic");
    server.until("three connections", || server.stats().connections == 3);
    server.expect(&["connected"; 3]);
    for mut stream in streams {
        stream.write_all(GET.as_bytes()).expect("room");
        server.until("a request", || !server.log_lines().is_empty());
        server.expect(&["request GET /"]);
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut head = [0; 15];
        stream.read_exact(&mut head).expect("a response");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        drop(stream);
        server.expect(&["disconnected"]);
    }
    server.expect_empty();
}

#[test]
fn a_connection_that_is_handed_over_with_a_request_in_it_gets_its_response() {
    let server = responding();
    let (client, stream) = connection();
    (&client).write_all(GET.as_bytes()).expect("room");
    remote(&server).send(Command::Adopt { stream }).expect("an app");
    Client::new(&server, client).expect_response(&ok("x"));
}

#[test]
fn a_connection_that_is_handed_over_has_the_idle_timeout_of_its_new_app() {
    let server = responding();
    let (client, stream) = connection();
    remote(&server).send(Command::Adopt { stream }).expect("an app");
    server.until("the connection", || server.stats().connections == 1);
    server.pass_seconds(11);
    expect_closed(&client);
    server.expect_empty();
}

#[test]
fn a_command_makes_the_descriptor_of_the_reactor_readable() {
    let server = news();
    let remote = remote(&server);
    let descriptor = server.reactor.descriptor().expect("a platform that has one");
    let mut outer = Poll::new().expect("a poll");
    outer.registry().register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE).expect("a descriptor");
    let mut events = Events::with_capacity(8);
    server.settle();
    outer.poll(&mut events, Some(Duration::ZERO)).expect("a poll that works");
    for _ in 0..3 {
        outer.poll(&mut events, Some(Duration::ZERO)).expect("a poll that works");
        assert!(events.is_empty(), "nothing has been sent: {events:?}");
        let sender = remote.clone();
        let thread = thread::spawn(move || sender.send(publication("news", "x")).expect("an app"));
        outer.poll(&mut events, Some(PATIENCE)).expect("a poll that works");
        assert!(!events.is_empty(), "the reactor has been woken");
        thread.join().expect("no panic");
        server.settle();
    }
}

#[test]
fn a_command_to_a_removed_app_comes_back_and_never_reaches_the_next_app() {
    let server = responding();
    let old = server.reactor.add_app(AppSettings::default());
    let remote = server.reactor.remote(old).expect("a descriptor");
    assert!(remote.is_open());
    let (waiting, stream) = connection();
    remote.send(Command::Adopt { stream }).expect("an app");
    server.reactor.remove_app(old);
    let new = server.reactor.add_app(AppSettings::default());
    assert_eq!(new, old, "numbers of apps are used again");
    assert!(!remote.is_open());
    let (client, stream) = connection();
    let Err(Undelivered(Command::Adopt { stream })) = remote.send(Command::Adopt { stream }) else {
        panic!("there is no app");
    };
    // What could not be sent is still whole.
    (&stream).write_all(b"x").expect("an open connection");
    (&client).read_exact(&mut [0]).expect("an open connection");
    server.settle();
    assert_eq!(server.stats().connections, 0);
    expect_closed(&waiting);
    assert!(server.reactor.remote(new).expect("a descriptor").is_open());
}

#[test]
fn a_reactor_that_ends_closes_what_waits_and_refuses_what_comes() {
    let reactor = Reactor::new(Instant::now()).expect("a poll");
    let app: AppId = reactor.add_app(AppSettings::default());
    let remote = reactor.remote(app).expect("a descriptor");
    assert_eq!(reactor.stats(), NOTHING);
    let (client, stream) = connection();
    remote.send(Command::Adopt { stream }).expect("an app");
    drop(reactor);
    expect_closed(&client);
    assert!(!remote.is_open());
    assert!(remote.send(publication("news", "x")).is_err());
}

#[test]
fn threads_that_send_while_a_reactor_ends_get_their_commands_back_or_know_that_they_were_sent() {
    for _ in 0..20 {
        let reactor = Reactor::new(Instant::now()).expect("a poll");
        let app = reactor.add_app(AppSettings::default());
        let remote = reactor.remote(app).expect("a descriptor");
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let remote = remote.clone();
                thread::spawn(move || {
                    let (client, stream) = connection();
                    let sent = remote.send(Command::Adopt { stream });
                    while remote.send(publication("news", "x")).is_ok() {
                        thread::yield_now();
                    }
                    (client, sent)
                })
            })
            .collect();
        reactor.run(reactor.turn(Instant::now()).expect("a poll that works"), |_| {});
        drop(reactor);
        for thread in threads {
            let (client, sent) = thread.join().expect("no panic");
            match sent {
                Ok(()) => expect_closed(&client),
                Err(Undelivered(command)) => assert!(matches!(command, Command::Adopt { .. })),
            }
        }
    }
}
