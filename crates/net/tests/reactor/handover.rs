//! Connections that somebody else has accepted: another app, in whichever thread, or another process.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use milliways_net::{Remote, WebSocketSettings};

use crate::support::{Client, Event, GET, Server, UPGRADE, UPGRADED, ok};

/// A server that responds to every request with a name.
fn named(name: &'static str) -> Server {
    Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, name);
        }
    })
}

fn remote(server: &Server) -> Remote {
    server.reactor.remote(server.app).expect("a descriptor")
}

/// Sends a request to an acceptor; returns the name of the server that has answered it.
fn ask(acceptor: &Server, others: &[&Server]) -> String {
    let mut client = TcpStream::connect(acceptor.address()).expect("a listening server");
    answer(acceptor, others, &mut client)
}

fn answer(acceptor: &Server, others: &[&Server], client: &mut (impl Read + Write + AsNonBlocking)) -> String {
    client.set_non_blocking();
    client.write_all(GET.as_bytes()).expect("room");
    let mut read = Vec::new();
    acceptor.until("a response", || {
        for server in others {
            server.turn();
        }
        let mut buffer = [0; 1024];
        match client.read(&mut buffer) {
            Ok(length) => read.extend_from_slice(&buffer[..length]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        read.windows(4).any(|end| end == b"\r\n\r\n")
    });
    let text = String::from_utf8(read).expect("ASCII");
    text.split("\r\n\r\n").nth(1).expect("a body").to_owned()
}

/// A stream whose reads can be made to return at once.
trait AsNonBlocking {
    fn set_non_blocking(&self);
}

impl AsNonBlocking for TcpStream {
    fn set_non_blocking(&self) {
        self.set_nonblocking(true).expect("a socket");
    }
}

impl AsNonBlocking for UnixStream {
    fn set_non_blocking(&self) {
        self.set_nonblocking(true).expect("a socket");
    }
}

#[test]
fn an_acceptor_hands_connections_over_to_its_children_in_turn() {
    let (acceptor, one, two, three) = (named("acceptor"), named("one"), named("two"), named("three"));
    assert_eq!(ask(&acceptor, &[]), "acceptor", "without children");
    let others = [&one, &two, &three];
    for child in others {
        acceptor.reactor.add_child(acceptor.app, remote(child));
    }
    acceptor.reactor.add_child(acceptor.app, remote(&two));
    let asked: Vec<_> = (0..7).map(|_| ask(&acceptor, &others)).collect();
    assert_eq!(asked, ["one", "two", "three", "one", "two", "three", "one"], "a child that is added twice counts once");
    assert!(!acceptor.log_lines().iter().any(|line| line == "connected"));
}

#[test]
fn a_child_that_has_ended_is_skipped_and_the_turn_of_the_others_stays() {
    let (acceptor, one, two, three) = (named("acceptor"), named("one"), named("two"), named("three"));
    for child in [&one, &two, &three] {
        acceptor.reactor.add_child(acceptor.app, remote(child));
    }
    assert_eq!(ask(&acceptor, &[&one, &two, &three]), "one");
    two.close_app(two.app);
    assert_eq!(ask(&acceptor, &[&one, &three]), "three");
    assert_eq!(ask(&acceptor, &[&one, &three]), "one");
    drop(three);
    assert_eq!(ask(&acceptor, &[&one]), "one");
    drop(one);
    assert_eq!(ask(&acceptor, &[]), "acceptor", "when no child is left");
}

#[test]
fn a_child_that_is_removed_keeps_its_connections_and_gets_no_more() {
    let (acceptor, one, two) = (named("acceptor"), named("one"), named("two"));
    acceptor.reactor.add_child(acceptor.app, remote(&one));
    acceptor.reactor.add_child(acceptor.app, remote(&two));
    let mut client = TcpStream::connect(acceptor.address()).expect("a listening server");
    assert_eq!(answer(&acceptor, &[&one, &two], &mut client), "one");
    acceptor.reactor.remove_child(acceptor.app, &remote(&one));
    acceptor.reactor.remove_child(acceptor.app, &remote(&one));
    assert_eq!([ask(&acceptor, &[&two]), ask(&acceptor, &[&two])], ["two", "two"]);
    assert_eq!(answer(&acceptor, &[&one, &two], &mut client), "one");
    acceptor.reactor.remove_child(acceptor.app, &remote(&two));
    assert_eq!(ask(&acceptor, &[]), "acceptor");
}

#[test]
fn an_app_that_has_been_closed_has_another_remote_afterwards() {
    let (acceptor, child) = (named("acceptor"), named("child"));
    let before = remote(&child);
    assert!(before.is_same_app(&remote(&child)));
    child.close_app(child.app);
    assert!(!before.is_open());
    let after = remote(&child);
    assert!(after.is_open() && !after.is_same_app(&before));
    acceptor.reactor.add_child(acceptor.app, before);
    assert_eq!(ask(&acceptor, &[&child]), "acceptor");
    acceptor.reactor.add_child(acceptor.app, after);
    assert_eq!(ask(&acceptor, &[&child]), "child");
}

#[test]
fn an_app_hands_over_to_itself_and_to_another_one_of_its_reactor() {
    let server = named("server");
    server.reactor.add_child(server.app, remote(&server));
    assert_eq!(ask(&server, &[]), "server");
}

#[test]
fn connections_of_a_unix_socket_are_handed_over() {
    let (acceptor, child) = (named("acceptor"), named("child"));
    let path = std::env::temp_dir().join(format!("milliways-handover-{}.sock", std::process::id()));
    acceptor.reactor.listen_unix(acceptor.app, &path).expect("a path");
    acceptor.reactor.add_child(acceptor.app, remote(&child));
    let mut client = UnixStream::connect(&path).expect("a listening server");
    std::fs::remove_file(&path).expect("the socket");
    assert_eq!(answer(&acceptor, &[&child], &mut client), "child");
}

#[test]
fn an_app_that_waits_for_connections_keeps_its_thread_until_it_is_closed() {
    let server = named("server");
    server.reactor.close_listener(server.listener);
    assert!(!server.reactor.is_active());
    server.reactor.begin_adopting(server.app);
    server.reactor.begin_adopting(server.app);
    assert!(server.reactor.is_active());
    assert!(!server.reactor.is_quiet(server.app));
    server.close_app(server.app);
    assert!(!server.reactor.is_active());
    assert!(server.reactor.is_quiet(server.app));
    assert_eq!(server.reactor.take_quiet(), [server.app]);
}

#[test]
fn what_was_handed_over_before_a_shutdown_is_served() {
    let (acceptor, child) = (named("acceptor"), named("child"));
    acceptor.reactor.add_child(acceptor.app, remote(&child));
    let client = TcpStream::connect(acceptor.address()).expect("a listening server");
    (&client).write_all(GET.as_bytes()).expect("room");
    // The child knows nothing of it yet.
    acceptor.until("the connection", || acceptor.reactor.stats().connections == 0 && child.reactor.is_active());
    acceptor.settle();
    child.causing(|reactor| reactor.shut_down(child.app, 1001, b"", None)).expect("a code");
    let client = Client::new(&child, client);
    client.expect_response(&ok("child").replace("Date", "Connection: close\r\nDate"));
    client.finish();
    child.expect(&["request GET /", "shut down 1 0"]);
}

/// Both ends of a connection that no reactor has accepted.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a listening socket");
    (client, listener.accept().expect("a connection").0)
}

#[test]
fn a_connection_that_the_program_has_accepted_is_served() {
    let server = Server::echo(WebSocketSettings::default());
    let (client, stream) = connection();
    let port = client.local_addr().expect("an address").port();
    server.reactor.adopt(server.app, stream, None).expect("a connection");
    let client = Client::new(&server, client);
    client.upgrade();
    let address = server.reactor.remote_address(server.last_id()).expect("an open WebSocket");
    assert_eq!(address, Some((Ipv4Addr::LOCALHOST, port).into()));
}

#[test]
fn the_address_of_the_client_is_the_one_that_the_program_knows() {
    let server = Server::echo(WebSocketSettings::default());
    let (client, stream) = UnixStream::pair().expect("a pair");
    let known: IpAddr = "2001:db8::7".parse().expect("an address");
    server.reactor.adopt(server.app, OwnedFd::from(stream).into(), Some(known)).expect("a connection");
    let client = Client::new(&server, OwnedFd::from(client).into());
    client.send(UPGRADE);
    client.expect_response(UPGRADED);
    let address = server.reactor.remote_address(server.last_id()).expect("an open WebSocket");
    assert_eq!(address, Some((known, 0).into()));
    // The next connection in the slot has its own address.
    server.close(server.last_id());
    server.take_log();
    server.expect_empty();
    let next = server.open();
    let address = server.reactor.remote_address(server.last_id()).expect("an open WebSocket");
    assert_eq!(address, Some(next.stream.local_addr().expect("an address")));
}

/// The same descriptor, as a program that passes a number twice has it.
fn again(stream: &TcpStream) -> TcpStream {
    let number = stream.as_raw_fd();
    let copy = stream.try_clone().expect("a descriptor");
    assert_ne!(copy.as_raw_fd(), number);
    copy
}

#[test]
fn sockets_that_cannot_be_served_come_back_as_they_were() {
    let server = named("server");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (error, back) = server.reactor.adopt(server.app, OwnedFd::from(listener).into(), None).expect_err("listens");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let listener = TcpListener::from(OwnedFd::from(back));
    let _client = TcpStream::connect(address).expect("it still listens");
    listener.accept().expect("a connection");

    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let (error, _) = server.reactor.adopt(server.app, OwnedFd::from(datagrams).into(), None).expect_err("datagrams");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);

    let (reader, _writer) = io::pipe().expect("a pipe");
    let (error, _) = server.reactor.adopt(server.app, OwnedFd::from(reader).into(), None).expect_err("a pipe");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(server.stats().connections, 0);
}

