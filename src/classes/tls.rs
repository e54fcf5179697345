//! `SSLApp`: the functions for TLS.

use std::ffi::CStr;

use crate::call::{Call, Returned};
use crate::environment::Environment;
use crate::error::Error;
use crate::node::{Callback, Js, Value, ValueType};
use milliways_net::{AppId, Pem, TlsConfig, TlsSettings};

/// `secureApp(app, options)`
pub(crate) fn secure<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let config = TlsConfig::new(settings(call, 1)?)?;
    call.environment.reactor.secure(AppId(call.u32(0)?), config);
    Ok(None)
}

/// `addServerName(app, name, options)`
pub(crate) fn add_server_name<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (app, name) = (AppId(call.u32(0)?), call.text(1)?);
    let config = TlsConfig::new(settings(call, 2)?)?;
    call.environment.reactor.add_server_name(app, &name, config)?;
    Ok(None)
}

/// `removeServerName(app, name)`
pub(crate) fn remove_server_name<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (environment, app) = (call.environment, AppId(call.u32(0)?));
    for route in environment.reactor.remove_server_name(app, &call.text(1)?) {
        environment.forget(Some(&route));
    }
    environment.reactor.note_quiet(app);
    Ok(None)
}

/// `findDomain(app, name): domain`, the app's own for a name that it does not have.
pub(crate) fn find_domain<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let domain = call.environment.reactor.domain(AppId(call.u32(0)?), &call.text(1)?);
    Ok(Some(call.js.number(domain.unwrap_or_default().0)?))
}

/// `setMissingServerName(app, function)`: called with the name.
pub(crate) fn set_missing_server_name<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (environment, app) = (call.environment, AppId(call.u32(0)?));
    if let Some(callback) = Callback::new(call.js, call.arguments[1])? {
        environment.callbacks.borrow_mut().missing_names.insert(app.0, callback);
        environment.reactor.note_quiet(app);
        environment.reactor.ask_for_names(app);
    }
    Ok(None)
}

/// `reloadCertificates(app)`
pub(crate) fn reload_certificates<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    call.environment.reactor.reload_certificates(AppId(call.u32(0)?))?;
    Ok(None)
}

/// `responseCertificate(slot, generation): string`, in PEM form; empty without one.
pub(crate) fn certificate<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let certificate = call.environment.reactor.peer_certificate(call.id()?).map_err(|_| Error::ResponseDone)?;
    Ok(Some(call.js.string(&certificate.unwrap_or_default())?))
}

/// The TLS settings in the options at `index`, which may be missing.
fn settings<const N: usize>(call: &Call<'_, N>, index: usize) -> Result<TlsSettings, Error> {
    let (js, options) = (call.js, call.arguments[index]);
    if js.type_of(options)? != ValueType::napi_object {
        return Ok(TlsSettings::default());
    }
    let option =
        |name: &CStr| -> Result<Option<Vec<u8>>, Error> { bytes(call.environment, js, js.get(options, name)?) };
    let text = |name: &CStr| -> Result<Option<String>, Error> {
        Ok(option(name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    // Content takes precedence over the name of a file.
    let pem = |content: &'static CStr, file: &'static CStr| -> Result<Option<Pem>, Error> {
        if let Some(bytes) = option(content)? {
            return Ok(Some(Pem::Content(bytes, content.to_str().unwrap_or_default())));
        }
        Ok(text(file)?.map(|path| Pem::File(path.into(), file.to_str().unwrap_or_default())))
    };
    Ok(TlsSettings {
        key: pem(c"key", c"key_file_name")?,
        cert: pem(c"cert", c"cert_file_name")?,
        ca: pem(c"ca", c"ca_file_name")?,
        passphrase: option(c"passphrase")?,
        ciphers: text(c"ssl_ciphers")?,
    })
}

/// A string or the bytes of a buffer; `None` for `undefined`.
fn bytes<'s>(environment: &Environment, js: Js<'s>, value: Value<'s>) -> Result<Option<Vec<u8>>, Error> {
    match js.type_of(value)? {
        ValueType::napi_undefined => Ok(None),
        ValueType::napi_string => {
            let mut text = Vec::new();
            js.append_string(value, &mut text)?;
            Ok(Some(text))
        }
        ValueType::napi_object => Ok(Some(environment.shared_view.copy_of(js, value)?)),
        _ => Err(Error::InvalidData),
    }
}
