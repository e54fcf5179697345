//! Calls from JavaScript: arguments in, a value or an exception out.

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use milliways_net::{ConnectionId, Reactor};
use napi_sys as sys;

use crate::environment::Environment;
use crate::error::Error;
use crate::node::{Bytes, Failed, Js, Memory, Value};
use crate::restored::Restored;

/// One call of an exported function with up to `N` arguments; those that were not given are `undefined`.
pub(crate) struct Call<'s, const N: usize> {
    pub(crate) js: Js<'s>,
    pub(crate) environment: &'s Environment,
    pub(crate) arguments: [Value<'s>; N],
}

/// What a function gives back; `None` is `undefined`.
pub(crate) type Returned<'s> = Result<Option<Value<'s>>, Error>;

impl<'s, const N: usize> Call<'s, N> {
    /// The handle that the first two arguments are.
    pub(crate) fn id(&self) -> Result<ConnectionId, Error> {
        Ok(ConnectionId { slot: self.js.u32(self.arguments[0])?, generation: self.js.u32(self.arguments[1])? })
    }

    /// Refuses to call a handler that would be too deep in calls of others. A stack that is used up ends more than one call.
    pub(crate) fn check_depth(&self) -> Result<(), Error> {
        if self.environment.is_deep() { Err(Error::TooDeep) } else { Ok(()) }
    }

    pub(crate) fn u32(&self, index: usize) -> Result<u32, Error> {
        Ok(self.js.u32(self.arguments[index])?)
    }

    pub(crate) fn bool(&self, index: usize) -> Result<bool, Error> {
        Ok(self.js.to_bool(self.arguments[index])?)
    }

