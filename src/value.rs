//! Node-API values: a thin safe face of napi-sys.
//!
//! Every status is checked. The calls here are on the hot path, where napi's own wrappers cost several times as much.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use napi_sys as sys;

/// A Node-API call did not succeed: an exception is pending, or the environment is being torn down and runs no more
/// JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// Node-API may be called: this thread is inside a call from JavaScript, or in a handle scope of its own. Values live as
/// long as `'s`.
#[derive(Clone, Copy)]
pub(crate) struct Js<'s> {
    env: sys::napi_env,
    scope: PhantomData<&'s ()>,
}

/// A JavaScript value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Value<'s> {
    raw: sys::napi_value,
    scope: PhantomData<&'s ()>,
}

fn check(status: sys::napi_status) -> Result<(), Failed> {
    if status == sys::Status::napi_ok { Ok(()) } else { Err(Failed) }
}

impl Value<'_> {
    /// # Safety
    ///
    /// `raw` is a value whose handle lives as long as `'s`.
    pub(crate) unsafe fn from_raw(raw: sys::napi_value) -> Self {
        Self { raw, scope: PhantomData }
    }

    pub(crate) fn raw(self) -> sys::napi_value {
        self.raw
    }
}

impl<'s> Js<'s> {
    /// # Safety
    ///
    /// `env` is the environment of this thread, and a handle scope is open as long as `'s`.
    pub(crate) unsafe fn from_raw(env: sys::napi_env) -> Self {
        Self { env, scope: PhantomData }
    }

