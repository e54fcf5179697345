//! Options of JavaScript objects, parsed once into checked settings.

use std::ffi::CStr;

use milliways_net::{AppSettings, WebSocketSettings};
use milliways_proto::ws::DeflateSettings;

use napi_sys::ValueType;

use crate::error::Error;
use crate::value::{Failed, Js, Value};

/// The settings in an app's options, of which there may be none.
pub(crate) fn app_settings(js: Js<'_>, options: Value<'_>) -> Result<AppSettings, Error> {
    let mut settings = AppSettings::default();
    // As uWebSockets has it: what the environment says counts unless the program says something.
    let limit = std::env::var("UWS_HTTP_MAX_HEADERS_SIZE").ok().and_then(|bytes| bytes.parse().ok());
    settings.max_head_size = limit.unwrap_or(settings.max_head_size);
    if js.type_of(options)? != ValueType::napi_object {
        return Ok(settings);
    }
    let whole = |name: &CStr| -> Result<Option<f64>, Error> {
        let value = js.get(options, name)?;
        let number = match js.type_of(value)? {
            ValueType::napi_undefined | ValueType::napi_null => return Ok(None),
            ValueType::napi_number => js.to_f64(value)?,
            // To JavaScript much that is no number is 0.
            _ => f64::NAN,
        };
        let is_size = number >= 0.0 && number.fract() == 0.0 && number <= LARGEST_SIZE;
        if is_size { Ok(Some(number)) } else { Err(Error::InvalidSize(name.to_string_lossy().into_owned(), number)) }
    };
    #[expect(clippy::cast_sign_loss, reason = "checked to be none below 0")]
    {
        if let Some(bytes) = whole(c"maxHeaderSize")? {
            settings.max_head_size = bytes as usize;
        }
        if let Some(bytes) = whole(c"maxBodySize")? {
            settings.max_body_size = bytes as u64;
        }
        if let Some(seconds) = whole(c"idleTimeout")? {
            settings.idle_timeout = seconds as u32;
        }
    }
    settings.proxy_protocol = js.to_bool(js.get(options, c"proxyProtocol")?)?;
    settings.check()?;
    Ok(settings)
}

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
pub(crate) const LARGEST_SIZE: f64 = 9_007_199_254_740_991.0;

/// The settings in a WebSocket route's options. Values go through `ToInt32` and are then taken as unsigned, as
/// uWebSockets.js does it; what is `undefined` has its default.
pub(crate) fn websocket_settings(js: Js<'_>, options: Value<'_>) -> Result<WebSocketSettings, Error> {
    let default = WebSocketSettings::default();
    let number = |name: &CStr, default: u32| -> Result<u32, Failed> {
        let value = js.get(options, name)?;
        if js.is_undefined(value)? { Ok(default) } else { Ok(js.to_i32(value)?.cast_unsigned()) }
    };
    let switch = |name: &CStr, default: bool| -> Result<bool, Failed> {
        let value = js.get(options, name)?;
        if js.is_undefined(value)? { Ok(default) } else { js.to_bool(value) }
    };
    let settings = WebSocketSettings {
        max_payload: number(c"maxPayloadLength", default.max_payload as u32)? as usize,
        idle_timeout: number(c"idleTimeout", default.idle_timeout)?,
        max_backpressure: number(c"maxBackpressure", default.max_backpressure as u32)? as usize,
        close_on_backpressure_limit: switch(c"closeOnBackpressureLimit", default.close_on_backpressure_limit)?,
        send_pings: switch(c"sendPingsAutomatically", default.send_pings)?,
        max_lifetime: number(c"maxLifetime", default.max_lifetime)?,
        deflate: deflate_settings(number(c"compression", 0)?),
        compression_threshold: number(c"compressionThreshold", 0)? as usize,
    };
    settings.check()?;
    Ok(settings)
}

/// What the constants mean, of which a compressor and a decompressor are combined.
fn deflate_settings(compression: u32) -> Option<DeflateSettings> {
    const SHARED_COMPRESSOR: u32 = 1;

    let compressor = match compression & 0xFF {
        0 => return None,
        SHARED_COMPRESSOR => None,
        // Numbers that are no constants are taken for the nearest.
        dedicated => Some((dedicated >> 4).clamp(9, 15) as u8),
    };
    // 1 is the shared one.
    let decompressor = (compression >> 8 & 0xF) as u8;
    Some(DeflateSettings { compressor, decompressor: (9..=15).contains(&decompressor).then_some(decompressor) })
}
