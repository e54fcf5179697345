//! Calls the JavaScript handlers of the reactor's events.

use milliways_net::{AppId, BehaviorId, ConnectionId, Event, RouteId, RoutedRequest, Slot};
use milliways_proto::topics::Change;
use milliways_proto::ws::Payload;

use crate::environment::Environment;
use crate::error::Error;
use crate::handlers::{BehaviorCallbacks, Callbacks};
use crate::node::{Callback, Failed, Js, Value};
use crate::registers::Register;
use crate::scopes::Scope;

/// Chooses one of a behavior's handlers.
type Which = fn(&BehaviorCallbacks) -> Option<&Callback>;

/// Chooses one of the handlers that all responses share.
type WhichOfResponse = fn(&Callbacks) -> Option<&Callback>;

/// The number of remaining bytes that a body handler is called with if the number is unknown.
const UNKNOWN: f64 = -1.0;

impl Environment {
    /// Calls the handler of an event.
    pub(crate) fn handle(&self, event: Event<'_>) {
        match event {
            Event::Request { route, id, request } => self.tell_request(route, id, &request),
            Event::Upgrade { behavior, id, request } => self.tell_upgrade(behavior, id, &request),
            Event::Open { behavior, id, request } => self.tell_open(behavior, id, &request),
            Event::Data { id, data, remaining } => self.tell_data(id, &data, remaining),
            Event::Collected { id, body } => self.tell_collected(id, body),
            Event::Writable { id, offset } => {
                #[expect(clippy::cast_precision_loss, reason = "a body of 8 PiB is never sent")]
                let offset = offset as f64;
                self.tell_response(|callbacks| callbacks.writable.as_ref(), id, |js| js.double(offset).map(Some));
            }
            Event::Aborted { id } => self.tell_response(|callbacks| callbacks.aborted.as_ref(), id, |_| Ok(None)),
            Event::Answered { id } => self.tell_response(|callbacks| callbacks.answered.as_ref(), id, |_| Ok(None)),
            Event::Unanswered { method, path, .. } => self.report(&Error::NoResponse(method.into(), path.into())),
            Event::Message { behavior, id, payload, binary } => self.tell_message(behavior, id, payload, binary),
            Event::Ping { behavior, id, payload } => {
                self.tell_payload(behavior, |callbacks| callbacks.ping.as_ref(), id, payload, 0);
            }
            Event::Pong { behavior, id, payload } => {
                self.tell_payload(behavior, |callbacks| callbacks.pong.as_ref(), id, payload, 0);
            }
            Event::Drain { behavior, id } => self.tell_drain(behavior, id),
            Event::Dropped { behavior, id, message, binary } => self.reactor.telling_dropped(|| {
                self.tell_bytes(behavior, |callbacks| callbacks.dropped.as_ref(), id, &message, binary.into());
            }),
            Event::Subscription { behavior, id, topic, change } => {
                self.tell_subscription(behavior, id, &topic, change);
            }
            Event::Close { behavior, id, code, reason } => {
                self.tell_bytes(behavior, |callbacks| callbacks.close.as_ref(), id, &reason, code.into());
            }
            Event::MissingServerName { app, name } => self.tell_missing_name(app, &name),
            Event::Connected { app, id } => self.tell_filter(app, id, 1.0),
            Event::Disconnected { app, id } => self.tell_filter(app, id, -1.0),
            Event::ShutDown { app, closed, forced } => self.tell_shut_down(app, closed, forced),
            Event::Panicked { message } => self.report(&Error::Internal(message)),
        }
    }

    /// Handles the events that a call from JavaScript has caused since `mark`, before the call returns. If the call is
    /// nested too deeply, ends wait until the outermost call is about to return.
    pub(crate) fn handle_caused(&self, mark: usize) {
        let reactor = &self.reactor;
        if self.scopes.is_deep() {
            reactor.defer_ends(mark);
        }
        if !reactor.has_caused(mark) {
            return;
        }
        // The register may hold the result of the call.
        let returned = self.registers.get(Register::Value);
        reactor.run_caused(mark, |event| self.handle(event));
        if self.scopes.is_in_outermost_call() {
            reactor.run_deferred(|event| self.handle(event));
        }
        self.registers.set(Register::Value, returned);
    }