    /// Does what [`Call::with_any`] does, faster for a buffer and slower for a string.
    pub(crate) fn with_buffer<R>(
        &self,
        index: usize,
        use_bytes: impl FnOnce(&Reactor, Bytes<'_>) -> R + Send,
    ) -> Result<R, Error> {
        match self.js.memory(self.arguments[index]) {
            Some(memory) => self.with_memory(memory, use_bytes),
            None => self.with_any(index, use_bytes),
        }
    }

    /// Does what [`Call::with_any`] does, with a copy of memory that other threads may be writing to.
    pub(crate) fn with_bytes<R>(
        &self,
        index: usize,
        use_bytes: impl FnOnce(&Reactor, &[u8]) -> R + Send,
    ) -> Result<R, Error> {
        self.with_any(index, |reactor, bytes| bytes.with(|bytes| use_bytes(reactor, bytes)))
    }

    /// Calls `use_bytes` with text or data: strings as UTF-8, `undefined` as nothing, the memory of buffers as it is.
    ///
    /// That memory may change, move or go as soon as JavaScript runs. So `use_bytes` is `Send`, which nothing is that
    /// JavaScript can be called with: it captures no [`Js`], no [`Value`] and no [`Environment`], and what a reactor does
    /// without a handler calls nobody.
    pub(crate) fn with_any<R>(
        &self,
        index: usize,
        use_bytes: impl FnOnce(&Reactor, Bytes<'_>) -> R + Send,
    ) -> Result<R, Error> {
        let value = self.arguments[index];
        // Asked for straight away: almost always it is a string, and finding out would cost as much.
        let mut scratch = self.environment.scratch.take();
        scratch.clear();
        let result = match self.js.append_string(value, &mut scratch) {
            Ok(true) => Ok(use_bytes(&self.environment.reactor, Bytes::Own(&scratch))),
            Ok(false) => self.with_other(value, use_bytes),
            Err(failed) => Err(failed.into()),
        };
        self.environment.scratch.set(scratch);
        result
    }

    fn with_other<R>(
        &self,
        value: Value<'s>,
        use_bytes: impl FnOnce(&Reactor, Bytes<'_>) -> R + Send,
    ) -> Result<R, Error> {
        match self.js.type_of(value)? {
            sys::ValueType::napi_undefined => Ok(use_bytes(&self.environment.reactor, Bytes::Own(&[]))),
            sys::ValueType::napi_object => {
                let memory = self.environment.memory_of(self.js, value)?.ok_or(Error::InvalidData)?;
                self.with_memory(memory, use_bytes)
            }
            _ => Err(Error::InvalidData),
        }
    }

    fn with_memory<R>(
        &self,
        memory: Memory<'s>,
        use_bytes: impl FnOnce(&Reactor, Bytes<'_>) -> R + Send,
    ) -> Result<R, Error> {
        // SAFETY: whoever calls this has just asked for the memory. `use_bytes` is `Send`, so that it has nothing to call
        // JavaScript with; the reactor calls JavaScript by a handler alone, and is given none.
        Ok(unsafe { memory.with(|bytes| use_bytes(&self.environment.reactor, bytes)) }?)
    }

    /// A copy of text or data.
    pub(crate) fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        self.with_bytes(index, |_, bytes| bytes.to_vec())
    }

    /// Whether it is a string that takes longer to encode than it takes to find out whether that is needed.
    pub(crate) fn is_long_text(&self, index: usize) -> Result<bool, Error> {
        const LONG: usize = 16 * 1024;

        Ok(self.js.string_length(self.arguments[index])?.is_some_and(|length| length >= LONG))
    }

    /// Text or data that must be there, as text.
    pub(crate) fn text(&self, index: usize) -> Result<String, Error> {
        if self.js.is_undefined(self.arguments[index])? {
            return Err(Error::InvalidData);
        }
        self.with_bytes(index, |_, bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Runs the body of an exported function: converts arguments, throws errors, keeps panics from unwinding into C.
///
/// # Safety
///
/// `env` and `info` are those of a call from JavaScript to a function whose data is the environment's [`Environment`].
pub(crate) unsafe fn enter<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    body: for<'s> fn(&Call<'s, N>) -> Returned<'s>,
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
    // SAFETY: the caller's promise; the environment lives at least as long as it runs JavaScript.
    let environment = unsafe { &*data.cast_const().cast::<Environment>() };
    // SAFETY: the arguments' handles belong to the call's scope, and those not given have been set to `undefined`.
    let arguments = arguments.map(|argument| unsafe { Value::from_raw(argument) });
    let call = Call { js, environment, arguments };
    let result = {
        let _outer = Restored::replace(&environment.calls, environment.calls.get() + 1);
        catch_unwind(AssertUnwindSafe(|| {
            let returned = body(&call);
            environment.tell_ended();
            returned
        }))
    };
    let error = match result {
        Ok(Ok(value)) => return value.map_or(ptr::null_mut(), Value::raw),
        Ok(Err(error)) => error,
        Err(panic) => Error::internal(&*panic),
    };
    // Nothing can be done about a throw that fails: JavaScript has ended.
    let _ = error.throw(js);
    ptr::null_mut()
}

/// Exports functions: `export!(js, exports, environment; "name" => function, ...)`.
macro_rules! export {
    ($js:expr, $exports:expr, $environment:expr; $($name:literal => $function:path,)*) => {$({
        unsafe extern "C" fn callback(
            env: napi_sys::napi_env,
            info: napi_sys::napi_callback_info,
        ) -> napi_sys::napi_value {
            // SAFETY: Node calls this with what belongs to the call; the function is made with the environment as data.
            unsafe { $crate::call::enter(env, info, $function) }
        }
        $crate::call::export_function($js, $exports, $environment, $name, callback)?;
    })*};
}
pub(crate) use export;

pub(crate) fn export_function(
    js: Js<'_>,
    exports: Value<'_>,
    environment: *const Environment,
    name: &CStr,
    callback: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
) -> Result<(), Failed> {
    let data = environment.cast_mut().cast::<c_void>();
    // SAFETY: the environment lives as long as it runs JavaScript, and `callback` expects it as data.
    let function = unsafe { js.function(name, Some(callback), data) }?;
    js.define(exports, name, function)
}
