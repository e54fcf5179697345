//! How many connections an app accepts, how many fragments a message has, and how many topics a WebSocket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use milliways_net::{AppId, AppSettings, DomainId, Event, Route, SubscribeError, WebSocketSettings};
use milliways_proto::router::RouteKind;
use socket2::{Domain, Socket, Type};

use crate::support::{Client, GET, Server, ok};

/// A server that answers every request.
fn server(settings: AppSettings) -> Server {
    let server = Server::with(settings, |server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, "here");
        }
    });
    server.route("/*");
    server
}

fn limited(max_connections: u32, pauses_at_limit: bool) -> Server {
    server(AppSettings { max_connections, pauses_at_limit, ..AppSettings::default() })
}

fn per_address(max_connections_per_address: u32, proxy_protocol: bool) -> Server {
    server(AppSettings { max_connections_per_address, proxy_protocol, ..AppSettings::default() })
}

/// Connects from an address of the loopback network.
fn connect_from(server: &Server, address: Ipv4Addr) -> Client<'_> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&std::net::SocketAddr::from((address, 0)).into()).expect("an address of this machine");
    socket.connect(&server.address().into()).expect("a listening server");
    Client::new(server, socket.into())
}

fn expect_service(client: &Client<'_>) {
    client.send(GET);
    client.expect_response(&ok("here"));
}

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

#[test]
fn connections_above_the_limit_are_closed_and_others_live() {
    let server = limited(2, false);
    let clients = [server.connect(), server.connect()];
    for count in 1..=3 {
        server.connect_without_waiting().expect_gone();
        assert_eq!(server.count("limits.maxConnections"), count);
    }
    assert_eq!(server.stats().connections, 2);
    assert_eq!(server.count("connections.plain.http.total"), 2);
    clients.iter().for_each(expect_service);
    let [first, second] = clients;
    first.finish();
    server.until("room", || server.stats().connections == 1);
    expect_service(&server.connect());
    drop((first, second));
    server.expect_empty();
}

#[test]
fn connections_above_the_limit_wait_until_others_have_ended() {
    let server = limited(2, true);
    let (first, second) = (server.connect(), server.connect());
    let waiting = [server.connect_without_waiting(), server.connect_without_waiting()];
    for client in &waiting {
        client.send(GET);
    }
    server.settle();
    assert_eq!(server.stats().connections, 2);
    // However many wait, the limit was met once.
    assert_eq!(server.count("limits.maxConnections"), 1);
    drop(first);
    waiting[0].expect_response(&ok("here"));
    waiting[1].expect_silence();
    assert_eq!(server.count("limits.maxConnections"), 2);
    // One that the program cuts, outside of a turn, makes room as well.
    second.send(GET);
    second.expect_response(&ok("here"));
    drop(second);
    waiting[1].expect_response(&ok("here"));
    drop(waiting);
    server.expect_empty();
    expect_service(&server.connect());
}

#[test]
fn a_websocket_that_the_program_closes_makes_room() {
    let settings = AppSettings { max_connections: 1, pauses_at_limit: true, ..AppSettings::default() };
    let server = Server::with(settings, |_, _| {});
    server.websocket_route("/", WebSocketSettings::default());
    let first = server.open();
    let second = server.connect_without_waiting();
    server.settle();
    let id = server.last_id();
    server.close(id);
    // Nothing else happens that would begin a turn.
    assert!(server.reactor.has_work());
    server.take_log();
    server.pump();
    second.upgrade();
    assert_ne!(server.last_id(), id);
    first.expect_gone();
}

#[test]
fn an_app_at_its_limit_can_be_shut_down() {
    let server = limited(1, true);
    let first = server.connect();
    expect_service(&first);
    let waiting = server.connect_without_waiting();
    server.settle();
    server.take_log();
    server.causing(|reactor| reactor.shut_down(server.app, 1001, b"", None)).expect("a code");
    first.expect_end();
    waiting.expect_gone();
    drop(first);
    server.expect(&["shut down 1 0"]);
}

#[test]
fn an_acceptor_at_its_limit_hands_over() {
    let (acceptor, child) = (limited(1, true), limited(2, true));
    let own = acceptor.connect();
    let client = acceptor.connect_without_waiting();
    acceptor.settle();
    acceptor.reactor.add_child(acceptor.app, child.reactor.remote(child.app).expect("a descriptor"));
    acceptor.until("the connection", || child.reactor.is_active());
    child.until("the connection", || child.stats().connections == 1);
    expect_service(&Client::new(&child, client.stream.try_clone().expect("a descriptor")));
    // What has been accepted cannot wait, so it is closed.
    let clients = [acceptor.connect_without_waiting(), acceptor.connect_without_waiting()];
    acceptor.until("the connections", || acceptor.count("connections.handedOver") == 3);
    child.until("a refusal", || child.count("limits.maxConnections") == 1);
    assert_eq!(child.stats().connections, 2);
    drop((own, clients));
}

