//! WebSockets, as the model knows them.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use milliways_net::WebSocketSettings;

use crate::content::Content;
use crate::model::TOPICS;
use crate::remote::FromAfar;

/// What a client has sent and the handlers must see, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Message {
        number: u32,
        length: usize,
        binary: bool,
    },
    Ping {
        number: u32,
        length: usize,
    },
    Pong(Vec<u8>),
    Close {
        code: u16,
        reason: Vec<u8>,
    },
    /// A violation of the protocol, after which the client gets a Close frame with this code.
    Violation(u16),
}

/// What the client must see, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) content: Content,
    pub(crate) length: usize,
    pub(crate) what: What,
    /// All of its fragments have been sent.
    pub(crate) is_complete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Message {
        binary: bool,
    },
    /// It may have been dropped since: [`milliways_net::Event::Dropped`] says so.
    Publication {
        binary: bool,
    },
    Ping,
}

/// Where a handler is in a message in fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragments {
    None,
    Sending,
    Dropping,
}

/// How a WebSocket has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The code and the reason of the Close frame that the client gets; `None` if it gets none.
    pub(crate) frame: Option<(u16, Vec<u8>)>,
    /// Everything that was sent before arrives.
    pub(crate) is_in_order: bool,
}

/// An operation of a handler that ends a WebSocket, before the event for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    End { code: u16, reason: Vec<u8> },
    Close,
}

/// A WebSocket that has opened.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) settings: WebSocketSettings,
    /// Messages may be compressed.
    pub(crate) deflates: bool,
    pub(crate) opened: Duration,
    /// When its idle timeout began anew by anything but bytes that have arrived.
    pub(crate) heard: Duration,
    pub(crate) is_paused: bool,
    pub(crate) topics: BTreeSet<usize>,
    pub(crate) fragments: Fragments,
    /// The message in fragments that has begun, and the number of bytes in its fragments so far.
    pub(crate) fragment: Option<(Content, usize)>,
    /// Publications that wait for the end of a message in fragments.
    pub(crate) held: Vec<Owed>,
    /// The number of messages and Pings that handlers have sent.
    pub(crate) sent: u32,
    pub(crate) asked: Option<Asked>,
    /// The event for the end of a subscription has come, and that for the end of the WebSocket must follow.
    pub(crate) is_leaving: bool,
    /// A message was dropped although that closes it.
    pub(crate) is_doomed: bool,
    /// The reactor has ended it, and the event for that is about to come.
    pub(crate) must_end: bool,
    pub(crate) ended: Option<Ended>,

    /// Messages for which `send` has returned that they were dropped, before the events for that.
    /// Fragments have the position of their first byte.
    pub(crate) dropped: Vec<(Content, usize)>,
    /// The number of bytes that waited for it at the last look.
    pub(crate) waiting: usize,
    /// There has been a [`milliways_net::Event::Drain`] since.
    pub(crate) has_drained: bool,
    /// The number of bytes of all frames that were written to it, but for what the reactor writes by itself.
    pub(crate) written: u64,

    /// Messages of other threads that the client must get.
    pub(crate) from_afar: BTreeSet<FromAfar>,
    /// Messages of other threads that the client may get.
    pub(crate) perhaps_from_afar: BTreeSet<FromAfar>,
    /// The number of the last message of another thread that the client has got, by topic.
    pub(crate) last_from_afar: [u32; TOPICS],

    // The client's view.
    /// What is still to come to the client.
    pub(crate) to_client: VecDeque<Owed>,
    /// Publications that the client has not got, although it has got what was sent later.
    pub(crate) missing: Vec<Owed>,
}

impl Socket {
    pub(crate) fn new(settings: WebSocketSettings, offers_deflate: bool, now: Duration) -> Self {
        Self {
            settings,
            deflates: offers_deflate && settings.deflate.is_some(),
            opened: now,
            heard: now,
            is_paused: false,
            topics: BTreeSet::new(),
            fragments: Fragments::None,
            fragment: None,
            held: Vec::new(),
            sent: 0,
            asked: None,
            is_leaving: false,
            is_doomed: false,
            must_end: false,
            ended: None,
            dropped: Vec::new(),
            waiting: 0,
            has_drained: false,
            written: 0,
            from_afar: BTreeSet::new(),
            perhaps_from_afar: BTreeSet::new(),
            last_from_afar: [0; TOPICS],
            to_client: VecDeque::new(),
            missing: Vec::new(),
        }
    }

    /// Notes that something was written that the client must see.
    pub(crate) fn owe(&mut self, owed: Owed) {
        self.written += frame_length(owed.length);
        // A Ping between two fragments arrives before the message.
        let message = self.to_client.iter().rposition(|other| !other.is_complete);
        match message.filter(|_| owed.what == What::Ping) {
            Some(index) => self.to_client.insert(index, owed),
            None => self.to_client.push_back(owed),
        }
    }

    /// Notes that a message was published to a topic that the client has subscribed to.
    pub(crate) fn owe_publication(&mut self, owed: Owed) {
        self.written += frame_length(owed.length);
        if self.fragments == Fragments::Sending { self.held.push(owed) } else { self.to_client.push_back(owed) }
    }

    /// Notes that the last fragment of a message has been sent.
    pub(crate) fn release_held(&mut self) {
        self.to_client.extend(self.held.drain(..));
    }

    /// Returns the number of bytes of the publications that wait for the end of a message in fragments.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held.iter().map(|owed| frame_length(owed.length)).sum()
    }

    /// Forgets a publication that was dropped. Returns whether there is one.
    pub(crate) fn forget(&mut self, content: Content, length: usize) -> bool {
        self.written -= frame_length(length);
        let is_it = |owed: &Owed| owed.content == content && matches!(owed.what, What::Publication { .. });
        if let Some(index) = self.to_client.iter().position(is_it) {
            return self.to_client.remove(index).is_some();
        }
        if let Some(index) = self.held.iter().position(is_it) {
            self.held.remove(index);
            return true;
        }
        if let Some(index) = self.missing.iter().position(is_it) {
            self.missing.remove(index);
            return true;
        }
        false
    }
}

/// Returns the length of a frame without a mask (RFC 6455 section 5.2).
pub(crate) fn frame_length(payload: usize) -> u64 {
    let header = match payload {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    (header + payload) as u64
}
