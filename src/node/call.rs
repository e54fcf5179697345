//! Calls from JavaScript: arguments in, a value or an exception out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi_sys as sys;

use super::error::Exception;
use super::memory::{Bytes, DataError, Memory};
use super::scratch::Scratch;
use super::shared::SharedView;
use super::status::Failed;
use super::value::{Js, Value, ValueType};

/// The state that an addon has for each environment, and that all of its functions work on.
///
/// # Safety
///
/// A function that is [`Send`], and is called with [`InstanceData::inert`] and with nothing of Node-API, calls no JavaScript.
pub(crate) unsafe trait InstanceData {
    /// The part of the state that functions can use while they borrow the memory of a buffer.
    type Inert;
    /// The reasons for which functions throw.
    type Error: Exception;

    fn inert(&self) -> &Self::Inert;

    fn scratch(&self) -> &Scratch;

    fn shared_view(&self) -> &SharedView;

    /// Runs the body of a function that JavaScript has called.
    fn run<R>(&self, body: impl FnOnce() -> R) -> R;

    /// Handles a panic of a body, which is a bug.
    fn panicked(&self);
}

/// A call of one of the addon's functions with up to `N` arguments. Arguments that were not passed are `undefined`.
pub(crate) struct Call<'s, D, const N: usize> {
    pub(crate) js: Js<'s>,
    pub(crate) environment: &'s D,
    pub(crate) arguments: [Value<'s>; N],
}

/// The result of a function; `None` is `undefined`.
pub(crate) type Returned<'s, E> = Result<Option<Value<'s>>, E>;

impl<'s, D: InstanceData, const N: usize> Call<'s, D, N> {
    pub(crate) fn u32(&self, index: usize) -> Result<u32, Failed> {
        self.js.u32(self.arguments[index])
    }

    pub(crate) fn bool(&self, index: usize) -> Result<bool, Failed> {
        self.js.to_bool(self.arguments[index])
    }

    /// Calls `use_bytes` with text or data: a string as UTF-8, `undefined` as no bytes, a buffer as it is.
    ///
    /// The memory of a buffer may change, move or disappear as soon as JavaScript runs, so `use_bytes` must not run any. It is
    /// `Send`, and therefore captures no [`Js`] and no [`Value`]; its arguments cannot call JavaScript either, as
    /// [`InstanceData`] promises.
    pub(crate) fn with_any<R>(
        &self,
        index: usize,
        use_bytes: impl FnOnce(&D::Inert, Bytes<'_>) -> R + Send,
    ) -> Result<R, DataError> {
        let value = self.arguments[index];
        self.environment.scratch().with(|scratch| {
            // Without asking for the type first: almost always it is a string, and asking would cost as much.
            if self.js.append_string(value, scratch)? {
                Ok(use_bytes(self.environment.inert(), Bytes::Own(scratch)))
            } else {
                self.with_other(value, use_bytes)
            }
        })
    }

    /// Like [`Call::with_any`], but faster for a buffer and slower for a string.
    pub(crate) fn with_buffer<R>(
        &self,
        index: usize,
        use_bytes: impl FnOnce(&D::Inert, Bytes<'_>) -> R + Send,
    ) -> Result<R, DataError> {
        match self.js.memory(self.arguments[index]) {
            Some(memory) => self.with_memory(memory, use_bytes),
            None => self.with_any(index, use_bytes),
        }
    }

    /// Like [`Call::with_any`], but copies memory that other threads may be writing to.
    pub(crate) fn with_bytes<R>(
        &self,
        index: usize,
        use_bytes: impl FnOnce(&D::Inert, &[u8]) -> R + Send,
    ) -> Result<R, DataError> {
        self.with_any(index, |inert, bytes| bytes.with(|bytes| use_bytes(inert, bytes)))
    }

    /// A copy of text or data.
    pub(crate) fn bytes(&self, index: usize) -> Result<Vec<u8>, DataError> {
        self.with_bytes(index, |_, bytes| bytes.to_vec())
    }

    /// A copy, as text, of text or data that must not be `undefined`.
    pub(crate) fn text(&self, index: usize) -> Result<String, DataError> {
        if self.js.is_undefined(self.arguments[index])? {
            return Err(DataError::Invalid);
        }
        self.with_bytes(index, |_, bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn with_other<R>(
        &self,
        value: Value<'s>,
        use_bytes: impl FnOnce(&D::Inert, Bytes<'_>) -> R + Send,
    ) -> Result<R, DataError> {
        match self.js.type_of(value)? {
            ValueType::napi_undefined => Ok(use_bytes(self.environment.inert(), Bytes::Own(&[]))),
            ValueType::napi_object => {
                let memory = self.environment.shared_view().memory_of(self.js, value)?.ok_or(DataError::Invalid)?;
                self.with_memory(memory, use_bytes)
            }
            _ => Err(DataError::Invalid),
        }
    }

    fn with_memory<R>(
        &self,
        memory: Memory<'s>,
        use_bytes: impl FnOnce(&D::Inert, Bytes<'_>) -> R + Send,
    ) -> Result<R, DataError> {
        // SAFETY: both callers have just asked for the memory. `use_bytes` is `Send` and is called with `inert`; the contract of
        // `InstanceData` is that such a function calls no JavaScript.
        unsafe { memory.with(|bytes| use_bytes(self.environment.inert(), bytes)) }
    }
}

/// Runs the body of an exported function: converts the arguments, throws errors, and keeps panics from unwinding into C.
///
/// # Safety
///
/// `env` and `info` are those of a call from JavaScript to a function whose data is a `D` that is valid until it returns.
pub(crate) unsafe fn enter<D: InstanceData, const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    body: for<'s> fn(&Call<'s, D, N>) -> Returned<'s, D::Error>,
) -> sys::napi_value {
    let (mut count, mut arguments, mut data) = (N, [ptr::null_mut(); N], ptr::null_mut());
    let (count_pointer, arguments_pointer, data_pointer) = (&raw mut count, arguments.as_mut_ptr(), &raw mut data);
    // SAFETY: the caller's promise; there is room for as many arguments as `count` says.
    let status =
        unsafe { sys::napi_get_cb_info(env, info, count_pointer, arguments_pointer, ptr::null_mut(), data_pointer) };
    if status != sys::Status::napi_ok {
        return ptr::null_mut();
    }
    // SAFETY: Node opens a handle scope for every call.
    let js = unsafe { Js::from_raw(env) };
    // SAFETY: the caller's promise.
    let environment = unsafe { &*data.cast_const().cast::<D>() };
    // SAFETY: the arguments' handles belong to the call's scope, and those not passed have been set to `undefined`.
    let arguments = arguments.map(|argument| unsafe { Value::from_raw(argument) });
    let call = Call { js, environment, arguments };
    let error = match catch_unwind(AssertUnwindSafe(|| environment.run(|| body(&call)))) {
        Ok(Ok(value)) => return value.map_or(ptr::null_mut(), Value::raw),
        Ok(Err(error)) => error,
        Err(panic) => {
            // If this panics as well, nothing more can be done.
            let _ = catch_unwind(AssertUnwindSafe(|| environment.panicked()));
            D::Error::from_panic(&*panic)
        }
    };
    // If throwing fails JavaScript has ended, and nothing is left to do.
    let _ = error.throw(js);
    ptr::null_mut()
}
