//! Corking.

use crate::call::{Call, Returned};

/// Says that nothing was corked before.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// `uncork(slot, outer)`, of a WebSocket or a response.
pub(crate) fn uncork<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let outer = call.u32(1)?;
    call.environment.reactor.uncork(call.u32(0)?, (outer != NO_SLOT).then_some(outer));
    Ok(None)
}