    fn tell_request(&self, route: RouteId, id: ConnectionId, request: &RoutedRequest<'_>) {
        let told = self.request.lend(request, |serial| {
            self.event_of(id, Scope::Own, |js| {
                let Some(function) = self.function(js, |callbacks| callbacks.routes.get(route.0 as usize))? else {
                    return Ok(());
                };
                js.call(function, &[js.number(id.slot.0)?, js.number(id.generation.0)?, js.number(serial)?]).map(|_| ())
            })
        });
        self.after_request(id, told);
    }

    fn tell_upgrade(&self, behavior: BehaviorId, id: ConnectionId, request: &RoutedRequest<'_>) {
        self.callbacks.borrow().behaviors[behavior].has_contexts.set(true);
        let told = self.request.lend(request, |serial| {
            self.tell_alone(
                behavior,
                id,
                |callbacks| callbacks.upgrade.as_ref(),
                |js, function| {
                    let (slot, generation) = (js.number(id.slot.0)?, js.number(id.generation.0)?);
                    let context = js.number(behavior.0)?;
                    js.call(function, &[slot, generation, js.number(serial)?, context]).map(|_| ())
                },
            )
        });
        self.after_request(id, told);
    }

    fn tell_open(&self, behavior: BehaviorId, id: ConnectionId, request: &RoutedRequest<'_>) {
        self.request.lend(request, |serial| {
            self.tell_alone(
                behavior,
                id,
                |callbacks| callbacks.open.as_ref(),
                |js, function| {
                    let (slot, generation) = (js.number(id.slot.0)?, js.number(id.generation.0)?);
                    js.call(function, &[slot, generation, js.number(serial)?]).map(|_| ())
                },
            )
        });
    }

    fn tell_data(&self, id: ConnectionId, data: &[u8], remaining: Option<u64>) {
        #[expect(clippy::cast_precision_loss, reason = "a body of 8 PiB is never sent")]
        let remaining = remaining.map_or(UNKNOWN, |remaining| remaining as f64);
        self.event_of(id, Scope::Own, |js| {
            let Some(function) = self.function(js, |callbacks| callbacks.data.as_ref())? else { return Ok(()) };
            self.scopes.with_buffer(js, data.len(), |js| {
                let arguments = [js.number(id.slot.0)?, js.copied_buffer(data)?, js.double(remaining)?];
                js.call(function, &arguments).map(|_| ())
            })
        });
    }

    fn tell_collected(&self, id: ConnectionId, body: Option<Vec<u8>>) {
        let Some(body) = body else {
            return self.tell_response(|callbacks| callbacks.collected.as_ref(), id, |js| js.null().map(Some));
        };
        self.event_of(id, Scope::Own, |js| {
            let Some(function) = self.function(js, |callbacks| callbacks.collected.as_ref())? else { return Ok(()) };
            self.scopes.with_buffer(js, body.len(), |js| {
                let buffer = js.copied_buffer(&body)?;
                // Freed before the handler runs.
                drop(body);
                js.call(function, &[js.number(id.slot.0)?, buffer]).map(|_| ())
            })
        });
    }

    fn tell_missing_name(&self, app: AppId, name: &str) {
        self.counted(
            || app,
            None,
            Scope::Own,
            |js| {
                let Some(function) = self.function(js, |callbacks| callbacks.missing_names.get(&app.0))? else {
                    return Ok(());
                };
                js.call(function, &[js.string(name)?]).map(|_| ())
            },
        );
    }

    /// Calls the handler of a message.
    pub(crate) fn tell_message(&self, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>, binary: bool) {
        if !binary && self.callbacks.borrow().behaviors[behavior].text_as_string {
            return self.tell_text(behavior, id, payload);
        }
        self.tell_payload(behavior, |callbacks| callbacks.message.as_ref(), id, payload, binary.into());
    }

