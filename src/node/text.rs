//! Strings.

use std::ffi::c_char;
use std::ptr;

use napi_sys as sys;

use super::status::{Failed, check};
use super::value::{Js, Value};

impl<'s> Js<'s> {
    pub(crate) fn string(self, text: &str) -> Result<Value<'s>, Failed> {
        self.utf8_string(text.as_bytes())
    }

    fn utf8_string(self, text: &[u8]) -> Result<Value<'s>, Failed> {
        let start = text.as_ptr().cast::<c_char>();
        // SAFETY: `Js` says that the call is allowed; the pointer and the length are those of a slice.
        self.make(|env, result| unsafe { sys::napi_create_string_utf8(env, start, text.len() as isize, result) })
    }

    /// A string of the characters U+0000 to U+00FF.
    pub(crate) fn latin1_string(self, text: &[u8]) -> Result<Value<'s>, Failed> {
        let start = text.as_ptr().cast::<c_char>();
        // SAFETY: `Js` says that the call is allowed; the pointer and the length are those of a slice.
        self.make(|env, result| unsafe { sys::napi_create_string_latin1(env, start, text.len() as isize, result) })
    }

    /// A string of bytes that have been found to be valid UTF-8.
    pub(crate) fn checked_string(self, text: &[u8]) -> Result<Value<'s>, Failed> {
        /// V8 refuses more bytes of UTF-8 than a string may have UTF-16 code units, even if they make fewer of those.
        const DECODED_BY_V8: usize = 1 << 28;

        // ASCII needs no decoding.
        if text.is_ascii() {
            self.latin1_string(text)
        } else if text.len() < DECODED_BY_V8 {
            self.utf8_string(text)
        } else {
            let units: Vec<u16> = String::from_utf8_lossy(text).encode_utf16().collect();
            self.utf16_string(&units)
        }
    }

    fn utf16_string(self, units: &[u16]) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed; the pointer and the length are those of a slice.
        self.make(|env, result| unsafe {
            sys::napi_create_string_utf16(env, units.as_ptr(), units.len() as isize, result)
        })
    }

    /// A string, or an `ArrayBuffer` if the bytes are not UTF-8. `Call::bytes` is the inverse.
    pub(crate) fn text_or_bytes(self, bytes: &[u8]) -> Result<Value<'s>, Failed> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.string(text),
            Err(_) => self.copied_buffer(bytes),
        }
    }

    /// ECMAScript's `ToString`, which throws for a symbol and calls JavaScript for an object.
    pub(crate) fn text(self, value: Value<'s>) -> Result<String, Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        let string = self.make(|env, result| unsafe { sys::napi_coerce_to_string(env, value.raw, result) })?;
        let mut text = Vec::new();
        self.append_string(string, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Appends a string as UTF-8, with lone surrogates as U+FFFD; returns whether the value is a string.
    ///
    /// One pass is enough unless the string is long. Asking for its length first would be another one.
    pub(crate) fn append_string(self, value: Value<'s>, output: &mut Vec<u8>) -> Result<bool, Failed> {
        /// The room for the first pass, in bytes. Most strings fit.
        const ROOM: usize = 4096;
        /// V8 stops before a character that doesn't fit. If more room is left than the longest character and the
        /// terminating NUL take, it has not stopped.
        const LONGEST_CHARACTER: usize = 4;

        output.reserve(ROOM);
        let room = output.capacity() - output.len();
        let Some(mut written) = self.write_string(value, output)? else { return Ok(false) };
        if written + LONGEST_CHARACTER >= room {
            let mut length = 0;
            // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive; no buffer asks for the length.
            check(unsafe {
                sys::napi_get_value_string_utf8(self.env, value.raw, ptr::null_mut(), 0, &raw mut length)
            })?;
            // Room enough for a string of this length to need one pass the next time.
            output.reserve(length + LONGEST_CHARACTER + 1);
            written = self.write_string(value, output)?.ok_or(Failed)?;
            debug_assert_eq!(written, length);
        }
        // SAFETY: as many bytes have been written behind the end of the vector, within its capacity.
        unsafe { output.set_len(output.len() + written) };
        Ok(true)
    }

    /// Writes a string behind the end of the vector as far as its capacity goes; returns the number of bytes, or `None` for
    /// any other value.
    fn write_string(self, value: Value<'s>, output: &mut Vec<u8>) -> Result<Option<usize>, Failed> {
        let room = output.spare_capacity_mut();
        let mut written = 0;
        let start = room.as_mut_ptr().cast::<c_char>();
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive. No more than the room is written,
        // the terminating NUL included.
        let status =
            unsafe { sys::napi_get_value_string_utf8(self.env, value.raw, start, room.len(), &raw mut written) };
        if status == sys::Status::napi_string_expected {
            return Ok(None);
        }
        check(status).map(|()| Some(written))
    }

    /// The length of a string in UTF-16 code units; `None` for any other value. It takes the same time for any length.
    pub(crate) fn string_length(self, value: Value<'s>) -> Result<Option<usize>, Failed> {
        let mut length = 0;
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive; no buffer asks for the length.
        let status =
            unsafe { sys::napi_get_value_string_utf16(self.env, value.raw, ptr::null_mut(), 0, &raw mut length) };
        if status == sys::Status::napi_string_expected {
            return Ok(None);
        }
        check(status).map(|()| Some(length))
    }

    /// Appends as much of a string, as UTF-8, as fits into `N` bytes with a terminating NUL, which is not appended.
    pub(crate) fn append_prefix<const N: usize>(self, text: Value<'s>, output: &mut Vec<u8>) -> Result<(), Failed> {
        let mut bytes = [0; N];
        let mut written = 0;
        let start = bytes.as_mut_ptr().cast::<c_char>();
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive. No more than the room is written.
        check(unsafe { sys::napi_get_value_string_utf8(self.env, text.raw, start, N, &raw mut written) })?;
        output.extend_from_slice(&bytes[..written]);
        Ok(())
    }
}
