//! Events of the reactor, told to JavaScript.

use milliways_net::{BehaviorId, ConnectionId, Handler, Reactor, RouteId};
use milliways_proto::http::Request;
use milliways_proto::ws::Payload;

use crate::callback::Callback;
use crate::environment::{BehaviorCallbacks, Environment, Scope};
use crate::error::Error;
use crate::value::{Failed, Js, Value};

/// A message of this many bytes or more that was put together in memory of its own becomes JavaScript's with that
/// memory. Below, making such an `ArrayBuffer` costs more than copying.
const EXTERNAL_FROM: usize = 20 * 1024;

/// Chooses one of a behavior's handlers.
type Which = fn(&BehaviorCallbacks) -> &Option<Callback>;

impl Handler for Environment {
    fn request(&self, reactor: &Reactor, route: RouteId, id: ConnectionId, request: &Request<'_>) {
        let serial = self.request.set(request);
        let told = self.event(Scope::Own, |js| {
            let function = match self.callbacks.borrow().routes.get(route.0 as usize) {
                Some(callback) => callback.function(js)?,
                None => return Ok(()),
            };
            js.call(function, &[js.number(id.slot)?, js.number(id.generation)?, js.number(serial)?]).map(|_| ())
        });
        self.request.clear();
        if told.is_none() {
            // What was thrown has been reported. That there is no response follows from it and needs no second report.
            reactor.fail_response(id, self);
        }
    }

    fn aborted(&self, _reactor: &Reactor, id: ConnectionId) {
        self.event(Scope::Batch, |js| {
            let function = match &self.callbacks.borrow().aborted {
                Some(callback) => callback.function(js)?,
                None => return Ok(()),
            };
            js.call(function, &[js.number(id.slot)?]).map(|_| ())
        });
    }

    fn unanswered(&self, _reactor: &Reactor, request: &Request<'_>) {
        self.report(&Error::NoResponse(request.method().to_owned(), request.path().to_owned()));
    }

    fn open(&self, _reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, request: &Request<'_>) {
        let serial = self.request.set(request);
        self.tell(
            Scope::Own,
            behavior,
            |callbacks| &callbacks.open,
            |js, function| {
                js.call(function, &[js.number(id.slot)?, js.number(id.generation)?, js.number(serial)?]).map(|_| ())
            },
        );
        self.request.clear();
    }

    fn message(&self, _reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>, binary: bool) {
        self.tell_payload(behavior, |callbacks| &callbacks.message, id, payload, binary.into());
    }

    fn ping(&self, _reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>) {
        self.tell_payload(behavior, |callbacks| &callbacks.ping, id, payload, 0);
    }

    fn pong(&self, _reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>) {
        self.tell_payload(behavior, |callbacks| &callbacks.pong, id, payload, 0);
    }

    fn drain(&self, _reactor: &Reactor, behavior: BehaviorId, id: ConnectionId) {
        self.tell(
            Scope::Batch,
            behavior,
            |callbacks| &callbacks.drain,
            |js, function| js.call(function, &[js.number(id.slot)?]).map(|_| ()),
        );
    }

    fn close(&self, _reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, code: u16, reason: &[u8]) {
        self.tell_bytes(behavior, |callbacks| &callbacks.close, id, reason, code.into());
    }

    fn panicked(&self, _reactor: &Reactor, message: &str) {
        self.report(&Error::Internal(message.to_owned()));
    }
}

impl Environment {
    /// A message that was not sent because too much waits already.
    pub(crate) fn dropped(&self, behavior: BehaviorId, id: ConnectionId, message: &[u8], binary: bool) {
        self.tell_bytes(behavior, |callbacks| &callbacks.dropped, id, message, binary.into());
    }

    /// Calls a handler of a behavior if there is one.
    fn tell(
        &self,
        scope: Scope,
        behavior: BehaviorId,
        which: Which,
        call: impl for<'s> FnOnce(Js<'s>, Value<'s>) -> Result<(), Failed>,
    ) {
        if which(&self.callbacks.borrow().behaviors[behavior.0 as usize]).is_none() {
            return;
        }
        self.event(scope, |js| {
            let function = match which(&self.callbacks.borrow().behaviors[behavior.0 as usize]) {
                Some(callback) => callback.function(js)?,
                None => return Ok(()),
            };
            call(js, function)
        });
    }

    fn tell_payload(&self, behavior: BehaviorId, which: Which, id: ConnectionId, payload: Payload<'_>, extra: u32) {
        self.tell_buffer(behavior, which, id, extra, |js| match payload {
            Payload::Owned(bytes) if bytes.len() >= EXTERNAL_FROM => js.external_array_buffer(bytes),
            payload => js.array_buffer(payload.len(), |buffer| payload.copy_into(buffer)),
        });
    }

    fn tell_bytes(&self, behavior: BehaviorId, which: Which, id: ConnectionId, bytes: &[u8], extra: u32) {
        self.tell_buffer(behavior, which, id, extra, |js| {
            js.array_buffer(bytes.len(), |buffer| buffer.copy_from_slice(bytes))
        });
    }

    /// Calls a handler with bytes in an `ArrayBuffer` that it loses when it has returned: nobody keeps another's bytes,
    /// and the garbage collector has nothing to look for.
    fn tell_buffer(
        &self,
        behavior: BehaviorId,
        which: Which,
        id: ConnectionId,
        extra: u32,
        make: impl for<'s> FnOnce(Js<'s>) -> Result<Value<'s>, Failed>,
    ) {
        self.tell(Scope::Batch, behavior, which, |js, function| {
            let buffer = make(js)?;
            let returned = js.call(function, &[js.number(id.slot)?, buffer, js.number(extra)?]);
            // What was thrown is reported first. If it was the end of the environment, the buffer stays as it is: Node 20
            // aborts when a buffer is detached while that is on its way up through calls of JavaScript.
            let Some(returned) = self.settle(js, returned) else {
                return if self.is_alive() { js.detach(buffer) } else { Ok(()) };
            };
            // An async function sees its bytes until what it awaits first has settled in the same turn.
            if !js.is_undefined(returned)? {
                self.run_ticks();
            }
            js.detach(buffer)
        });
    }
}
