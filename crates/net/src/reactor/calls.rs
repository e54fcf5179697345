//! What may be asked of a reactor, from inside of a handler or out. A call borrows what it needs and calls nobody: what it
//! causes are events, see [`Reactor::run_caused`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use milliways_proto::router::{PatternTooDeep, RouteKind};
use milliways_proto::topics::Change;
use milliways_proto::ws::Opcode;
use milliways_tls::{InvalidServerName, TlsConfig, TlsError};

use super::Reactor;
use crate::ids::{AppId, BehaviorId, ConnectionId, DomainId, ListenerId, Slot, Stale};
use crate::listener::{self, ListenError, Listening};
use crate::mailbox::Remote;
use crate::server::app::Kept;
use crate::server::http::{BodyError, ResponseError, TryEnd, UpgradeError};
use crate::server::settings::{AppSettings, Route, WebSocketSettings};
use crate::server::websocket::{EndError, SendError, SendStatus};

/// Why a route was not registered. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern has more segments than there may be.
    PatternTooDeep,
    /// The server name whose route it was to be has been removed.
    DomainRemoved,
}

impl fmt::Display for RouteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PatternTooDeep => "the pattern has too many segments",
            Self::DomainRemoved => "the server name has been removed",
        })
    }
}

impl std::error::Error for RouteError {}

/// Apps, routes and listening sockets.
impl Reactor {
    /// A new app, with a router of its own.
    pub fn add_app(&self, settings: AppSettings) -> AppId {
        self.server().apps.insert(settings)
    }

    /// Has [`Event::Connected`](crate::Event::Connected) and [`Event::Disconnected`](crate::Event::Disconnected) tell of the
    /// app's connections from now on.
    pub fn count_connections(&self, app: AppId) {
        self.server().apps.of_mut(app).counts = true;
    }

    /// Leaves the header that names the interface out of responses from now on.
    pub fn leave_out_name(&self) {
        self.server().leave_out_name();
    }

    /// Registers a route, or with `None` removes it, and returns what was there.
    pub fn route(
        &self,
        app: AppId,
        domain: DomainId,
        kind: RouteKind,
        pattern: &str,
        route: Option<Route>,
    ) -> Result<Option<Route>, RouteError> {
        let mut server = self.server();
        let router = server.apps.of_mut(app).router_mut(domain).ok_or(RouteError::DomainRemoved)?;
        match route {
            Some(route) => router.insert(kind, pattern, route).map_err(|PatternTooDeep| RouteError::PatternTooDeep),
            None => Ok(router.remove(kind, pattern)),
        }
    }

    /// All routes of an app, those of its server names included.
    pub fn routes(&self, app: AppId) -> Vec<Route> {
        self.server().routes(app)
    }

    /// Settings for a route of WebSockets, to be named in [`Route::WebSocket`]. `asks`: what becomes of a request is
    /// decided by whoever takes [`Event::Upgrade`](crate::Event::Upgrade). They are in use until
    /// [`Reactor::release_behavior`].
    pub fn add_behavior(&self, app: AppId, settings: WebSocketSettings, asks: bool) -> BehaviorId {
        self.server().add_behavior(app, settings, asks)
    }

    /// Listens on a port, 0 for one that is free. Without a host: on all addresses, IPv6 and IPv4. Unless `exclusive`,
    /// others may listen on the same port and share its connections (`SO_REUSEPORT`).
    pub fn listen(
        &self,
        app: AppId,
        host: Option<&str>,
        port: u16,
        exclusive: bool,
    ) -> Result<ListenerId, ListenError> {
        self.add_listener(app, Listening::Tcp(listener::bind(host, port, exclusive)?))
    }

    /// Listens on a Unix socket at `path`, in place of what is there. Only this user may connect.
    pub fn listen_unix(&self, app: AppId, path: &Path) -> Result<ListenerId, ListenError> {
        self.add_listener(app, Listening::Local(listener::bind_local(path)?))
    }

    fn add_listener(&self, app: AppId, socket: Listening) -> Result<ListenerId, ListenError> {
        let mut core = self.core();
        let core = &mut *core;
        let id = core.listeners.insert(core.poll.registry(), app, socket)?;
        core.server.apps.note_listener(app);
        Ok(id)
    }

