//! The memory of buffers.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use napi_sys as sys;

use super::status::{Failed, check};
use super::value::{Js, Value};

/// The memory of a buffer, to be used before JavaScript runs.
pub(crate) struct Memory<'s> {
    start: *const u8,
    length: usize,
    /// Whether other threads may be writing to it.
    is_shared: bool,
    /// Whether the buffer has lost its memory.
    is_detached: bool,
    scope: PhantomData<&'s ()>,
}

/// The bytes of a buffer.
#[derive(Clone, Copy)]
pub(crate) enum Bytes<'b> {
    /// They belong to this thread alone.
    Own(&'b [u8]),
    /// Other threads may be writing to them.
    Shared(&'b [AtomicU8]),
}

/// Why there are no bytes to be had from a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataError {
    /// A Node-API call has failed.
    Failed,
    /// The value is neither text nor data.
    Invalid,
    /// The memory of the `ArrayBuffer` has been transferred, and it seems to be empty.
    Detached,
}

impl From<Failed> for DataError {
    fn from(Failed: Failed) -> Self {
        Self::Failed
    }
}

impl Bytes<'_> {
    /// The first `length` bytes, or all if there are fewer.
    pub(crate) fn first(self, length: usize) -> Self {
        match self {
            Self::Own(bytes) => Self::Own(&bytes[..bytes.len().min(length)]),
            Self::Shared(bytes) => Self::Shared(&bytes[..bytes.len().min(length)]),
        }
    }

    /// Appends a copy.
    pub(crate) fn append_to(self, output: &mut Vec<u8>) {
        match self {
            Self::Own(bytes) => output.extend_from_slice(bytes),
            Self::Shared(bytes) => output.extend(bytes.iter().map(|byte| byte.load(Ordering::Relaxed))),
        }
    }

    /// Calls `use_bytes` with the bytes, or with a copy of bytes that other threads may be changing meanwhile.
    pub(crate) fn with<R>(self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Own(bytes) => use_bytes(bytes),
            Self::Shared(_) => {
                let mut copy = Vec::new();
                self.append_to(&mut copy);
                use_bytes(&copy)
            }
        }
    }
}

impl Memory<'_> {
    /// Calls `use_bytes` with the bytes.
    ///
    /// # Safety
    ///
    /// No JavaScript has run since this was made, and `use_bytes` calls none: it could detach, resize or write to the
    /// memory. Much of Node-API calls some: setting and reading properties (setters, getters, proxies), converting values,
    /// calling functions.
    pub(crate) unsafe fn with<R>(self, use_bytes: impl FnOnce(Bytes<'_>) -> R) -> Result<R, DataError> {
        if self.is_detached {
            return Err(DataError::Detached);
        }
        if self.length == 0 || self.start.is_null() {
            return Ok(use_bytes(Bytes::Own(&[])));
        }
        if self.is_shared {
            // SAFETY: Node-API says that these bytes are the value's. Shared memory is neither moved nor made smaller, and
            // is freed after the last value that has it; other threads write to it as to atomics.
            let bytes = unsafe { std::slice::from_raw_parts(self.start.cast::<AtomicU8>(), self.length) };
            return Ok(use_bytes(Bytes::Shared(bytes)));
        }
        // SAFETY: Node-API says that these bytes are the value's. They belong to this thread, and no JavaScript runs on
        // it before `use_bytes` returns: they are not written to, detached, resized or collected meanwhile.
        Ok(use_bytes(Bytes::Own(unsafe { std::slice::from_raw_parts(self.start, self.length) })))
    }
}

