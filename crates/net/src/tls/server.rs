//! What a reactor does about TLS.

use milliways_proto::router::Router;
use milliways_tls::{Input, InvalidServerName, NamePattern, Then, TlsConfig, TlsError};

use crate::ids::Stale;
use crate::server::conversation::{Flags, Phase};
use crate::server::http::take_proxy_header;
use crate::server::state::State;
use crate::{AppId, ConnectionId, DomainId, Handler, Reactor, Route};

use super::Names;

impl Reactor {
    /// Has the app speak TLS with those who connect from now on.
    pub fn secure(&self, app: AppId, config: TlsConfig) {
        self.state().apps.of_mut(app).names = Some(Names::new(config));
    }

    /// Adds a server name (RFC 6066 section 3) with a certificate of its own, and a router of its own, which is given; `*`
    /// in place of the first label stands for any. A name that is there gets the certificate, and keeps its router.
    pub fn add_server_name(&self, app: AppId, name: &str, config: TlsConfig) -> Result<DomainId, InvalidServerName> {
        let pattern = NamePattern::new(name)?;
        let mut state = self.state();
        let app = state.apps.of_mut(app);
        let Some(names) = &mut app.names else { return Ok(DomainId::default()) };
        let domain = names.table.get(&pattern).unwrap_or_else(|| {
            app.last_domain += 1;
            app.domains.insert(app.last_domain, Router::default());
            DomainId(app.last_domain)
        });
        names.table.insert(pattern, config, domain);
        Ok(domain)
    }

    /// Removes a server name, with its routes, which are given. Connections that are open live on, without routes.
    pub fn remove_server_name(&self, app: AppId, name: &str) -> Vec<Route> {
        let mut state = self.state();
        let app = state.apps.of_mut(app);
        let domain = app.names.as_mut().and_then(|names| names.table.remove(name));
        let Some(router) = domain.and_then(|domain| app.domains.remove(&domain.0)) else { return Vec::new() };
        let mut removed = Vec::new();
        router.for_each(|route| removed.push(route.clone()));
        removed
    }

    /// The router of those who ask for a name: its own, or that of a pattern it matches.
    pub fn domain(&self, app: AppId, name: &str) -> Option<DomainId> {
        self.state().apps.of(app).names.as_ref()?.table.find(name)
    }

    /// Has [`Handler::missing_server_name`] called from now on.
    pub fn ask_for_names(&self, app: AppId) {
        if let Some(names) = &mut self.state().apps.of_mut(app).names {
            names.asks = true;
        }
    }

    /// Reads the files of the app and its names anew, for those who connect from now on. If one is no good, nothing changes.
    pub fn reload_certificates(&self, app: AppId) -> Result<(), TlsError> {
        self.state().apps.of_mut(app).names.as_mut().map_or(Ok(()), |names| names.table.reload())
    }

    /// The certificate that the peer has shown, in PEM form.
    pub fn peer_certificate(&self, id: ConnectionId) -> Result<Option<String>, Stale> {
        let mut state = self.state();
        state.table.get(id)?;
        Ok(state.sessions.at(id.slot).and_then(|session| session.certificate().map(milliways_tls::to_pem)))
    }

    /// Handles what has been read from a connection that speaks TLS: `length` bytes of the buffer, behind those that its
    /// session has kept. Returns whether the peer sends nothing more.
    pub(crate) fn handle_sealed(
        &self,
        slot: u32,
        buffer: &mut [u8],
        mut length: usize,
        handler: &impl Handler,
    ) -> bool {
        let mut state = self.state();
        let State { table, pool, sessions, .. } = &mut *state;
        let (Some(connection), Some(session)) = (table.at(slot), sessions.at(slot)) else { return false };
        // The header of a proxy precedes the handshake.
        if connection.flags.has(Flags::MAY_HAVE_PROXY_HEADER) {
            match take_proxy_header(connection, pool, &buffer[..length]) {
                None => {
                    session.hold(&buffer[..length]);
                    return false;
                }
                Some(Ok(header)) => {
                    buffer.copy_within(header..length, 0);
                    length -= header;
                }
                Some(Err(_)) => {
                    drop(state);
                    self.give_up(slot, handler);
                    return false;
                }
            }
        }
        let mut input = state.unseal(slot, &mut buffer[..length]);
        drop(state);
        if let Then::Hello(name) = &input.then {
            let chosen = self.choose_name(slot, name.as_deref(), handler);
            let Some((config, domain)) = chosen else { return false };
            let mut state = self.state();
            let state = &mut *state;
            let (Some(connection), Some(secured)) = (state.table.at(slot), state.sessions.secured(slot)) else {
                return false;
            };
            secured.domain = domain;
            let out = state.pool.side_of(connection).output.sealed();
            input = secured.session.choose(&config, buffer, out);
        }
        self.state().after_records(slot);
        if input.data > 0 {
            self.handle_bytes(slot, &mut buffer[..input.data], handler);
        }
        if input.then == Then::Failed {
            self.give_up(slot, handler);
        }
        input.then == Then::Closed
    }

