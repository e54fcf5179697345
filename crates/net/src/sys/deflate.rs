//! DEFLATE (RFC 1951) as permessage-deflate uses it (RFC 7692 section 7.2): a safe face of zlib.
//!
//! zlib, and not one of its faster successors, because its contexts are as small as one asks for: they stay with their
//! WebSockets.

use std::os::raw::{c_char, c_int, c_void};
use std::ptr;

use libz_sys as z;

/// What a message that was compressed with a flush ends with, and what is not sent (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Speed counts: each level above takes longer and saves a few percent.
const LEVEL: c_int = 1;

/// What `inflate` says when it stands between two blocks.
const BETWEEN_BLOCKS: c_int = 128;

/// Bytes by which output grows at least.
const STEP: usize = 256;

/// Why a message could not be inflated. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is longer than what is accepted.
    TooBig,
    /// It is no DEFLATE data, or ends in the middle.
    Invalid,
}

unsafe extern "C" fn allocate(_: *mut c_void, items: z::uInt, size: z::uInt) -> *mut c_void {
    // SAFETY: any numbers are allowed.
    unsafe { libc::calloc(items as usize, size as usize) }
}

unsafe extern "C" fn free(_: *mut c_void, address: *mut c_void) {
    // SAFETY: zlib gives back what `allocate` gave.
    unsafe { libc::free(address) }
}

/// A stream that zlib has not initialized yet. It has to stay where it is from then on: zlib remembers its address.
fn stream() -> z::z_stream {
    z::z_stream {
        next_in: ptr::null_mut(),
        avail_in: 0,
        total_in: 0,
        next_out: ptr::null_mut(),
        avail_out: 0,
        total_out: 0,
        msg: ptr::null_mut(),
        state: ptr::null_mut(),
        zalloc: allocate,
        zfree: free,
        opaque: ptr::null_mut(),
        data_type: 0,
        adler: 0,
        reserved: 0,
    }
}

/// The version of the library that is linked, which is the one it is to have.
fn version() -> *const c_char {
    // SAFETY: it has no conditions.
    unsafe { z::zlibVersion() }
}

/// Calls zlib with the rest of `input` and the room behind `output`; gives its result and how much of the input is used.
fn step(
    stream: &mut z::z_stream,
    input: &[u8],
    output: &mut Vec<u8>,
    room: usize,
    call: unsafe extern "C" fn(z::z_streamp, c_int) -> c_int,
) -> (c_int, usize) {
    output.reserve(room);
    let spare = &mut output.spare_capacity_mut()[..room];
    stream.next_in = input.as_ptr().cast_mut();
    stream.avail_in = input.len().try_into().unwrap_or(z::uInt::MAX);
    stream.next_out = spare.as_mut_ptr().cast();
    stream.avail_out = room.try_into().unwrap_or(z::uInt::MAX);
    let (given, room) = (stream.avail_in, stream.avail_out);
    // SAFETY: the stream is initialized; zlib reads no more than the input and writes no more than the room.
    let result = unsafe { call(stream, z::Z_SYNC_FLUSH) };
    let written = (room - stream.avail_out) as usize;
    // SAFETY: zlib has written so many bytes behind the end of the vector, within its capacity.
    unsafe { output.set_len(output.len() + written) };
    (result, (given - stream.avail_in) as usize)
}

/// Compresses messages.
pub(crate) struct Deflater(Box<z::z_stream>);

impl Deflater {
    /// A context with a window of 2^`window_bits` bytes, 9 to 15, and tables that grow with `mem_level`, 1 to 9.
    pub(crate) fn new(window_bits: u8, mem_level: u8) -> Self {
        let (mut stream, version) = (Box::new(stream()), version());
        // SAFETY: the stream has its allocation functions.
        let result = unsafe {
            z::deflateInit2_(
                &raw mut *stream,
                LEVEL,
                z::Z_DEFLATED,
                -c_int::from(window_bits),
                mem_level.into(),
                z::Z_DEFAULT_STRATEGY,
                version,
                size_of::<z::z_stream>() as c_int,
            )
        };
        assert_eq!(result, z::Z_OK, "zlib has no memory");
        Self(stream)
    }

    /// Appends the compressed message, without the tail that every one would have. Not for an empty one.
    pub(crate) fn compress(&mut self, message: &[u8], output: &mut Vec<u8>) {
        debug_assert!(!message.is_empty(), "an empty message is not compressed");
        let mut rest = message;
        let mut room = message.len() / 2 + STEP;
        loop {
            let (result, used) = step(&mut self.0, rest, output, room, z::deflate);
            debug_assert!(result == z::Z_OK || result == z::Z_BUF_ERROR, "{result}");
            rest = &rest[used..];
            // All is written when there was more room than needed.
            if rest.is_empty() && self.0.avail_out > 0 {
                break;
            }
            room *= 2;
        }
        debug_assert!(output.ends_with(&TAIL));
        output.truncate(output.len() - TAIL.len());
    }

    /// Forgets what has been compressed so far.
    pub(crate) fn reset(&mut self) {
        // SAFETY: the stream is initialized.
        unsafe { z::deflateReset(&raw mut *self.0) };
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        // SAFETY: the stream is initialized, and not used again.
        unsafe { z::deflateEnd(&raw mut *self.0) };
    }
}

/// Decompresses messages.
pub(crate) struct Inflater(Box<z::z_stream>);

