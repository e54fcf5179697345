//! The end of a connection, be it HTTP or WebSocket.
//!
//! A connection is closing from the moment nobody above knows it any more until its socket may be closed: what is
//! buffered goes out, then our FIN, and then the peer has some time for its own FIN. Closing the socket at once would make
//! the kernel answer what the peer still sends with a reset, which can destroy bytes that the peer has not read yet (RFC
//! 9112 section 9.6). After a Close frame of ours, our FIN waits for the peer's Close frame (RFC 6455 section 7.1.1).
//!
//! ```text
//!   Fin::AfterPeerClose               HTTP, Fin::AtOnce, Fin::AfterOutput
//!            │                                     │
//!            ▼                                     ▼
//!     ┌──────────────┐  the peer's Close     ┌──────────┐
//!     │ AwaitingClose├──────────────────────▶│ Draining │
//!     └──────┬───────┘                       └─┬──────┬─┘
//!            │                     the peer's  │      │ nothing waits:
//!            │ the peer's FIN             FIN  │      │ SendFin
//!            ▼                                 │      ▼
//!     ┌──────────────┐◀────────────────────────┘ ┌──────────┐
//!     │ PeerFinished │◀──────────────────────────┤ Finished │
//!     └──────┬───────┘       the peer's FIN      └──────────┘
//!            │
//!            │ nothing waits: Remove           a failure or the timeout,
//!            ▼                                 in every state: Remove
//! ```
//!
//! | state           | Close frame | FIN            | failure, timeout | poll, output waits | poll, none waits      |
//! | --------------- | ----------- | -------------- | ---------------- | ------------------ | --------------------- |
//! | `AwaitingClose` | `Draining`  | `PeerFinished` | `Over`           | nothing            | nothing               |
//! | `Draining`      |             | `PeerFinished` | `Over`           | nothing            | `SendFin`, `Finished` |
//! | `Finished`      |             | `PeerFinished` | `Over`           | nothing            | nothing               |
//! | `PeerFinished`  |             |                | `Over`           | nothing            | `Remove`              |
//! | `Over`          |             |                |                  | `Remove`           | `Remove`              |
//!
//! An empty cell leaves the state as it is. The peer's FIN overrules everything that is still expected from the peer: no
//! Close frame can follow it, and closing the socket sends our FIN.

/// When our FIN follows the last bytes that we send. For a WebSocket, those are its Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    /// As soon as possible, because the peer has broken the protocol (RFC 6455 section 7.1.7). Frames that wait are dropped,
    /// so that the Close frame arrives; a frame that has partly gone out is completed first.
    AtOnce,
    /// When everything that waits has gone out: after an HTTP response, or after a Close frame that answers the peer's or
    /// that the peer is not expected to answer.
    AfterOutput,
    /// When everything that waits has gone out and the peer's Close frame has come (RFC 6455 section 7.1.1). Some clients
    /// discard messages that they have not processed yet when the connection ends earlier.
    AfterPeerClose,
}

impl Fin {
    /// Whether frames of which nothing has gone out yet are dropped before the Close frame is appended. They are not where
    /// the peer is to receive what was sent to it.
    pub fn drops_waiting(self) -> bool {
        self == Self::AtOnce
    }
}

/// What has to be done with the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send our FIN and go on receiving: `shutdown(SHUT_WR)`, over TLS after a `close_notify`.
    SendFin,
    /// Close the socket and forget the connection, over TLS after a `close_notify` unless one has been sent.
    Remove,
}

/// How far the end of a connection has come; see the [module's documentation](self) for states and transitions.
///
/// It does not hold what waits to be sent: the owner knows, and says so in [`Closing::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Our Close frame has been appended, and our FIN waits for the peer's Close frame.
    AwaitingClose,
    /// Our FIN waits for output alone.
    Draining,
    /// Our FIN is out.
    Finished,
    /// The peer's FIN has come. What is buffered still goes out, since the peer may be reading.
    PeerFinished,
    /// Nothing more can be sent, or the peer has had its time.
    Over,
}

impl Closing {
    /// Begins. A connection whose peer has finished, or whose socket has failed, needs a [`Closing::handle_fin`] or
    /// [`Closing::handle_failure`] as well.
    pub fn new(fin: Fin) -> Self {
        Self(match fin {
            Fin::AtOnce | Fin::AfterOutput => State::Draining,
            Fin::AfterPeerClose => State::AwaitingClose,
        })
    }

    /// Whether the peer's Close frame is awaited: only then does anybody look at what is received. Everything else that a
    /// peer sends is discarded.
    pub fn awaits_close(self) -> bool {
        self.0 == State::AwaitingClose
    }

    /// Handles the peer's Close frame, or anything else after which there cannot be one: frames that violate the protocol,
    /// or a TLS session that has failed.
    pub fn handle_close_frame(&mut self) {
        if self.0 == State::AwaitingClose {
            self.0 = State::Draining;
        }
    }

    /// Handles the peer's FIN, over TLS its `close_notify`.
    pub fn handle_fin(&mut self) {
        if self.0 != State::Over {
            self.0 = State::PeerFinished;
        }
    }

    /// Handles the failure of the socket: whatever is buffered is lost.
    pub fn handle_failure(&mut self) {
        self.0 = State::Over;
    }

