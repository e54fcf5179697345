//! Options of JavaScript objects, parsed once into checked settings.

use std::ffi::CStr;

use milliways_net::{AppSettings, WebSocketSettings};
use milliways_proto::ws::DeflateSettings;

use crate::error::Error;
use crate::node::{Failed, Js, Value, ValueType};

/// The settings in an app's options, of which there may be none.
pub(crate) fn app_settings(js: Js<'_>, options: Value<'_>) -> Result<AppSettings, Error> {
    let mut settings = AppSettings::default();
    // As uWebSockets has it: what the environment says counts unless the program says something.
    let limit = std::env::var("UWS_HTTP_MAX_HEADERS_SIZE").ok().and_then(|bytes| bytes.parse().ok());
    settings.max_head_size = limit.unwrap_or(settings.max_head_size);
    if js.type_of(options)? != ValueType::napi_object {
        return Ok(settings);
    }
    let whole = |name: &CStr, max: f64, allowed: &'static str| -> Result<Option<f64>, Error> {
        let value = js.get(options, name)?;
        let number = match js.type_of(value)? {
            ValueType::napi_undefined | ValueType::napi_null => return Ok(None),
            ValueType::napi_number => js.to_f64(value)?,
            // These options are ours, and nothing is converted for the sake of older programs.
            _ => f64::NAN,
        };
        let is_allowed = number >= 0.0 && number.fract() == 0.0 && number <= max;
        if is_allowed { Ok(Some(number)) } else { Err(invalid_number(js, &name.to_string_lossy(), allowed, value)?) }
    };
    #[expect(clippy::cast_sign_loss, reason = "checked not to be below 0")]
    {
        if let Some(bytes) = whole(c"maxHeaderSize", LARGEST_SIZE, A_SIZE)? {
            settings.max_head_size = bytes as usize;
        }
        if let Some(bytes) = whole(c"maxBodySize", LARGEST_SIZE, A_SIZE)? {
            settings.max_body_size = bytes as u64;
        }
        let longest = f64::from(AppSettings::MAX_IDLE_TIMEOUT);
        if let Some(seconds) = whole(c"idleTimeout", longest, "a whole number of seconds from 0 to 960")? {
            settings.idle_timeout = seconds as u32;
        }
    }
    settings.proxy_protocol = js.to_bool(js.get(options, c"proxyProtocol")?)?;
    Ok(settings)
}

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
pub(crate) const LARGEST_SIZE: f64 = 9_007_199_254_740_991.0;

/// What a size must be.
pub(crate) const A_SIZE: &str = "a whole number from 0 to Number.MAX_SAFE_INTEGER";

