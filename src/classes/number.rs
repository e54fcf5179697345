//! Numbers that programs pass.

use crate::error::Error;
use crate::node::{Failed, Js, Value, ValueType};

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
pub(super) const LARGEST_SIZE: f64 = 9_007_199_254_740_991.0;

/// The allowed sizes, for the text of an error.
pub(super) const A_SIZE: &str = "a whole number from 0 to Number.MAX_SAFE_INTEGER";

/// A number of bytes, `name` in an error.
pub(super) fn size(js: Js<'_>, value: Value<'_>, name: &str) -> Result<u64, Error> {
    let number = if is_convertible(js, value)? { js.to_f64(value)? } else { f64::NAN };
    if number >= 0.0 && number.fract() == 0.0 && number <= LARGEST_SIZE {
        #[expect(clippy::cast_sign_loss, reason = "checked not to be below 0")]
        return Ok(number as u64);
    }
    Err(invalid_number(js, name, A_SIZE, value)?)
}

/// A number, `name` in an error, converted by ECMAScript's `ToInt32`.
pub(super) fn int32(js: Js<'_>, value: Value<'_>, name: &str) -> Result<i32, Error> {
    if is_convertible(js, value)? { Ok(js.to_i32(value)?) } else { Err(invalid_number(js, name, "a number", value)?) }
}

/// Whether `ToNumber` does not throw by itself. What a value's own conversion throws is the program's affair.
fn is_convertible(js: Js<'_>, value: Value<'_>) -> Result<bool, Failed> {
    Ok(!matches!(js.type_of(value)?, ValueType::napi_bigint | ValueType::napi_symbol))
}

/// Converts a value by ECMAScript's `ToNumber`. Blank text and arrays, which are not meant as numbers, become NaN, and so does a
/// value for which `ToNumber` would throw. The conversion may call JavaScript (`valueOf`).
pub(super) fn number_of(js: Js<'_>, value: Value<'_>) -> Result<f64, Failed> {
    match js.type_of(value)? {
        // `ToNumber` would make 0 of blank text, such as an empty environment variable, and of an empty array.
        ValueType::napi_string if js.text(value)?.trim().is_empty() => Ok(f64::NAN),
        ValueType::napi_object if js.is_array(value)? => Ok(f64::NAN),
        ValueType::napi_number | ValueType::napi_boolean | ValueType::napi_string | ValueType::napi_object => {
            js.to_f64(value)
        }
        _ => Ok(f64::NAN),
    }
}

/// The error for a value that `name` must not have.
pub(super) fn invalid_number(js: Js<'_>, name: &str, allowed: &'static str, value: Value<'_>) -> Result<Error, Failed> {
    Ok(Error::InvalidNumber { name: name.to_owned(), allowed, value: shown(js, value)? })
}

/// A value as the text of an error shows it.
pub(super) fn shown(js: Js<'_>, value: Value<'_>) -> Result<String, Failed> {
    /// The number of characters of a text that are shown.
    const SHOWN: usize = 40;

    Ok(match js.type_of(value)? {
        ValueType::napi_string => {
            let text = js.text(value)?;
            let shown: String = text.chars().take(SHOWN).collect();
            format!("'{shown}{}'", if shown.len() < text.len() { "..." } else { "" })
        }
        ValueType::napi_bigint => format!("{}n", js.text(value)?),
        ValueType::napi_symbol => "a symbol".to_owned(),
        ValueType::napi_function => "a function".to_owned(),
        ValueType::napi_object if js.is_array(value)? => "an array".to_owned(),
        ValueType::napi_object => "an object".to_owned(),
        _ => js.text(value)?,
    })
}
