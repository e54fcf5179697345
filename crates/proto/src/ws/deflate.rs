//! What permessage-deflate (RFC 7692) is agreed on.

/// What a route is ready to do: window bits, 9 to 15, of a context that outlives a message. `None`: each is for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateSettings {
    /// For messages to the client.
    pub compressor: Option<u8>,
    /// For its messages.
    pub decompressor: Option<u8>,
}

/// What client and server have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Window bits of a context that outlives the server's messages; `None`: each is for itself.
    pub server_context: Option<u8>,
    /// Window bits that the server's messages may use: 9 to 15.
    pub server_window: u8,
    /// The same of a context for the client's messages.
    pub client_context: Option<u8>,
}

/// The largest window, in bits, and what holds where none is named.
const MAX_WINDOW: u8 = 15;

/// The smallest window that the compressor can do. (Eight is allowed.)
const MIN_COMPRESSOR_WINDOW: u8 = 9;

/// One offer of a client (section 7.1).
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// May come without a value, which is the largest.
    client_max_window_bits: Option<u8>,
}

impl Agreement {
    /// Accepts the first offer in the value of `Sec-WebSocket-Extensions` that can be accepted.
    pub fn new(extensions: &[u8], settings: DeflateSettings) -> Option<Self> {
        let extensions = std::str::from_utf8(extensions).ok()?;
        extensions.split(',').filter_map(Offer::parse).find_map(|offer| offer.accept(settings))
    }

    /// Appends the value of `Sec-WebSocket-Extensions` that tells the client.
    pub fn write(&self, output: &mut Vec<u8>) {
        let mut add = |text: &str, bits: Option<u8>| {
            output.extend_from_slice(text.as_bytes());
            output.extend(bits.map(|bits| bits.to_string().into_bytes()).unwrap_or_default());
        };
        add("permessage-deflate", None);
        match self.client_context {
            None => add("; client_no_context_takeover", None),
            Some(MAX_WINDOW) => {}
            window => add("; client_max_window_bits=", window),
        }
        if self.server_context.is_none() {
            add("; server_no_context_takeover", None);
        }
        if self.server_window < MAX_WINDOW {
            add("; server_max_window_bits=", Some(self.server_window));
        }
    }
}

impl Offer {
    /// `None` for another extension, and for what section 7.1 has declined: parameters that it does not know, twice, or
    /// with a value that is none.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        let mut offer = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part, None),
            };
            let window = value.map(window_bits);
            let is_new = match (name, window) {
                ("server_no_context_takeover", None) => !std::mem::replace(&mut offer.server_no_context_takeover, true),
                ("client_no_context_takeover", None) => !std::mem::replace(&mut offer.client_no_context_takeover, true),
                ("server_max_window_bits", Some(Some(bits))) => offer.server_max_window_bits.replace(bits).is_none(),
                ("client_max_window_bits", None) => offer.client_max_window_bits.replace(MAX_WINDOW).is_none(),
                ("client_max_window_bits", Some(Some(bits))) => offer.client_max_window_bits.replace(bits).is_none(),
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(offer)
    }

    fn accept(&self, settings: DeflateSettings) -> Option<Agreement> {
        let own_context = settings.compressor;
        let own_window = own_context.unwrap_or(MAX_WINDOW);
        let server_window = self.server_max_window_bits.unwrap_or(MAX_WINDOW).min(own_window);
        if server_window < MIN_COMPRESSOR_WINDOW {
            return None;
        }
        let server_context = own_context.filter(|_| !self.server_no_context_takeover).map(|_| server_window);
        // A client that cannot be asked to use a small window can be asked to forget what it has sent.
        let client_context = settings.decompressor.filter(|window| {
            !self.client_no_context_takeover && (*window == MAX_WINDOW || self.client_max_window_bits.is_some())
        });
        let client_limit = self.client_max_window_bits.unwrap_or(MAX_WINDOW);
        Some(Agreement {
            server_context,
            server_window: if server_context.is_none() && self.server_max_window_bits.is_none() {
                MAX_WINDOW
            } else {
                server_window
            },
            client_context: client_context.map(|window| window.min(client_limit)),
        })
    }
}

/// `8` to `15`, maybe in quotes; no leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match text {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: DeflateSettings = DeflateSettings { compressor: None, decompressor: None };

    fn dedicated(window_bits: u8, decompressor: u8) -> DeflateSettings {
        DeflateSettings { compressor: Some(window_bits), decompressor: Some(decompressor) }
    }

    fn answer(offer: &str, settings: DeflateSettings) -> Option<String> {
        Agreement::new(offer.as_bytes(), settings).map(|agreement| {
            let mut output = Vec::new();
            agreement.write(&mut output);
            String::from_utf8(output).expect("ASCII")
        })
    }

    #[test]
    fn offers_and_answers() {
        let none = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";
        for (offer, settings, expected) in [
            ("permessage-deflate", SHARED, none),
            ("permessage-deflate; client_max_window_bits", SHARED, none),
            ("x-other, permessage-deflate", SHARED, none),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", dedicated(15, 15), none),
            ("permessage-deflate", dedicated(15, 15), "permessage-deflate"),
            (
                "permessage-deflate; server_max_window_bits=10",
                SHARED,
                "permessage-deflate; client_no_context_takeover; server_no_context_takeover; server_max_window_bits=10",
            ),
            (
                "permessage-deflate; server_max_window_bits=10; client_max_window_bits=\"11\"",
                dedicated(15, 15),
                "permessage-deflate; client_max_window_bits=11; server_max_window_bits=10",
            ),
            (
                "permessage-deflate; client_max_window_bits",
                dedicated(9, 12),
                "permessage-deflate; client_max_window_bits=12; server_max_window_bits=9",
            ),
            // It cannot be asked for a small window.
            (
                "permessage-deflate",
                dedicated(11, 12),
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=11",
            ),
            // The first that will do.
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", SHARED, none),
            ("permessage-deflate; unknown, permessage-deflate", SHARED, none),
        ] {
            assert_eq!(answer(offer, settings).as_deref(), Some(expected), "{offer}");
        }
    }

    #[test]
    fn offers_that_are_declined() {
        for offer in [
            "",
            "permessage-deflat",
            "x-webkit-deflate-frame",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate;",
        ] {
            assert_eq!(answer(offer, SHARED), None, "{offer}");
        }
    }
}
