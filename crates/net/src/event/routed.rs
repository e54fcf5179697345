//! A request on its way through the routes that match it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use milliways_proto::http::Request;
use milliways_proto::router::Parameters;

/// A request at one of the routes that match it.
pub struct RoutedRequest<'b> {
    /// As it was received.
    pub request: &'b Request<'b>,
    parameters: Parameters,
    yields: &'b AtomicBool,
}

impl<'b> RoutedRequest<'b> {
    pub(crate) fn new(request: &'b Request<'b>, parameters: Parameters, yields: &'b AtomicBool) -> Self {
        yields.store(false, Ordering::Relaxed);
        Self { request, parameters, yields }
    }

    /// The value of the route's parameter number `index`, counted from 0; not decoded.
    pub fn parameter_at(&self, index: usize) -> Option<&'b str> {
        self.parameters.value_at(index, self.request.path())
    }

    /// The value of the route's first parameter with this name; not decoded.
    pub fn parameter(&self, name: &str) -> Option<&'b str> {
        self.parameters.value_of(name, self.request.path())
    }

    /// Whether the next route that matches gets the request, if this one leaves it unanswered.
    pub fn set_yield(&self, yields: bool) {
        self.yields.store(yields, Ordering::Relaxed);
    }
}

impl fmt::Debug for RoutedRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RoutedRequest").field("request", &self.request).finish_non_exhaustive()
    }
}