    fn tell_drain(&self, behavior: BehaviorId, id: ConnectionId) {
        self.tell(
            behavior,
            id,
            |callbacks| callbacks.drain.as_ref(),
            |js, function| js.call(function, &[js.number(id.slot.0)?]).map(|_| ()),
        );
    }

    /// Calls the open handler of a request that a call from JavaScript has upgraded, with its user data.
    pub(crate) fn opened(&self, behavior: BehaviorId, id: ConnectionId, user_data: Value<'_>) {
        let user_data = user_data.raw();
        self.tell_alone(
            behavior,
            id,
            |callbacks| callbacks.open.as_ref(),
            |js, function| {
                // SAFETY: it is an argument of a call that has not returned.
                let user_data = unsafe { Value::from_raw(user_data) };
                // There is no request, whose number would be the third argument.
                js.call(function, &[js.number(id.slot.0)?, js.number(id.generation.0)?, js.null()?, user_data])
                    .map(|_| ())
            },
        );
    }

    /// Abandons the response if the handler threw. The exception is reported, so the missing response need not be.
    fn after_request(&self, id: ConnectionId, told: Option<()>) {
        if told.is_none() && self.scopes.is_alive() {
            self.reactor.abandon_response(id);
        } else if told.is_none() {
            // The thread is being terminated, which is no failure of the request.
            let _ = self.reactor.close_response(id);
        }
    }

