//! Upgrades of requests to WebSockets (RFC 6455 section 4.2).

use std::fmt;

use milliways_proto::http::{Draft, HttpError, InvalidUpgrade, Request};
use milliways_proto::router::Parameters;
use milliways_proto::ws::{Acceptance, Agreement, Handshake, InvalidAcceptance, Sender, breaks_on_deflate};

use super::Found;
use crate::ids::{AppId, BehaviorId, ConnectionId, Slot, Stale};
use crate::server::Server;
use crate::server::closing::End;
use crate::server::conversation::{HttpFlag, Talk};
use crate::server::events::Count;

/// Why a request did not become a WebSocket. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// The response is complete, or the request was aborted.
    Stale,
    /// The key is not the base64 form of 16 bytes, or a subprotocol has a CR, LF or NUL.
    Invalid(InvalidAcceptance),
    /// The head has been sent.
    HasBegun,
    /// The status that has been written is not 101.
    OtherStatus,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => formatter.write_str("the response is complete, or its request was aborted"),
            Self::Invalid(invalid) => invalid.fmt(formatter),
            Self::HasBegun => formatter.write_str("a response whose body has begun cannot become a WebSocket any more"),
            Self::OtherStatus => formatter
                .write_str("a response becomes a WebSocket with the status 101 Switching Protocols, and no other"),
        }
    }
}

impl std::error::Error for UpgradeError {}

impl From<Stale> for UpgradeError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

impl From<InvalidAcceptance> for UpgradeError {
    fn from(invalid: InvalidAcceptance) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<InvalidUpgrade> for UpgradeError {
    fn from(invalid: InvalidUpgrade) -> Self {
        match invalid {
            InvalidUpgrade::Complete => Self::Stale,
            InvalidUpgrade::HasBegun => Self::HasBegun,
            InvalidUpgrade::OtherStatus => Self::OtherStatus,
        }
    }
}

impl Server {
    /// The method behind [`crate::Reactor::upgrade`], which documents it.
    pub(crate) fn upgrade(
        &mut self,
        id: ConnectionId,
        behavior: BehaviorId,
        key: &[u8],
        protocol: &[u8],
        extensions: &[u8],
    ) -> Result<ConnectionId, UpgradeError> {
        let (slot, now) = (id.slot, self.clock.active());
        let marks = self.marks();
        let Self { table, sides, transport, behaviors, .. } = self;
        let conversation = table.get(id)?;
        let Talk::Http { responder: Some(responder), flags } = &mut conversation.talk else { return Err(Stale.into()) };
        let mut none = Draft::default();
        let draft = sides.get_mut(conversation.side).map_or(&mut none, |side| &mut side.draft);
        responder.check_upgrade(draft)?;
        let deflate = behaviors.get(behavior).settings.deflate.filter(|_| !flags.has(HttpFlag::BreaksOnDeflate));
        let agreed = deflate.and_then(|deflate| Agreement::new(extensions, deflate));
        let acceptance = Acceptance::new(key, protocol)?.with_deflate(agreed);
        let head = responder.upgrade(draft)?;
        transport.write(slot, |output| acceptance.write(output, &head, &marks));
        transport.begin_units(slot);
        if flags.has(HttpFlag::LookedAfter) {
            // A WebSocket has Pings of its own.
            transport.leave_alone(slot);
        }
        self.note_upgrade(slot, behavior, agreed.is_some());
        let conversation = &mut self.table[slot];
        let (from, to) = (conversation.app(), self.behaviors.get(behavior).app);
        conversation.become_websocket(behavior, Sender::new(agreed.is_some()), now);
        if let Some(contexts) = agreed.and_then(|agreement| self.codecs.contexts(agreement)) {
            self.sides.of(&mut conversation.side).contexts = Some(Box::new(contexts));
        }
        // What the client has sent already is frames, which can be read now.
        if conversation.is_unread() {
            self.resumed.push(slot);
        }
        if from != to {
            self.pass_on(slot, from, to);
        }
        self.websockets += 1;
        self.behaviors.hold(behavior);
        self.arm(slot);
        self.visit_if_shutting_down(slot);
        Ok(self.table.renew(slot))
    }

    /// Passes a connection on to another app, whose behavior it has got. The limits of that app do not apply, as the
    /// program has chosen it, but the connection counts for them.
    fn pass_on(&mut self, slot: Slot, from: AppId, to: AppId) {
        self.transport.set_app(slot, to);
        self.apps.note_connection(to);
        self.apps.forget_connection(from);
        self.note_room(from);
        self.move_source(slot, to);
        self.count(from, slot, Count::Down);
        self.count(to, slot, Count::Up);
        self.end_shutdown(from);
    }

    /// Handles a request for a WebSocket route: upgrades it, or leaves that to the handler.
    pub(super) fn open_or_ask(
        &mut self,
        id: ConnectionId,
        behavior: BehaviorId,
        request: &Request<'_>,
        parameters: Parameters,
    ) -> Found {
        let refuse = |server: &mut Self, error| {
            server.end(id.slot, End::Refused(error));
            Found::Done
        };
        // If the request has a body, then client, proxy and server may disagree on whether its bytes are a body or
        // frames.
        let handshake = match Handshake::parse(request) {
            Ok(handshake) if request.body().is_none() => handshake,
            Ok(_) => return refuse(self, HttpError::UpgradeWithBody),
            Err(error) => return refuse(self, error),
        };
        // A handler may upgrade after the request is gone, so this is noted.
        if breaks_on_deflate(request.header(b"user-agent").unwrap_or_default()) {
            self.table[id.slot].http().add(HttpFlag::BreaksOnDeflate);
        }
        if self.behaviors.get(behavior).asks {
            return Found::Upgrade(behavior, parameters);
        }
        match self.upgrade(id, behavior, handshake.key(), handshake.protocols(), handshake.extensions()) {
            Ok(id) => Found::Open(behavior, id, parameters),
            // The parser refuses control characters in a subprotocol, and the key is valid.
            Err(_) => refuse(self, HttpError::UnexpectedResponse),
        }
    }
}