    /// Handles the end of the owner's patience. The owner measures it, and should begin anew whenever the peer takes some of
    /// what is buffered.
    pub fn handle_timeout(&mut self) {
        self.0 = State::Over;
    }

    /// Returns what is to be done now; valid at any time. `waits`: whether something is buffered that the socket has not
    /// taken.
    ///
    /// It returns [`Action::SendFin`] once, and [`Action::Remove`] every time from then on when it has returned that once,
    /// unless output has come to wait in between.
    pub fn poll(&mut self, waits: bool) -> Option<Action> {
        match self.0 {
            State::Over => Some(Action::Remove),
            State::PeerFinished if !waits => Some(Action::Remove),
            State::Draining if !waits => {
                self.0 = State::Finished;
                Some(Action::SendFin)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Call {
        CloseFrame,
        Fin,
        Failure,
        Timeout,
        Poll { waits: bool },
    }

    const CALLS: [Call; 6] = [
        Call::CloseFrame,
        Call::Fin,
        Call::Failure,
        Call::Timeout,
        Call::Poll { waits: true },
        Call::Poll { waits: false },
    ];

    const DEPTH: usize = 7;

    /// What a poll after `calls` has to return, from nothing but what has been called: no state, only history.
    fn expected(fin: Fin, calls: &[Call], waits: bool) -> Option<Action> {
        let has = |call| calls.contains(&call);
        if has(Call::Failure) || has(Call::Timeout) {
            return Some(Action::Remove);
        }
        if waits {
            return None;
        }
        if has(Call::Fin) {
            return Some(Action::Remove);
        }
        // Our FIN goes with the first poll that finds nothing waiting once the peer's Close frame has come.
        let is_due = |before: &[Call]| fin != Fin::AfterPeerClose || before.contains(&Call::CloseFrame);
        let was_sent = (0..calls.len()).any(|end| calls[end] == Call::Poll { waits: false } && is_due(&calls[..end]));
        (is_due(calls) && !was_sent).then_some(Action::SendFin)
    }

    fn check(fin: Fin, closing: Closing, calls: &mut Vec<Call>) {
        for call in CALLS {
            let mut closing = closing;
            match call {
                Call::CloseFrame => closing.handle_close_frame(),
                Call::Fin => closing.handle_fin(),
                Call::Failure => closing.handle_failure(),
                Call::Timeout => closing.handle_timeout(),
                Call::Poll { waits } => {
                    assert_eq!(closing.poll(waits), expected(fin, calls, waits), "{fin:?} {calls:?}");
                }
            }
            calls.push(call);
            let is_awaited = fin == Fin::AfterPeerClose && calls.iter().all(|call| matches!(call, Call::Poll { .. }));
            assert_eq!(closing.awaits_close(), is_awaited, "{fin:?} {calls:?}");
            if calls.len() < DEPTH {
                check(fin, closing, calls);
            }
            calls.pop();
        }
    }

    #[test]
    fn every_order_of_calls_does_what_their_history_asks_for() {
        for fin in [Fin::AtOnce, Fin::AfterOutput, Fin::AfterPeerClose] {
            check(fin, Closing::new(fin), &mut Vec::new());
        }
    }

    #[test]
    fn the_fin_goes_out_once_behind_what_is_buffered() {
        let mut closing = Closing::new(Fin::AfterOutput);
        assert_eq!(closing.poll(true), None);
        assert_eq!(closing.poll(false), Some(Action::SendFin));
        assert_eq!(closing.poll(false), None);
        closing.handle_fin();
        assert_eq!(closing.poll(false), Some(Action::Remove));
    }

    #[test]
    fn the_fin_waits_for_the_close_frame_of_the_peer() {
        let mut closing = Closing::new(Fin::AfterPeerClose);
        assert_eq!(closing.poll(false), None);
        closing.handle_close_frame();
        assert!(!closing.awaits_close());
        assert_eq!(closing.poll(false), Some(Action::SendFin));
    }

    #[test]
    fn a_peer_that_has_finished_still_gets_what_is_buffered() {
        for fin in [Fin::AtOnce, Fin::AfterOutput, Fin::AfterPeerClose] {
            let mut closing = Closing::new(fin);
            closing.handle_fin();
            assert!(!closing.awaits_close());
            assert_eq!(closing.poll(true), None);
            assert_eq!(closing.poll(false), Some(Action::Remove));
        }
    }

    #[test]
    fn nothing_keeps_a_socket_that_has_failed_or_whose_time_is_up() {
        for end in [Closing::handle_failure, Closing::handle_timeout] {
            for waits in [true, false] {
                let mut closing = Closing::new(Fin::AfterPeerClose);
                end(&mut closing);
                assert_eq!(closing.poll(waits), Some(Action::Remove));
            }
        }
    }

    #[test]
    fn only_a_peer_that_broke_the_protocol_loses_what_waits() {
        let drops = [Fin::AtOnce, Fin::AfterOutput, Fin::AfterPeerClose].map(Fin::drops_waiting);
        assert_eq!(drops, [true, false, false]);
    }

    /// It is part of every connection.
    #[test]
    fn it_takes_one_byte() {
        assert_eq!((size_of::<Closing>(), size_of::<Option<Closing>>()), (1, 1));
    }
}
