//! Objects and arrays.

use std::ffi::CStr;
use std::ptr;

use napi_sys as sys;

use super::status::{Failed, check};
use super::value::{Js, Value};

impl<'s> Js<'s> {
    pub(crate) fn object(self) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_create_object(env, result) })
    }

    /// A new array of these values. They become its own properties, and no setter on a prototype is called.
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

    /// Defines a property of an object of ours. It is an own property like one that was assigned, but no setter on a
    /// prototype is called.
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
}

/// The descriptor of a property like one that was assigned, without its name.
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
