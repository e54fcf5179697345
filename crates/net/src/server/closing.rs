//! How connections end: the one table of reasons, and the one place where a connection is removed.
//!
//! [`Server::end`] is called with the reason, an [`End`]. What comes of it depends on what the connection is in the middle
//! of. *Cut* means that the socket closes at the end of the event or turn, or, outside of its events, with the call that has
//! cut it, and that what waits to be written is lost.
//!
//! | reason | WebSocket: Close frame, our FIN | handler is told | request with its handler | between requests |
//! | --- | --- | --- | --- | --- |
//! | `Asked` | code and reason of the program, after the peer's Close frame | the same | | |
//! | `PeerClosed` | code and reason of the peer, behind what waits | the same, 1005 for none | | |
//! | `Violation` | 1002, 1007 or 1009 and what is wrong, ahead of what waits | 1006 and what is wrong | | |
//! | `Silent` | 1001; none, and cut, if the peer takes nothing | 1006, timed out | cut | cut |
//! | `Lifetime` | 1000, after the peer's Close frame | 1000 | | |
//! | `Cut` | none, cut | 1006 | cut | cut |
//! | `Finished` | none, cut | 1006, FIN before Close frame | cut | FIN behind what waits |
//! | `Failed` | none, cut | 1006 | cut | cut |
//! | `Garbled` | none, cut behind the TLS alert | 1006 | cut behind the TLS alert | FIN behind the TLS alert |
//! | `Refused` | | | the error, unless a response has begun; then our FIN | the error, then our FIN |
//! | `Answered` | | | our FIN behind what waits | our FIN behind what waits |
//!
//! A handler that waits for the end of a request is told that it was aborted, except by `Answered`. Close codes are those
//! of RFC 6455 section 7.4.1. What follows our FIN is the state machine of [`milliways_proto::closing`].

use std::fmt::Write as _;

use milliways_proto::closing::{Action, Closing, Fin};
use milliways_proto::http::HttpError;
use milliways_proto::ws::{CloseFrame, Violation};

use super::Server;
use super::conversation::Talk;
use super::events::Count;
use super::settings::WebSocketSettings;
use crate::event::Event;
use crate::ids::Slot;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'r> {
    /// The program ends a WebSocket in order.
    Asked {
        /// The close code; `None` for a Close frame without one.
        code: Option<u16>,
        reason: &'r [u8],
    },
    /// The peer has sent a Close frame.
    PeerClosed(CloseFrame<'r>),
    /// The peer has broken the protocol, or a limit.
    Violation(Violation),
    /// Nothing has been received for as long as the idle timeout, or nothing has moved.
    Silent,
    /// A WebSocket has been open for as long as it may.
    Lifetime,
    /// The program closes the connection without a word, or must not go on with it.
    Cut,
    /// The peer's FIN has come.
    Finished,
    /// The socket has failed.
    Failed,
    /// What the peer sends cannot be understood, and the transport has told it so.
    Garbled,
    /// A request cannot be answered as it should be.
    Refused(HttpError),
    /// A response is complete, and the connection closes after it.
    Answered,
}

/// How a WebSocket ends.
struct Farewell {
    /// The Close frame, and when our FIN follows; `None` if the connection is cut.
    close: Option<(u16, Vec<u8>, Fin)>,
    /// What the handler is told.
    code: u16,
    reason: Vec<u8>,
}

impl Farewell {
    fn cut(reason: &str) -> Self {
        Self { close: None, code: CloseFrame::ABNORMAL, reason: reason.into() }
    }