    /// Makes a value with one Node-API call.
    fn make(
        self,
        call: impl FnOnce(sys::napi_env, *mut sys::napi_value) -> sys::napi_status,
    ) -> Result<Value<'s>, Failed> {
        let mut raw = ptr::null_mut();
        check(call(self.env, &raw mut raw))?;
        // SAFETY: the call has succeeded, and its handle belongs to the innermost scope, which is open for `'s`.
        Ok(unsafe { Value::from_raw(raw) })
    }

    pub(crate) fn boolean(self, value: bool) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_get_boolean(env, value, result) })
    }

    pub(crate) fn number(self, value: u32) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_create_uint32(env, value, result) })
    }

    /// A number that may be larger than 32 bits: a size.
    pub(crate) fn size(self, value: usize) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_create_int64(env, value as i64, result) })
    }

    pub(crate) fn double(self, value: f64) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_create_double(env, value, result) })
    }

    pub(crate) fn null(self) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_get_null(env, result) })
    }

    /// A new array of these values. They become properties of its own: no setter on a prototype sees them.
    pub(crate) fn array(self, items: &[Value<'s>]) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        let array = self.make(|env, result| unsafe { sys::napi_create_array_with_length(env, items.len(), result) })?;
        let mut elements = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let name = self.string(&index.to_string())?;
            elements.push(sys::napi_property_descriptor { name: name.raw, ..data_property(*item) });
        }
        self.define_all(array, &elements)?;
        Ok(array)
    }

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

    /// A string of bytes that have been checked to be UTF-8.
    pub(crate) fn checked_string(self, text: &[u8]) -> Result<Value<'s>, Failed> {
        /// V8 decodes no more bytes of UTF-8 than a string may have UTF-16 code units, however few of those they make.
        const DECODED_BY_V8: usize = 1 << 28;

        // Of ASCII nothing has to be decoded.
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

    /// What is text or data where a program gives it: a string, or an `ArrayBuffer` of bytes that are not UTF-8.
    pub(crate) fn text_or_bytes(self, bytes: &[u8]) -> Result<Value<'s>, Failed> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.string(text),
            Err(_) => self.copied_buffer(bytes),
        }
    }

    pub(crate) fn object(self) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_create_object(env, result) })
    }

    /// A new `ArrayBuffer`, all of whose bytes `fill` writes.
    ///
    /// V8 owns the memory, so that the buffer can be transferred to another thread and outlive this one. Of an external
    /// `ArrayBuffer` neither is true: Node does not transfer it, and frees its memory at the end of the environment,
    /// whoever has got it by `ArrayBuffer.prototype.transfer` and `postMessage`.
    pub(crate) fn array_buffer(self, length: usize, fill: impl FnOnce(&mut [u8])) -> Result<Value<'s>, Failed> {
        /// From so many bytes on, memory that is not zeroed first is worth the detour by way of a `Buffer`, the only thing
        /// that Node-API has such memory for: 12.9 in place of 17.5 us for a message of 16 KiB that is echoed.
        const NOT_ZEROED_FROM: usize = 4096;

        let mut data: *mut c_void = ptr::null_mut();
        let data_pointer = &raw mut data;
        let value = if length < NOT_ZEROED_FROM {
            // SAFETY: `Js` says that the call is allowed.
            self.make(|env, result| unsafe { sys::napi_create_arraybuffer(env, length, data_pointer, result) })?
        } else {
            // SAFETY: as above. The memory is no part of a pool: it is as long as was asked for, and has no other view.
            let view =
                self.make(|env, result| unsafe { sys::napi_create_buffer(env, length, data_pointer, result) })?;
            self.buffer_of(view)?
        };
        if length > 0 && !data.is_null() {
            // SAFETY: the memory is of `length` bytes that JavaScript does not know yet. V8 has allocated them, so that they
            // have some value, zero or not, and `fill` writes them before anybody reads them.
            fill(unsafe { std::slice::from_raw_parts_mut(data.cast(), length) });
        }
        Ok(value)
    }

    /// The `ArrayBuffer` of a typed array.
    fn buffer_of(self, view: Value<'s>) -> Result<Value<'s>, Failed> {
        let nothing = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive; what is not asked for has no place.
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

    /// An `ArrayBuffer` with a copy of these bytes.
    pub(crate) fn copied_buffer(self, bytes: &[u8]) -> Result<Value<'s>, Failed> {
        self.array_buffer(bytes.len(), |buffer| buffer.copy_from_slice(bytes))
    }

    /// A function object for one of the addon's.
    ///
    /// # Safety
    ///
    /// `callback` may be called with `data` as long as the environment runs JavaScript.
    pub(crate) unsafe fn function(
        self,
        name: &CStr,
        callback: sys::napi_callback,
        data: *mut c_void,
    ) -> Result<Value<'s>, Failed> {
        let length = name.count_bytes() as isize;
        // SAFETY: `Js` says that the call is allowed; the rest is the caller's promise.
        self.make(|env, result| unsafe {
            sys::napi_create_function(env, name.as_ptr(), length, callback, data, result)
        })
    }

    /// Defines a property of an object of ours. It becomes the object's own, as assignment would make it, but no setter
    /// on a prototype is called.
    pub(crate) fn define(self, object: Value<'s>, name: &CStr, value: Value<'s>) -> Result<(), Failed> {
        self.define_all(object, &[sys::napi_property_descriptor { utf8name: name.as_ptr(), ..data_property(value) }])
    }

    fn define_all(self, object: Value<'s>, properties: &[sys::napi_property_descriptor]) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the values are alive; names outlive the call.
        check(unsafe { sys::napi_define_properties(self.env, object.raw, properties.len(), properties.as_ptr()) })
    }

    /// Reads an element of an array of ours.
    pub(crate) fn element(self, array: Value<'s>, index: u32) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the array is alive.
        self.make(|env, result| unsafe { sys::napi_get_element(env, array.raw, index, result) })
    }

    /// Reads a property, which may call JavaScript (getters, proxies).
    pub(crate) fn get(self, object: Value<'s>, name: &CStr) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the object is alive.
        self.make(|env, result| unsafe { sys::napi_get_named_property(env, object.raw, name.as_ptr(), result) })
    }

    pub(crate) fn type_of(self, value: Value<'s>) -> Result<sys::napi_valuetype, Failed> {
        let mut kind = sys::ValueType::napi_undefined;
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_typeof(self.env, value.raw, &raw mut kind) })?;
        Ok(kind)
    }

    pub(crate) fn is_undefined(self, value: Value<'s>) -> Result<bool, Failed> {
        Ok(self.type_of(value)? == sys::ValueType::napi_undefined)
    }

    pub(crate) fn is_function(self, value: Value<'s>) -> Result<bool, Failed> {
        Ok(self.type_of(value)? == sys::ValueType::napi_function)
    }

    pub(crate) fn u32(self, value: Value<'s>) -> Result<u32, Failed> {
        let mut number = 0;
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_get_value_uint32(self.env, value.raw, &raw mut number) })?;
        Ok(number)
    }

    /// ECMAScript's `ToNumber`, which may call JavaScript (`valueOf`).
    pub(crate) fn to_f64(self, value: Value<'s>) -> Result<f64, Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        let number = self.make(|env, result| unsafe { sys::napi_coerce_to_number(env, value.raw, result) })?;
        let mut double = 0.0;
        // SAFETY: as above.
        check(unsafe { sys::napi_get_value_double(self.env, number.raw, &raw mut double) })?;
        Ok(double)
    }

    /// ECMAScript's `ToInt32`, which may call JavaScript (`valueOf`).
    pub(crate) fn to_i32(self, value: Value<'s>) -> Result<i32, Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        let number = self.make(|env, result| unsafe { sys::napi_coerce_to_number(env, value.raw, result) })?;
        let mut integer = 0;
        // SAFETY: as above.
        check(unsafe { sys::napi_get_value_int32(self.env, number.raw, &raw mut integer) })?;
        Ok(integer)
    }

    /// ECMAScript's `ToString`, which throws for a symbol, and calls JavaScript for an object.
    pub(crate) fn text(self, value: Value<'s>) -> Result<String, Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        let string = self.make(|env, result| unsafe { sys::napi_coerce_to_string(env, value.raw, result) })?;
        let mut text = Vec::new();
        self.append_string(string, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn is_array(self, value: Value<'s>) -> Result<bool, Failed> {
        let mut is_array = false;
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_is_array(self.env, value.raw, &raw mut is_array) })?;
        Ok(is_array)
    }

    /// ECMAScript's `ToBoolean`.
    pub(crate) fn to_bool(self, value: Value<'s>) -> Result<bool, Failed> {
        // What is left out is the rule, and converting it would cost several times as much.
        if self.is_undefined(value)? {
            return Ok(false);
        }
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        let boolean = self.make(|env, result| unsafe { sys::napi_coerce_to_bool(env, value.raw, result) })?;
        let mut is_true = false;
        // SAFETY: as above.
        check(unsafe { sys::napi_get_value_bool(self.env, boolean.raw, &raw mut is_true) })?;
        Ok(is_true)
    }

    /// Appends a string's characters as UTF-8, lone surrogates as U+FFFD; tells whether the value is a string.
    ///
    /// In one pass unless the string is long: asking for the length first would be another.
    pub(crate) fn append_string(self, value: Value<'s>, output: &mut Vec<u8>) -> Result<bool, Failed> {
        /// Room at first; strings that fit are the rule.
        const ROOM: usize = 4096;
        /// V8 stops before a character that doesn't fit. With more room left than the longest character takes, and the
        /// terminating NUL, it has not stopped.
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
            output.reserve(length + 1);
            written = self.write_string(value, output)?.ok_or(Failed)?;
            debug_assert_eq!(written, length);
        }
        // SAFETY: as many bytes have been written behind the end of the vector, within its capacity.
        unsafe { output.set_len(output.len() + written) };
        Ok(true)
    }

    /// Writes a string behind the end of the vector as far as its capacity goes; gives the number of bytes, or `None` if
    /// it is no string.
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

    /// The length of a string, in UTF-16 code units; `None` if it is no string. It takes the same time for any.
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

    /// Appends as much of a string, as UTF-8, as there is room for in `N` bytes with the NUL that is written behind it.
    pub(crate) fn append_prefix<const N: usize>(self, text: Value<'s>, output: &mut Vec<u8>) -> Result<(), Failed> {
        let mut bytes = [0; N];
        let mut written = 0;
        let start = bytes.as_mut_ptr().cast::<c_char>();
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive. No more than the room is written.
        check(unsafe { sys::napi_get_value_string_utf8(self.env, text.raw, start, N, &raw mut written) })?;
        output.extend_from_slice(&bytes[..written]);
        Ok(())
    }

    /// The memory of an `ArrayBuffer` or a typed array; `None` for anything else. Of shared memory only typed arrays are
    /// known to every version of Node-API.
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
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive; of another type it is refused.
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

    /// Calls a function that does not look at `this`; `Err` when it has thrown or could not be called.
    pub(crate) fn call(self, function: Value<'s>, arguments: &[Value<'s>]) -> Result<Value<'s>, Failed> {
        // Some object must be given, and asking for `undefined` is a call of its own.
        let this = function;
        let start = arguments.as_ptr().cast::<sys::napi_value>();
        // SAFETY: `Js` says that the call is allowed, `Value` that the values are alive; a `Value` is a `napi_value`.
        self.make(|env, result| unsafe {
            sys::napi_call_function(env, this.raw, function.raw, arguments.len(), start, result)
        })
    }

    pub(crate) fn throw(self, error: Value<'s>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_throw(self.env, error.raw) })
    }

    pub(crate) fn is_exception_pending(self) -> Result<bool, Failed> {
        let mut is_pending = false;
        // SAFETY: `Js` says that the call is allowed.
        check(unsafe { sys::napi_is_exception_pending(self.env, &raw mut is_pending) })?;
        Ok(is_pending)
    }

    /// Takes the pending exception.
    pub(crate) fn take_exception(self) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_get_and_clear_last_exception(env, result) })
    }

    /// Makes an error an `uncaughtException` of the process or, in a worker, of that.
    pub(crate) fn raise_uncaught(self, error: Value<'s>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_fatal_exception(self.env, error.raw) })
    }

    /// An `Error` or `RangeError` with a code.
    pub(crate) fn error(self, kind: ErrorKind, code: &str, message: &str) -> Result<Value<'s>, Failed> {
        let (code, message) = (self.string(code)?, self.string(message)?.raw);
        let create = match kind {
            ErrorKind::Error => sys::napi_create_error,
            ErrorKind::RangeError => sys::napi_create_range_error,
        };
        // Given the code, Node-API would assign it, which may call a setter.
        // SAFETY: `Js` says that the call is allowed; the message is alive.
        let error = self.make(|env, result| unsafe { create(env, ptr::null_mut(), message, result) })?;
        self.define(error, c"code", code)?;
        Ok(error)
    }
}

