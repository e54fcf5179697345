//! The end of a connection, HTTP or WebSocket.
//!
//! A connection is closing from the moment at which nobody above knows it any more until its socket may be closed. First
//! everything that is buffered is sent, then our FIN, and then the peer has some time to send its own FIN. If the socket were
//! closed at once, the kernel would answer further input with a reset, which can destroy bytes that the peer has not read yet
//! (RFC 9112 section 9.6). If we have started the closing handshake, our FIN waits for the peer's Close frame (RFC 6455
//! section 7.1.1).
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
//! In an empty cell, nothing changes. Nothing more is expected of a peer that has sent its FIN: no Close frame can follow, and
//! closing the socket sends our FIN.

/// When our FIN follows the last bytes that we send. For a WebSocket, those are its Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    /// As soon as possible, because the peer has violated the protocol (RFC 6455 section 7.1.7). Frames that are waiting are
    /// dropped so that the Close frame arrives, except for one that has been sent in part.
    AtOnce,
    /// Once everything that is waiting has been sent: after an HTTP response, and after a Close frame that answers the peer's
    /// or that a silent peer is not expected to answer.
    AfterOutput,
    /// Once everything that is waiting has been sent and the peer's Close frame has arrived (RFC 6455 section 7.1.1). If the
    /// connection ends earlier, some clients discard messages that they have not processed yet.
    AfterPeerClose,
}

impl Fin {
    /// Returns whether waiting frames have to be dropped before the Close frame is appended, except for one that has been sent
    /// in part.
    pub fn drops_waiting(self) -> bool {
        self == Self::AtOnce
    }
}

/// What has to be done with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send our FIN and go on receiving: `shutdown(SHUT_WR)`, over TLS after a `close_notify`.
    SendFin,
    /// Close the socket and forget the connection, over TLS after a `close_notify` unless one has been sent.
    Remove,
}

/// How far the end of a connection has come; see the [module's documentation](self) for states and transitions.
///
/// The machine does not know whether output is waiting: the owner does, and passes it to [`Closing::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Our FIN waits for the peer's Close frame and for the output, our Close frame included.
    AwaitingClose,
    /// Our FIN waits for the output alone.
    Draining,
    /// Our FIN has been sent.
    Finished,
    /// The peer's FIN has arrived. The output is still sent, because the peer may be reading.
    PeerFinished,
    /// The socket has failed, or the peer has had its time.
    Over,
}

impl Closing {
    /// Creates the machine for a connection that begins to close. If the peer's FIN has arrived before, or the socket has
    /// failed, call [`Closing::handle_fin`] or [`Closing::handle_failure`] next.
    pub fn new(fin: Fin) -> Self {
        Self(match fin {
            Fin::AtOnce | Fin::AfterOutput => State::Draining,
            Fin::AfterPeerClose => State::AwaitingClose,
        })
    }

    /// Returns whether the peer's Close frame is awaited. Only then does input have to be parsed; otherwise it is discarded.
    pub fn awaits_close(self) -> bool {
        self.0 == State::AwaitingClose
    }

    /// Handles the peer's Close frame, or anything after which there cannot be one: a violation of the protocol, or the failure
    /// of a TLS session.
    pub fn handle_close_frame(&mut self) {
        if self.0 == State::AwaitingClose {
            self.0 = State::Draining;
        }
    }

    /// Handles the peer's FIN, or its `close_notify` over TLS.
    pub fn handle_fin(&mut self) {
        if self.0 != State::Over {
            self.0 = State::PeerFinished;
        }
    }

    /// Handles the failure of the socket, with which all output is lost.
    pub fn handle_failure(&mut self) {
        self.0 = State::Over;
    }

    /// Handles the timeout. The owner measures the time, and starts again whenever the peer takes some of the output.
    pub fn handle_timeout(&mut self) {
        self.0 = State::Over;
    }

    /// Returns what has to be done now. Call it after every input and whenever output has been sent. `waits`: whether output is
    /// waiting that the socket has not taken.
    ///
    /// [`Action::SendFin`] is returned at most once. [`Action::Remove`] is returned again by further calls.
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

    /// Returns what a poll after `calls` has to return. It has no state, and only looks at the history.
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
        // Our FIN is due at the first poll that finds no output waiting, after the peer's Close frame if that is awaited.
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
    fn the_fin_is_sent_once_after_the_output() {
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
    fn a_peer_that_has_finished_still_receives_the_output() {
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
    fn only_a_peer_that_violates_the_protocol_loses_frames_that_wait() {
        let drops = [Fin::AtOnce, Fin::AfterOutput, Fin::AfterPeerClose].map(Fin::drops_waiting);
        assert_eq!(drops, [true, false, false]);
    }

    /// Every closing connection has one in its table entry.
    #[test]
    fn it_takes_one_byte() {
        assert_eq!((size_of::<Closing>(), size_of::<Option<Closing>>()), (1, 1));
    }
}