    fn of(end: End<'_>, settings: &WebSocketSettings, is_blocked: bool) -> Self {
        match end {
            End::Asked { code, reason } => {
                let code = code.unwrap_or_default();
                Self { close: Some((code, reason.into(), Fin::AfterPeerClose)), code, reason: reason.into() }
            }
            End::PeerClosed(CloseFrame { code, reason }) => Self {
                close: Some((code, reason.into(), Fin::AfterOutput)),
                code: if code == 0 { CloseFrame::NO_STATUS } else { code },
                reason: reason.into(),
            },
            // RFC 6455 section 7.1.7, Fail the WebSocket Connection.
            End::Violation(violation) => Self {
                close: Some((violation.close_code(), explain(violation, settings).into_bytes(), Fin::AtOnce)),
                code: CloseFrame::ABNORMAL,
                reason: violation.reason().into(),
            },
            End::Silent if is_blocked => Self::cut(TIMED_OUT),
            End::Silent => Self {
                close: Some((
                    1001,
                    format!("nothing received for {} seconds", settings.idle_timeout).into_bytes(),
                    Fin::AfterOutput,
                )),
                ..Self::cut(TIMED_OUT)
            },
            End::Lifetime => Self {
                close: Some((1000, RECONNECT.into(), Fin::AfterPeerClose)),
                code: 1000,
                reason: RECONNECT.into(),
            },
            End::Finished => Self::cut("Received TCP FIN before WebSocket close frame"),
            End::Cut | End::Failed | End::Garbled | End::Refused(_) | End::Answered => Self::cut(""),
        }
    }
}

const TIMED_OUT: &str = "WebSocket timed out from inactivity";
const RECONNECT: &str = "please reconnect";

/// What the Close frame says about a violation: what is wrong, with the limit that was exceeded.
fn explain(violation: Violation, settings: &WebSocketSettings) -> String {
    let mut text = violation.to_string();
    match violation {
        Violation::TooBig | Violation::InflatedTooBig => _ = write!(text, " of {} bytes", settings.max_payload),
        Violation::TextTooLong => _ = write!(text, " of {} UTF-16 code units", settings.max_text),
        _ => {}
    }
    text
}

impl Server {
    /// Ends a connection. Handles to it are stale from now on, unless it was closing already.
    pub(crate) fn end(&mut self, slot: Slot, end: End<'_>) {
        if end == End::Finished || end == End::Garbled {
            // The peer may have finished as soon as it had asked, and still read the answers.
            self.transport.flush(slot);
        }
        let end = if end == End::Finished && self.transport.is_broken(slot) { End::Failed } else { end };
        match self.table[slot].talk {
            Talk::Http { responder, .. } => self.end_http(slot, responder.is_some(), end),
            Talk::WebSocket { .. } => self.end_websocket(slot, end),
            Talk::Closing { .. } => self.hasten(slot, end),
            Talk::Vacant | Talk::Gone => {}
        }
    }

    fn end_http(&mut self, slot: Slot, is_answering: bool, end: End<'_>) {
        let id = self.table.id(slot);
        let is_heard = is_answering && self.table[slot].http().is_heard();
        match end {
            End::Answered => return self.begin_closing(slot, Fin::AfterOutput),
            End::Refused(error) => {
                let response = match &mut self.table[slot].talk {
                    Talk::Http { responder: Some(responder), .. } => responder.refuse(error),
                    _ => error.response(),
                };
                self.transport.write(slot, |output| output.extend_from_slice(response.as_bytes()));
                self.begin_closing(slot, Fin::AfterOutput);
            }
            End::Garbled if !is_answering => self.begin_closing(slot, Fin::AfterOutput),
            End::Finished if !is_answering && self.transport.has_output(slot) => {
                self.begin_closing(slot, Fin::AfterOutput);
                self.hasten(slot, End::Finished);
            }
            _ => {
                if end == End::Finished && !self.transport.has_output(slot) {
                    self.transport.say_goodbye(slot);
                }
                self.cut(slot);
            }
        }
        if is_heard {
            self.events.push(Event::Aborted { id });
        }
    }

    fn end_websocket(&mut self, slot: Slot, end: End<'_>) {
        let (id, behavior) = (self.table.id(slot), self.table[slot].behavior());
        let settings = self.behaviors.get(behavior).settings;
        let is_blocked = self.transport.backpressure(slot) > 0;
        let Farewell { close, code, reason } = Farewell::of(end, &settings, is_blocked);
        if let Some((code, reason, fin)) = &close {
            self.deliver_before(slot);
            let sender = self.table[slot].sender();
            let frame = CloseFrame { code: *code, reason };
            self.transport.write_last_unit(slot, fin.drops_waiting(), |output| sender.close(frame, output));
        } else if end == End::Finished && !self.transport.has_output(slot) {
            self.transport.say_goodbye(slot);
        }
        self.websockets -= 1;
        self.leave_topics(slot, settings.tells_subscriptions);
        match close {
            Some((.., fin)) => self.begin_closing(slot, fin),
            None => self.cut(slot),
        }
        self.behaviors.release(behavior);
        self.events.push(Event::Close { behavior, id, code, reason: reason.into() });
    }