    /// Closes a listening socket; its connections stay. False when it was closed before.
    pub fn close_listener(&self, id: ListenerId) -> bool {
        let mut core = self.core();
        let Some(app) = core.listeners.remove(id) else { return false };
        core.server.apps.forget_listener(app);
        true
    }

    /// The port a socket listens on, `None` when it is closed or has none.
    pub fn local_port(&self, id: ListenerId) -> Option<u16> {
        self.local_address(id).map(|address| address.port())
    }

    /// The address and the port a socket listens on, `None` when it is closed or has none.
    pub fn local_address(&self, id: ListenerId) -> Option<SocketAddr> {
        self.core().listeners.address(id)
    }

    /// Returns a handle by which other threads ask something of the app. It is valid until [`Reactor::remove_app`], or the end
    /// of the reactor. The first one creates the descriptor that wakes the reactor's poll, which can fail.
    pub fn remote(&self, app: AppId) -> io::Result<Remote> {
        self.core().remote(app)
    }

    /// Closes the app's listening sockets and all its connections, one after the other. `between` is called after each, to
    /// handle what that has caused before the next one ends.
    pub fn close_app(&self, app: AppId, mut between: impl FnMut()) {
        let listeners = self.core().listeners.of(app);
        for listener in listeners {
            self.close_listener(listener);
        }
        let slots = self.server().connections_of(app);
        for slot in slots {
            let mut core = self.core();
            core.server.cut_if_of(slot, app);
            core.settle_idle(slot);
            drop(core);
            between();
        }
    }
}

/// How long apps, and the settings of WebSocket routes, stay.
impl Reactor {
    /// How much is kept at the moment.
    pub fn kept(&self) -> Kept {
        self.server().kept()
    }

    /// Whether nothing listens for an app and nobody is connected to it, so that nothing happens to it by itself.
    pub fn is_quiet(&self, app: AppId) -> bool {
        self.server().apps.is_quiet(app)
    }

    /// Has an app be among the next of [`Reactor::take_quiet`], if it is quiet then.
    pub fn note_quiet(&self, app: AppId) {
        self.server().apps.note_quiet(app);
    }

    /// Whether [`Reactor::take_quiet`] or [`Reactor::take_unused`] may return something.
    pub fn has_quiet(&self) -> bool {
        self.server().has_quiet()
    }

    /// The apps that have become quiet since the last call, or have been noted as such.
    pub fn take_quiet(&self) -> Vec<AppId> {
        self.server().take_quiet()
    }

    /// Forgets an app that is quiet. The owner has taken the routes before, and does not name it any more: its number is used
    /// again.
    pub fn remove_app(&self, app: AppId) {
        self.core().remove_app(app);
    }

    /// The route of a behavior has gone. Its WebSockets keep it.
    pub fn release_behavior(&self, behavior: BehaviorId) {
        self.server().release_behavior(behavior);
    }

    /// Has a behavior be among the next of [`Reactor::take_unused`], if it is unused then.
    pub fn note_unused(&self, behavior: BehaviorId) {
        self.server().note_unused(behavior);
    }

    /// The behaviors that have become unused since the last call, or have been noted as such.
    pub fn take_unused(&self) -> Vec<BehaviorId> {
        self.server().take_unused()
    }

    /// Forgets a behavior that is unused. The owner does not name it any more: its number is used again.
    pub fn remove_behavior(&self, behavior: BehaviorId) {
        self.server().remove_behavior(behavior);
    }
}

/// TLS: certificates and server names (RFC 6066 section 3).
impl Reactor {
    /// Has the app speak TLS with those who connect from now on.
    pub fn secure(&self, app: AppId, config: TlsConfig) {
        self.server().secure(app, config);
    }

    /// Adds a server name with a certificate of its own, and a router of its own, which is returned; `*` in place of the first
    /// label stands for any. A name that is there gets the certificate, and keeps its router.
    pub fn add_server_name(&self, app: AppId, name: &str, config: TlsConfig) -> Result<DomainId, InvalidServerName> {
        self.server().add_server_name(app, name, config)
    }

