//! The state of a connection in the transport: 16 bytes while it is idle.

use super::meters::MeterKey;
use super::output::Output;
use super::sys::TcpStream;
use crate::flags::flags;

/// The number of spare boxes for output that are kept. Few connections have output in any one turn, except after a
/// broadcast.
const SPARE: usize = 64;

pub(super) struct Link {
    pub(super) stream: TcpStream,
    /// Present while there is output, or something to report about it.
    pub(super) output: Option<Box<Output>>,
    /// The app whose counters get the bytes.
    pub(super) meter: MeterKey,
    pub(super) layer: Layer,
    pub(super) flags: LinkFlags,
}

flags! {
    /// Facts about a link.
    pub(crate) struct LinkFlags(u8) of LinkFlag {
        /// A write has failed.
        Broken,
        /// The link is in the list of connections to be flushed and settled.
        Touched,
        /// The output is divided into units.
        Units,
    }
}

impl Link {
    pub(super) fn new(stream: TcpStream, meter: MeterKey, layer: Layer) -> Self {
        Self { stream, output: None, meter, layer, flags: LinkFlags::default() }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.flags.has(LinkFlag::Broken)
    }
}

/// Boxes for output that no connection has, kept for the next ones.
#[derive(Default)]
pub(super) struct SpareOutputs {
    #[expect(clippy::vec_box, reason = "a connection holds the box, so that the box is what is worth keeping")]
    spare: Vec<Box<Output>>,
    /// The number of bytes that spare boxes have allocated.
    allocated: usize,
    /// The number of boxes that connections have.
    lent: usize,
}

impl SpareOutputs {
    /// Returns the output in `place`, which is put there if there is none.
    #[inline]
    pub(super) fn output_in<'l>(&mut self, place: &'l mut Option<Box<Output>>) -> &'l mut Output {
        place.get_or_insert_with(|| {
            let spare = self.spare.pop();
            self.lent += 1;
            self.allocated -= spare.as_ref().map_or(0, |output| output.allocated());
            spare.unwrap_or_default()
        })
    }

    /// Keeps a box that a connection no longer needs, if there are not enough already.
    pub(super) fn keep(&mut self, mut output: Box<Output>) {
        self.lent -= 1;
        if self.spare.len() < SPARE {
            output.shrink();
            self.allocated += output.allocated();
            self.spare.push(output);
        }
    }

    /// Returns the number of bytes that the boxes take, and what the spare ones have allocated.
    pub(super) fn memory(&self) -> usize {
        (self.lent + self.spare.len()) * size_of::<Output>() + self.allocated
    }
}

/// What is between the socket and the protocol above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// A PROXY header may come first; then nothing is in between.
    PrefaceThenClear,
    /// A PROXY header may come first, and then TLS.
    PrefaceThenTls,
    /// Nothing.
    Clear,
    /// TLS, in its handshake.
    Handshake,
    /// TLS after its handshake.
    Secure,
}

impl Layer {
    pub(super) fn new(has_preface: bool, is_secure: bool) -> Self {
        match (has_preface, is_secure) {
            (true, false) => Self::PrefaceThenClear,
            (true, true) => Self::PrefaceThenTls,
            (false, false) => Self::Clear,
            (false, true) => Self::Handshake,
        }
    }

    pub(super) fn is_secure(self) -> bool {
        matches!(self, Self::PrefaceThenTls | Self::Handshake | Self::Secure)
    }

    pub(super) fn has_preface(self) -> bool {
        matches!(self, Self::PrefaceThenClear | Self::PrefaceThenTls)
    }

    pub(super) fn is_handshaking(self) -> bool {
        matches!(self, Self::PrefaceThenTls | Self::Handshake)
    }

    pub(super) fn end_preface(&mut self) {
        *self = Self::new(false, self.is_secure());
    }

    pub(super) fn end_handshake(&mut self) {
        *self = Self::Secure;
    }
}

/// What has happened to the output of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The socket has begun to refuse bytes, or has taken some of those that were waiting.
    pub(crate) has_moved: bool,
    /// The number of bytes that are waiting for the socket to become writable.
    pub(crate) backpressure: usize,
    /// Some output has not been written.
    pub(crate) has_output: bool,
    /// A write has failed.
    pub(crate) is_broken: bool,
}

impl Facts {
    pub(super) fn none(is_broken: bool) -> Self {
        Self { has_moved: false, backpressure: 0, has_output: false, is_broken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In debug builds, mio adds a field.
    #[test]
    fn an_idle_connection_is_small() {
        let debug_field = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size_of::<Option<Link>>() <= 16 + debug_field, "{}", size_of::<Option<Link>>());
    }
}