    /// Goes on with a connection that is closing already.
    fn hasten(&mut self, slot: Slot, end: End<'_>) {
        let Talk::Closing { closing, .. } = &mut self.table[slot].talk else { return };
        match end {
            End::Finished => closing.handle_fin(),
            // Nothing that we wait for will come.
            End::Garbled => closing.handle_close_frame(),
            End::Silent => closing.handle_timeout(),
            End::Failed => closing.handle_failure(),
            End::Cut => return self.cut(slot),
            _ => {}
        }
        self.transport.touch(slot);
    }

    /// Lets a connection go that nobody above knows any more: what is buffered, our FIN, some patience, the end.
    fn begin_closing(&mut self, slot: Slot, fin: Fin) {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        let app = self.behaviors.app_of(conversation);
        let closing = Closing::new(fin);
        conversation.become_closing(app, closing, now);
        if let Some(side) = self.sides.get_mut(conversation.side) {
            let frames = std::mem::take(&mut side.frames);
            side.clear();
            if closing.awaits_close() {
                side.frames = frames;
            }
        }
        if conversation.is_unread() {
            self.resumed.push(slot);
        }
        self.table.renew(slot);
        self.arm(slot);
        self.transport.touch(slot);
    }

    /// Closes a connection without a word.
    fn cut(&mut self, slot: Slot) {
        let conversation = &mut self.table[slot];
        let app = self.behaviors.app_of(conversation);
        conversation.become_gone(app);
        self.gone += 1;
        self.table.renew(slot);
        self.arm(slot);
        self.transport.abandon(slot);
    }

    /// Does what has come of what was written to a connection, and removes it if it is over. No other place does. It is
    /// called at the end of the connection's event, at the end of the turn, and behind a call that has cut a connection which
    /// is in no event.
    pub(crate) fn settle(&mut self, slot: Slot) {
        let facts = self.transport.settle(slot);
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        match &mut conversation.talk {
            Talk::Http { .. } => {
                // A client that takes a large response has its time as long as it takes some.
                if facts.has_moved && facts.backpressure > 0 {
                    conversation.last_active = now;
                    self.arm(slot);
                }
            }
            Talk::WebSocket { .. } => {
                if facts.has_moved && facts.backpressure > 0 {
                    self.ask_soon(slot);
                }
            }
            Talk::Closing { closing, .. } => {
                if facts.is_broken {
                    closing.handle_failure();
                }
                match closing.poll(facts.has_output) {
                    Some(Action::Remove) => {
                        // What waits has gone out in part, perhaps, and a record in its middle would say nothing.
                        if !facts.has_output {
                            self.transport.say_goodbye(slot);
                        }
                        return self.remove(slot);
                    }
                    Some(Action::SendFin) => self.transport.finish(slot),
                    None => {}
                }
                if facts.has_moved {
                    self.table[slot].last_active = now;
                    self.arm(slot);
                }
            }
            Talk::Gone => return self.remove(slot),
            Talk::Vacant => {}
        }
        self.sides.reclaim(&mut self.table[slot].side);
    }

    /// Closes the socket and forgets the connection.
    fn remove(&mut self, slot: Slot) {
        let app = self.table[slot].app();
        self.gone -= usize::from(self.table[slot].is_over());
        self.count(app, slot, Count::Down);
        self.transport.remove(slot);
        self.sides.release(&mut self.table[slot].side);
        self.wheel.cancel(slot.0);
        self.apps.forget_connection(app);
        self.table.vacate(slot);
        self.has_freed_descriptor = true;
    }

    /// Cuts a connection in whose event a bug of ours has shown.
    pub(crate) fn give_up(&mut self, slot: Slot) {
        if self.table.is_live(slot) {
            self.end(slot, End::Cut);
        }
    }
}
