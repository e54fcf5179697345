//! The sending machine, beside [`Receiver`](super::Receiver): which frames may go out, and in which order.
//!
//! Nothing but control frames may come between the fragments of a message (RFC 6455 section 5.4), and nothing at all after
//! a Close frame (section 5.5.1). A message is dropped if too much output is waiting already. The first fragment of a message
//! decides about all of them: either all are sent or all are dropped.
//!
//! ```text
//!                 first fragment                 first fragment, over the limit
//!   ┌─────────┐◀──────────────────┌─────────┐──────────────────────▶┌──────────┐
//!   │ Sending │                   │ Between │                       │ Dropping │
//!   └─────────┘──────────────────▶└─────────┘◀──────────────────────└──────────┘
//!                 last fragment                     last fragment
//!
//!   ┌────────┐
//!   │ Closed │◀── a Close frame, from every state
//!   └────────┘
//! ```
//!
//! The machine holds no bytes. It appends frames to a buffer of the caller's, and compresses with what it is passed.

use std::fmt;

use super::close::CloseFrame;
use super::compression::{Codecs, Contexts};
use super::frame::Opcode;

/// What a WebSocket is in the middle of sending, and whether its messages may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    state: State,
    compression: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two messages.
    Between,
    /// The last fragment of a message is still to be sent.
    Sending,
    /// The first fragment of a message was dropped, so the others will be as well.
    Dropping,
    /// A Close frame has been sent.
    Closed,
}

/// What has to be done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has to be sent.
    Send,
    /// It has to be sent, and is the last fragment of a message: what was held back because of [`Sender::holds_back`] has to be
    /// sent after it.
    SendLast,
    /// It must not be sent: more output is waiting than the limit allows, or the first fragment of its message was dropped.
    Drop,
}

/// Why a frame may not be sent. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// A Close frame has been sent, or the connection has ended.
    Closed,
    /// A message, or the first fragment of one, before the last fragment of another.
    Interrupts,
    /// A continuation without a message to continue.
    NoFirstFragment,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "the WebSocket has closed",
            Self::Interrupts => "a message cannot be sent between the fragments of another",
            Self::NoFirstFragment => "a fragment needs a first one before it",
        })
    }
}

impl std::error::Error for SendError {}

impl Sender {
    /// Creates the machine for a WebSocket that has just been opened. `compression`: whether permessage-deflate was agreed on
    /// (RFC 7692).
    pub fn new(compression: bool) -> Self {
        Self { state: State::Between, compression }
    }

    /// Returns whether permessage-deflate was agreed on. That applies to the peer's messages as well; see
    /// [`Limits::compression`](super::Limits::compression).
    pub fn has_compression(self) -> bool {
        self.compression
    }

    /// Decides what to do with a frame. If it has to be sent, the caller must append it. `fin` is false for every fragment but
    /// the last one, and true for all other frames.
    ///
    /// `is_over_limit` returns whether more output is waiting than the limit allows. It is only called if that decides: for
    /// whole messages, first fragments, Pings and Pongs. A Close frame is always sent; [`Sender::close`] both admits and
    /// appends it.
    ///
    /// An error leaves the machine as it was.
    pub fn admit(
        &mut self,
        opcode: Opcode,
        fin: bool,
        is_over_limit: impl FnOnce() -> bool,
    ) -> Result<Admission, SendError> {
        debug_assert!(fin || !opcode.is_control(), "control frames are never fragmented (section 5.5)");
        match (self.state, opcode) {
            (State::Closed, _) => Err(SendError::Closed),
            (_, Opcode::Close) => {
                self.state = State::Closed;
                Ok(Admission::Send)
            }
            (_, Opcode::Ping | Opcode::Pong) => Ok(Admission::unless(is_over_limit())),
            (State::Between, Opcode::Text | Opcode::Binary) => {
                let is_dropped = is_over_limit();
                if !fin {
                    self.state = if is_dropped { State::Dropping } else { State::Sending };
                }
                Ok(Admission::unless(is_dropped))
            }
            (State::Sending | State::Dropping, Opcode::Text | Opcode::Binary) => Err(SendError::Interrupts),
            (State::Between, Opcode::Continuation) => Err(SendError::NoFirstFragment),
            (State::Sending, Opcode::Continuation) if fin => {
                self.state = State::Between;
                Ok(Admission::SendLast)
            }
            (State::Sending, Opcode::Continuation) => Ok(Admission::Send),
            (State::Dropping, Opcode::Continuation) => {
                if fin {
                    self.state = State::Between;
                }
                Ok(Admission::Drop)
            }
        }
    }

