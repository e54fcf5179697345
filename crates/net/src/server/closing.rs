//! How connections end: the table of reasons, and the only place where a connection is removed.
//!
//! [`Server::end`] is called with the reason, an [`End`]. Its effect depends on the state of the connection. *Cut*
//! means that pending output is lost, and that the socket is closed at the end of the activity or turn, or, if the
//! connection is not in an activity, by the call that has cut it.
//!
//! | reason | WebSocket: Close frame; our FIN | close handler is called with | request pending | between requests |
//! | --- | --- | --- | --- | --- |
//! | `Asked` | the program's code and reason; FIN after the peer's Close frame | the same | | |
//! | `PeerClosed` | the peer's code and reason; FIN after pending output | the same, 1005 if there is no code | | |
//! | `Violation` | 1002, 1007 or 1009 and an explanation, in place of blocked frames; FIN | 1006 and a reason | | |
//! | `Silent` | 1001; FIN. If output is blocked: no frame, cut | 1006, timed out | cut | cut |
//! | `Lifetime` | 1000; FIN after the peer's Close frame | 1000 | | |
//! | `ShutDown` | the app's code and reason; FIN after the peer's Close frame | the same | | FIN after pending output |
//! | `Cut` | no frame, cut | 1006 | cut | cut |
//! | `Finished` | no frame, cut | 1006, FIN before Close frame | cut | FIN after pending output |
//! | `Failed` | no frame, cut | 1006 | cut | cut |
//! | `Garbled` | no frame, cut after the TLS alert | 1006 | cut after the TLS alert | FIN after the TLS alert |
//! | `Refused` | | | the error, unless a response has begun; then FIN | the error, then FIN |
//! | `Answered` | | | FIN after pending output | FIN after pending output |
//!
//! A handler that waits for the end of a request gets [`Event::Aborted`], except after `Answered`. Close codes are
//! those of RFC 6455 section 7.4.1. [`milliways_proto::closing`] has the state machine for what follows.

use std::fmt::Write as _;

use milliways_proto::closing::{Action, Closing, Fin};
use milliways_proto::http::HttpError;
use milliways_proto::ws::{CloseFrame, Violation};

use super::Server;
use super::conversation::Talk;
use super::counting::count_response;
use super::events::Count;
use super::settings::WebSocketSettings;
use super::trap::Layer;
use crate::event::Event;
use crate::ids::Slot;
use crate::watch::What;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'r> {
    /// The program closes a WebSocket with a Close frame.
    Asked {
        /// The close code; `None` for an empty Close frame.
        code: Option<u16>,
        reason: &'r [u8],
    },
    /// The peer has sent a Close frame.
    PeerClosed(CloseFrame<'r>),
    /// The peer has violated the protocol or exceeded a limit.
    Violation(Violation),
    /// A timeout has expired: the peer has been silent, or has made no progress, for too long.
    Silent,
    /// A WebSocket has reached its maximum lifetime.
    Lifetime,
    /// The program shuts the app down. Only for WebSockets, and for connections between two requests.
    ShutDown {
        /// The close code of WebSockets.
        code: u16,
        reason: &'r [u8],
    },
    /// The program closes the connection immediately, or a bug of ours makes it unusable.
    Cut,
    /// The peer's FIN has arrived, or its `close_notify` over TLS.
    Finished,
    /// The socket has failed.
    Failed,
    /// The TLS session has failed, or the PROXY header before it is invalid. The transport has written the alert, if
    /// there is one.
    Garbled,
    /// The connection closes after an error response, because a request is invalid or has gone unanswered.
    Refused(HttpError),
    /// A response is complete after which the connection closes.
    Answered,
}