/// The memory of a buffer, of use until JavaScript runs.
pub(crate) struct Memory<'s> {
    start: *const u8,
    length: usize,
    /// Whether other threads may be writing to it.
    is_shared: bool,
    /// Whether there was some, which is somebody else's now.
    is_detached: bool,
    scope: PhantomData<&'s ()>,
}

/// The memory of an `ArrayBuffer` was transferred: it seems to be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detached;

/// The bytes of a buffer.
#[derive(Clone, Copy)]
pub(crate) enum Bytes<'b> {
    /// Of this thread alone.
    Own(&'b [u8]),
    /// Other threads may be writing to them.
    Shared(&'b [AtomicU8]),
}

impl Bytes<'_> {
    /// The first bytes, `length` at most.
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

    /// Calls `use_bytes` with the bytes. Those that other threads may be changing meanwhile are copied first.
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
    /// memory. Much of Node-API does: assigning and reading properties (setters, getters, proxies), converting values,
    /// calling functions.
    pub(crate) unsafe fn with<R>(self, use_bytes: impl FnOnce(Bytes<'_>) -> R) -> Result<R, Detached> {
        if self.is_detached {
            return Err(Detached);
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

/// Which constructor an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Error,
    RangeError,
}

/// The kind of typed array that a version of Node-API left unset, because it does not know it.
const UNKNOWN_KIND: sys::napi_typedarray_type = -1;

/// `Float16Array`, from Node 24 on.
const FLOAT16_ARRAY: sys::napi_typedarray_type = 11;

/// Bytes of an element.
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

/// What describes a property as assignment would make it; its name is still to be set.
fn data_property(value: Value<'_>) -> sys::napi_property_descriptor {
    sys::napi_property_descriptor {
        utf8name: ptr::null(),
        name: ptr::null_mut(),
        method: None,
        getter: None,
        setter: None,
        value: value.raw,
        attributes: sys::PropertyAttributes::writable
            | sys::PropertyAttributes::enumerable
            | sys::PropertyAttributes::configurable,
        data: ptr::null_mut(),
    }
}

/// A reference to a value, kept between calls. It is strong until it is weakened.
pub(crate) struct Reference {
    env: sys::napi_env,
    raw: sys::napi_ref,
}

impl Reference {
    pub(crate) fn new(js: Js<'_>, value: Value<'_>) -> Result<Self, Failed> {
        let mut raw = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_create_reference(js.env, value.raw, 1, &raw mut raw) })?;
        Ok(Self { env: js.env, raw })
    }

    pub(crate) fn value<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed; the reference is alive as long as this is.
        js.make(|env, result| unsafe { sys::napi_get_reference_value(env, self.raw, result) })
    }

    /// The value of a weak reference, unless it has been collected.
    pub(crate) fn weak_value<'s>(&self, js: Js<'s>) -> Result<Option<Value<'s>>, Failed> {
        self.value(js).map(|value| (!value.raw.is_null()).then_some(value))
    }

    /// Lets a strong reference's value be collected.
    pub(crate) fn weaken(&self, js: Js<'_>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed; the reference is alive as long as this is.
        check(unsafe { sys::napi_reference_unref(js.env, self.raw, ptr::null_mut()) })
    }

    /// Makes a weak reference strong, whose value has not been collected.
    pub(crate) fn strengthen(&self, js: Js<'_>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed; the reference is alive as long as this is.
        check(unsafe { sys::napi_reference_ref(js.env, self.raw, ptr::null_mut()) })
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // References are dropped on the environment's thread, before the cleanup hook has been removed, until when the
        // environment exists. The call runs no JavaScript and is allowed while none may run; its status says nothing
        // that could still be acted on.
        // SAFETY: the environment exists, and the reference has not been deleted.
        unsafe { sys::napi_delete_reference(self.env, self.raw) };
    }
}