    /// Returns whether a whole message from elsewhere, such as a published one, has to be held back: until
    /// [`Admission::SendLast`] while fragments are being sent, and for good after a Close frame. It does not have to while
    /// fragments are being dropped.
    pub fn holds_back(self) -> bool {
        matches!(self.state, State::Sending | State::Closed)
    }

    /// Returns whether a whole message of `length` bytes should be compressed: if that was agreed on, and the message is not
    /// empty and has at least `threshold` bytes.
    pub fn compresses(self, length: usize, threshold: usize) -> bool {
        self.compression && length > 0 && length >= threshold
    }

    /// Compresses a whole message and appends its frame. Only valid if [`Sender::compresses`] returns true for the message.
    ///
    /// `contexts` remember the message from now on, so frames have to be sent in the order of these calls, and none may be
    /// dropped: admit a message before compressing it. `contexts` is `None` if the connection has none.
    pub fn write_compressed(
        self,
        codecs: &mut Codecs,
        contexts: Option<&mut Contexts>,
        opcode: Opcode,
        message: &[u8],
        output: &mut Vec<u8>,
    ) {
        debug_assert!(self.compresses(message.len(), 0));
        codecs.write_frame(contexts, opcode, message, output);
    }

    /// Appends a Close frame, after which nothing may be sent. Appends nothing if one was sent before.
    ///
    /// A Close frame may come between the fragments of a message, which the peer then never receives. What was held back has to
    /// be dropped.
    pub fn close(&mut self, frame: CloseFrame<'_>, output: &mut Vec<u8>) {
        if self.admit(Opcode::Close, true, || false).is_ok() {
            frame.write(output);
        }
    }
}

impl Admission {
    fn unless(is_dropped: bool) -> Self {
        if is_dropped { Self::Drop } else { Self::Send }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{Agreement, DeflateSettings, write_frame};

    /// What may be done with a WebSocket. `over`: more output is waiting than the limit allows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Call {
        Whole { over: bool },
        First { over: bool },
        Next,
        Last,
        Ping { over: bool },
        Publish,
        Close,
    }

    const CALLS: [Call; 10] = [
        Call::Whole { over: false },
        Call::Whole { over: true },
        Call::First { over: false },
        Call::First { over: true },
        Call::Next,
        Call::Last,
        Call::Ping { over: false },
        Call::Ping { over: true },
        Call::Publish,
        Call::Close,
    ];

    const DEPTH: usize = 5;

    impl Call {
        /// Returns its frame, and the letter that stands for it in [`History`].
        fn frame(self) -> (Opcode, bool, char) {
            match self {
                Self::Whole { .. } => (Opcode::Text, true, 'w'),
                Self::First { .. } => (Opcode::Binary, false, 'f'),
                Self::Next => (Opcode::Continuation, false, 'n'),
                Self::Last => (Opcode::Continuation, true, 'l'),
                Self::Ping { .. } => (Opcode::Ping, true, 'p'),
                Self::Publish => (Opcode::Text, true, 'P'),
                Self::Close => (Opcode::Close, true, 'C'),
            }
        }
    }

    /// What has been done so far, and what the peer receives.
    #[derive(Clone, Debug, Default)]
    struct History {
        /// All calls but those that returned an error.
        accepted: Vec<Call>,
        /// A letter for each frame that has been sent.
        wire: String,
        held: String,
    }