    /// Removes a server name; returns its routes. Connections that are open live on, without routes.
    pub fn remove_server_name(&self, app: AppId, name: &str) -> Vec<Route> {
        self.server().remove_server_name(app, name)
    }

    /// The router of those who ask for a name: its own, or that of a pattern it matches.
    pub fn domain(&self, app: AppId, name: &str) -> Option<DomainId> {
        self.server().find_domain(app, name)
    }

    /// Has [`Event::MissingServerName`](crate::Event::MissingServerName) tell of names that the app does not have from now on.
    pub fn ask_for_names(&self, app: AppId) {
        self.server().ask_for_names(app);
    }

    /// Reads the files of the app and its names anew, for those who connect from now on. If one is invalid, nothing changes.
    pub fn reload_certificates(&self, app: AppId) -> Result<(), TlsError> {
        self.server().reload_certificates(app)
    }

    /// The certificate that the peer has shown, in PEM form.
    pub fn peer_certificate(&self, id: ConnectionId) -> Result<Option<String>, Stale> {
        self.server().peer_certificate(id)
    }
}

/// Connections of any kind.
impl Reactor {
    /// Where a connection comes from: its peer's address, `None` for a Unix socket.
    pub fn remote_address(&self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        self.server().remote_address(id)
    }

    /// Where it comes from as the proxy in between says; `None` if none says anything.
    pub fn proxied_remote_address(&self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        self.server().proxied_remote_address(id)
    }

    /// Gathers what is written to a connection until [`Reactor::uncork`]; returns what that is to be called with.
    pub fn cork(&self, id: ConnectionId) -> Result<Option<Slot>, Stale> {
        self.server().cork(id)
    }

    /// Sends what has been gathered, unless there is an outer cork that goes on gathering. The connection may have gone
    /// meanwhile.
    pub fn uncork(&self, slot: Slot, outer: Option<Slot>) {
        self.server().uncork(slot, outer);
    }

    /// Whether what is written to a connection is being gathered.
    pub fn is_corked(&self, id: ConnectionId) -> bool {
        self.server().transport.is_corked(id.slot)
    }
}

/// Requests and their bodies.
impl Reactor {
    /// Declares that a request will be answered after its handler has returned; [`Event::Aborted`](crate::Event::Aborted)
    /// tells when that has become impossible.
    pub fn await_response(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().await_response(id)
    }

    /// Has [`Event::Data`](crate::Event::Data) tell of the request's body; also of the end of one that is empty. Too late for one
    /// that has waited for as long as a connection may stand still, and for one that is told already or is asked for as a whole.
    pub fn receive_body(&self, id: ConnectionId) -> Result<(), BodyError> {
        self.server().receive_body(id)
    }

    /// Has [`Event::Collected`](crate::Event::Collected) tell of the request's body when it is complete, unless it is longer than
    /// `max` bytes.
    pub fn collect_body(&self, id: ConnectionId, max: usize) -> Result<(), BodyError> {
        self.server().collect_body(id, max)
    }

    /// Stops reading the request's body: its sender is slowed down when the buffers between the sender and us are full. No
    /// timeout runs, but for that of a sender who has finished.
    pub fn pause_body(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().pause_body(id)
    }

    /// Goes on reading.
    pub fn resume_body(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().resume_body(id)
    }

    /// Makes a request a WebSocket, and returns its id. `key` is the client's, and so are `protocol`, of which the first is
    /// chosen, and `extensions`.
    ///
    /// Headers that have been written go before those of the handshake. A subprotocol that has been written stays.
    pub fn upgrade(
        &self,
        id: ConnectionId,
        behavior: BehaviorId,
        key: &[u8],
        protocol: &[u8],
        extensions: &[u8],
    ) -> Result<ConnectionId, UpgradeError> {
        self.server().upgrade(id, behavior, key, protocol, extensions)
    }
}

/// Responses.
impl Reactor {
    /// Writes the status, such as `200 OK` or `200`; the first one counts, and later ones are ignored.
    pub fn write_status(&self, id: ConnectionId, status: &[u8]) -> Result<(), ResponseError> {
        self.server().write_status(id, status)
    }

