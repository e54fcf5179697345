//! The tokens by which the kernel names what an event is about.

use mio::Token;

use crate::ids::{ListenerId, Slot};

/// The bit that is set in the tokens of listening sockets. The token of a connection is its slot, which stays below it.
const LISTENER: usize = 1 << 31;

/// What a [`Token`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Connection(Slot),
    Listener(ListenerId),
}

impl Named {
    #[inline]
    pub(crate) fn by(Token(token): Token) -> Self {
        if token & LISTENER == 0 {
            Self::Connection(Slot(token as u32))
        } else {
            Self::Listener(ListenerId((token & !LISTENER) as u32))
        }
    }

    pub(crate) fn token(self) -> Token {
        match self {
            Self::Connection(slot) => Token(slot.index()),
            Self::Listener(id) => Token(LISTENER | id.0 as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_what_it_was_made_of() {
        for number in [0, 1, 20_000, (1 << 31) - 1] {
            for named in [Named::Connection(Slot(number)), Named::Listener(ListenerId(number))] {
                assert_eq!(Named::by(named.token()), named);
            }
        }
    }
}
