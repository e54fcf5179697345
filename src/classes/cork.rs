//! Corking, which is the same for a WebSocket and a response.

use milliways_net::Slot;

use crate::call::{Call, Returned};

/// Stands for no slot: nothing was corked before.
const NO_SLOT: u32 = u32::MAX;

/// Returns the slot that was corked before, which is passed to `uncork`.
pub(super) fn outer<'s, const N: usize>(call: &Call<'s, N>, slot: Option<Slot>) -> Returned<'s> {
    Ok(Some(call.js.number(slot.map_or(NO_SLOT, |slot| slot.0))?))
}

/// `uncork(slot, outer)`, of a WebSocket or a response.
pub(crate) fn uncork<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let outer = call.u32(1)?;
    call.environment.reactor.uncork(Slot(call.u32(0)?), (outer != NO_SLOT).then_some(Slot(outer)));
    Ok(None)
}
