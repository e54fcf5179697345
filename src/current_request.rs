//! The request whose handler is running.

use std::cell::Cell;
use std::ptr::NonNull;

use milliways_net::RoutedRequest;

use crate::restored::Restored;

/// The request whose handler is running, found by the number that its JavaScript object has.
#[derive(Default)]
pub(crate) struct CurrentRequest {
    /// Valid while `lend`, which borrows the request, runs. (The lifetime is not the true one.)
    request: Cell<Option<(NonNull<RoutedRequest<'static>>, u32)>>,
    /// The number of the last request.
    serial: Cell<u32>,
}

impl CurrentRequest {
    /// Lends a request to JavaScript while `run`, which is called with its number, runs. After a nested event loop the outer
    /// request is lent again.
    pub(crate) fn lend<R>(&self, request: &RoutedRequest<'_>, run: impl FnOnce(u32) -> R) -> R {
        // It stays a small integer, and an object would have to survive a billion requests to find another one's.
        let serial = (self.serial.get() + 1) % (1 << 30);
        self.serial.set(serial);
        // Taken back even if `run` panics, because the borrow ends then.
        let _outer = Restored::replace(&self.request, Some((NonNull::from(request).cast(), serial)));
        run(serial)
    }

    /// The request with this number, if it is the one that is lent.
    ///
    /// # Safety
    ///
    /// `'r` ends before the function passed to [`CurrentRequest::lend`] returns.
    pub(crate) unsafe fn get<'r>(&self, serial: u32) -> Option<&'r RoutedRequest<'r>> {
        let (request, _) = self.request.get().filter(|(_, its)| *its == serial)?;
        // SAFETY: `lend` borrows the request as long as it is here; the rest is the caller's promise.
        Some(unsafe { request.as_ref() })
    }
}
