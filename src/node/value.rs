//! Values, and the right to call Node-API.

use std::marker::PhantomData;
use std::ptr;

use napi_sys as sys;
pub(crate) use napi_sys::ValueType;

use super::status::{Failed, check};

/// The environment of this thread. Having one does not mean that Node-API may be called: [`Js`] does.
#[derive(Clone, Copy)]
pub(crate) struct Env {
    pub(super) raw: sys::napi_env,
}

impl Env {
    /// # Safety
    ///
    /// The environment has not been torn down, and a handle scope is open as long as `'s`.
    pub(crate) unsafe fn js<'s>(self) -> Js<'s> {
        // SAFETY: the caller's promise, and `self` is the environment of this thread.
        unsafe { Js::from_raw(self.raw) }
    }
}

/// Node-API may be called: this thread is inside of a call from JavaScript, or in a handle scope of its own. Values live as
/// long as `'s`.
#[derive(Clone, Copy)]
pub(crate) struct Js<'s> {
    pub(super) env: sys::napi_env,
    scope: PhantomData<&'s ()>,
}

/// A JavaScript value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Value<'s> {
    pub(super) raw: sys::napi_value,
    scope: PhantomData<&'s ()>,
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

    pub(crate) fn env(self) -> Env {
        Env { raw: self.env }
    }

    /// Makes a value with one Node-API call.
    pub(super) fn make(
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

    /// A number that may take more than 32 bits: a size.
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

    pub(crate) fn type_of(self, value: Value<'s>) -> Result<sys::napi_valuetype, Failed> {
        let mut kind = ValueType::napi_undefined;
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_typeof(self.env, value.raw, &raw mut kind) })?;
        Ok(kind)
    }

    pub(crate) fn is_undefined(self, value: Value<'s>) -> Result<bool, Failed> {
        Ok(self.type_of(value)? == ValueType::napi_undefined)
    }

    pub(crate) fn is_function(self, value: Value<'s>) -> Result<bool, Failed> {
        Ok(self.type_of(value)? == ValueType::napi_function)
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

    pub(crate) fn is_array(self, value: Value<'s>) -> Result<bool, Failed> {
        let mut is_array = false;
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_is_array(self.env, value.raw, &raw mut is_array) })?;
        Ok(is_array)
    }

    /// ECMAScript's `ToBoolean`.
    pub(crate) fn to_bool(self, value: Value<'s>) -> Result<bool, Failed> {
        // An argument that was not passed is the most common one, and converting it would cost several times as much.
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
}