    impl History {
        /// Returns whether the fragments of an incomplete message are dropped; `None` if there is no such message.
        fn open_message(&self) -> Option<bool> {
            let ends = |call: &&Call| matches!(call, Call::First { .. } | Call::Last);
            match self.accepted.iter().rfind(ends) {
                Some(Call::First { over }) => Some(*over),
                _ => None,
            }
        }

        fn has_closed(&self) -> bool {
            self.accepted.contains(&Call::Close)
        }

        /// Returns the decision about a frame, and whether the limit decides it.
        fn expected(&self, call: Call) -> (Result<Admission, SendError>, bool) {
            let by_limit = |over| (Ok(if over { Admission::Drop } else { Admission::Send }), true);
            match (call, self.open_message()) {
                _ if self.has_closed() => (Err(SendError::Closed), false),
                (Call::Ping { over }, _) | (Call::Whole { over } | Call::First { over }, None) => by_limit(over),
                (Call::Whole { .. } | Call::First { .. }, Some(_)) => (Err(SendError::Interrupts), false),
                (Call::Next | Call::Last, None) => (Err(SendError::NoFirstFragment), false),
                (Call::Next | Call::Last, Some(true)) => (Ok(Admission::Drop), false),
                (Call::Close, _) | (Call::Next, Some(false)) => (Ok(Admission::Send), false),
                (Call::Last, Some(false)) => (Ok(Admission::SendLast), false),
                (Call::Publish, _) => unreachable!("nobody admits a publication"),
            }
        }

        fn publish(&mut self, sender: Sender) {
            let is_held = self.has_closed() || self.open_message() == Some(false);
            assert_eq!(sender.holds_back(), is_held, "{self:?}");
            if is_held { &mut self.held } else { &mut self.wire }.push('P');
        }

        fn call(&mut self, sender: &mut Sender, call: Call) {
            if call == Call::Publish {
                return self.publish(*sender);
            }
            let (opcode, fin, letter) = call.frame();
            let over = matches!(call, Call::Whole { over } | Call::First { over } | Call::Ping { over } if over);
            let mut is_asked = false;
            let admission = sender.admit(opcode, fin, || {
                is_asked = true;
                over
            });
            assert_eq!((admission, is_asked), self.expected(call), "{call:?} after {self:?}");
            if matches!(admission, Ok(Admission::Send | Admission::SendLast)) {
                self.wire.push(letter);
            }
            if admission == Ok(Admission::SendLast) {
                self.wire.push_str(&self.held);
                self.held.clear();
            }
            if admission.is_ok() {
                self.accepted.push(call);
            }
        }

        /// Checks the sequence of frames against sections 5.4 and 5.5.
        fn check_wire(&self) {
            assert!(self.wire.find('C').is_none_or(|place| place + 1 == self.wire.len()), "{self:?}");
            let mut data = self.wire.replace(['p', 'C'], "");
            while data.contains("fn") {
                data = data.replace("fn", "f");
            }
            // The last message may be incomplete.
            let data = data.replace("fl", "w");
            let data = data.strip_suffix('f').unwrap_or(&data);
            assert!(data.chars().all(|letter| matches!(letter, 'w' | 'P')), "{self:?}");
        }
    }

    fn check_all(sender: Sender, history: &History, depth: usize) {
        for call in CALLS {
            let (mut sender, mut history) = (sender, history.clone());
            history.call(&mut sender, call);
            history.check_wire();
            if depth > 1 {
                check_all(sender, &history, depth - 1);
            }
        }
    }

    #[test]
    fn every_order_of_calls_sends_what_its_history_asks_for() {
        check_all(Sender::new(false), &History::default(), DEPTH);
    }

    fn admit(sender: &mut Sender, calls: &[Call]) -> Vec<Result<Admission, SendError>> {
        let admissions = calls.iter().map(|call| {
            let (opcode, fin, _) = call.frame();
            let over = matches!(call, Call::Whole { over } | Call::First { over } | Call::Ping { over } if *over);
            sender.admit(opcode, fin, || over)
        });
        admissions.collect()
    }

