//! A request on its way through the routes that match it.

use std::cell::Cell;

use milliways_proto::http::Request;
use milliways_proto::router::Parameters;

/// A request at one of the routes that match it.
pub struct RoutedRequest<'b> {
    /// As it was received.
    pub request: &'b Request<'b>,
    parameters: Parameters,
    yields: Cell<bool>,
}

impl<'b> RoutedRequest<'b> {
    pub(super) fn new(request: &'b Request<'b>, parameters: Parameters) -> Self {
        Self { request, parameters, yields: Cell::new(false) }
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
        self.yields.set(yields);
    }

    pub(super) fn yields(&self) -> bool {
        self.yields.get()
    }
}
