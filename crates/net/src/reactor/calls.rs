//! Calls to a reactor, from inside or outside of a handler. A call borrows what it needs, and calls nobody. What it
//! causes is queued as events; see [`Reactor::run_caused`].

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use milliways_proto::router::{PatternTooDeep, RouteKind};
use milliways_proto::topics::Change;
use milliways_proto::ws::{CloseFrame, Opcode};
use milliways_tls::{InvalidServerName, TlsConfig, TlsError};

use super::Reactor;
use crate::ids::{AppId, BehaviorId, ConnectionId, DomainId, ListenerId, Slot, Stale};
use crate::listener::{self, ListenError, Listening};
use crate::mailbox::Remote;
use crate::server::app::Kept;
use crate::server::http::{BodyError, ResponseError, TryEnd, UpgradeError};
use crate::server::pubsub::SubscribeError;
use crate::server::settings::{AppSettings, Route, WebSocketSettings};
use crate::server::websocket::{EndError, SendError, SendStatus};
use crate::transport::sys::StdTcpStream;

/// Why a route was not registered. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern has more segments than [`MAX_SEGMENTS`](milliways_proto::router::MAX_SEGMENTS).
    PatternTooDeep,
    /// The server name that the route is for has been removed.
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
    /// Adds an app with a router of its own. It stays until [`Reactor::remove_app`].
    pub fn add_app(&self, settings: AppSettings) -> AppId {
        self.server().add_app(settings)
    }

    /// Turns on [`Event::Connected`](crate::Event::Connected) and [`Event::Disconnected`](crate::Event::Disconnected)
    /// for an app.
    pub fn count_connections(&self, app: AppId) {
        self.server().apps.of_mut(app).counts = true;
    }

    /// Leaves the `uWebSockets` header out of responses from now on.
    pub fn leave_out_name(&self) {
        self.server().leave_out_name();
    }

    /// Registers a route, or removes it if `route` is `None`. Returns the route that was there before.
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

    /// Returns all routes of an app, including those of its server names.
    pub fn routes(&self, app: AppId) -> Vec<Route> {
        self.server().routes(app)
    }

    /// Adds the settings of a WebSocket route, for [`Route::WebSocket`]. They are in use until
    /// [`Reactor::release_behavior`], and as long as there are WebSockets with them.
    ///
    /// `asks`: requests become [`Event::Upgrade`](crate::Event::Upgrade), whose handler decides about them. Otherwise,
    /// they become WebSockets at once.
    pub fn add_behavior(&self, app: AppId, settings: WebSocketSettings, asks: bool) -> BehaviorId {
        self.server().add_behavior(app, settings, asks)
    }

    /// Listens on a TCP port; 0 means any free port. Without a host, listens on all IPv6 and IPv4 addresses. Looking up
    /// a host name blocks.
    ///
    /// Unless `exclusive`, other sockets may listen on the same port and share its connections (`SO_REUSEPORT`).
    pub fn listen(
        &self,
        app: AppId,
        host: Option<&str>,
        port: u16,
        exclusive: bool,
    ) -> Result<ListenerId, ListenError> {
        self.add_listener(app, Listening::Tcp(listener::bind(host, port, exclusive)?))
    }

    /// Listens on a Unix socket at `path`, and replaces a socket that is already there. Only this user may connect.
    pub fn listen_unix(&self, app: AppId, path: &Path) -> Result<ListenerId, ListenError> {
        self.add_listener(app, Listening::Local(listener::bind_local(path)?))
    }

    fn add_listener(&self, app: AppId, socket: Listening) -> Result<ListenerId, ListenError> {
        let mut core = self.core();
        let core = &mut *core;
        let id = core.listeners.insert(core.kernel.registry(), app, socket)?;
        core.server.apps.note_listener(app);
        Ok(id)
    }

    /// Closes a listening socket. Its connections stay open. Returns false if it was closed before.
    pub fn close_listener(&self, id: ListenerId) -> bool {
        let mut core = self.core();
        let Some(app) = core.listeners.remove(id) else { return false };
        core.server.apps.forget_listener(app);
        true
    }

    /// Returns the port of a listening socket; `None` if the socket is closed or is a Unix socket.
    pub fn local_port(&self, id: ListenerId) -> Option<u16> {
        self.local_address(id).map(|address| address.port())
    }

    /// Returns the address and port of a listening socket; `None` if the socket is closed or is a Unix socket.
    pub fn local_address(&self, id: ListenerId) -> Option<SocketAddr> {
        self.core().listeners.address(id)
    }

    /// Returns a handle by which other threads send commands to an app. It is valid until [`Reactor::close_app`],
    /// [`Reactor::remove_app`] or the end of the reactor. The first call creates the descriptor that wakes the reactor's
    /// poll, which can fail.
    pub fn remote(&self, app: AppId) -> io::Result<Remote> {
        self.core().remote(app)
    }

    /// Keeps an app and its thread alive until [`Reactor::close_app`], as a listening socket would, because others are
    /// going to hand connections over to its [`Reactor::remote`].
    pub fn begin_adopting(&self, app: AppId) {
        self.server().apps.begin_adopting(app);
    }

    /// Makes an app hand the connections that it accepts over to its children, in turn, as they are: before TLS and
    /// before anything has been read. A child that has been closed or has ended is skipped and forgotten. Without
    /// children, the app serves its connections itself.
    pub fn add_child(&self, app: AppId, child: Remote) {
        let mut core = self.core();
        core.acceptors.add(app, child);
        // The app may have as many connections as it may have itself, and have stopped accepting for that.
        core.accept_again(app);
    }

    /// Undoes [`Reactor::add_child`]. The connections that the child has got stay with it.
    pub fn remove_child(&self, app: AppId, child: &Remote) {
        self.core().acceptors.remove(app, child);
    }

    /// Serves a connection, which may be any connected stream socket, as if the app had accepted it. `peer` is the
    /// address of the client if the socket doesn't know it.
    ///
    /// Returns the error and the socket if it is not a stream socket or listens ([`io::ErrorKind::InvalidInput`]), if a
    /// reactor of this process serves this very socket already ([`io::ErrorKind::AlreadyExists`]), or if the kernel
    /// cannot watch it. A connection that has failed is closed in the next turn.
    pub fn adopt(
        &self,
        app: AppId,
        stream: StdTcpStream,
        peer: Option<IpAddr>,
    ) -> Result<(), (io::Error, StdTcpStream)> {
        self.core().adopt(app, stream, peer)
    }

    /// Closes the listening sockets of an app and has its connections end in order: requests in progress are answered
    /// with `Connection: close`, connections between two requests close, and WebSockets get a Close frame with `code`
    /// and `reason` after what waits to be sent to them. What is left at `deadline` is cut. When nothing is left,
    /// [`Event::ShutDown`](crate::Event::ShutDown) follows. The turns that follow do all of this, a part in each.
    ///
    /// Does nothing if the app is being shut down already. Fails if the code must not be sent.
    pub fn shut_down(&self, app: AppId, code: u16, reason: &[u8], deadline: Option<Instant>) -> Result<(), EndError> {
        if !CloseFrame::allows(code) {
            return Err(EndError::InvalidCode(code));
        }
        // What other threads have handed over is served, and so are the connections that the kernel has established.
        self.core().close_for_shutdown(app);
        self.close_listeners(app);
        self.server().shut_down(app, code, String::from_utf8_lossy(reason).as_bytes(), deadline);
        Ok(())
    }

    fn close_listeners(&self, app: AppId) {
        let listeners = self.core().listeners.of(app);
        for listener in listeners {
            self.close_listener(listener);
        }
    }

    /// Closes the listening sockets of an app, and cuts its connections one after the other. Calls `between` after each
    /// connection, to handle the events that this has caused before the next connection is cut.
    pub fn close_app(&self, app: AppId, mut between: impl FnMut()) {
        // Connections that other threads have handed over end with the others.
        self.core().close_remotes(app);
        self.close_listeners(app);
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

/// How long apps and behaviors are kept.
impl Reactor {
    /// Returns the number of items that are kept until the owner removes them.
    pub fn kept(&self) -> Kept {
        self.server().kept()
    }

    /// Returns whether an app has neither a listening socket nor a connection.
    pub fn is_quiet(&self, app: AppId) -> bool {
        self.server().apps.is_quiet(app)
    }

    /// Has the next call of [`Reactor::take_quiet`] return an app, if it is quiet by then.
    pub fn note_quiet(&self, app: AppId) {
        self.server().apps.note_quiet(app);
    }

    /// Returns whether [`Reactor::take_quiet`] or [`Reactor::take_unused`] may return something.
    pub fn has_quiet(&self) -> bool {
        self.server().has_quiet()
    }

    /// Returns the apps that have become quiet or been noted since the last call, and are quiet now.
    pub fn take_quiet(&self) -> Vec<AppId> {
        self.server().take_quiet()
    }

    /// Removes an app, which must be quiet, and its routes. Release what the routes refer to first; see
    /// [`Reactor::routes`]. The id must not be used any more, because its number is reused.
    pub fn remove_app(&self, app: AppId) {
        self.core().remove_app(app);
    }

    /// Notes that the route of a behavior has been removed. The behavior stays in use until its last WebSocket has
    /// closed.
    pub fn release_behavior(&self, behavior: BehaviorId) {
        self.server().release_behavior(behavior);
    }

    /// Has the next call of [`Reactor::take_unused`] return a behavior, if it is unused by then.
    pub fn note_unused(&self, behavior: BehaviorId) {
        self.server().note_unused(behavior);
    }

    /// Returns the behaviors that have become unused or been noted since the last call, and are unused now.
    pub fn take_unused(&self) -> Vec<BehaviorId> {
        self.server().take_unused()
    }

    /// Removes a behavior, which must be unused. The id must not be used any more, because its number is reused.
    pub fn remove_behavior(&self, behavior: BehaviorId) {
        self.server().remove_behavior(behavior);
    }
}

/// TLS: certificates and server names (RFC 6066 section 3).
impl Reactor {
    /// Makes an app use TLS for connections that are accepted from now on.
    pub fn secure(&self, app: AppId, config: TlsConfig) {
        self.server().secure(app, config);
    }

    /// Adds a server name with a certificate and a router of its own, and returns the router. An asterisk in place of
    /// the first label matches any label. A name that exists already gets the new certificate, and keeps its router.
    ///
    /// An app without TLS has no server names. In that case, this does nothing and returns the app's own router.
    pub fn add_server_name(&self, app: AppId, name: &str, config: TlsConfig) -> Result<DomainId, InvalidServerName> {
        self.server().add_server_name(app, name, config)
    }

    /// Removes a server name and returns its routes. Open connections stay, but their requests match no route any more.
    pub fn remove_server_name(&self, app: AppId, name: &str) -> Vec<Route> {
        self.server().remove_server_name(app, name)
    }

    /// Returns the router of a server name, or of the pattern that it matches; `None` if there is neither.
    pub fn domain(&self, app: AppId, name: &str) -> Option<DomainId> {
        self.server().find_domain(app, name)
    }

    /// Turns on [`Event::MissingServerName`](crate::Event::MissingServerName) for an app with TLS.
    pub fn ask_for_names(&self, app: AppId) {
        self.server().ask_for_names(app);
    }

    /// Reads the certificate files of an app and its server names again, for handshakes from now on. If one of them is
    /// invalid, nothing changes.
    pub fn reload_certificates(&self, app: AppId) -> Result<(), TlsError> {
        self.server().reload_certificates(app)
    }

    /// Returns the peer's certificate in PEM form; `None` if it has sent none.
    pub fn peer_certificate(&self, id: ConnectionId) -> Result<Option<String>, Stale> {
        self.server().peer_certificate(id)
    }
}

/// Connections of any kind.
impl Reactor {
    /// Returns the address of the peer; `None` for a Unix socket, or if the connection has failed.
    pub fn remote_address(&self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        self.server().remote_address(id)
    }

    /// Returns the address of the client according to the PROXY header; `None` if there is no header or it has no
    /// address.
    pub fn proxied_remote_address(&self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        self.server().proxied_remote_address(id)
    }

    /// Corks a connection: what is written to it is gathered until [`Reactor::uncork`]. Returns the connection that was
    /// corked before, to be passed to [`Reactor::uncork`] as `outer`.
    pub fn cork(&self, id: ConnectionId) -> Result<Option<Slot>, Stale> {
        self.server().cork(id)
    }

    /// Uncorks a connection, which may have closed meanwhile, and sends what has been gathered. If `outer` is the same
    /// connection, the outer cork continues to gather.
    pub fn uncork(&self, slot: Slot, outer: Option<Slot>) {
        self.server().uncork(slot, outer);
    }

    /// Returns whether a connection is corked.
    pub fn is_corked(&self, id: ConnectionId) -> bool {
        self.server().transport.is_corked(id.slot)
    }
}

/// Requests and their bodies.
impl Reactor {
    /// Declares that the response will be completed after the handler has returned. If that becomes impossible,
    /// [`Event::Aborted`](crate::Event::Aborted) follows.
    pub fn await_response(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().await_response(id)
    }

    /// Asks for the request's body in pieces, each an [`Event::Data`](crate::Event::Data). An empty body is one empty
    /// piece.
    ///
    /// Fails with [`BodyError::Taken`] if some of the body has been delivered already, or if it has been asked for as a
    /// whole. Fails with [`BodyError::Stale`] if the body has been discarded, because no handler asked for it during an
    /// idle timeout.
    pub fn receive_body(&self, id: ConnectionId) -> Result<(), BodyError> {
        self.server().receive_body(id)
    }

    /// Asks for the request's body as a whole, which becomes an [`Event::Collected`](crate::Event::Collected) when it
    /// is complete or exceeds `max` bytes.
    ///
    /// Fails as [`Reactor::receive_body`] does, and also if the body has been asked for in pieces.
    pub fn collect_body(&self, id: ConnectionId, max: usize) -> Result<(), BodyError> {
        self.server().collect_body(id, max)
    }

    /// Pauses reading the request's body. When the buffers between the client and us are full, the client has to wait.
    /// The idle timeout does not apply to a paused body, but a client that has sent its FIN is still considered gone
    /// after a while.
    pub fn pause_body(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().pause_body(id)
    }

    /// Resumes reading the request's body.
    pub fn resume_body(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().resume_body(id)
    }

    /// Makes a request a WebSocket and returns its id. `key`, `protocol` and `extensions` are the values of the
    /// client's Sec-WebSocket headers; the first subprotocol is chosen.
    ///
    /// Headers that have been written precede those of the handshake. A subprotocol among them overrides the chosen
    /// one.
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
    /// Sets the status, such as `200 OK` or `200`. The first status counts, unless a header was written before it. Any
    /// other is checked and ignored.
    pub fn write_status(&self, id: ConnectionId, status: &[u8]) -> Result<(), ResponseError> {
        self.server().write_status(id, status)
    }

    /// Adds a header. A Content-Length must be that of the body, which completing the response checks. A Connection
    /// header with `close` closes the connection after the response.
    pub fn write_header(&self, id: ConnectionId, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        self.server().write_header(id, name, value)
    }

    /// Completes the response with `body`, or with the rest of it. `close`: the connection closes after the response.
    pub fn respond(&self, id: ConnectionId, body: &[u8], close: bool) -> Result<(), ResponseError> {
        self.server().respond(id, body, close)
    }

    /// Completes the response without a body, or without more of it. `content_length` is what the head announces
    /// nevertheless, as a response to HEAD and a 304 may; it is ignored if the head has been sent.
    pub fn respond_without_body(
        &self,
        id: ConnectionId,
        content_length: Option<u64>,
        close: bool,
    ) -> Result<(), ResponseError> {
        self.server().respond_without_body(id, content_length, close)
    }

    /// Sends the head of a response whose body is written in pieces: in chunks (RFC 9112 section 7.1), by the
    /// Content-Length that was written, or, for a client of HTTP/1.0, until the connection ends. Does nothing if such a
    /// body has begun.
    pub fn begin_chunks(&self, id: ConnectionId) -> Result<(), ResponseError> {
        self.server().begin_chunks(id)
    }

    /// Writes a piece of the body, after [`Reactor::begin_chunks`] if that has not been called. Returns whether the
    /// client keeps up: false if output is waiting for the socket, or the socket has failed.
    pub fn write_chunk(&self, id: ConnectionId, chunk: &[u8]) -> Result<bool, ResponseError> {
        self.server().write_chunk(id, chunk)
    }

    /// Writes as much of the next piece of a body of `total` bytes as the socket takes. The rest is not kept: pass it
    /// again at [`Event::Writable`](crate::Event::Writable). The first call sends the head, and its total counts.
    pub fn try_end(&self, id: ConnectionId, piece: &[u8], total: u64, close: bool) -> Result<TryEnd, ResponseError> {
        self.server().try_end(id, piece, total, close)
    }

    /// Returns the number of bytes of the body that have been written, if its length has been announced; 0 otherwise.
    pub fn write_offset(&self, id: ConnectionId) -> Result<u64, Stale> {
        self.server().write_offset(id)
    }

    /// Asks for [`Event::Writable`](crate::Event::Writable).
    pub fn want_writable(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().want_writable(id)
    }

    /// Responds with 500 and closes the connection, because the handler has failed. If the head has been sent, only
    /// closes the connection. Does nothing if the response is complete or awaited. Returns whether it did something.
    pub fn fail_response(&self, id: ConnectionId) -> bool {
        self.server().fail_response(id)
    }

    /// Does what [`Reactor::fail_response`] does, even if the response is awaited. This is for a handler that will not
    /// complete it.
    pub fn abandon_response(&self, id: ConnectionId) {
        self.server().abandon_response(id);
    }

    /// Cuts the connection before the response is complete, or before there is a request.
    pub fn close_response(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut core = self.core();
        core.server.close_response(id)?;
        core.settle_idle(id.slot);
        Ok(())
    }
}

/// WebSockets.
impl Reactor {
    /// Sends a frame: a whole message or, unless `fin`, a fragment. Earlier publications to the WebSocket's topics are
    /// sent first.
    ///
    /// If the first fragment of a message is dropped, so are the others. No other fragment is ever dropped.
    pub fn send(&self, id: ConnectionId, opcode: Opcode, fin: bool, payload: &[u8]) -> Result<SendStatus, SendError> {
        self.server().send(id, opcode, fin, payload)
    }

    /// Sends a whole message as [`Reactor::send`] does, but compresses it if that was agreed on and the message is long
    /// enough. `message` is only called if the message is sent, or needed for
    /// [`Event::Dropped`](crate::Event::Dropped).
    pub fn send_compressed<'m>(
        &self,
        id: ConnectionId,
        opcode: Opcode,
        message: impl FnOnce() -> &'m [u8],
    ) -> Result<SendStatus, SendError> {
        self.server().send_compressed(id, opcode, message)
    }

    /// Sends a frame as [`Reactor::send`] does. `append` appends the payload, whose length need not be known before. It
    /// must not change what is in the buffer already.
    pub fn send_with(
        &self,
        id: ConnectionId,
        opcode: Opcode,
        fin: bool,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<SendStatus, SendError> {
        self.server().send_with(id, opcode, fin, append)
    }

    /// Sends a Ping (RFC 6455 section 5.5.2). The payload is cut to 125 bytes, the most that a control frame can have.
    pub fn ping(&self, id: ConnectionId, payload: &[u8]) -> Result<SendStatus, SendError> {
        self.server().ping(id, payload)
    }

    /// Pauses reading. When the buffers between the peer and us are full, the peer has to wait. Meanwhile the idle
    /// timeout does not apply, and not even the peer's FIN is noticed.
    pub fn pause_websocket(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().pause_websocket(id)
    }

    /// Resumes reading.
    pub fn resume_websocket(&self, id: ConnectionId) -> Result<(), Stale> {
        self.server().resume_websocket(id)
    }

    /// Returns the number of bytes that are waiting because the socket has refused them, or that were lost when it
    /// failed.
    pub fn buffered_amount(&self, id: ConnectionId) -> Result<usize, Stale> {
        self.server().buffered_amount(id)
    }

    /// Returns the behavior of an open WebSocket.
    pub fn check_websocket(&self, id: ConnectionId) -> Result<BehaviorId, Stale> {
        self.server().check_websocket(id)
    }

    /// Closes a WebSocket with a Close frame, which is empty if there is no code. Causes
    /// [`Event::Close`](crate::Event::Close), with the code 0 if there is none.
    pub fn end(&self, id: ConnectionId, code: Option<u16>, reason: &[u8]) -> Result<(), EndError> {
        self.server().end_in_order(id, code, reason)
    }

    /// Cuts a WebSocket, without a Close frame. Causes [`Event::Close`](crate::Event::Close).
    pub fn close(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut core = self.core();
        core.server.close(id)?;
        core.settle_idle(id.slot);
        Ok(())
    }
}

/// Publish and subscribe.
impl Reactor {
    /// Subscribes a WebSocket to a topic, which may be any bytes. Returns `None` if it has subscribed already.
    pub fn subscribe(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, SubscribeError> {
        self.server().subscribe(id, topic)
    }

    /// Ends a subscription. Returns `None` if there is none. Earlier publications are still sent.
    pub fn unsubscribe(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, Stale> {
        self.server().unsubscribe(id, topic)
    }

    /// Returns whether a WebSocket has subscribed to a topic.
    pub fn is_subscribed(&self, id: ConnectionId, topic: &[u8]) -> Result<bool, Stale> {
        self.server().is_subscribed(id, topic)
    }

    /// Returns the topics that a WebSocket has subscribed to, in no particular order.
    pub fn topics(&self, id: ConnectionId) -> Result<Vec<Box<[u8]>>, Stale> {
        self.server().topics(id)
    }

    /// Returns the number of an app's WebSockets that have subscribed to a topic.
    pub fn subscribers(&self, app: AppId, topic: &[u8]) -> usize {
        self.server().subscribers(app, topic)
    }

    /// Publishes a message to all of an app's WebSockets that have subscribed to a topic. Returns false if there are
    /// none. The message is sent by the end of the turn, in order with what is sent to each WebSocket directly.
    ///
    /// `compress`: the message is compressed for the WebSockets that have agreed on that, if it is long enough.
    pub fn publish(&self, app: AppId, topic: &[u8], opcode: Opcode, message: &[u8], compress: bool) -> bool {
        self.server().publish(app, None, topic, opcode, message, compress)
    }

    /// Publishes a message as [`Reactor::publish`] does, to all subscribers except the WebSocket itself.
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

    /// Returns what [`Reactor::publish`] would return if no subscriber would receive the message: false if there are no
    /// subscribers, true if it would be dropped for all of them without [`Event::Dropped`](crate::Event::Dropped). The
    /// message need not be created then, and counts as published. Returns `None` otherwise.
    pub fn publish_in_vain(&self, app: AppId, topic: &[u8]) -> Option<bool> {
        self.server().publish_in_vain(app, None, topic)
    }

    /// Returns what [`Reactor::publish_from`] would return, as [`Reactor::publish_in_vain`] does.
    pub fn publish_in_vain_from(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<bool>, Stale> {
        self.server().publish_in_vain_from(id, topic)
    }
}
