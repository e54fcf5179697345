//! Options, which are objects of JavaScript, parsed once into checked settings.

use std::ffi::CStr;

use milliways_net::{AppSettings, WebSocketSettings};
use milliways_proto::ws::DeflateSettings;

use super::number::{A_SIZE, LARGEST_SIZE, invalid_number, number_of};
use crate::error::Error;
use crate::node::{Failed, Js, Value, ValueType};

/// The settings in the options of an app, which may be missing.
pub(super) fn app_settings(js: Js<'_>, options: Value<'_>) -> Result<AppSettings, Error> {
    const A_TIMEOUT: &str = "a whole number of seconds from 0 to 960";

    let mut settings = AppSettings::default();
    // As in uWebSockets, the variable of the environment counts unless the program sets the option.
    let limit = std::env::var("UWS_HTTP_MAX_HEADERS_SIZE").ok().and_then(|bytes| bytes.parse().ok());
    settings.max_head_size = limit.unwrap_or(settings.max_head_size);
    if js.type_of(options)? != ValueType::napi_object {
        return Ok(settings);
    }
    let options = Options { js, object: options };
    if let Some(bytes) = options.whole_number(c"maxHeaderSize", LARGEST_SIZE, A_SIZE)? {
        settings.max_head_size = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = options.whole_number(c"maxBodySize", LARGEST_SIZE, A_SIZE)? {
        settings.max_body_size = bytes;
    }
    if let Some(seconds) = options.whole_number(c"idleTimeout", AppSettings::MAX_IDLE_TIMEOUT.into(), A_TIMEOUT)? {
        settings.idle_timeout = seconds as u32;
    }
    settings.proxy_protocol = options.switch(c"proxyProtocol", false)?;
    settings.max_connections = options.count(c"maxConnections", settings.max_connections)?;
    settings.max_connections_per_address =
        options.count(c"maxConnectionsPerAddress", settings.max_connections_per_address)?;
    settings.pauses_at_limit = options.pauses_at_limit()?;
    Ok(settings)
}

/// The settings in the options of a WebSocket route. An option that is `undefined` has its default. As in uWebSockets.js, a
/// value is converted to a number, whose fraction is cut off. A number that the option cannot have is an error.
pub(super) fn websocket_settings(js: Js<'_>, options: Value<'_>) -> Result<WebSocketSettings, Error> {
    /// The length in bytes of the longest message that an `ArrayBuffer` of Node 20 can hold.
    const LONGEST_MESSAGE: u64 = u32::MAX as u64;

    let options = Options { js, object: options };
    let default = WebSocketSettings::default();
    let compression =
        options.number(c"compression", 0, "a compressor, a decompressor or both of the constants", |number| {
            deflate_settings(number).is_ok()
        })?;
    let settings = WebSocketSettings {
        max_payload: options.bytes(c"maxPayloadLength", default.max_payload, LONGEST_MESSAGE)?,
        max_text: default.max_text,
        max_fragments: options.count(c"maxFragments", default.max_fragments)?,
        idle_timeout: options.time(c"idleTimeout", default.idle_timeout, "0 or a number of seconds from 8 to 960")?,
        max_backpressure: options.bytes(c"maxBackpressure", default.max_backpressure, u64::MAX)?,
        close_on_backpressure_limit: options
            .switch(c"closeOnBackpressureLimit", default.close_on_backpressure_limit)?,
        send_pings: options.switch(c"sendPingsAutomatically", default.send_pings)?,
        max_lifetime: options.time(c"maxLifetime", default.max_lifetime, "a number of minutes from 0 to 240")?,
        max_topics: options.count(c"maxTopics", default.max_topics)?,
        deflate: deflate_settings(compression).unwrap_or_default(),
        compression_threshold: options.bytes(c"compressionThreshold", default.compression_threshold, u64::MAX)?,
        tells_dropped: default.tells_dropped,
        tells_subscriptions: default.tells_subscriptions,
    };
    settings.check()?;
    Ok(settings)
}

/// An object with options.
struct Options<'s> {
    js: Js<'s>,
    object: Value<'s>,
}

