//! `App`: connections that others have accepted.

use std::ffi::c_int;
use std::io;
use std::net::IpAddr;

use milliways_net::{AppId, Remote};

use super::number::shown;
use crate::call::{Call, Returned};
use crate::descriptors::{self, Described};
use crate::error::Error;
use crate::node::ValueType;
use crate::uv;

/// `getDescriptor(app): number`: a number by which any thread of the process can name the app, until the app is closed. The app
/// lives meanwhile, as if it listened.
pub(crate) fn get_descriptor<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (environment, app) = (call.environment, AppId(call.u32(0)?));
    let failed = |error: io::Error| Error::NoDescriptor(error.to_string());
    let remote = environment.reactor.remote(app).map_err(failed)?;
    environment.hold(call.js, app)?;
    environment.reactor.begin_adopting(app);
    environment.update_liveness();
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let descriptor = descriptors::of(remote) as f64;
    Ok(Some(call.js.double(descriptor)?))
}

/// `addChildAppDescriptor(app, descriptor)`: connections that the app accepts go to the child, and to other children, in turn.
pub(crate) fn add_child<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    if let Some(child) = described(call)? {
        call.environment.reactor.add_child(AppId(call.u32(0)?), child);
    }
    Ok(None)
}

/// `removeChildAppDescriptor(app, descriptor)`
pub(crate) fn remove_child<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    if let Some(child) = described(call)? {
        call.environment.reactor.remove_child(AppId(call.u32(0)?), &child);
    }
    Ok(None)
}

/// The app that the second argument describes; `None` if it has ended, of which its parent need not know.
fn described(call: &Call<'_, 2>) -> Result<Option<Remote>, Error> {
    let (js, value) = (call.js, call.arguments[1]);
    let is_number = js.type_of(value)? == ValueType::napi_number;
    match if is_number { descriptors::find(js.to_f64(value)?) } else { Described::Nothing } {
        Described::App(remote) => Ok(Some(remote)),
        Described::Ended => Ok(None),
        Described::Nothing => Err(Error::InvalidDescriptor(shown(js, value)?)),
    }
}

/// `adoptSocket(app, descriptor, ip | undefined)`: serves a connection as if the app had accepted it.
pub(crate) fn adopt_socket<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (environment, app) = (call.environment, AppId(call.u32(0)?));
    let peer = peer_address(call)?;
    let refuse = Error::InvalidSocket;
    let (js, value) = (call.js, call.arguments[1]);
    let number = if js.type_of(value)? == ValueType::napi_number { js.to_f64(value)? } else { f64::NAN };
    if !(number.fract() == 0.0 && (0.0..=f64::from(c_int::MAX)).contains(&number)) {
        return Err(refuse(format!("{} is not a number of a descriptor", shown(js, value)?)));
    }
    // A process's standard streams are stream sockets, too, if its parent is Node. Nobody means them.
    if number <= 2.0 {
        return Err(refuse(format!("{number} is a standard stream of the process")));
    }
    // SAFETY: the program leaves the descriptor to us, unless there is an error, after which it is given back.
    let stream = unsafe { uv::stream_of(number as c_int) };
    let stream = stream.ok_or_else(|| refuse(format!("{number} is not an open stream socket")))?;
    if let Err(failed) = environment.hold(js, app) {
        uv::give_back(stream);
        return Err(failed.into());
    }
    let adopted = environment.reactor.adopt(app, stream, peer);
    environment.reactor.note_quiet(app);
    environment.update_liveness();
    let Err((error, stream)) = adopted else { return Ok(None) };
    uv::give_back(stream);
    Err(refuse(match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{number} is a connection of an app already"),
        io::ErrorKind::InvalidInput => format!("{number} is a socket without a connection"),
        io::ErrorKind::QuotaExceeded => {
            format!("{number} would be one connection more than maxConnections or maxConnectionsPerAddress allows")
        }
        _ => format!("{number} cannot be used: {error}"),
    }))
}

/// The third argument: text, or the bytes of an address; `None` for `undefined`.
fn peer_address(call: &Call<'_, 3>) -> Result<Option<IpAddr>, Error> {
    let (js, value) = (call.js, call.arguments[2]);
    let address = match js.type_of(value)? {
        ValueType::napi_undefined => return Ok(None),
        ValueType::napi_string => js.text(value)?.parse().ok(),
        _ => {
            let bytes = call.bytes(2)?;
            let v4 = <[u8; 4]>::try_from(&*bytes).ok().map(IpAddr::from);
            v4.or_else(|| <[u8; 16]>::try_from(&*bytes).ok().map(IpAddr::from))
        }
    };
    match address {
        Some(address) => Ok(Some(address)),
        None => Err(Error::InvalidAddress(shown(js, value)?)),
    }
}