/// A handle scope of our own, for callbacks that don't come from JavaScript.
pub(crate) struct HandleScope {
    env: sys::napi_env,
    raw: sys::napi_handle_scope,
}

impl HandleScope {
    /// # Safety
    ///
    /// `env` is the environment of this thread and has not been torn down. Scopes are closed in the opposite order of
    /// their opening.
    pub(crate) unsafe fn open(env: sys::napi_env) -> Result<Self, Failed> {
        let mut raw = ptr::null_mut();
        // SAFETY: the caller's promise.
        check(unsafe { sys::napi_open_handle_scope(env, &raw mut raw) })?;
        Ok(Self { env, raw })
    }

    pub(crate) fn js(&self) -> Js<'_> {
        // SAFETY: the scope is open as long as it is borrowed.
        unsafe { Js::from_raw(self.env) }
    }
}

impl Drop for HandleScope {
    fn drop(&mut self) {
        // Allowed at any time, also while an exception is pending; it fails only for a scope that isn't open.
        // SAFETY: the scope is open, and `open` was promised that it is the innermost one.
        unsafe { sys::napi_close_handle_scope(self.env, self.raw) };
    }
}

/// What Node's `AsyncResource` is: microtasks and nextTicks run when the outermost scope of it closes.
pub(crate) struct AsyncContext {
    env: sys::napi_env,
    raw: sys::napi_async_context,
    resource: Reference,
}

