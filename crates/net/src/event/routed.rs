//! A request and the parameters of a route that matches it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use milliways_proto::http::Request;
use milliways_proto::router::Parameters;

/// A request as the handler of one of its matching routes gets it.
pub struct RoutedRequest<'b> {
    /// The request as it was received.
    pub request: &'b Request<'b>,
    parameters: Parameters,
    yields: &'b AtomicBool,
}

impl<'b> RoutedRequest<'b> {
    pub(crate) fn new(request: &'b Request<'b>, parameters: Parameters, yields: &'b AtomicBool) -> Self {
        yields.store(false, Ordering::Relaxed);
        Self { request, parameters, yields }
    }

    /// Returns the value of the route's parameter at `index`, counted from 0. The value is not percent-decoded.
    pub fn parameter_at(&self, index: usize) -> Option<&'b str> {
        self.parameters.value_at(index, self.request.path())
    }

    /// Returns the value of the route's first parameter with this name. The value is not percent-decoded.
    pub fn parameter(&self, name: &str) -> Option<&'b str> {
        self.parameters.value_of(name, self.request.path())
    }

    /// Sets whether the next matching route gets the request if the handler of this route returns without a complete
    /// response.
    pub fn set_yield(&self, yields: bool) {
        self.yields.store(yields, Ordering::Relaxed);
    }
}

impl fmt::Debug for RoutedRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RoutedRequest").field("request", &self.request).finish_non_exhaustive()
    }
}
