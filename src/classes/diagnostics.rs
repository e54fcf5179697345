//! Diagnostics: what observers are told of, for `js/diagnostics.js`.

use std::net::SocketAddr;

use milliways_net::{AppId, Fact, Watching, What, descriptions};

use crate::call::{Call, Returned};
use crate::environment::Environment;
use crate::node::{Callback, Failed, Js, Value};
use crate::scopes::Scope;

/// What is noted, by the numbers in `js/diagnostics.js`.
const WATCHING: [Watching; 3] = [Watching::Nothing, Watching::Connections, Watching::Requests];

/// `setObserver(function)`: `function` is called with facts as `takeFacts` returns them, at the end of each turn of the loop in
/// which there are any.
pub(crate) fn set_observer<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    call.environment.callbacks.borrow_mut().observer = Callback::new(call.js, call.arguments[0])?;
    Ok(None)
}

/// `watch(number)`: sets what is noted from now on.
pub(crate) fn watch<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let watching = WATCHING.get(call.u32(0)? as usize).copied().unwrap_or_default();
    call.environment.reactor.watch(watching);
    Ok(None)
}

/// `takeFacts(): Array`: what has happened and has not been told yet. Each fact is an array: a name, an app, a slot or null, and
/// details. The name of a number that has risen is its path, and the detail by how much.
pub(crate) fn take_facts<'s>(call: &Call<'s, 0>) -> Returned<'s> {
    Ok(Some(facts(call.js, &call.environment.reactor.take_facts())?))
}

impl Environment {
    /// Tells the observer what has happened.
    pub(crate) fn tell_facts(&self) {
        let taken = self.reactor.take_facts();
        if taken.is_empty() {
            return;
        }
        self.scopes.event(Scope::Batch, |js| {
            let Some(function) = self.function(js, |callbacks| callbacks.observer.as_ref())? else { return Ok(()) };
            js.call(function, &[facts(js, &taken)?]).map(|_| ())
        });
    }
}

fn facts<'s>(js: Js<'s>, facts: &[Fact]) -> Result<Value<'s>, Failed> {
    let facts = facts.iter().map(|fact| fact_of(js, fact)).collect::<Result<Vec<_>, _>>()?;
    js.array(&facts)
}

fn fact_of<'s>(js: Js<'s>, Fact { app: AppId(app), slot, what }: &Fact) -> Result<Value<'s>, Failed> {
    let (app, slot) = (js.number(*app)?, slot.map_or_else(|| js.null(), |slot| js.number(slot.0))?);
    let fact = |name: &str, details: &[Value<'s>]| js.array(&[&[js.string(name)?, app, slot], details].concat());
    match what {
        What::Connected { peer, is_secure } => {
            let [address, port] = address_of(js, *peer)?;
            fact("connected", &[js.boolean(*is_secure)?, address, port])
        }
        What::Client { peer, proxied, is_secure } => {
            let ([address, port], [proxied, proxied_port]) = (address_of(js, *peer)?, address_of(js, *proxied)?);
            fact("client", &[js.boolean(*is_secure)?, address, port, proxied, proxied_port])
        }
        What::Requested(method) => fact("requested", &[js.string(method)?]),
        What::Upgraded { is_compressed } => fact("upgraded", &[js.boolean(*is_compressed)?]),
        What::Closed(code) => fact("closed", &[js.number((*code).into())?]),
        What::Refused { number, peer } => {
            let [address, port] = address_of(js, *peer)?;
            fact("refused", &[js.string(&descriptions()[*number].path)?, address, port])
        }
        What::Removed => fact("removed", &[]),
        What::Counted { number, count } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            fact(&descriptions()[*number].path, &[js.size(count)?])
        }
    }
}

/// Returns an address as text, which is empty if it is unknown, and a port.
fn address_of(js: Js<'_>, address: Option<SocketAddr>) -> Result<[Value<'_>; 2], Failed> {
    let text = address.map_or_else(String::new, |address| address.ip().to_string());
    Ok([js.string(&text)?, js.number(address.map_or(0, |address| address.port().into()))?])
}
