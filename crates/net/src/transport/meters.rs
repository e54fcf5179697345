//! The meters of apps, by the numbers that connections have for them.

use crate::counters::Meter;
use crate::ids::AppId;

/// The number of the meter of an app. It is short, because every connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MeterKey(u16);

/// The key of all apps for which there is no other. This happens to a thread with more than 65,535 apps at a time.
const SHARED: MeterKey = MeterKey(u16::MAX);

/// The meters of apps.
pub(super) struct Meters {
    at: Vec<Option<Meter>>,
    /// The meter behind [`SHARED`].
    shared: Meter,
}

impl MeterKey {
    pub(super) fn of(app: AppId) -> Self {
        u16::try_from(app.0).map_or(SHARED, Self)
    }
}

impl Meters {
    pub(super) fn new(shared: Meter) -> Self {
        Self { at: Vec::new(), shared }
    }

    /// Sets the meter of an app, or removes it.
    pub(super) fn set(&mut self, app: AppId, meter: Option<Meter>) {
        let MeterKey(key) = MeterKey::of(app);
        if MeterKey(key) == SHARED {
            return;
        }
        let index = usize::from(key);
        if self.at.len() <= index {
            self.at.resize_with(index + 1, || None);
        }
        self.at[index] = meter;
    }

    #[inline]
    pub(super) fn of(&self, key: MeterKey) -> &Meter {
        self.at.get(usize::from(key.0)).and_then(Option::as_ref).unwrap_or(&self.shared)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::counters::Cell;
    use crate::watch::Watch;

    #[test]
    fn apps_beyond_the_last_number_share_a_meter() {
        let watch = Rc::new(Watch::default());
        let new = |app| Meter::new(AppId(app), &watch);
        let (own, shared) = (new(65_534), new(u32::MAX));
        let mut meters = Meters::new(shared.clone());
        meters.set(AppId(65_534), Some(own.clone()));
        for app in [65_535, 65_536, 1 << 20] {
            meters.set(AppId(app), Some(new(app)));
            meters.of(MeterKey::of(AppId(app))).count(Cell::SocketSent);
        }
        meters.of(MeterKey::of(AppId(65_534))).count(Cell::SocketSent);
        assert_eq!((own.get(Cell::SocketSent), shared.get(Cell::SocketSent)), (1, 3));
        meters.set(AppId(65_534), None);
        meters.of(MeterKey::of(AppId(65_534))).count(Cell::SocketSent);
        assert_eq!((own.get(Cell::SocketSent), shared.get(Cell::SocketSent)), (1, 4));
    }
}