    /// What an app has for a name, if need be after it has been told of it.
    fn choose_name(&self, slot: u32, name: Option<&str>, handler: &impl Handler) -> Option<(TlsConfig, DomainId)> {
        let mut state = self.state();
        let app = state.table.at(slot)?.app();
        let missing = name.filter(|name| {
            state.apps.of(app).names.as_ref().is_some_and(|names| names.asks && names.table.find(name).is_none())
        });
        drop(state);
        if let Some(name) = missing {
            handler.missing_server_name(self, app, name);
        }
        let mut state = self.state();
        // The handler may have closed the app.
        state.table.at(slot)?;
        let (config, domain) = state.apps.of(app).names.as_ref()?.table.choose(name);
        Some((config.clone(), domain.unwrap_or_default()))
    }

    /// Ends a connection whose session has failed, after the alert that says why.
    fn give_up(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let Some(connection) = state.table.at(slot) else { return };
        if matches!(connection.phase, Phase::Request) {
            state.begin_closing(slot);
        } else if matches!(connection.phase, Phase::Closing) {
            // Nothing that we wait for will come.
            connection.flags.take(Flags::AWAITS_CLOSE);
            state.mark_dirty(slot);
        } else {
            state.flush(slot);
            drop(state);
            self.drop_connection(slot, handler);
        }
    }
}

impl State {
    fn unseal(&mut self, slot: u32, bytes: &mut [u8]) -> Input {
        self.note_session(slot);
        let (Some(connection), Some(session)) = (self.table.at(slot), self.sessions.at(slot)) else {
            return Input { data: 0, then: Then::Failed };
        };
        session.receive(bytes, self.pool.side_of(connection).output.sealed())
    }

    /// The session of a connection, if it has one, is in use.
    pub(crate) fn note_session(&mut self, slot: u32) {
        let Some(secured) = self.sessions.secured(slot) else { return };
        if !secured.note_use(self.now) {
            return;
        }
        self.keyed.push(slot, secured.serial, self.now);
        if let Some((slot, serial)) = self.keyed.pop_surplus()
            && let Some(surplus) = self.sessions.secured(slot)
            && surplus.serial == serial
        {
            surplus.rest();
        }
    }

    /// Has sessions that have been silent forget what they can make again.
    pub(crate) fn rest_silent(&mut self) {
        while let Some((slot, serial)) = self.keyed.poll_due(self.now) {
            if let Some(secured) = self.sessions.secured(slot)
                && secured.serial == serial
                && !secured.rest_if_silent(self.now)
            {
                self.keyed.push(slot, serial, self.now);
            }
        }
    }

    /// Has answers of the session go out, and the protocol above begin when it can.
    fn after_records(&mut self, slot: u32) {
        let now = self.active_now();
        let (Some(connection), Some(session)) = (self.table.at(slot), self.sessions.at(slot)) else { return };
        let is_done = session.is_open() && connection.flags.take(Flags::HANDSHAKE);
        let answers = connection.side.as_ref().is_some_and(|side| !side.output.is_empty());
        if is_done {
            connection.last_active = now;
            self.arm(slot);
        }
        if answers {
            self.mark_dirty(slot);
        } else if let Some(connection) = self.table.at(slot) {
            self.pool.reclaim(connection);
        }
    }

    /// The routes for a request of a connection; `None` if its server name has been removed.
    pub(crate) fn router_of(&mut self, app: AppId, slot: u32) -> Option<&Router<Route>> {
        let domain = self.sessions.secured(slot).map_or_else(DomainId::default, |secured| secured.domain);
        self.apps.of(app).router(domain)
    }
}
