//! Server names (RFC 6066 section 3), and what a server has for each.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::DnsName;

use crate::{TlsConfig, TlsError, pem};

/// The server names that a server knows: the certificate of each, and a value of type `D` that the owner attaches to
/// it.
///
/// A name may be a pattern, with an asterisk in place of its first label; a name of its own comes before a pattern.
pub struct Names<D> {
    /// For clients that ask for no name, or for an unknown one.
    default: TlsConfig,
    /// By name in the form of [`NamePattern`].
    by_name: HashMap<String, Name<D>>,
}

struct Name<D> {
    config: TlsConfig,
    value: D,
}

impl<D: Copy> Names<D> {
    /// An empty table, with `default` for clients that ask for no name or for an unknown one.
    pub fn new(default: TlsConfig) -> Self {
        Self { default, by_name: HashMap::new() }
    }

    /// Adds a name, or replaces what it had.
    pub fn insert(&mut self, pattern: NamePattern, config: TlsConfig, value: D) {
        self.by_name.insert(pattern.0, Name { config, value });
    }

    /// Removes a name that was inserted in this spelling or an equivalent one, and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<D> {
        self.by_name.remove(&key_of(name)).map(|removed| removed.value)
    }

    /// The value of a name that was inserted as it is: a name that merely matches a pattern has none.
    pub fn get(&self, pattern: &NamePattern) -> Option<D> {
        self.by_name.get(&pattern.0).map(|found| found.value)
    }

    /// The value of a name, or of the pattern that it matches. A pattern matches itself.
    pub fn find(&self, name: &str) -> Option<D> {
        self.lookup(name).map(|found| found.value)
    }

    /// What a client gets that asks for `name`: the certificate, and the value unless that is the default.
    pub fn choose(&self, name: Option<&str>) -> (&TlsConfig, Option<D>) {
        match name.and_then(|name| self.lookup(name)) {
            Some(found) => (&found.config, Some(found.value)),
            None => (&self.default, None),
        }
    }

    fn lookup(&self, name: &str) -> Option<&Name<D>> {
        let name = key_of(name);
        self.by_name.get(&name).or_else(|| {
            let rest = name.find('.').map_or("", |dot| &name[dot..]);
            self.by_name.get(&format!("*{rest}"))
        })
    }

    /// Reads all certificates and keys again that are in files, for handshakes from now on. If one of them is invalid,
    /// nothing changes.
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

impl<D> fmt::Debug for Names<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// A name that clients can ask for, or a pattern of such names: `*`, or `*.` and a name.
///
/// Letter case does not matter (RFC 4343), nor does the dot that ends an absolute name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern(String);

/// A name that no client can ask for. The API's user is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidServerName {
    name: String,
    reason: &'static str,
}

impl NamePattern {
    /// Checks a name or a pattern.
    pub fn new(name: &str) -> Result<Self, InvalidServerName> {
        let refuse = |reason| Err(InvalidServerName { name: name.to_owned(), reason });
        let key = key_of(name);
        let rest = key.strip_prefix("*.").unwrap_or(&key);
        if key == "*" || DnsName::try_from(rest).is_ok_and(|host| host.as_ref() == rest) {
            return Ok(Self(key));
        }
        if name.is_empty() {
            return refuse("is empty: clients that ask for no name get the default certificate");
        }
        if rest.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return refuse(
                "is an address, and clients ask for host names only (RFC 6066 section 3): those that connect to an \
                 address get the default certificate",
            );
        }
        if rest.contains('*') {
            return refuse("may have an asterisk only in place of its first label, as in *.example.com");
        }
        if !rest.is_ascii() {
            return refuse(
                "contains characters that are not ASCII: write it in the form of IDNA, such as xn--bcher-kva.example",
            );
        }
        if rest.len() > LONGEST_NAME || rest.split('.').any(|label| label.len() > LONGEST_LABEL) {
            return refuse("is too long: a name may have up to 253 characters, and up to 63 between two dots");
        }
        refuse(
            "is no host name: its labels consist of letters, digits, hyphens and underscores, do not begin or end with a \
             hyphen, and the last one is not a number",
        )
    }
}

/// The most characters of a name with its dots (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The most characters of a label.
const LONGEST_LABEL: usize = 63;

impl fmt::Display for InvalidServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may be something else that was passed by mistake.
        if self.name.len() > LONGEST_NAME || pem::may_be_secret_name(&self.name) {
            write!(formatter, "the server name {}", self.reason)
        } else {
            write!(formatter, "the server name {:?} {}", self.name, self.reason)
        }
    }
}

impl std::error::Error for InvalidServerName {}

/// The form in which names are compared: in lower case (RFC 4343), and without the dot that ends an absolute name,
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
    fn a_name_that_no_client_can_ask_for_is_refused() {
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
            assert_eq!(NamePattern::new(name), Ok(NamePattern(key_of(name))), "{name}");
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
            let error = NamePattern::new(name).expect_err(name).to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
        let error = NamePattern::new("-----BEGIN PRIVATE KEY-----\nMIIE").expect_err("no name").to_string();
        assert!(!error.contains("MIIE"), "{error}");
    }
}
