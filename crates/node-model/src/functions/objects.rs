//! Objects, functions, exceptions and buffers.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::rc::Rc;
use std::{ptr, slice};

use napi_sys::*;

use Status::{napi_invalid_arg, napi_ok};

use super::{bytes, call, give, node, put, refused, value};
use crate::Information;
use crate::value::{Kind, Memory, Object, Val, Value};

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_object(env: napi_env, result: *mut napi_value) -> napi_status {
    give(env, &Value::object(Kind::Plain), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_array_with_length(
    env: napi_env,
    _length: usize,
    result: *mut napi_value,
) -> napi_status {
    give(env, &Value::object(Kind::Array), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_is_array(_env: napi_env, handle: napi_value, result: *mut bool) -> napi_status {
    put(result, matches!(value(handle).kind(), Some(Kind::Array)));
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_element(
    env: napi_env,
    array: napi_value,
    index: u32,
    result: *mut napi_value,
) -> napi_status {
    may_run!(env);
    let element = value(array).property(&index.to_string()).unwrap_or_else(|| Rc::new(Value::Undefined));
    give(env, &element, result)
}

/// A property that is a function named `get NAME` is called, as a getter would be.
#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_named_property(
    env: napi_env,
    object: napi_value,
    name: *const c_char,
    result: *mut napi_value,
) -> napi_status {
    may_run!(env);
    let (object, name) = (value(object), CStr::from_ptr(name).to_string_lossy());
    let property = match object.property(&format!("get {name}")) {
        Some(getter) => check!(call(env, &getter, &[])),
        None => object.property(&name).unwrap_or_else(|| Rc::new(Value::Undefined)),
    };
    give(env, &property, result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_define_properties(
    env: napi_env,
    object: napi_value,
    count: usize,
    properties: *const napi_property_descriptor,
) -> napi_status {
    may_run!(env);
    let object = value(object);
    let Value::Object(Object { properties: own, .. }) = &*object else { return Status::napi_object_expected };
    for property in slice::from_raw_parts(properties, if properties.is_null() { 0 } else { count }) {
        let name = if property.utf8name.is_null() {
            value(property.name).text().expect("a name")
        } else {
            CStr::from_ptr(property.utf8name).to_string_lossy().into_owned()
        };
        own.borrow_mut().insert(name, value(property.value));
    }
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_function(
    env: napi_env,
    name: *const c_char,
    length: isize,
    callback: napi_callback,
    data: *mut c_void,
    result: *mut napi_value,
) -> napi_status {
    assert!(!bytes(name, length).is_empty(), "a name");
    give(env, &Value::object(Kind::Native(callback, data)), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_cb_info(
    env: napi_env,
    information: napi_callback_info,
    count: *mut usize,
    arguments: *mut napi_value,
    _this: *mut napi_value,
    data: *mut *mut c_void,
) -> napi_status {
    let information = &*information.cast::<Information>();
    let undefined = node(env).handle(&Rc::new(Value::Undefined));
    for index in 0..count.read() {
        arguments.add(index).write(information.arguments.get(index).copied().unwrap_or(undefined));
    }
    count.write(information.arguments.len());
    put(data, information.data);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_call_function(
    env: napi_env,
    _this: napi_value,
    function: napi_value,
    count: usize,
    arguments: *const napi_value,
    result: *mut napi_value,
) -> napi_status {
    may_run!(env);
    let arguments: Vec<Val> = (0..count).map(|index| value(arguments.add(index).read())).collect();
    let returned = check!(call(env, &value(function), &arguments));
    give(env, &returned, result)
}

// Exceptions.

unsafe fn error(env: napi_env, name: &'static str, message: napi_value, result: *mut napi_value) -> napi_status {
    let error = Value::object(Kind::Error(name));
    let Value::Object(Object { properties, .. }) = &*error else { return napi_invalid_arg };
    properties.borrow_mut().insert("message".to_owned(), value(message));
    give(env, &error, result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_error(
    env: napi_env,
    _code: napi_value,
    message: napi_value,
    result: *mut napi_value,
) -> napi_status {
    error(env, "Error", message, result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_range_error(
    env: napi_env,
    _code: napi_value,
    message: napi_value,
    result: *mut napi_value,
) -> napi_status {
    error(env, "RangeError", message, result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_throw(env: napi_env, error: napi_value) -> napi_status {
    may_run!(env);
    node(env).pending.replace(Some(value(error)));
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_is_exception_pending(env: napi_env, result: *mut bool) -> napi_status {
    put(result, node(env).pending.borrow().is_some());
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_and_clear_last_exception(env: napi_env, result: *mut napi_value) -> napi_status {
    let exception = node(env).pending.take().unwrap_or_else(|| Rc::new(Value::Undefined));
    give(env, &exception, result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_fatal_exception(env: napi_env, error: napi_value) -> napi_status {
    may_run!(env);
    node(env).uncaught.borrow_mut().push(value(error));
    napi_ok
}

// Buffers.

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_arraybuffer(
    env: napi_env,
    length: usize,
    data: *mut *mut c_void,
    result: *mut napi_value,
) -> napi_status {
    may_run!(env);
    let memory = Memory::new(length);
    put(data, memory.start.cast());
    give(env, &Value::object(Kind::ArrayBuffer(RefCell::new(Some(memory)))), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_buffer(
    env: napi_env,
    length: usize,
    data: *mut *mut c_void,
    result: *mut napi_value,
) -> napi_status {
    may_run!(env);
    let memory = Memory::new(length);
    put(data, memory.start.cast());
    let buffer = Value::object(Kind::ArrayBuffer(RefCell::new(Some(memory))));
    give(env, &Value::object(Kind::View(TypedarrayType::uint8_array, buffer, 0, length)), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_is_arraybuffer(_env: napi_env, handle: napi_value, result: *mut bool) -> napi_status {
    put(result, matches!(value(handle).kind(), Some(Kind::ArrayBuffer(_))));
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_is_detached_arraybuffer(
    _env: napi_env,
    handle: napi_value,
    result: *mut bool,
) -> napi_status {
    let value = value(handle);
    put(result, matches!(value.kind(), Some(Kind::ArrayBuffer(memory)) if memory.borrow().is_none()));
    napi_ok
}

/// Returns where the memory of a buffer is, and its length.
fn memory_of(buffer: &Value) -> Option<(*mut u8, usize)> {
    match buffer.kind()? {
        Kind::ArrayBuffer(memory) => {
            let memory = memory.borrow();
            Some(memory.as_ref().map_or((ptr::null_mut(), 0), |memory| (memory.start, memory.length)))
        }
        Kind::SharedArrayBuffer(memory) => Some((memory.start, memory.length)),
        _ => None,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_arraybuffer_info(
    _env: napi_env,
    handle: napi_value,
    data: *mut *mut c_void,
    length: *mut usize,
) -> napi_status {
    let value = value(handle);
    let Some((start, bytes)) = memory_of(&value) else { return napi_invalid_arg };
    put(data, start.cast());
    put(length, bytes);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_typedarray_info(
    env: napi_env,
    handle: napi_value,
    kind: *mut napi_typedarray_type,
    length: *mut usize,
    data: *mut *mut c_void,
    buffer: *mut napi_value,
    offset: *mut usize,
) -> napi_status {
    let view = value(handle);
    let Some(Kind::View(own_kind, own_buffer, begin, elements)) = view.kind() else { return napi_invalid_arg };
    let Some((start, bytes)) = memory_of(own_buffer) else { return napi_invalid_arg };
    let is_there = bytes > 0;
    put(kind, *own_kind);
    put(length, if is_there { *elements } else { 0 });
    put(data, if is_there { start.add(*begin).cast() } else { ptr::null_mut() });
    put(offset, *begin);
    if !buffer.is_null() {
        put(buffer, node(env).handle(own_buffer));
    }
    napi_ok
}
