//! Server names (RFC 6066 section 3) and the certificates that apps have for them.

use milliways_proto::router::Router;
use milliways_tls::{InvalidServerName, NamePattern, TlsConfig, TlsError};

use super::Server;
use super::settings::Route;
use crate::event::Event;
use crate::ids::{AppId, ConnectionId, DomainId, Slot, Stale};

/// The server names of an app.
pub(crate) struct Names {
    table: milliways_tls::Names<DomainId>,
    /// Whether [`Event::MissingServerName`] is wanted for names that are not in the table.
    asks: bool,
}

/// The methods behind those of [`crate::Reactor`], which documents them.
impl Server {
    pub(crate) fn secure(&mut self, app: AppId, config: TlsConfig) {
        self.apps.of_mut(app).names = Some(Names { table: milliways_tls::Names::new(config), asks: false });
    }

    pub(crate) fn add_server_name(
        &mut self,
        app: AppId,
        name: &str,
        config: TlsConfig,
    ) -> Result<DomainId, InvalidServerName> {
        let pattern = NamePattern::new(name)?;
        let app = self.apps.of_mut(app);
        let Some(names) = &app.names else { return Ok(DomainId::default()) };
        let domain = names.table.get(&pattern).unwrap_or_else(|| app.add_domain());
        if let Some(names) = &mut app.names {
            names.table.insert(pattern, config, domain);
        }
        Ok(domain)
    }

    pub(crate) fn remove_server_name(&mut self, app: AppId, name: &str) -> Vec<Route> {
        let app = self.apps.of_mut(app);
        let domain = app.names.as_mut().and_then(|names| names.table.remove(name));
        let router = domain.and_then(|domain| app.domains.remove(&domain));
        router.iter().flat_map(Router::values).cloned().collect()
    }

    pub(crate) fn find_domain(&self, app: AppId, name: &str) -> Option<DomainId> {
        self.apps.of(app).names.as_ref()?.table.find(name)
    }

    pub(crate) fn ask_for_names(&mut self, app: AppId) {
        if let Some(names) = &mut self.apps.of_mut(app).names {
            names.asks = true;
        }
    }

    pub(crate) fn reload_certificates(&mut self, app: AppId) -> Result<(), TlsError> {
        self.apps.of_mut(app).names.as_mut().map_or(Ok(()), |names| names.table.reload())
    }

    pub(crate) fn peer_certificate(&mut self, id: ConnectionId) -> Result<Option<String>, Stale> {
        self.table.get(id)?;
        Ok(self.transport.certificate(id.slot).map(milliways_tls::to_pem))
    }
}

impl Server {
    /// Queues [`Event::MissingServerName`] if the app does not have the name and has asked for that event.
    pub(crate) fn ask_for_name(&mut self, slot: Slot, name: Option<&str>) {
        let app = self.table[slot].app();
        let Some(names) = &self.apps.of(app).names else { return };
        if names.asks
            && let Some(name) = name.filter(|name| names.table.find(name).is_none())
        {
            self.events.push(Event::MissingServerName { app, name: name.into() });
        }
    }

    /// Returns the certificate and the router for a server name; `None` if the app does not use TLS.
    pub(crate) fn choose_name(&self, slot: Slot, name: Option<&str>) -> Option<(TlsConfig, DomainId)> {
        let (config, domain) = self.apps.of(self.table[slot].app()).names.as_ref()?.table.choose(name);
        Some((config.clone(), domain.unwrap_or_default()))
    }
}