/// The settings in a WebSocket route's options; what is `undefined` has its default. As in uWebSockets.js a value is
/// converted to a number, and the fraction of that is cut off. A number that is none for its option is an error.
pub(crate) fn websocket_settings(js: Js<'_>, options: Value<'_>) -> Result<WebSocketSettings, Error> {
    /// The longest message that there can be: an `ArrayBuffer` of Node 20 has at most so many bytes.
    const LONGEST_MESSAGE: u64 = u32::MAX as u64;
    /// uWebSockets.js refuses a time up to this, if it is too long, with a text of its own.
    const LONGEST_TIME: u64 = i32::MAX as u64;
    const BYTES: &str = "a number of bytes that is not below 0";

    let number = |name: &CStr, default: u64, allowed: &'static str, is_allowed: fn(u64) -> bool| {
        let value = js.get(options, name)?;
        if js.is_undefined(value)? {
            return Ok(default);
        }
        let number = number_of(js, value)?.trunc();
        #[expect(clippy::cast_sign_loss, reason = "it is compared on the same line")]
        let number = (number >= 0.0).then_some(number as u64).filter(|number| is_allowed(*number));
        match number {
            Some(number) => Ok(number),
            None => Err(invalid_number(js, &name.to_string_lossy(), allowed, value)?),
        }
    };
    // A number that is larger than any there could be says that there is no limit.
    let bytes = |name: &CStr, default: usize, most: u64| -> Result<usize, Error> {
        Ok(number(name, default as u64, BYTES, |_| true)?.min(most) as usize)
    };
    let time = |name: &CStr, default: u32, allowed: &'static str| -> Result<u32, Error> {
        Ok(number(name, default.into(), allowed, |time| time <= LONGEST_TIME)? as u32)
    };
    let switch = |name: &CStr, default: bool| -> Result<bool, Failed> {
        let value = js.get(options, name)?;
        if js.is_undefined(value)? { Ok(default) } else { js.to_bool(value) }
    };
    let default = WebSocketSettings::default();
    let compression = number(c"compression", 0, "a compressor, a decompressor or both of the constants", |number| {
        deflate_settings(number).is_ok()
    })?;
    let settings = WebSocketSettings {
        max_payload: bytes(c"maxPayloadLength", default.max_payload, LONGEST_MESSAGE)?,
        max_text: default.max_text,
        idle_timeout: time(c"idleTimeout", default.idle_timeout, "0 or a number of seconds from 8 to 960")?,
        max_backpressure: bytes(c"maxBackpressure", default.max_backpressure, u64::MAX)?,
        close_on_backpressure_limit: switch(c"closeOnBackpressureLimit", default.close_on_backpressure_limit)?,
        send_pings: switch(c"sendPingsAutomatically", default.send_pings)?,
        max_lifetime: time(c"maxLifetime", default.max_lifetime, "a number of minutes from 0 to 240")?,
        deflate: deflate_settings(compression).unwrap_or_default(),
        compression_threshold: bytes(c"compressionThreshold", default.compression_threshold, u64::MAX)?,
        tells_dropped: default.tells_dropped,
    };
    settings.check()?;
    Ok(settings)
}

/// A number that no combination of the constants is.
struct UnknownCompression;

/// What at most one compressor and at most one decompressor, combined by `|`, stand for.
fn deflate_settings(compression: u64) -> Result<Option<DeflateSettings>, UnknownCompression> {
    let compressor = match compression & 0xFF {
        // SHARED_COMPRESSOR is 1.
        0 | 1 => None,
        // What DEDICATED_COMPRESSOR was in 2019.
        2 => Some(15),
        // DEDICATED_COMPRESSOR_3KB and so on; the window is the upper half.
        dedicated @ (145 | 146 | 163 | 180 | 197 | 214 | 231 | 248) => Some((dedicated >> 4) as u8),
        _ => return Err(UnknownCompression),
    };
    let decompressor = match compression >> 8 {
        // SHARED_DECOMPRESSOR is 1.
        0 | 1 => None,
        window @ 9..=15 => Some(window as u8),
        _ => return Err(UnknownCompression),
    };
    // With a decompressor alone what is sent has the shared compressor, as in uWebSockets.js.
    Ok((compression != 0).then_some(DeflateSettings { compressor, decompressor }))
}

/// What ECMAScript's `ToNumber` makes of a value, but NaN where nobody means a number by it, and where `ToNumber` would
/// throw. It may call JavaScript (`valueOf`).
pub(crate) fn number_of(js: Js<'_>, value: Value<'_>) -> Result<f64, Failed> {
    match js.type_of(value)? {
        // Blank text, such as a variable of the environment that is empty, would be 0, and so would an empty array.
        ValueType::napi_string if js.text(value)?.trim().is_empty() => Ok(f64::NAN),
        ValueType::napi_object if js.is_array(value)? => Ok(f64::NAN),
        ValueType::napi_number | ValueType::napi_boolean | ValueType::napi_string | ValueType::napi_object => {
            js.to_f64(value)
        }
        _ => Ok(f64::NAN),
    }
}

/// The error for a value that is no number that `name` can have.
pub(crate) fn invalid_number(js: Js<'_>, name: &str, allowed: &'static str, value: Value<'_>) -> Result<Error, Failed> {
    /// Characters that are shown of a text.
    const SHOWN: usize = 40;

    let value = match js.type_of(value)? {
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
    };
    Ok(Error::InvalidNumber { name: name.to_owned(), allowed, value })
}