    /// Writes a header. A Content-Length must be that of the body, which completing the response checks; a Connection header
    /// with `close` closes the connection after the response.
    pub fn write_header(&self, id: ConnectionId, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        self.server().write_header(id, name, value)
    }

    /// Completes the response with the rest of its body. `close`: the connection ends after it.
    pub fn respond(&self, id: ConnectionId, body: &[u8], close: bool) -> Result<(), ResponseError> {
        self.server().respond(id, body, close)
    }

    /// Completes the response without a body; `content_length` is what its head announces nevertheless, as the answer to
    /// a HEAD, or a 304, does.
    pub fn respond_without_body(
        &self,
        id: ConnectionId,
        content_length: Option<u64>,
        close: bool,
    ) -> Result<(), ResponseError> {
        self.server().respond_without_body(id, content_length, close)
    }

    /// Ends the head of a response whose body comes in chunks (RFC 9112 section 7.1), or as long as its own Content-Length
    /// says, unless that has been done. To a client of HTTP/1.0 the end of the connection says where the body ends.
    pub fn begin_chunks(&self, id: ConnectionId) -> Result<(), ResponseError> {
        self.server().begin_chunks(id)
    }

    /// Writes a part of the body. Returns whether the client keeps up: false when it waits for the socket, or is gone.
    pub fn write_chunk(&self, id: ConnectionId, chunk: &[u8]) -> Result<bool, ResponseError> {
        self.server().write_chunk(id, chunk)
    }

    /// Writes the next piece of a body of `total` bytes as far as the socket takes it; what it does not take is to be
    /// passed again when [`Event::Writable`](crate::Event::Writable) says so.
    pub fn try_end(&self, id: ConnectionId, piece: &[u8], total: u64, close: bool) -> Result<TryEnd, ResponseError> {
        self.server().try_end(id, piece, total, close)
    }

    /// How many bytes of a body whose length was announced have been written; 0 for one in chunks.
    pub fn write_offset(&self, id: ConnectionId) -> Result<u64, Stale> {
        self.server().write_offset(id)
    }

    /// Asks for [`Event::Writable`](crate::Event::Writable).
    pub fn want_writable(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().want_writable(id)
    }

    /// Answers with 500 and closes, unless the response is complete or awaited: for a handler that failed. Returns whether
    /// it did.
    pub fn fail_response(&self, id: ConnectionId) -> bool {
        self.server().fail_response(id)
    }

    /// Answers with 500 and closes, also when the response is awaited, or closes in the middle of a response: for a handler
    /// that nothing more is to be expected of. Nothing happens when the response is complete.
    pub fn abandon_response(&self, id: ConnectionId) {
        self.server().abandon_response(id);
    }

    /// Closes the connection without completing the response, or before there is a request.
    pub fn close_response(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut core = self.core();
        core.server.close_response(id)?;
        core.settle_idle(id.slot);
        Ok(())
    }
}

/// WebSockets.
impl Reactor {
    /// Sends a frame: a whole message or, unless `fin`, a fragment.
    ///
    /// What has been published to its topics before goes out before. When the first fragment of a message is dropped, so are
    /// the others; no other fragment ever is.
    pub fn send(&self, id: ConnectionId, opcode: Opcode, fin: bool, payload: &[u8]) -> Result<SendStatus, SendError> {
        self.server().send(id, opcode, fin, payload)
    }

