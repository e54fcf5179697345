//! From a request to a WebSocket (RFC 6455 section 4.2).

use std::fmt;

use milliways_proto::http::{HttpError, ResponseHead, Status};
use milliways_proto::ws::{Acceptance, Agreement, Handshake, InvalidAcceptance, breaks_on_deflate};

use super::RoutedRequest;
use crate::server::conversation::Flags;
use crate::server::state::State;
use crate::transport::sys;
use crate::{BehaviorId, ConnectionId, Handler, Reactor, Stale};

/// Why a request did not become a WebSocket. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// The response is complete already, or the request was aborted.
    Stale,
    /// The key is not the base64 form of 16 bytes, or a subprotocol has a CR, LF or NUL.
    Invalid(InvalidAcceptance),
    /// A part of a body has been written.
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

impl Reactor {
    /// Makes a request a WebSocket, whose id this gives; [`Handler::open`] is not called. `key` is the client's, and so are
    /// `protocol`, of which the first is chosen, and `extensions`.
    ///
    /// Headers that have been written go before those of the handshake. Of those that the handshake has itself a subprotocol
    /// stays as it was written.
    pub fn upgrade(
        &self,
        id: ConnectionId,
        behavior: BehaviorId,
        key: &[u8],
        protocol: &[u8],
        extensions: &[u8],
    ) -> Result<ConnectionId, UpgradeError> {
        let mut state = self.state();
        let connection = state.response(id)?;
        if connection.flags.has(Flags::HEAD_ENDED) {
            return Err(UpgradeError::HasBegun);
        }
        let own_status = connection.head().and_then(ResponseHead::own_status);
        if own_status.is_some_and(|status| status != Status::SWITCHING_PROTOCOLS) {
            return Err(UpgradeError::OtherStatus);
        }
        let is_broken = connection.flags.has(Flags::BREAKS_ON_DEFLATE);
        let deflate = state.behaviors.get(behavior).settings.deflate.filter(|_| !is_broken);
        let agreed = deflate.and_then(|deflate| Agreement::new(extensions, deflate));
        let acceptance = Acceptance::new(key, protocol)?.with_deflate(agreed);
        let marks = *state.marks();
        let head = state.take_head(id.slot);
        state.write(id.slot, |output| acceptance.write(output, &head, &marks));
        let now = state.active_now();
        let State { table, pool, codecs, .. } = &mut *state;
        let connection = table.get(id)?;
        connection.become_websocket(behavior, now);
        if connection.flags.take(Flags::LOOKED_AFTER) {
            // It has pings of its own.
            sys::leave_alone(&connection.stream);
        }
        if let Some(side) = &mut connection.side {
            side.output.begin_frames();
        }
        if let Some(agreement) = agreed {
            connection.flags.add(Flags::DEFLATE);
            if let Some(contexts) = codecs.contexts(agreement) {
                pool.side_of(connection).contexts = Some(Box::new(contexts));
            }
        }
        // What the client has sent meanwhile is frames.
        if connection.flags.has(Flags::UNREAD) {
            state.resumed.push(id.slot);
        }
        state.websockets += 1;
        state.behaviors.get_mut(behavior).uses += 1;
        state.arm(id.slot);
        Ok(state.table.renew(id.slot))
    }

    pub(super) fn handle_upgrade(
        &self,
        behavior: BehaviorId,
        id: ConnectionId,
        routed: &RoutedRequest<'_>,
        handler: &impl Handler,
    ) {
        // A request to upgrade that has a body could be read as frames by one of us and as a body by the other.
        let handshake = match Handshake::parse(routed.request) {
            Ok(handshake) if routed.request.body().is_none() => handshake,
            Ok(_) => return self.refuse(id.slot, HttpError::Syntax, handler),
            Err(error) => return self.refuse(id.slot, error, handler),
        };
        let mut state = self.state();
        let asks = state.behaviors.get(behavior).asks;
        // Remembered, since a handler may upgrade when the request is gone.
        if let Some(connection) = state.table.at(id.slot)
            && breaks_on_deflate(routed.request.header(b"user-agent").unwrap_or_default())
        {
            connection.flags.add(Flags::BREAKS_ON_DEFLATE);
        }
        drop(state);
        if asks {
            return handler.upgrade(self, behavior, id, routed);
        }
        match self.upgrade(id, behavior, handshake.key(), handshake.protocols(), handshake.extensions()) {
            Ok(id) => handler.open(self, behavior, id, routed),
            // A subprotocol with a control character gets no further than the parser; the rest is as it was a moment ago.
            Err(_) => self.refuse(id.slot, HttpError::Syntax, handler),
        }
    }
}