    #[test]
    fn fragments_are_sent_or_dropped_as_the_first_one_was() {
        let mut sender = Sender::new(false);
        let sent = [Call::First { over: false }, Call::Ping { over: true }, Call::Next, Call::Last];
        let expected = [Admission::Send, Admission::Drop, Admission::Send, Admission::SendLast].map(Ok);
        assert_eq!(admit(&mut sender, &sent), expected);
        let dropped = [Call::First { over: true }, Call::Ping { over: false }, Call::Next, Call::Last];
        let expected = [Admission::Drop, Admission::Send, Admission::Drop, Admission::Drop].map(Ok);
        assert_eq!(admit(&mut sender, &dropped), expected);
        assert_eq!(admit(&mut sender, &[Call::Whole { over: false }]), [Ok(Admission::Send)]);
    }

    #[test]
    fn messages_of_others_wait_for_fragments_that_are_sent_but_not_for_dropped_ones() {
        let mut sender = Sender::new(false);
        assert!(!sender.holds_back());
        admit(&mut sender, &[Call::First { over: true }]);
        assert!(!sender.holds_back());
        admit(&mut sender, &[Call::Last, Call::First { over: false }]);
        assert!(sender.holds_back());
        admit(&mut sender, &[Call::Next]);
        assert!(sender.holds_back());
        admit(&mut sender, &[Call::Last]);
        assert!(!sender.holds_back());
    }

    #[test]
    fn nothing_follows_a_close_frame_not_even_another() {
        for before in [&[][..], &[Call::First { over: false }], &[Call::First { over: true }]] {
            let mut sender = Sender::new(true);
            admit(&mut sender, before);
            let mut output = Vec::new();
            sender.close(CloseFrame { code: 1000, reason: b"bye" }, &mut output);
            assert_eq!(output, b"\x88\x05\x03\xe8bye");
            sender.close(CloseFrame { code: 1001, reason: b"" }, &mut output);
            assert_eq!(output.len(), 7);
            for call in CALLS {
                assert_eq!(admit(&mut sender, &[call]), [Err(SendError::Closed)], "{call:?}");
            }
            assert!(sender.holds_back());
        }
    }

    #[test]
    fn messages_from_the_threshold_on_are_compressed_where_that_was_agreed_on() {
        for (length, threshold, expected) in
            [(0, 0, false), (1, 0, true), (9, 10, false), (10, 10, true), (11, 10, true), (0, 10, false)]
        {
            assert_eq!(Sender::new(true).compresses(length, threshold), expected, "{length} {threshold}");
            assert!(!Sender::new(false).compresses(length, threshold));
        }
        assert!(Sender::new(true).has_compression() && !Sender::new(false).has_compression());
    }

    #[test]
    fn rfc_7692_section_7_2_3_1_a_compressed_message_and_a_shorter_one_in_its_context() {
        let mut codecs = Codecs::default();
        let settings = DeflateSettings { compressor: Some(15), decompressor: None };
        let agreement = Agreement::new(b"permessage-deflate", settings).expect("a good offer");
        let mut contexts = codecs.contexts(agreement);
        let mut output = Vec::new();
        let mut write = || {
            Sender::new(true).write_compressed(&mut codecs, contexts.as_mut(), Opcode::Text, b"Hello", &mut output);
            std::mem::take(&mut output)
        };
        assert_eq!(write(), b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
        assert_eq!(write().len(), 6);
    }

    #[test]
    fn rfc_6455_section_5_7_a_fragmented_text_message() {
        let mut sender = Sender::new(false);
        let mut output = Vec::new();
        for (opcode, fin, payload) in [(Opcode::Text, false, b"Hel".as_slice()), (Opcode::Continuation, true, b"lo")] {
            assert_ne!(sender.admit(opcode, fin, || false), Ok(Admission::Drop));
            write_frame(&mut output, opcode, fin, payload);
        }
        assert_eq!(output, b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f");
    }

    /// Every connection has one, or the fact that there is none.
    #[test]
    fn it_takes_two_bytes() {
        assert_eq!((size_of::<Sender>(), size_of::<Option<Sender>>()), (2, 2));
    }
}
