//! What the transport keeps of a connection: 16 bytes while it is idle.

use mio::net::TcpStream;

use super::output::Output;

/// How many boxes for output are kept. A turn of the loop touches few at a time, but for a broadcast.
pub(super) const SPARE: usize = 64;

pub(super) struct Link {
    pub(super) stream: TcpStream,
    /// Only while there is some.
    pub(super) output: Option<Box<Output>>,
    pub(super) layer: Layer,
    /// A write has failed.
    pub(super) is_broken: bool,
    /// Stands in the list of connections to be flushed and settled.
    pub(super) is_touched: bool,
    /// Its output is divided into units.
    pub(super) has_units: bool,
}

impl Link {
    pub(super) fn new(stream: TcpStream, layer: Layer) -> Self {
        Self { stream, output: None, layer, is_broken: false, is_touched: false, has_units: false }
    }
}

/// What is between the socket and the protocol above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// Nothing, once a proxy has said who the peer is, or has not.
    PrefaceThenClear,
    /// TLS, once a proxy has said who the peer is, or has not.
    PrefaceThenTls,
    /// Nothing.
    Clear,
    /// TLS, whose handshake goes on.
    Handshake,
    /// TLS.
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

/// What has become of a connection's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The socket has begun to refuse, or has taken some of what waited.
    pub(crate) has_moved: bool,
    /// Bytes that wait for the socket to be writable.
    pub(crate) backpressure: usize,
    /// Something is still to be written, or waits.
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

    /// In a debug build mio adds a field.
    #[test]
    fn an_idle_connection_is_small() {
        let debug_field = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size_of::<Option<Link>>() <= 16 + debug_field, "{}", size_of::<Option<Link>>());
    }
}