#[test]
fn a_connection_that_has_failed_meanwhile_is_closed_without_an_error() {
    let server = named("server");
    let (client, stream) = connection();
    Client::new(&server, client).reset();
    server.reactor.adopt(server.app, stream, None).expect("a connection that was there once");
    server.expect_empty();
}

#[test]
fn another_descriptor_of_the_same_connection_is_another_socket() {
    let server = named("server");
    let (client, stream) = connection();
    let copy = again(&stream);
    server.reactor.adopt(server.app, stream, None).expect("a connection");
    server.reactor.adopt(server.app, copy, None).expect("a connection");
    drop(client);
    server.pass(Duration::from_secs(20));
    server.expect_empty();
}

#[test]
fn a_connection_that_a_call_has_begun_is_told_before_its_request() {
    let server = named("server");
    server.reactor.count_connections(server.app);
    let (client, stream) = connection();
    (&client).write_all(GET.as_bytes()).expect("room");
    server.reactor.adopt(server.app, stream, None).expect("a connection");
    server.expect(&["connected", "request GET /"]);
    // The same if a shutdown accepts what waits.
    let server = named("server");
    server.reactor.count_connections(server.app);
    let waiting = server.connect_without_waiting();
    waiting.send_some(GET.as_bytes());
    server.causing(|reactor| reactor.shut_down(server.app, 1001, b"", None)).expect("a code");
    server.until("a request", || server.log_lines().len() == 2);
    assert_eq!(server.take_log(), ["connected", "request GET /"]);
}
