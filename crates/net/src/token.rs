//! The tokens by which the kernel names what an event is about.

use crate::ids::{ListenerId, Slot};
use crate::transport::sys::Token;

/// The token of the mailbox, which is above those of listening sockets.
const MAILBOX: usize = u32::MAX as usize;

/// The bit that is set in the tokens of listening sockets. The token of a connection is its slot, which stays below it.
const LISTENER: usize = 1 << 31;

/// The meaning of a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Connection(Slot),
    Listener(ListenerId),
    Mailbox,
}

impl Named {
    #[inline]
    pub(crate) fn by(Token(token): Token) -> Self {
        match token {
            MAILBOX => Self::Mailbox,
            token if token & LISTENER == 0 => Self::Connection(Slot(token as u32)),
            token => Self::Listener(ListenerId((token & !LISTENER) as u32)),
        }
    }

    pub(crate) fn token(self) -> Token {
        match self {
            Self::Connection(slot) => Token(slot.index()),
            Self::Listener(id) => Token(LISTENER | id.0 as usize),
            Self::Mailbox => Token(MAILBOX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_what_it_was_made_of() {
        assert_eq!(Named::by(Named::Mailbox.token()), Named::Mailbox);
        for number in [0, 1, 20_000, (1 << 31) - 2] {
            for named in [Named::Connection(Slot(number)), Named::Listener(ListenerId(number))] {
                assert_eq!(Named::by(named.token()), named);
            }
        }
    }
}