impl Inflater {
    /// A context for messages that were compressed with a window of at most 2^`window_bits` bytes, 8 to 15.
    pub(crate) fn new(window_bits: u8) -> Self {
        let (mut stream, version) = (Box::new(stream()), version());
        // SAFETY: the stream has its allocation functions.
        let result = unsafe {
            z::inflateInit2_(&raw mut *stream, -c_int::from(window_bits), version, size_of::<z::z_stream>() as c_int)
        };
        assert_eq!(result, z::Z_OK, "zlib has no memory");
        Self(stream)
    }

    /// Appends the message, of which at most `max` bytes are accepted, and no memory is spent on more.
    pub(crate) fn inflate(&mut self, compressed: &[u8], max: usize, output: &mut Vec<u8>) -> Result<(), InflateError> {
        let start = output.len();
        let mut room = (4 * compressed.len()).max(STEP);
        for part in [compressed, &TAIL] {
            let mut rest = part;
            loop {
                // One byte more than allowed tells that there is more.
                let left = max + 1 - (output.len() - start);
                let (result, used) = step(&mut self.0, rest, output, room.min(left), z::inflate);
                rest = &rest[used..];
                if output.len() - start > max {
                    return Err(InflateError::TooBig);
                }
                match result {
                    // A block may be marked as the last (RFC 7692 section 7.2.3.4), and others follow it.
                    z::Z_STREAM_END => self.reset(),
                    z::Z_OK | z::Z_BUF_ERROR => {}
                    _ => return Err(InflateError::Invalid),
                }
                if rest.is_empty() && self.0.avail_out > 0 {
                    break;
                }
                if result == z::Z_BUF_ERROR && self.0.avail_out > 0 {
                    return Err(InflateError::Invalid);
                }
                room *= 2;
            }
        }
        if self.0.data_type & BETWEEN_BLOCKS == 0 { Err(InflateError::Invalid) } else { Ok(()) }
    }

    /// Forgets what has been decompressed so far.
    pub(crate) fn reset(&mut self) {
        // SAFETY: the stream is initialized.
        unsafe { z::inflateReset(&raw mut *self.0) };
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: the stream is initialized, and not used again.
        unsafe { z::inflateEnd(&raw mut *self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<Vec<u8>> {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let noise: Vec<u8> = noise.take(100_000).collect();
        vec![
            b"x".to_vec(),
            b"Hello, Hello, Hello".to_vec(),
            vec![0; 100_000],
            noise[..1].to_vec(),
            noise,
            br#"{"type":"quote","symbol":"ABC","bid":1.2345,"ask":1.2346}"#.repeat(100),
        ]
    }

    #[test]
    fn messages_come_out_as_they_went_in_with_and_without_memory_of_the_last() {
        for window_bits in 9..=15 {
            for mem_level in [1, 8, 9] {
                for forgets in [false, true] {
                    let (mut deflater, mut inflater) =
                        (Deflater::new(window_bits, mem_level), Inflater::new(window_bits));
                    let (mut lengths, mut repeated) = (Vec::new(), Vec::new());
                    for message in messages().iter().chain(&messages()) {
                        let (mut compressed, mut back) = (b"before".to_vec(), b"kept".to_vec());
                        deflater.compress(message, &mut compressed);
                        let max = message.len();
                        assert_eq!(inflater.inflate(&compressed[6..], max, &mut back), Ok(()));
                        assert!(back[4..] == message[..], "{window_bits} {mem_level} {forgets}");
                        if forgets {
                            deflater.reset();
                            inflater.reset();
                        }
                        lengths.push(compressed.len());
                    }
                    repeated.extend(lengths.split_off(lengths.len() / 2));
                    assert!(!forgets || lengths == repeated);
                }
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit_and_takes_no_more_memory() {
        let mut compressed = Vec::new();
        Deflater::new(15, 8).compress(&vec![0; 10_000_000], &mut compressed);
        for max in [0, 1, 1000, 100_000] {
            let mut output = Vec::new();
            assert_eq!(Inflater::new(15).inflate(&compressed, max, &mut output), Err(InflateError::TooBig));
            assert!(output.len() == max + 1 && output.capacity() <= 4 * max + 4 * compressed.len() + STEP);
        }
    }

    #[test]
    fn what_is_no_deflate_data_is_an_error() {
        let mut compressed = Vec::new();
        Deflater::new(15, 8).compress(&b"some text that is long enough, is it".repeat(10), &mut compressed);
        let inflate = |bytes: &[u8]| Inflater::new(15).inflate(bytes, 1000, &mut Vec::new());
        assert_eq!(inflate(&compressed), Ok(()));
        assert_eq!(inflate(&[0xFF; 10]), Err(InflateError::Invalid));
        assert_eq!(inflate(&compressed[..compressed.len() / 2]), Err(InflateError::Invalid));
        assert_eq!(inflate(b"\x07"), Err(InflateError::Invalid));
    }

    /// RFC 7692 section 7.2.3: the examples.
    #[test]
    fn examples_of_the_rfc() {
        for bytes in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            let mut output = Vec::new();
            assert_eq!(Inflater::new(15).inflate(bytes, 5, &mut output), Ok(()), "{}", bytes.escape_ascii());
            assert_eq!(output, b"Hello");
        }
        let mut inflater = Inflater::new(15);
        let mut output = Vec::new();
        for bytes in [&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], b"\xf2\x00\x11\x00\x00"] {
            inflater.inflate(bytes, 5, &mut output).expect("good");
        }
        assert_eq!(output, b"HelloHello");
        let mut output = Vec::new();
        assert_eq!(Inflater::new(15).inflate(b"\x00", 0, &mut output), Ok(()));
        assert!(output.is_empty());
    }
}