/// How a WebSocket ends.
struct Farewell {
    /// The code and reason of the Close frame, and when our FIN follows; `None` if the connection is cut.
    close: Option<(u16, Vec<u8>, Fin)>,
    /// The code that the close handler is called with.
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
            End::ShutDown { code, reason } => {
                Self { close: Some((code, reason.into(), Fin::AfterPeerClose)), code, reason: reason.into() }
            }
            End::PeerClosed(CloseFrame { code, reason }) => Self {
                close: Some((code, reason.into(), Fin::AfterOutput)),
                code: if code == 0 { CloseFrame::NO_STATUS } else { code },
                reason: reason.into(),
            },
            // RFC 6455 section 7.1.7, "Fail the WebSocket Connection".
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

/// Returns the reason for the Close frame that answers a violation. It states the limit that was exceeded, if there is
/// one.
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
    /// Ends a connection. Handles to it become stale, unless it was closing already.
    pub(crate) fn end(&mut self, slot: Slot, end: End<'_>) {
        if end == End::Finished || end == End::Garbled {
            // A peer that has half-closed the connection right after its request may still read the response.
            self.transport.flush(slot);
        }
        let end = if end == End::Finished && self.transport.is_broken(slot) { End::Failed } else { end };
        self.note_end(slot, end);
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
        if is_answering {
            self.note_unfinished(slot, end);
        }
        match end {
            End::Answered | End::ShutDown { .. } => return self.begin_closing(slot, Fin::AfterOutput),
            End::Refused(error) => {
                let response = match &mut self.table[slot].talk {
                    Talk::Http { responder: Some(responder), .. } => responder.refuse(error),
                    _ => error.response(),
                };
                if !response.is_empty() {
                    count_response(self.meter(slot), slot, (error.status() / 100) as u8);
                }
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
        self.trap.pass(Layer::Close);
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
        self.tell(self.app_of(slot), slot, || What::Closed(code));
        self.events.push(Event::Close { behavior, id, code, reason: reason.into() });
    }

    /// Applies a further reason to a connection that is closing already.
    fn hasten(&mut self, slot: Slot, end: End<'_>) {
        let Talk::Closing { closing, .. } = &mut self.table[slot].talk else { return };
        match end {
            End::Finished => closing.handle_fin(),
            // The peer's Close frame cannot arrive any more.
            End::Garbled => closing.handle_close_frame(),
            End::Silent => closing.handle_timeout(),
            End::Failed => closing.handle_failure(),
            End::Cut => return self.cut(slot),
            _ => {}
        }
        self.transport.touch(slot);
    }

    /// Begins to close a connection in order. Handles to it become stale. Pending output is sent, then our FIN. After
    /// that, the peer gets some time to send its own.
    fn begin_closing(&mut self, slot: Slot, fin: Fin) {
        let now = self.clock.active();
        self.note_leave(slot, false);
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

    /// Cuts a connection. Pending output is lost.
    fn cut(&mut self, slot: Slot) {
        self.note_leave(slot, true);
        let conversation = &mut self.table[slot];
        let app = self.behaviors.app_of(conversation);
        conversation.become_gone(app);
        self.gone += 1;
        self.table.renew(slot);
        self.arm(slot);
        self.transport.abandon(slot);
    }

    /// Handles the consequences of writing to a connection, and removes the connection if it is over. No other function
    /// removes one. Called at the end of the connection's activity, before its deadlines are examined, at the end of
    /// the turn, and after a call that has cut a connection outside of an activity.
    pub(crate) fn settle(&mut self, slot: Slot) {
        self.trap.pass(Layer::Settle);
        let facts = self.transport.settle(slot);
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        match &mut conversation.talk {
            Talk::Http { .. } => {
                // As long as the client takes some of a large response, its idle timeout starts anew.
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
                        // If output is still waiting, a part of a record may have been sent, and a `close_notify` in
                        // the middle of that record would be garbage.
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
        self.note_leave(slot, true);
        self.gone -= usize::from(self.table[slot].is_over());
        self.count(app, slot, Count::Down);
        self.transport.remove(slot);
        self.tell(app, slot, || What::Removed);
        self.sides.release(&mut self.table[slot].side);
        self.wheel.cancel(slot.0);
        self.apps.forget_connection(app);
        self.note_room(app);
        self.sources.remove(slot);
        self.end_shutdown(app);
        self.table.vacate(slot);
        self.has_freed_descriptor = true;
    }

    /// Cuts a connection because a bug of ours has caused a panic in one of its events.
    pub(crate) fn give_up(&mut self, slot: Slot) {
        if self.table.is_live(slot) {
            self.note_internal_error(slot);
            self.end(slot, End::Cut);
        }
    }
}
