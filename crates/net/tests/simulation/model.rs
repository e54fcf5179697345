//! What must be true: the model of every connection, as simple as it can be. It knows what clients and handlers have done
//! and what each of them has seen, and nothing of how the reactor works.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use milliways_net::ConnectionId;
use milliways_simnet::ConnectionKey;

use crate::http::{Answer, Body, Pending, Request, Route};
use crate::remote::FromAfar;
use crate::websocket::{Heard, Socket};

/// The number of topics.
pub(crate) const TOPICS: usize = 6;

/// A number by which ids can be sorted.
pub(crate) type Id = (u32, u32);

pub(crate) fn id_of(id: ConnectionId) -> Id {
    (id.slot.0, id.generation.0)
}

pub(crate) fn connection_id((slot, generation): Id) -> ConnectionId {
    ConnectionId::new(slot, generation)
}

/// What a connection is in the middle of, as far as handlers know.
#[derive(Debug)]
pub(crate) enum Phase {
    /// No handler has a request of it.
    Idle,
    /// A handler is responding.
    Answering(Pending),
    WebSocket,
    /// It is closing in order, or has been cut.
    Ending,
    /// The reactor has closed its socket.
    Gone,
}

/// Why a connection may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The app is being shut down. Requests in progress are answered first.
    ShutDown,
    /// A handler has ended it, or a response after which it closes is complete: what was written arrives.
    InOrder,
    /// What was written may be lost.
    Cut,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: ConnectionKey,
    pub(crate) address: SocketAddr,
    /// The address of the client that a proxy names.
    pub(crate) proxied: Option<SocketAddr>,
    /// The connection uses TLS.
    pub(crate) is_secure: bool,
    /// When the reactor has reported it.
    pub(crate) accepted: Option<Duration>,
    pub(crate) phase: Phase,
    /// When the time of whoever is next to act began anew.
    pub(crate) since: Duration,
    /// Why it may end, and since when.
    pub(crate) ending: Option<(Reason, Duration)>,
    /// Requests that the client has sent, or is about to, and no handler has seen.
    pub(crate) requests: VecDeque<Request>,
    /// Responses that have begun and that the client has not read to their end.
    pub(crate) answers: VecDeque<Answer>,
    /// What the client has sent as a WebSocket, or is about to, and no handler has seen.
    pub(crate) from_client: VecDeque<Heard>,
    /// The numbers and lengths of the client's Pings that have been heard and not been answered.
    pub(crate) unanswered: VecDeque<(u32, usize)>,
    /// The last of the client's Pings that has been heard.
    pub(crate) last_ping: Option<(u32, usize)>,
    /// What has become of it as a WebSocket.
    pub(crate) socket: Option<Socket>,
    /// The client has done something after which it may not read what it is sent: it has reset, closed or vanished.
    pub(crate) has_left: bool,
    /// The client has sent its FIN, or is about to.
    pub(crate) has_finished: bool,
    /// The client has sent something that must be refused.
    pub(crate) is_invalid: bool,
    /// When the client finished or left.
    pub(crate) left_at: Duration,
    /// The last request that has been answered, or is in progress, has a body, which may arrive after its response.
    pub(crate) has_body: bool,
    /// A request has come before the connection was reported.
    pub(crate) is_early: bool,
    /// The reactor has closed the socket of a WebSocket before the close handler was called.
    pub(crate) is_gone_early: bool,
    /// The id of the WebSocket.
    pub(crate) id: Option<Id>,
    /// The number of bytes that the client had read when its connection became a WebSocket.
    pub(crate) upgraded_at: Option<u64>,
    /// The number of bytes of Pongs that the reactor has written, at most.
    pub(crate) pongs: u64,
    /// The reactor has begun to answer a request of it.
    pub(crate) is_served: bool,
    /// The client has sent all that it has said, as far as the last look at it shows.
    pub(crate) has_said_all: bool,
}

impl Connection {
    pub(crate) fn new(key: ConnectionKey, address: SocketAddr, is_secure: bool, now: Duration) -> Self {
        Self {
            key,
            address,
            proxied: None,
            is_secure,
            accepted: None,
            phase: Phase::Idle,
            since: now,
            ending: None,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            from_client: VecDeque::new(),
            unanswered: VecDeque::new(),
            last_ping: None,
            socket: None,
            has_left: false,
            has_finished: false,
            is_invalid: false,
            left_at: now,
            has_body: false,
            is_early: false,
            is_gone_early: false,
            id: None,
            upgraded_at: None,
            pongs: 0,
            is_served: false,
            has_said_all: true,
        }
    }