    /// Runs a piece of JavaScript for an event of a connection; returns `None` if it threw or could not run.
    fn event_of<T>(
        &self,
        id: ConnectionId,
        scope: Scope,
        run: impl for<'s> FnOnce(Js<'s>) -> Result<T, Failed>,
    ) -> Option<T> {
        self.counted(|| self.reactor.app_of(id.slot), Some(id.slot), scope, run)
    }

    /// Runs a piece of JavaScript for an event of an app, perhaps of one of its connections, and counts an exception.
    /// Returns `None` if it threw or could not run.
    fn counted<T>(
        &self,
        app: impl FnOnce() -> AppId,
        slot: Option<Slot>,
        scope: Scope,
        run: impl for<'s> FnOnce(Js<'s>) -> Result<T, Failed>,
    ) -> Option<T> {
        let result = self.scopes.event(scope, run);
        if result.is_none() && self.scopes.is_alive() {
            self.reactor.note_handler_error(app(), slot);
        }
        result
    }

    /// Calls a handler of a behavior, if there is one, in the behavior's scope.
    fn tell(
        &self,
        behavior: BehaviorId,
        id: ConnectionId,
        which: Which,
        call: impl for<'s> FnOnce(Js<'s>, Value<'s>) -> Result<(), Failed>,
    ) {
        let scope = {
            let callbacks = &self.callbacks.borrow().behaviors[behavior];
            which(callbacks).map(|_| callbacks.scope)
        };
        if let Some(scope) = scope {
            self.tell_in(scope, behavior, id, which, call);
        }
    }

    /// Calls a handler of a behavior, if there is one, in a scope of its own; returns `None` if it threw or could not
    /// run.
    fn tell_alone(
        &self,
        behavior: BehaviorId,
        id: ConnectionId,
        which: Which,
        call: impl for<'s> FnOnce(Js<'s>, Value<'s>) -> Result<(), Failed>,
    ) -> Option<()> {
        if which(&self.callbacks.borrow().behaviors[behavior]).is_none() {
            return Some(());
        }
        self.tell_in(Scope::Own, behavior, id, which, call)
    }

    fn tell_in(
        &self,
        scope: Scope,
        behavior: BehaviorId,
        id: ConnectionId,
        which: Which,
        call: impl for<'s> FnOnce(Js<'s>, Value<'s>) -> Result<(), Failed>,
    ) -> Option<()> {
        let app = || self.reactor.app_of_behavior(behavior);
        self.counted(app, Some(id.slot), scope, |js| {
            match self.function(js, |callbacks| which(&callbacks.behaviors[behavior]))? {
                Some(function) => call(js, function),
                None => Ok(()),
            }
        })
    }

    /// Calls a handler that all responses share, with a slot and the value that `make` returns, if any.
    fn tell_response(
        &self,
        which: WhichOfResponse,
        id: ConnectionId,
        make: impl for<'s> FnOnce(Js<'s>) -> Result<Option<Value<'s>>, Failed>,
    ) {
        self.event_of(id, Scope::Own, |js| {
            let Some(function) = self.function(js, which)? else { return Ok(()) };
            let slot = js.number(id.slot.0)?;
            match make(js)? {
                Some(value) => js.call(function, &[slot, value]),
                None => js.call(function, &[slot]),
            }
            .map(|_| ())
        });
    }

    fn tell_filter(&self, app: AppId, id: ConnectionId, count: f64) {
        self.counted(
            || app,
            Some(id.slot),
            Scope::Own,
            |js| {
                let Some(function) = self.function(js, |callbacks| callbacks.filters.get(&app.0))? else {
                    return Ok(());
                };
                js.call(function, &[js.number(id.slot.0)?, js.number(id.generation.0)?, js.double(count)?]).map(|_| ())
            },
        );
    }

    fn tell_shut_down(&self, app: AppId, closed: u64, forced: u64) {
        self.scopes.event(Scope::Own, |js| {
            let Some(function) = self.function(js, |callbacks| callbacks.shutdowns.get(&app.0))? else { return Ok(()) };
            // It is called once. The function stays in the scope.
            self.callbacks.borrow_mut().shutdowns.remove(&app.0);
            let count = |count: u64| js.size(usize::try_from(count).unwrap_or(usize::MAX));
            js.call(function, &[count(closed)?, count(forced)?]).map(|_| ())
        });
    }

    fn tell_payload(&self, behavior: BehaviorId, which: Which, id: ConnectionId, payload: Payload<'_>, extra: u32) {
        let length = payload.len();
        // The payload's own memory is freed before the handler runs.
        self.tell_buffer(behavior, which, id, extra, length, move |js| {
            js.array_buffer(length, |buffer| payload.copy_into(buffer))
        });
    }

    fn tell_bytes(&self, behavior: BehaviorId, which: Which, id: ConnectionId, bytes: &[u8], extra: u32) {
        self.tell_buffer(behavior, which, id, extra, bytes.len(), |js| js.copied_buffer(bytes));
    }

    fn tell_buffer(
        &self,
        behavior: BehaviorId,
        which: Which,
        id: ConnectionId,
        extra: u32,
        length: usize,
        make: impl for<'s> FnOnce(Js<'s>) -> Result<Value<'s>, Failed>,
    ) {
        self.tell(behavior, id, which, |js, function| {
            self.scopes.with_buffer(js, length, |js| {
                let buffer = make(js)?;
                self.registers.set(Register::Slot, id.slot.0);
                self.registers.set(Register::Value, extra);
                js.call(function, &[buffer])?;
                self.after_call();
                Ok(())
            })
        });
    }

    fn tell_text(&self, behavior: BehaviorId, id: ConnectionId, mut payload: Payload<'_>) {
        self.tell(
            behavior,
            id,
            |callbacks| callbacks.message.as_ref(),
            |js, function| {
                let text = js.checked_string(payload.bytes())?;
                self.registers.set(Register::Slot, id.slot.0);
                self.registers.set(Register::Value, 0);
                js.call(function, &[text])?;
                self.after_call();
                Ok(())
            },
        );
    }

    /// Calls the subscription handler with the numbers of the topic's subscribers after and before the change.
    fn tell_subscription(&self, behavior: BehaviorId, id: ConnectionId, topic: &[u8], change: Change) {
        self.tell(
            behavior,
            id,
            |callbacks| callbacks.subscription.as_ref(),
            |js, function| {
                let buffer = js.copied_buffer(topic)?;
                let arguments = [js.number(id.slot.0)?, buffer, js.size(change.new)?, js.size(change.old)?];
                js.call(function, &arguments)?;
                self.after_call();
                Ok(())
            },
        );
    }

    /// Runs microtasks and nextTicks if the handler is asynchronous, which the register says. So the handler continues
    /// before the next event.
    fn after_call(&self) {
        if self.registers.get(Register::Value) != 0 {
            self.scopes.run_ticks();
        }
    }
}