#[test]
fn a_connection_above_the_limit_is_returned_to_whoever_has_accepted_it() {
    let server = limited(1, true);
    let (_first, stream) = UnixStream::pair().expect("a pair");
    server.reactor.adopt(server.app, OwnedFd::from(stream).into(), None).expect("room");
    let (client, stream) = UnixStream::pair().expect("a pair");
    let (error, stream) = server.reactor.adopt(server.app, OwnedFd::from(stream).into(), None).expect_err("no room");
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    // It is still open.
    let mut buffer = [0; 1];
    client.set_nonblocking(true).expect("a socket");
    assert_eq!(io::Read::read(&mut &client, &mut buffer).expect_err("open").kind(), io::ErrorKind::WouldBlock);
    drop(stream);
    assert_eq!(io::Read::read(&mut &client, &mut buffer).expect("closed"), 0);
}

#[test]
fn connections_of_one_address_are_limited_and_others_are_not() {
    let server = per_address(2, false);
    let clients = [connect_from(&server, ONE), connect_from(&server, ONE)];
    clients.iter().for_each(expect_service);
    connect_from(&server, ONE).expect_gone();
    expect_service(&connect_from(&server, OTHER));
    assert_eq!(server.count("limits.maxConnectionsPerAddress"), 1);
    let [first, second] = clients;
    first.reset();
    server.until("room", || server.stats().connections == 1);
    expect_service(&connect_from(&server, ONE));
    expect_service(&second);
    drop(second);
    server.expect_empty();
}

#[test]
fn an_adopted_connection_counts_for_the_address_that_the_program_knows() {
    let server = per_address(1, false);
    let known: IpAddr = "2001:db8::7".parse().expect("an address");
    let neighbour: IpAddr = "2001:db8::8".parse().expect("an address");
    let adopt = |peer| {
        let (client, stream) = UnixStream::pair().expect("a pair");
        server.reactor.adopt(server.app, OwnedFd::from(stream).into(), peer).map(|()| client)
    };
    let _first = adopt(Some(known)).expect("room");
    adopt(Some(neighbour)).expect_err("the same network");
    let _other = adopt(Some(Ipv4Addr::LOCALHOST.into())).expect("another address");
    let _unknown = [adopt(None).expect("no address"), adopt(None).expect("no address")];
    assert_eq!(server.count("limits.maxConnectionsPerAddress"), 1);
}

#[test]
fn behind_a_proxy_the_address_of_its_client_counts() {
    let server = per_address(1, true);
    let through = |header: &str| {
        let client = server.connect();
        client.send([header.as_bytes(), GET.as_bytes()].concat());
        client
    };
    let one = through("PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\n");
    one.expect_response(&ok("here"));
    let other = through("PROXY TCP6 2001:db8::1 2001:db8::9 1000 80\r\n");
    other.expect_response(&ok("here"));
    through("PROXY TCP4 192.0.2.1 192.0.2.9 1001 80\r\n").expect_gone();
    through("PROXY TCP6 2001:db8::2 2001:db8::9 1000 80\r\n").expect_gone();
    assert_eq!(server.count("limits.maxConnectionsPerAddress"), 2);
    // The proxy's own connections are not limited, and connections without a header count for the address that they
    // come from.
    let checks = [through("PROXY UNKNOWN\r\n"), through("PROXY UNKNOWN\r\n")];
    for client in &checks {
        client.expect_response(&ok("here"));
    }
    let direct = through("");
    direct.expect_response(&ok("here"));
    through("").expect_gone();
    drop(one);
    server.until("room", || server.stats().connections == 4);
    through("PROXY TCP4 192.0.2.1 192.0.2.9 1002 80\r\n").expect_response(&ok("here"));
    drop((other, checks, direct));
    server.expect_empty();
}

#[test]
fn a_header_in_pieces_counts_once_it_is_complete() {
    let server = per_address(1, true);
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\n";
    for split in 1..header.len() {
        let client = server.connect();
        client.send_pieces(&[&header[..split], &header[split..], GET.as_bytes()]);
        client.expect_response(&ok("here"));
        let second = server.connect();
        second.send_pieces(&[&header[..split], &header[split..]]);
        second.expect_gone();
        drop((client, second));
        server.expect_empty();
    }
}

