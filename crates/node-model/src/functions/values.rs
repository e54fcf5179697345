//! Primitive values and strings.

use std::ffi::c_char;
use std::{ptr, slice};

use napi_sys::*;

use Status::{napi_invalid_arg, napi_ok, napi_pending_exception};

use super::{bytes, give, make, node, primitive, put, refused, value};
use crate::value::{Kind, Value};

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_null(env: napi_env, result: *mut napi_value) -> napi_status {
    make(env, Value::Null, result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_boolean(env: napi_env, boolean: bool, result: *mut napi_value) -> napi_status {
    make(env, Value::Boolean(boolean), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_uint32(env: napi_env, number: u32, result: *mut napi_value) -> napi_status {
    make(env, Value::Number(number.into()), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_int64(env: napi_env, number: i64, result: *mut napi_value) -> napi_status {
    #[expect(clippy::cast_precision_loss, reason = "as in Node")]
    make(env, Value::Number(number as f64), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_double(env: napi_env, number: f64, result: *mut napi_value) -> napi_status {
    make(env, Value::Number(number), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_typeof(_env: napi_env, handle: napi_value, result: *mut napi_valuetype) -> napi_status {
    put(result, value(handle).type_of());
    napi_ok
}

unsafe fn number(handle: napi_value) -> Result<f64, napi_status> {
    if let Value::Number(number) = *value(handle) { Ok(number) } else { Err(Status::napi_number_expected) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_value_uint32(_env: napi_env, handle: napi_value, result: *mut u32) -> napi_status {
    #[expect(clippy::cast_sign_loss, reason = "as in Node")]
    put(result, check!(number(handle)) as i64 as u32);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_value_int32(_env: napi_env, handle: napi_value, result: *mut i32) -> napi_status {
    put(result, check!(number(handle)) as i64 as i32);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_value_double(_env: napi_env, handle: napi_value, result: *mut f64) -> napi_status {
    put(result, check!(number(handle)));
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_value_bool(_env: napi_env, handle: napi_value, result: *mut bool) -> napi_status {
    let Value::Boolean(boolean) = *value(handle) else { return Status::napi_boolean_expected };
    put(result, boolean);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_coerce_to_number(env: napi_env, handle: napi_value, result: *mut napi_value) -> napi_status {
    may_run!(env);
    let number = match *check!(primitive(env, handle)) {
        Value::Number(number) => number,
        Value::Boolean(boolean) => f64::from(u8::from(boolean)),
        Value::Null => 0.0,
        _ => f64::NAN,
    };
    make(env, Value::Number(number), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_coerce_to_string(env: napi_env, handle: napi_value, result: *mut napi_value) -> napi_status {
    may_run!(env);
    let value = check!(primitive(env, handle));
    match *value {
        Value::String(_) => give(env, &value, result),
        Value::Symbol => {
            node(env).pending.replace(Some(Value::object(Kind::Error("TypeError"))));
            napi_pending_exception
        }
        Value::Number(number) => give(env, &Value::string(&number.to_string()), result),
        Value::Boolean(boolean) => give(env, &Value::string(&boolean.to_string()), result),
        Value::Undefined => give(env, &Value::string("undefined"), result),
        Value::Null => give(env, &Value::string("null"), result),
        Value::Object(_) => give(env, &Value::string("[object Object]"), result),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_coerce_to_bool(env: napi_env, handle: napi_value, result: *mut napi_value) -> napi_status {
    let boolean = match &*value(handle) {
        Value::Undefined | Value::Null => false,
        Value::Boolean(boolean) => *boolean,
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::String(units) => !units.is_empty(),
        Value::Symbol | Value::Object(_) => true,
    };
    make(env, Value::Boolean(boolean), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_string_utf8(
    env: napi_env,
    start: *const c_char,
    length: isize,
    result: *mut napi_value,
) -> napi_status {
    give(env, &Value::string(&String::from_utf8_lossy(bytes(start, length))), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_string_latin1(
    env: napi_env,
    start: *const c_char,
    length: isize,
    result: *mut napi_value,
) -> napi_status {
    make(env, Value::String(bytes(start, length).iter().map(|byte| (*byte).into()).collect()), result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_string_utf16(
    env: napi_env,
    start: *const u16,
    length: isize,
    result: *mut napi_value,
) -> napi_status {
    let Ok(length) = usize::try_from(length) else { return napi_invalid_arg };
    make(env, Value::String(slice::from_raw_parts(start, length).to_vec()), result)
}

/// Writes as many whole characters as there is room for, and a NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_value_string_utf8(
    _env: napi_env,
    handle: napi_value,
    start: *mut c_char,
    room: usize,
    result: *mut usize,
) -> napi_status {
    let Some(text) = value(handle).text() else { return Status::napi_string_expected };
    if start.is_null() {
        put(result, text.len());
    } else if room == 0 {
        put(result, 0);
    } else {
        let most = text.len().min(room - 1);
        let length = (0..=most).rev().find(|length| text.is_char_boundary(*length)).unwrap_or(0);
        ptr::copy_nonoverlapping(text.as_ptr(), start.cast(), length);
        start.add(length).write(0);
        put(result, length);
    }
    napi_ok
}

/// The wrapper only asks for the length.
#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_value_string_utf16(
    _env: napi_env,
    handle: napi_value,
    start: *mut u16,
    _room: usize,
    result: *mut usize,
) -> napi_status {
    assert!(start.is_null(), "only the length is modelled");
    let Value::String(units) = &*value(handle) else { return Status::napi_string_expected };
    put(result, units.len());
    napi_ok
}