impl<'s> Js<'s> {
    /// A new `ArrayBuffer`, all of whose bytes `fill` writes.
    ///
    /// V8 owns the memory, so that the buffer can be transferred to another thread and outlive this one. Neither is true
    /// of an external `ArrayBuffer`: Node does not transfer it, and frees its memory at the end of the environment even
    /// if another thread has got it by `ArrayBuffer.prototype.transfer` and `postMessage`.
    pub(crate) fn array_buffer(self, length: usize, fill: impl FnOnce(&mut [u8])) -> Result<Value<'s>, Failed> {
        let (value, start) = self.new_buffer(length)?;
        if length > 0 && !start.is_null() {
            // SAFETY: the memory has `length` bytes that JavaScript does not know yet. V8 has allocated them, so that they
            // have some value, zero or not, and `fill` writes them before anybody reads them.
            fill(unsafe { std::slice::from_raw_parts_mut(start, length) });
        }
        Ok(value)
    }

    /// A new `ArrayBuffer` and its memory, which is zeroed if it is a short one.
    pub(super) fn new_buffer(self, length: usize) -> Result<(Value<'s>, *mut u8), Failed> {
        /// The length in bytes from which on avoiding zeroed memory is worth the detour by way of a `Buffer`, for which alone
        /// Node-API has memory that is not zeroed: echoing a message of 16 KiB takes 12.9 µs instead of 17.5.
        const NOT_ZEROED_FROM: usize = 4096;

        let mut data: *mut c_void = ptr::null_mut();
        let data_pointer = &raw mut data;
        let value = if length < NOT_ZEROED_FROM {
            // SAFETY: `Js` says that the call is allowed.
            self.make(|env, result| unsafe { sys::napi_create_arraybuffer(env, length, data_pointer, result) })?
        } else {
            // SAFETY: as above. The memory is not part of a pool: it has the requested length and no other view.
            let view =
                self.make(|env, result| unsafe { sys::napi_create_buffer(env, length, data_pointer, result) })?;
            self.buffer_of(view)?
        };
        Ok((value, data.cast()))
    }

    /// An `ArrayBuffer` with a copy of these bytes.
    pub(crate) fn copied_buffer(self, bytes: &[u8]) -> Result<Value<'s>, Failed> {
        self.array_buffer(bytes.len(), |buffer| buffer.copy_from_slice(bytes))
    }

    /// The memory of an `ArrayBuffer` or a typed array; `None` for any other value. As to shared memory, typed arrays are
    /// all that every version of Node-API knows.
    pub(crate) fn memory(self, value: Value<'s>) -> Option<Memory<'s>> {
        let (mut start, mut length) = (ptr::null_mut(), 0);
        if self.is_array_buffer(value.raw)? {
            // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
            let status =
                unsafe { sys::napi_get_arraybuffer_info(self.env, value.raw, &raw mut start, &raw mut length) };
            check(status).ok()?;
            let is_detached = length == 0 && self.is_detached(value.raw)?;
            return Some(Memory { start: start.cast(), length, is_shared: false, is_detached, scope: PhantomData });
        }
        let (mut kind, mut buffer) = (UNKNOWN_KIND, ptr::null_mut());
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive; one of another type is refused.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                value.raw,
                &raw mut kind,
                &raw mut length,
                &raw mut start,
                &raw mut buffer,
                ptr::null_mut(),
            )
        };
        check(status).ok()?;
        let (length, is_shared) = (length.checked_mul(element_size(kind)?)?, !self.is_array_buffer(buffer)?);
        let is_detached = length == 0 && !is_shared && self.is_detached(buffer)?;
        Some(Memory { start: start.cast(), length, is_shared, is_detached, scope: PhantomData })
    }

    /// The `ArrayBuffer` of a typed array.
    fn buffer_of(self, view: Value<'s>) -> Result<Value<'s>, Failed> {
        let nothing = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive; a null pointer asks for nothing.
        self.make(|env, result| unsafe {
            sys::napi_get_typedarray_info(
                env,
                view.raw,
                ptr::null_mut(),
                ptr::null_mut(),
                nothing,
                result,
                ptr::null_mut(),
            )
        })
    }

    /// Whether it is an `ArrayBuffer`, which a `SharedArrayBuffer` is not.
    fn is_array_buffer(self, raw: sys::napi_value) -> Option<bool> {
        let mut is_it = false;
        // SAFETY: `Js` says that the call is allowed; the value is alive.
        check(unsafe { sys::napi_is_arraybuffer(self.env, raw, &raw mut is_it) }).ok()?;
        Some(is_it)
    }

    /// Whether an `ArrayBuffer` has lost its memory.
    fn is_detached(self, raw: sys::napi_value) -> Option<bool> {
        let mut is_it = false;
        // SAFETY: `Js` says that the call is allowed; the value is alive.
        check(unsafe { sys::napi_is_detached_arraybuffer(self.env, raw, &raw mut is_it) }).ok()?;
        Some(is_it)
    }
}

/// The kind of a typed array that a version of Node-API leaves unset because it does not know it.
const UNKNOWN_KIND: sys::napi_typedarray_type = -1;

/// `Float16Array`, from Node 24 on.
const FLOAT16_ARRAY: sys::napi_typedarray_type = 11;

/// The size of an element in bytes.
fn element_size(kind: sys::napi_typedarray_type) -> Option<usize> {
    Some(match kind {
        sys::TypedarrayType::int8_array
        | sys::TypedarrayType::uint8_array
        | sys::TypedarrayType::uint8_clamped_array => 1,
        sys::TypedarrayType::int16_array | sys::TypedarrayType::uint16_array | FLOAT16_ARRAY => 2,
        sys::TypedarrayType::int32_array | sys::TypedarrayType::uint32_array | sys::TypedarrayType::float32_array => 4,
        sys::TypedarrayType::float64_array
        | sys::TypedarrayType::bigint64_array
        | sys::TypedarrayType::biguint64_array => 8,
        _ => return None,
    })
}