#[test]
fn a_message_of_too_many_fragments_ends_its_websocket() {
    const MAX: u32 = 4;

    let server = Server::echo(WebSocketSettings { max_fragments: MAX, ..WebSocketSettings::default() });
    let client = server.open();
    let fragments = |count: u32| {
        let first = crate::support::masked(0x02, b"");
        let more = (2..=count).map(|number| crate::support::masked(if number == count { 0x80 } else { 0x00 }, b"x"));
        [first].into_iter().chain(more).collect::<Vec<_>>().concat()
    };
    client.send(fragments(MAX));
    client.expect(crate::support::frame(crate::support::BINARY, b"xxx"));
    server.take_log();
    client.send(fragments(MAX + 1));
    let reason = b"message of more fragments than maxFragments";
    let close = [&1008_u16.to_be_bytes()[..], reason].concat();
    client.expect(crate::support::frame(crate::support::CLOSE, &close));
    server.expect(&["close 1006 Received too many fragments"]);
    assert_eq!(server.count("limits.maxFragments"), 1);
    assert_eq!(server.count("webSocket.errors.TOO_MANY_FRAGMENTS"), 1);
}

#[test]
fn a_websocket_has_as_many_topics_as_the_limit_allows() {
    let server = Server::websocket(WebSocketSettings { max_topics: 2, ..WebSocketSettings::default() }, |_, _| {});
    let _client = server.open();
    let id = server.last_id();
    let subscribe = |topic: &str| server.causing(|reactor| reactor.subscribe(id, topic.as_bytes()));
    assert!(subscribe("a").is_ok_and(|change| change.is_some()));
    assert!(subscribe("b").is_ok_and(|change| change.is_some()));
    assert_eq!(subscribe("c"), Err(SubscribeError::TooManyTopics));
    assert_eq!(subscribe("a"), Ok(None));
    assert_eq!(server.reactor.topics(id).expect("open").len(), 2);
    server.causing(|reactor| reactor.unsubscribe(id, b"a")).expect("open");
    assert!(subscribe("c").is_ok_and(|change| change.is_some()));
    assert_eq!(server.count("limits.maxTopics"), 1);
    // Another WebSocket has topics of its own.
    let _other = server.open();
    let other = server.last_id();
    assert!(server.causing(|reactor| reactor.subscribe(other, b"a")).is_ok());
}

#[test]
fn a_limit_is_kept_while_connections_come_and_go() {
    let server = limited(8, true);
    let mut clients = std::collections::VecDeque::new();
    for round in 0..200 {
        clients.push_back(TcpStream::connect(server.address()).expect("a listening server"));
        if clients.len() > 16 {
            clients.pop_front();
        }
        server.turn();
        assert!(server.stats().connections <= 8, "round {round}");
    }
    let last: Vec<_> = clients.drain(..).collect();
    drop(last);
    server.expect_empty();
    expect_service(&server.connect());
}

/// Opens a WebSocket with a behavior of another app than the one that accepts.
fn open_with_behavior_of(server: &Server, other: AppId) -> Client<'_> {
    let behavior = server.reactor.add_behavior(other, WebSocketSettings::default(), false);
    let route = Some(Route::WebSocket(behavior));
    server.reactor.route(server.app, DomainId::default(), RouteKind::Upgrade, "/", route).expect("a pattern");
    server.open()
}

#[test]
fn a_connection_that_is_passed_on_to_another_app_makes_room() {
    let server = limited(1, true);
    let other = server.reactor.add_app(AppSettings::default());
    let passed_on = open_with_behavior_of(&server, other);
    // It is not the app's any more.
    let first = server.connect();
    let waiting = server.connect_without_waiting();
    server.settle();
    assert_eq!(server.stats().connections, 2);
    first.upgrade();
    waiting.send(GET);
    waiting.expect_response(&ok("here"));
    drop((passed_on, first, waiting));
    server.until("the end of all", || server.stats().connections == 0);
}

#[test]
fn a_connection_that_is_passed_on_counts_for_its_address_in_its_new_app() {
    let server = per_address(1, false);
    let settings = AppSettings { max_connections_per_address: 1, ..AppSettings::default() };
    let other = server.reactor.add_app(settings);
    let listener = server.reactor.listen(other, Some("127.0.0.1"), 0, false).expect("a free port");
    let passed_on = open_with_behavior_of(&server, other);
    let next = server.connect();
    expect_service(&next);
    let port = server.reactor.local_port(listener).expect("a listener");
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a listening server");
    Client::new(&server, refused).expect_gone();
    drop((passed_on, next));
    server.until("the end of both", || server.stats().connections == 0);
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a listening server");
    server.until("a connection", || server.stats().connections == 1);
}