    /// Notes that it may end. Once it may be cut, it stays so.
    pub(crate) fn may_end(&mut self, reason: Reason, now: Duration) {
        match &mut self.ending {
            Some((was, _)) if *was == Reason::Cut || *was == reason || reason == Reason::ShutDown => {}
            Some((was, _)) if *was == Reason::InOrder => *was = reason,
            ending => *ending = Some((reason, now)),
        }
    }

    /// The routes of WebSockets are removed: requests for them that have not arrived get 404.
    pub(crate) fn forget_routes(&mut self) {
        for request in &mut self.requests {
            if matches!(request.route, Route::Upgrade(_)) {
                request.route = Route::Missing;
            }
        }
    }

    /// Moves on from requests that no route takes, which are answered without a handler.
    pub(crate) fn skip_missing(&mut self, now: Duration) {
        while self.requests.front().is_some_and(|request| request.route == Route::Missing)
            && let Some(request) = self.requests.pop_front()
        {
            self.is_served = true;
            self.has_body = request.body != Body::None;
            self.answers.push_back(Answer::by_server(request.number, 404, request.method == "HEAD"));
            if request.closes || request.is_old {
                self.may_end(Reason::InOrder, now);
            }
        }
    }

    /// Returns the response in progress.
    pub(crate) fn pending(&mut self) -> Option<&mut Pending> {
        match &mut self.phase {
            Phase::Answering(pending) => Some(pending),
            _ => None,
        }
    }

    /// Returns the WebSocket, if it is open.
    pub(crate) fn open(&mut self) -> Option<&mut Socket> {
        match self.phase {
            Phase::WebSocket => self.socket.as_mut(),
            _ => None,
        }
    }
}

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Connections, by the number of their clients.
    pub(crate) all: Vec<Connection>,
    /// Which connection an id stands for: that of a request in progress, or of an open WebSocket.
    pub(crate) live: BTreeMap<Id, usize>,
    /// Ids that have become stale.
    pub(crate) stale: Vec<Id>,
    /// Every id that has been in use.
    pub(crate) seen: BTreeSet<Id>,
    /// The connections that the reactor has reported as connected and not as disconnected, by slot.
    pub(crate) connected: BTreeMap<u32, usize>,
    /// The subscribers of each topic.
    pub(crate) topics: [BTreeSet<usize>; TOPICS],
    /// The number of messages that handlers have published to each topic.
    pub(crate) published: [u32; TOPICS],
    /// The number of messages that other threads have published to each topic.
    pub(crate) from_afar: [u32; TOPICS],
    /// Messages of other threads that the reactor may not have taken yet.
    pub(crate) on_the_way: Vec<FromAfar>,
}

impl Model {
    pub(crate) fn add(&mut self, connection: Connection) -> usize {
        self.all.push(connection);
        self.all.len() - 1
    }

    /// Returns the number of WebSockets that are open.
    pub(crate) fn websockets(&self) -> usize {
        self.all.iter().filter(|connection| matches!(connection.phase, Phase::WebSocket)).count()
    }

    /// Returns the ids of requests in progress that a handler is to answer later.
    pub(crate) fn awaited(&self) -> Vec<Id> {
        let is_awaited = |which: &usize| matches!(&self.all[*which].phase, Phase::Answering(pending) if pending.is_awaited && pending.request.route != Route::Yielded);
        self.live.iter().filter(|(_, which)| is_awaited(which)).map(|(id, _)| *id).collect()
    }

    /// Returns the ids of open WebSockets.
    pub(crate) fn open(&self) -> Vec<Id> {
        let is_open = |which: &usize| matches!(self.all[*which].phase, Phase::WebSocket);
        self.live.iter().filter(|(_, which)| is_open(which)).map(|(id, _)| *id).collect()
    }

    /// Begins the use of an id. Returns false if it has been in use before.
    pub(crate) fn begin_id(&mut self, id: Id, which: usize) -> bool {
        self.live.insert(id, which);
        self.seen.insert(id)
    }

    /// Ends the use of an id.
    pub(crate) fn end_id(&mut self, id: Id) -> Option<usize> {
        let which = self.live.remove(&id)?;
        self.stale.push(id);
        if self.stale.len() > 50 {
            self.stale.remove(0);
        }
        Some(which)
    }
}
