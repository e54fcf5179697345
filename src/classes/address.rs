//! Addresses of clients.

use std::net::{IpAddr, SocketAddr};

use milliways_net::{Generation, Stale};

use crate::call::{Call, Returned};
use crate::error::Error;

/// The generation that no connection has. JavaScript passes it for one that has gone.
const GONE: Generation = Generation(u32::MAX);

/// `...Address(slot, generation, proxied, asText): ArrayBuffer`: the address as its bytes or as text, empty if it is unknown.
pub(super) fn address_of<'s>(call: &Call<'s, 4>, stale: fn(Stale) -> Error) -> Returned<'s> {
    let address = find_address(call, stale)?;
    let bytes = match address.map(|address| address.ip()) {
        None => Vec::new(),
        Some(address) if call.bool(3)? => full_text(address).into_bytes(),
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
    };
    Ok(Some(call.js.copied_buffer(&bytes)?))
}

/// `...Port(slot, generation, proxied): number`: the port, 0 if it is unknown.
pub(super) fn port_of<'s>(call: &Call<'s, 3>, stale: fn(Stale) -> Error) -> Returned<'s> {
    let address = find_address(call, stale)?;
    Ok(Some(call.js.number(address.map_or(0, |address| address.port().into()))?))
}

fn find_address<const N: usize>(call: &Call<'_, N>, stale: fn(Stale) -> Error) -> Result<Option<SocketAddr>, Error> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    if id.generation == GONE {
        return Ok(None);
    }
    if call.bool(2)? { reactor.proxied_remote_address(id) } else { reactor.remote_address(id) }.map_err(stale)
}

/// An IPv6 address with all digits of all groups, as programs have learned to expect it.
fn full_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|group| format!("{group:04x}")).join(":"),
    }
}
