//! permessage-deflate (RFC 7692): which context a message goes through.

use milliways_proto::ws::{
    Agreement, Compressor, DeflateSettings, Opcode, Violation, is_valid_utf8, mark_compressed, write_frame_header,
};

use crate::sys::deflate::{Deflater, InflateError, Inflater};

/// Window bits where nothing else was agreed on, and the memory level that goes with them.
const WINDOW: u8 = 15;
const MEM_LEVEL: u8 = 8;
/// The smallest window of a compressor.
const MIN_WINDOW: u8 = 9;

/// Memory for a message on its way is kept up to so many bytes.
const KEPT: usize = 64 * 1024;

/// Contexts that all connections share: each message goes through them for itself.
#[derive(Default)]
pub(crate) struct Codecs {
    /// By window bits, from the smallest.
    deflaters: [Option<Deflater>; (WINDOW - MIN_WINDOW + 1) as usize],
    inflater: Option<Inflater>,
    /// Memory for messages on their way.
    scratch: Vec<u8>,
}

/// What a connection has for itself; most have nothing.
pub(crate) struct Contexts {
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
    /// Window bits of messages that go through a shared context.
    window: u8,
}

impl Contexts {
    /// `None` when the shared contexts are all that is needed.
    pub(crate) fn new(agreement: Agreement, settings: DeflateSettings) -> Option<Self> {
        if agreement.server_context.is_none() && agreement.client_context.is_none() && agreement.server_window == WINDOW
        {
            return None;
        }
        let mem_level = match settings.compressor {
            Compressor::Shared => MEM_LEVEL,
            Compressor::Dedicated { mem_level, .. } => mem_level,
        };
        Some(Self {
            deflater: agreement.server_context.map(|window| Deflater::new(window, mem_level)),
            inflater: agreement.client_context.map(Inflater::new),
            window: agreement.server_window,
        })
    }

    /// Whether messages have to be compressed for this connection alone, and in their order.
    pub(crate) fn compresses(&self) -> bool {
        self.deflater.is_some() || self.window != WINDOW
    }
}

impl Codecs {
    /// Appends a frame with the message, which must not be empty, compressed.
    pub(crate) fn write_frame(
        &mut self,
        contexts: Option<&mut Contexts>,
        opcode: Opcode,
        message: &[u8],
        output: &mut Vec<u8>,
    ) {
        self.scratch.clear();
        let window = contexts.as_ref().map_or(WINDOW, |contexts| contexts.window);
        if let Some(deflater) = contexts.and_then(|contexts| contexts.deflater.as_mut()) {
            deflater.compress(message, &mut self.scratch);
        } else {
            let shared = &mut self.deflaters[usize::from(window - MIN_WINDOW)];
            let deflater = shared.get_or_insert_with(|| Deflater::new(window, MEM_LEVEL));
            deflater.compress(message, &mut self.scratch);
            deflater.reset();
        }
        let start = output.len();
        write_frame_header(output, opcode, true, self.scratch.len());
        mark_compressed(&mut output[start..]);
        output.extend_from_slice(&self.scratch);
        self.scratch.shrink_to(KEPT);
    }

    /// Decompresses a message of at most `max` bytes into memory that is to be given back.
    pub(crate) fn inflate(
        &mut self,
        contexts: Option<&mut Contexts>,
        compressed: &[u8],
        max: usize,
        binary: bool,
    ) -> Result<Vec<u8>, Violation> {
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        let result = if let Some(own) = contexts.and_then(|contexts| contexts.inflater.as_mut()) {
            own.inflate(compressed, max, &mut message)
        } else {
            let shared = self.inflater.get_or_insert_with(|| Inflater::new(WINDOW));
            let result = shared.inflate(compressed, max, &mut message);
            shared.reset();
            result
        };
        result.map_err(|error| match error {
            InflateError::TooBig => Violation::InflatedTooBig,
            InflateError::Invalid => Violation::InvalidDeflate,
        })?;
        if !binary && !is_valid_utf8(&message) {
            return Err(Violation::InvalidUtf8);
        }
        Ok(message)
    }

    /// Takes memory back.
    pub(crate) fn recycle(&mut self, mut message: Vec<u8>) {
        message.shrink_to(KEPT);
        self.scratch = message;
    }
}