    /// Sends a whole message as [`Reactor::send`] does, compressed if that was agreed on and the message is long enough.
    /// `message` is only called if somebody gets it.
    pub fn send_compressed<'m>(
        &self,
        id: ConnectionId,
        opcode: Opcode,
        message: impl FnOnce() -> &'m [u8],
    ) -> Result<SendStatus, SendError> {
        self.server().send_compressed(id, opcode, message)
    }

    /// Sends a frame as [`Reactor::send`] does, whose bytes `append` appends, for those who can write them only once and
    /// don't know their number before. It must not shorten what is there.
    pub fn send_with(
        &self,
        id: ConnectionId,
        opcode: Opcode,
        fin: bool,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<SendStatus, SendError> {
        self.server().send_with(id, opcode, fin, append)
    }

    /// Sends a Ping (RFC 6455 section 5.5.2), with as much of the payload as a control frame can carry.
    pub fn ping(&self, id: ConnectionId, payload: &[u8]) -> Result<SendStatus, SendError> {
        self.server().ping(id, payload)
    }

    /// Stops reading: the peer is slowed down when the buffers between it and us are full. Meanwhile nothing is told of
    /// it, not even that it has finished, and the idle timeout does not run.
    pub fn pause_websocket(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().pause_websocket(id)
    }

    /// Goes on reading.
    pub fn resume_websocket(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().resume_websocket(id)
    }

    /// Bytes that wait because the socket did not take them, and those that were lost with it until its end is told.
    pub fn buffered_amount(&self, id: ConnectionId) -> Result<usize, Stale> {
        self.server().buffered_amount(id)
    }

    /// Whether a WebSocket is open; returns its behavior.
    pub fn check_websocket(&self, id: ConnectionId) -> Result<BehaviorId, Stale> {
        self.server().check_websocket(id)
    }

    /// Closes with a Close frame, which without a code is empty. Causes [`Event::Close`](crate::Event::Close), with the code 0
    /// for none.
    pub fn end(&self, id: ConnectionId, code: Option<u16>, reason: &[u8]) -> Result<(), EndError> {
        self.server().end_in_order(id, code, reason)
    }

    /// Closes the socket without a word to the peer. Causes [`Event::Close`](crate::Event::Close).
    pub fn close(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut core = self.core();
        core.server.close(id)?;
        core.settle_idle(id.slot);
        Ok(())
    }
}

/// Publish and subscribe.
impl Reactor {
    /// Subscribes a WebSocket to a topic, any bytes; `None` if it has subscribed already.
    pub fn subscribe(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, Stale> {
        self.server().subscribe(id, topic)
    }

    /// Ends a subscription; `None` if there is none. What has been published already still arrives.
    pub fn unsubscribe(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, Stale> {
        self.server().unsubscribe(id, topic)
    }

    /// Whether a WebSocket has subscribed to a topic.
    pub fn is_subscribed(&self, id: ConnectionId, topic: &[u8]) -> Result<bool, Stale> {
        self.server().is_subscribed(id, topic)
    }

    /// The topics that a WebSocket has subscribed to, in no particular order.
    pub fn topics(&self, id: ConnectionId) -> Result<Vec<Box<[u8]>>, Stale> {
        self.server().topics(id)
    }

    /// How many of an app's WebSockets have subscribed to a topic.
    pub fn subscribers(&self, app: AppId, topic: &[u8]) -> usize {
        self.server().subscribers(app, topic)
    }

    /// Sends a message to all of an app's WebSockets that have subscribed to a topic; false when there are none. It is on
    /// its way at the end of the turn, and in order with what is sent to each directly.
    ///
    /// `compress`: where that was agreed on, and the message is long enough.
    pub fn publish(&self, app: AppId, topic: &[u8], opcode: Opcode, message: &[u8], compress: bool) -> bool {
        self.server().publish(app, None, topic, opcode, message, compress)
    }

    /// The same for a WebSocket, which does not get it itself.
    pub fn publish_from(
        &self,
        id: ConnectionId,
        topic: &[u8],
        opcode: Opcode,
        message: &[u8],
        compress: bool,
    ) -> Result<bool, Stale> {
        self.server().publish_from(id, topic, opcode, message, compress)
    }

    /// What [`Reactor::publish`] would return for a long message that nobody would get and nobody be told of: false where nobody
    /// has subscribed, and true where it would be dropped for all who have. Such a message need not be made. `None` for any
    /// other.
    pub fn publish_in_vain(&self, app: AppId, topic: &[u8]) -> Option<bool> {
        self.server().publish_in_vain(app, None, topic)
    }

    /// The same of [`Reactor::publish_from`].
    pub fn publish_in_vain_from(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<bool>, Stale> {
        self.server().publish_in_vain_from(id, topic)
    }
}