impl AsyncContext {
    pub(crate) fn new(js: Js<'_>, name: &str) -> Result<Self, Failed> {
        let (resource, name) = (js.object()?, js.string(name)?);
        let mut raw = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed, `Value` that the values are alive.
        check(unsafe { sys::napi_async_init(js.env, resource.raw, name.raw, &raw mut raw) })?;
        Ok(Self { env: js.env, raw, resource: Reference::new(js, resource)? })
    }

    /// The resource that executes in its scopes.
    pub(crate) fn resource<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        self.resource.value(js)
    }

    /// Opens a callback scope; it must be closed before the handle scope of `js` is.
    pub(crate) fn open(&self, js: Js<'_>) -> Result<CallbackScope, Failed> {
        let resource = self.resource.value(js)?;
        let mut raw = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed; the context lives as long as this.
        check(unsafe { sys::napi_open_callback_scope(js.env, resource.raw, self.raw, &raw mut raw) })?;
        Ok(CallbackScope { env: js.env, raw })
    }
}

impl Drop for AsyncContext {
    fn drop(&mut self) {
        // As with references: on the environment's thread, which exists, and with nothing to do about a failure.
        // SAFETY: made by `napi_async_init`, and no scope of it is open any more.
        unsafe { sys::napi_async_destroy(self.env, self.raw) };
    }
}

/// An open callback scope; closing it runs microtasks and nextTicks.
pub(crate) struct CallbackScope {
    env: sys::napi_env,
    raw: sys::napi_callback_scope,
}

impl Drop for CallbackScope {
    fn drop(&mut self) {
        // Allowed at any time; while the environment runs no more JavaScript it runs none. It fails only when no scope
        // is open.
        // SAFETY: the scope is open and is the innermost one.
        unsafe { sys::napi_close_callback_scope(self.env, self.raw) };
    }
}