impl Options<'_> {
    /// A whole number from 0 to `max`; `None` for `undefined` and `null`. Nothing is converted: the options that this is for
    /// are ours, and no program passes text for them.
    fn whole_number(&self, name: &CStr, max: f64, allowed: &'static str) -> Result<Option<u64>, Error> {
        let value = self.js.get(self.object, name)?;
        let number = match self.js.type_of(value)? {
            ValueType::napi_undefined | ValueType::napi_null => return Ok(None),
            ValueType::napi_number => self.js.to_f64(value)?,
            _ => f64::NAN,
        };
        if number >= 0.0 && number.fract() == 0.0 && number <= max {
            #[expect(clippy::cast_sign_loss, reason = "checked not to be below 0")]
            return Ok(Some(number as u64));
        }
        Err(invalid_number(self.js, &name.to_string_lossy(), allowed, value)?)
    }

    /// How many of something there may be. 0 sets no limit.
    fn count(&self, name: &CStr, default: u32) -> Result<u32, Error> {
        const A_COUNT: &str = "a whole number from 0 to 4294967295";

        Ok(match self.whole_number(name, u32::MAX.into(), A_COUNT)? {
            None => default,
            Some(0) => u32::MAX,
            Some(count) => count as u32,
        })
    }

    fn pauses_at_limit(&self) -> Result<bool, Error> {
        const NAME: &CStr = c"onConnectionLimit";

        let value = self.js.get(self.object, NAME)?;
        let text = match self.js.type_of(value)? {
            ValueType::napi_undefined | ValueType::napi_null => return Ok(false),
            ValueType::napi_string => self.js.text(value)?,
            _ => String::new(),
        };
        match &*text {
            "refuse" => Ok(false),
            "pause" => Ok(true),
            _ => Err(invalid_number(self.js, &NAME.to_string_lossy(), "'refuse' or 'pause'", value)?),
        }
    }

    /// A number that is not below 0, without its fraction.
    fn number(
        &self,
        name: &CStr,
        default: u64,
        allowed: &'static str,
        is_allowed: fn(u64) -> bool,
    ) -> Result<u64, Error> {
        let value = self.js.get(self.object, name)?;
        if self.js.is_undefined(value)? {
            return Ok(default);
        }
        let number = number_of(self.js, value)?.trunc();
        #[expect(clippy::cast_sign_loss, reason = "compared on the same line")]
        let number = (number >= 0.0).then_some(number as u64).filter(|number| is_allowed(*number));
        match number {
            Some(number) => Ok(number),
            None => Err(invalid_number(self.js, &name.to_string_lossy(), allowed, value)?),
        }
    }

    /// A number of bytes. One above `most`, the largest that makes a difference, means that there is no limit.
    fn bytes(&self, name: &CStr, default: usize, most: u64) -> Result<usize, Error> {
        const BYTES: &str = "a number of bytes that is not below 0";

        Ok(self.number(name, default as u64, BYTES, |_| true)?.min(most) as usize)
    }

    /// A time in the option's unit.
    fn time(&self, name: &CStr, default: u32, allowed: &'static str) -> Result<u32, Error> {
        /// Up to this, uWebSockets.js refuses a time that is too long with a text of its own, as `WebSocketSettings::check` does.
        const LONGEST_TIME: u64 = i32::MAX as u64;

        Ok(self.number(name, default.into(), allowed, |time| time <= LONGEST_TIME)? as u32)
    }

    fn switch(&self, name: &CStr, default: bool) -> Result<bool, Failed> {
        let value = self.js.get(self.object, name)?;
        if self.js.is_undefined(value)? { Ok(default) } else { self.js.to_bool(value) }
    }
}

/// A number that is no combination of the constants.
struct UnknownCompression;

/// The meaning of at most one compressor and at most one decompressor, combined by `|`.
fn deflate_settings(compression: u64) -> Result<Option<DeflateSettings>, UnknownCompression> {
    let compressor = match compression & 0xFF {
        // SHARED_COMPRESSOR is 1.
        0 | 1 => None,
        // The value of DEDICATED_COMPRESSOR in 2019.
        2 => Some(15),
        // DEDICATED_COMPRESSOR_3KB and so on; the upper half is the window.
        dedicated @ (145 | 146 | 163 | 180 | 197 | 214 | 231 | 248) => Some((dedicated >> 4) as u8),
        _ => return Err(UnknownCompression),
    };
    let decompressor = match compression >> 8 {
        // SHARED_DECOMPRESSOR is 1.
        0 | 1 => None,
        window @ 9..=15 => Some(window as u8),
        _ => return Err(UnknownCompression),
    };
    // As in uWebSockets.js, messages are compressed by the shared compressor if there is only a decompressor.
    Ok((compression != 0).then_some(DeflateSettings { compressor, decompressor }))
}
