//! Options of JavaScript objects, parsed once into checked settings.

use std::ffi::CStr;

use milliways_net::WebSocketSettings;

use crate::error::Error;
use crate::value::{Failed, Js, Value};

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
    };
    settings.check()?;
    Ok(settings)
}
