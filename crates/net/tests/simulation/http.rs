//! Requests and responses, as the model knows them.

use crate::content::Content;

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// With a Content-Length.
    Length(usize),
    /// In chunks.
    Chunked(usize),
}

impl Body {
    pub(crate) fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Length(length) | Self::Chunked(length) => length,
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A handler answers.
    Handled,
    /// A handler passes it on, and nobody else answers.
    Yielded,
    /// There is no route.
    Missing,
    /// It becomes a WebSocket with the settings of this number, if a handler agrees where one is asked.
    Upgrade(usize),
}

/// A request, as its client sends it.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Which request of its connection this is.
    pub(crate) number: u32,
    pub(crate) method: &'static str,
    pub(crate) route: Route,
    pub(crate) body: Body,
    /// The client speaks HTTP/1.0.
    pub(crate) is_old: bool,
    /// It has `Connection: close`.
    pub(crate) closes: bool,
    /// It has `Expect: 100-continue`.
    pub(crate) expects: bool,
    /// It offers to compress messages.
    pub(crate) deflates: bool,
}

/// A response that has begun, as its client must see it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Which request of its connection it answers.
    pub(crate) number: u32,
    pub(crate) status: u16,
    /// A handler has written it; otherwise, its body is not compared.
    pub(crate) is_handlers: bool,
    /// It has no body, whatever was written: it answers HEAD, or has the status 204 or 304.
    pub(crate) is_bodiless: bool,
    /// The number of bytes of its body that the handler has written.
    pub(crate) written: usize,
    pub(crate) is_complete: bool,
}

impl Answer {
    /// A response that no handler writes.
    pub(crate) fn by_server(number: u32, status: u16, is_bodiless: bool) -> Self {
        Self { number, status, is_handlers: false, is_bodiless, written: 0, is_complete: true }
    }

    /// Returns the content of the body.
    pub(crate) fn content(&self, which: usize) -> Content {
        Content::new('r', which, self.number)
    }
}

/// How a handler writes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// It has not begun.
    Undecided,
    /// In pieces, of which all are taken.
    Pieces,
    /// In pieces of which the socket takes what it takes.
    TryEnd { total: usize },
}

/// Who gets the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taker {
    Nobody,
    Pieces {
        received: usize,
    },
    Whole {
        max: usize,
    },
    /// It has been delivered as a whole, or its end has.
    Over,
}

/// A request that a handler has and that is not answered.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) request: Request,
    pub(crate) style: Style,
    /// The number of bytes of the body of the response that have been written.
    pub(crate) written: usize,
    pub(crate) taker: Taker,
    /// The handler has paused the body.
    pub(crate) is_paused: bool,
    /// The handler has promised to answer later.
    pub(crate) is_awaited: bool,
    /// The handler has asked for something that makes it hear of the end of the request.
    pub(crate) is_attached: bool,
    /// The handler has asked to be called when the socket takes more.
    pub(crate) wants_writable: bool,
    /// The socket has not taken all of a piece, and the handler has not been called since.
    pub(crate) is_stalled: bool,
    /// The body has been discarded, because nobody asked for it in time.
    pub(crate) is_discarded: bool,
    /// The reactor has ended the request, and the event for that is about to come.
    pub(crate) must_end: bool,
}

impl Pending {
    pub(crate) fn new(request: Request) -> Self {
        Self {
            request,
            style: Style::Undecided,
            written: 0,
            taker: Taker::Nobody,
            is_paused: false,
            is_awaited: false,
            is_attached: false,
            wants_writable: false,
            is_stalled: false,
            is_discarded: false,
            must_end: false,
        }
    }

    /// Returns whether the handler hears of it if the connection ends.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_awaited || self.is_attached
    }

    /// Returns the content of the body of the response.
    pub(crate) fn response(&self, which: usize) -> Content {
        Content::new('r', which, self.request.number)
    }

    /// Returns the content of the body that the client sends.
    pub(crate) fn content(&self, which: usize) -> Content {
        Content::new('b', which, self.request.number)
    }
}
