//! The server names of an app (RFC 6066 section 3), and what each has.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::DnsName;

use crate::{DomainId, TlsConfig, TlsError, pem};

/// What an app that speaks TLS has for its peers.
pub struct Names {
    /// For those who ask for no name, or for one that is not here.
    default: TlsConfig,
    /// As [`key_of`] has them; `*.` at the beginning stands for any one label.
    by_name: HashMap<String, Name>,
    /// Whether somebody wants to know of names that are not here.
    pub asks: bool,
}

struct Name {
    config: TlsConfig,
    domain: DomainId,
}

impl Names {
    /// No names yet: `default` is for every peer.
    pub fn new(default: TlsConfig) -> Self {
        Self { default, by_name: HashMap::new(), asks: false }
    }

    /// Adds a name, or replaces what it had.
    pub fn insert(&mut self, name: &str, config: TlsConfig, domain: DomainId) {
        self.by_name.insert(key_of(name), Name { config, domain });
    }

    /// Removes a name, and gives its router.
    pub fn remove(&mut self, name: &str) -> Option<DomainId> {
        self.by_name.remove(&key_of(name)).map(|removed| removed.domain)
    }

    /// The router of a name that has been added as it is.
    pub fn own_domain(&self, name: &str) -> Option<DomainId> {
        self.by_name.get(&key_of(name)).map(|found| found.domain)
    }

    fn find(&self, name: &str) -> Option<&Name> {
        let name = key_of(name);
        self.by_name.get(&name).or_else(|| {
            let rest = name.find('.').map_or("", |dot| &name[dot..]);
            self.by_name.get(&format!("*{rest}"))
        })
    }

    /// The router of a name; patterns are their own.
    pub fn domain(&self, name: &str) -> Option<DomainId> {
        self.find(name).map(|found| found.domain)
    }

    /// What a peer who asks for a name gets.
    pub fn choose(&self, name: Option<&str>) -> (Arc<ServerConfig>, DomainId) {
        match name.and_then(|name| self.find(name)) {
            Some(found) => (found.config.server(), found.domain),
            None => (self.default.server(), DomainId::default()),
        }
    }

    /// Reads all files anew. If one is no good, nothing changes.
    pub fn reload(&mut self) -> Result<(), TlsError> {
        let default = self.default.reloaded()?;
        let names = self.by_name.iter().map(|(name, at)| Ok((name.clone(), at.config.reloaded()?)));
        let names: HashMap<_, _> = names.collect::<Result<_, TlsError>>()?;
        for (name, config) in names {
            if let Some(at) = self.by_name.get_mut(&name) {
                at.config = config;
            }
        }
        self.default = default;
        Ok(())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// A name that no client can ask for, so that it is not added. The API's user is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidServerName {
    name: String,
    reason: &'static str,
}

impl InvalidServerName {
    /// Checks a name, or a pattern: `*`, or `*.` and a name.
    pub fn check(name: &str) -> Result<(), Self> {
        let refuse = |reason| Err(Self { name: name.to_owned(), reason });
        let key = key_of(name);
        let rest = key.strip_prefix("*.").unwrap_or(&key);
        if key == "*" || DnsName::try_from(rest).is_ok_and(|host| host.as_ref() == rest) {
            return Ok(());
        }
        if name.is_empty() {
            return refuse("is empty: clients that ask for no name get the certificate and the routes of the app");
        }
        if rest.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return refuse(
                "is an address, and clients ask for names alone (RFC 6066 section 3): those that connect to an address get \
                 the certificate and the routes of the app",
            );
        }
        if rest.contains('*') {
            return refuse("may have an asterisk in place of its first label alone, as in *.example.com");
        }
        if !rest.is_ascii() {
            return refuse(
                "has characters that are not ASCII: it takes the form of IDNA, such as xn--bcher-kva.example",
            );
        }
        if rest.len() > LONGEST_NAME || rest.split('.').any(|label| label.len() > LONGEST_LABEL) {
            return refuse("is too long: a name may have 253 characters, and 63 between two dots");
        }
        refuse(
            "is no host name: that has letters, digits, hyphens and underscores between its dots, no hyphen first or last, \
             and no number behind its last dot",
        )
    }
}

/// RFC 1035 section 2.3.4, as it is written with dots.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

impl fmt::Display for InvalidServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Something else may have been given by mistake.
        if self.name.len() > LONGEST_NAME || pem::may_be_secret(&self.name) {
            write!(formatter, "the server name {}", self.reason)
        } else {
            write!(formatter, "the server name {:?} {}", self.name, self.reason)
        }
    }
}

impl std::error::Error for InvalidServerName {}

/// A name as it is compared: without regard to letter case (RFC 4343), and without the dot that ends an absolute one,
/// which clients do not send.
fn key_of(name: &str) -> String {
    let relative = name.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(name);
    relative.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_compared_without_letter_case_and_without_its_last_dot() {
        for name in ["x.example", "X.Example", "x.example.", "X.EXAMPLE."] {
            assert_eq!(key_of(name), "x.example");
        }
        assert_eq!(key_of("."), ".");
        assert_eq!(key_of("*.Example."), "*.example");
    }

    #[test]
    fn what_no_client_can_ask_for_is_no_name() {
        let long = format!("{0}.{0}.{0}.{1}.example", "a".repeat(63), "b".repeat(53));
        assert_eq!(long.len(), LONGEST_NAME);
        for name in [
            "example",
            "x.example",
            "x.example.",
            "a_b.example",
            "_dmarc.example",
            "xn--bcher-kva.example",
            "*",
            "*.example",
            "*.Example.",
            "1.2.3.example",
            "a--b.c",
            &long,
        ] {
            assert_eq!(InvalidServerName::check(name), Ok(()), "{name}");
        }
        for (name, reason) in [
            ("", "empty"),
            ("127.0.0.1", "address"),
            ("127.0.0.1.", "address"),
            ("::1", "address"),
            ("[::1]", "address"),
            ("*.1.2.3.4", "address"),
            ("a.*.example", "asterisk"),
            ("*.*.example", "asterisk"),
            ("a*.example", "asterisk"),
            ("b\u{fc}cher.example", "ASCII"),
            (&format!("a{long}"), "too long"),
            (&format!("{}.example", "a".repeat(64)), "too long"),
            ("a..example", "no host name"),
            (".example", "no host name"),
            (".", "no host name"),
            ("x.example..", "no host name"),
            ("-a.example", "no host name"),
            ("a-.example", "no host name"),
            ("a b.example", "no host name"),
            ("a.example:443", "no host name"),
            ("https://a.example", "no host name"),
            ("a.1", "no host name"),
            ("0", "no host name"),
        ] {
            let error = InvalidServerName::check(name).expect_err(name).to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
        let error = InvalidServerName::check("-----BEGIN PRIVATE KEY-----\nMIIE").expect_err("no name").to_string();
        assert!(!error.contains("MIIE"), "{error}");
    }
}
