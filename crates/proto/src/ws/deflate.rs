//! Negotiation of permessage-deflate (RFC 7692 section 7.1).

/// What a route is ready to do: the window bits, 9 to 15, of a context that is taken over from one message to the next.
/// `None` means that each message is compressed independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateSettings {
    /// The context of messages to the client.
    pub compressor: Option<u8>,
    /// The context of messages from the client.
    pub decompressor: Option<u8>,
}

/// What client and server have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The window bits of the context that the server takes over from one of its messages to the next; `None` if each is
    /// compressed independently.
    pub server_context: Option<u8>,
    /// The window bits that the server's messages may use: 9 to 15.
    pub server_window: u8,
    /// Whether the response names `server_window`, as it has to if the client has named one (section 7.1.2.1).
    pub names_server_window: bool,
    /// The window bits of the context that the client may take over from one of its messages to the next; `None` if it must
    /// not.
    pub client_context: Option<u8>,
}

/// The bits of the largest window, which is the default.
const MAX_WINDOW: u8 = 15;

/// The bits of the smallest window that the compressor supports. (The RFC allows 8.)
const MIN_COMPRESSOR_WINDOW: u8 = 9;

/// One offer of a client (section 7.1).
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The parameter may have no value, which stands for the largest window.
    client_max_window_bits: Option<u8>,
}

impl Agreement {
    /// Accepts the first acceptable offer in the value of `Sec-WebSocket-Extensions`. Returns `None` if there is none.
    pub fn new(extensions: &[u8], settings: DeflateSettings) -> Option<Self> {
        split_unquoted(extensions, b',').filter_map(Offer::parse).find_map(|offer| offer.accept(settings))
    }

    /// Appends the value of `Sec-WebSocket-Extensions` for the response.
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
        if self.names_server_window {
            add("; server_max_window_bits=", Some(self.server_window));
        }
    }
}

impl Offer {
    /// Returns `None` for another extension, and for an offer that section 7.1 requires to be declined: one with an unknown
    /// parameter, a repeated one, or an invalid value.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = split_unquoted(text, b';');
        if parts.next()? != b"permessage-deflate" {
            return None;
        }
        let mut offer = Self::default();
        for part in parts {
            let mut sides = part.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let name = sides.next()?;
            let is_new = match (name, sides.next().map(window_bits)) {
                (b"server_no_context_takeover", None) => {
                    !std::mem::replace(&mut offer.server_no_context_takeover, true)
                }
                (b"client_no_context_takeover", None) => {
                    !std::mem::replace(&mut offer.client_no_context_takeover, true)
                }
                (b"server_max_window_bits", Some(Some(bits))) => offer.server_max_window_bits.replace(bits).is_none(),
                (b"client_max_window_bits", None) => offer.client_max_window_bits.replace(MAX_WINDOW).is_none(),
                (b"client_max_window_bits", Some(Some(bits))) => offer.client_max_window_bits.replace(bits).is_none(),
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(offer)
    }

    fn accept(&self, settings: DeflateSettings) -> Option<Agreement> {
        let limit = self.server_max_window_bits.unwrap_or(MAX_WINDOW);
        if limit < MIN_COMPRESSOR_WINDOW {
            return None;
        }
        let server_context =
            settings.compressor.filter(|_| !self.server_no_context_takeover).map(|window| window.min(limit));
        // Without a context, a message may still refer back within itself as far as the client allows.
        let server_window = server_context.unwrap_or(limit);
        // A client that cannot be asked to use a small window can be asked not to take over its context.
        let client_context = settings.decompressor.filter(|window| {
            !self.client_no_context_takeover && (*window == MAX_WINDOW || self.client_max_window_bits.is_some())
        });
        let client_limit = self.client_max_window_bits.unwrap_or(MAX_WINDOW);
        Some(Agreement {
            server_context,
            server_window,
            names_server_window: self.server_max_window_bits.is_some() || server_window < MAX_WINDOW,
            client_context: client_context.map(|window| window.min(client_limit)),
        })
    }
}

/// Returns the parts between separators that are not inside of a quoted string (RFC 9110 section 5.6.4), without the white
/// space around them.
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |byte| {
        let is_inside = is_quoted;
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = is_quoted && *byte == b'\\' && !is_escaped;
        *byte == separator && !is_inside
    });
    parts.map(<[u8]>::trim_ascii)
}

/// Reads 8 to 15, which may be a quoted string and has no leading zeros.
fn window_bits(text: &[u8]) -> Option<u8> {
    let quoted = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
    // A backslash and the character after it stand for that character.
    let unescaped: Vec<u8> = quoted.into_iter().flatten().copied().filter(|byte| *byte != b'\\').collect();
    match if quoted.is_some() { &unescaped } else { text } {
        b"8" => Some(8),
        b"9" => Some(9),
        b"10" => Some(10),
        b"11" => Some(11),
        b"12" => Some(12),
        b"13" => Some(13),
        b"14" => Some(14),
        b"15" => Some(15),
        _ => None,
    }
}

/// Returns whether a User-Agent is that of Safari 15.0 to 15.3, or of another browser with its engine, as all on iOS 15.0 to
/// 15.3 are. They break on compressed messages.
pub fn breaks_on_deflate(user_agent: &[u8]) -> bool {
    const SAFARI: &[u8] = b" Version/15.";
    const IOS: &[u8] = b" OS 15_";

    let behind = |mark: &[u8]| {
        let start = user_agent.windows(mark.len()).position(|part| part == mark)?;
        Some(&user_agent[start + mark.len()..])
    };
    if let Some(rest) = behind(SAFARI) {
        return begins_with_broken_minor(rest, b'.')
            && rest.split(|byte| *byte == b' ').any(|product| product.starts_with(b"Safari/"));
    }
    // Neither Chrome, Firefox and the like nor browsers embedded in apps name the version of Safari that they are built on.
    // (" Mac OS X 15_1" is macOS.)
    behind(b" Version/").is_none()
        && behind(b" like Mac OS X").is_some()
        && behind(IOS).is_some_and(|rest| begins_with_broken_minor(rest, b'_'))
}

/// Returns whether a version continues with a minor number of 0 to 3, which a third number may follow.
fn begins_with_broken_minor(rest: &[u8], separator: u8) -> bool {
    const LAST_MINOR: u8 = b'3';

    let version = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(version.split(|byte| *byte == separator).next(), Some([b'0'..=LAST_MINOR]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
            // The client cannot be asked to use a small window.
            (
                "permessage-deflate",
                dedicated(11, 12),
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=11",
            ),
            // The first acceptable offer is accepted.
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", SHARED, none),
            ("permessage-deflate; unknown, permessage-deflate", SHARED, none),
            // The response names the window that the client has asked for, even if that limits nothing.
            (
                "permessage-deflate; server_max_window_bits=15",
                dedicated(15, 15),
                "permessage-deflate; server_max_window_bits=15",
            ),
            (
                "permessage-deflate; server_max_window_bits=\"1\\5\"; server_no_context_takeover",
                dedicated(9, 15),
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
            ),
            // An element may be empty, and a quoted string has no elements in it.
            (" , permessage-deflate ,", SHARED, none),
            ("x; y=\"permessage-deflate, permessage-deflate; \\\", z=\" , permessage-deflate", SHARED, none),
            ("x; y=\"\u{e9}\", permessage-deflate", SHARED, none),
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
            "permessage-deflate; ;client_no_context_takeover",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; client_max_window_bits=1\\0",
            "permessage-deflate; client_max_window_bits=10=10",
            "x; y=\", permessage-deflate",
            "x; y=\"\\\", permessage-deflate\"",
        ] {
            assert_eq!(answer(offer, SHARED), None, "{offer}");
        }
    }

    /// The value of a parameter: `None` if the parameter is absent, 0 if it has no value.
    type Window = Option<u8>;

    fn windows(with_none: bool) -> Vec<Window> {
        let named = (8..=15).map(Some);
        [None].into_iter().chain(with_none.then_some(Some(0))).chain(named).collect()
    }

    /// Returns the parameters of an offer or an answer, which may occur once each.
    fn parameters(text: &str) -> HashMap<&str, u8> {
        let mut parts = text.split("; ");
        assert_eq!(parts.next(), Some("permessage-deflate"));
        let mut found = HashMap::new();
        for part in parts {
            let (name, value) =
                part.split_once('=').map_or((part, 0), |(name, value)| (name, value.parse().expect("a number")));
            assert_eq!(found.insert(name, value), None, "{text}");
        }
        found
    }

    /// Checks what sections 7.1.1 and 7.1.2 require of an answer, and that the agreement matches it.
    fn check(offer: &str, settings: DeflateSettings) {
        let offered = parameters(offer);
        let Some(agreement) = Agreement::new(offer.as_bytes(), settings) else {
            // An offer may be declined at any time. It is if the compressor does not support it.
            assert_eq!(offered.get("server_max_window_bits"), Some(&8), "{offer}");
            return;
        };
        let answer = answer(offer, settings).expect("accepted");
        let answered = parameters(&answer);
        let context = format!("{offer} with {settings:?}: {answer}");
        for (name, value) in &answered {
            let has_window = match *name {
                "server_no_context_takeover" | "client_no_context_takeover" => false,
                "server_max_window_bits" | "client_max_window_bits" => true,
                _ => panic!("{context}"),
            };
            assert_eq!((8..=15).contains(value), has_window, "{context}");
        }
        // 7.1.1.1: a server that is asked not to take over its context confirms that it does not.
        let forgets = answered.contains_key("server_no_context_takeover");
        assert!(forgets || !offered.contains_key("server_no_context_takeover"), "{context}");
        // 7.1.2.1: a server that is asked for a window names that one or a smaller one.
        let server_window = answered.get("server_max_window_bits");
        if let Some(limit) = offered.get("server_max_window_bits") {
            assert!(server_window.is_some_and(|window| window <= limit), "{context}");
        }
        // 7.1.2.2: a client that has not said that it can limit its window is not asked to.
        if let Some(window) = answered.get("client_max_window_bits") {
            let limit = offered.get("client_max_window_bits").unwrap_or_else(|| panic!("{context}"));
            assert!(*limit == 0 || window <= limit, "{context}");
        }
        // The agreement is what the answer says, and within the settings.
        assert_eq!(agreement.server_context.is_none(), forgets, "{context}");
        assert_eq!(agreement.server_window, *server_window.unwrap_or(&15), "{context}");
        assert!((MIN_COMPRESSOR_WINDOW..=15).contains(&agreement.server_window), "{context}");
        if let Some(window) = agreement.server_context {
            assert!(window == agreement.server_window && Some(window) <= settings.compressor, "{context}");
        }
        // A client's window is no larger than the one that it is asked to use, or has named itself.
        let told = [&answered, &offered].map(|of| of.get("client_max_window_bits").filter(|window| **window > 0));
        let client_window = told.into_iter().flatten().min().unwrap_or(&15);
        match agreement.client_context {
            Some(window) => assert!(window >= *client_window && Some(window) <= settings.decompressor, "{context}"),
            None => assert!(answered.contains_key("client_no_context_takeover"), "{context}"),
        }
    }

    #[test]
    fn every_answer_to_every_offer_is_one_that_rfc_7692_allows() {
        let contexts: Vec<_> = [None].into_iter().chain((9..=15).map(Some)).collect();
        for server_window in windows(false) {
            for client_window in windows(true) {
                for takeover in 0..4 {
                    let mut offered = Vec::new();
                    offered.extend((takeover & 1 != 0).then(|| "server_no_context_takeover".to_owned()));
                    offered.extend((takeover & 2 != 0).then(|| "client_no_context_takeover".to_owned()));
                    offered.extend(server_window.map(|bits| format!("server_max_window_bits={bits}")));
                    offered.extend(client_window.map(|bits| match bits {
                        0 => "client_max_window_bits".to_owned(),
                        bits => format!("client_max_window_bits={bits}"),
                    }));
                    // In every order, by Heap's algorithm.
                    let mut counts = vec![0; offered.len()];
                    let mut next = 0;
                    loop {
                        let offer = [&["permessage-deflate".to_owned()][..], &offered].concat().join("; ");
                        for compressor in &contexts {
                            for decompressor in &contexts {
                                let (compressor, decompressor) = (*compressor, *decompressor);
                                check(&offer, DeflateSettings { compressor, decompressor });
                            }
                        }
                        while next < counts.len() && counts[next] >= next {
                            counts[next] = 0;
                            next += 1;
                        }
                        if next >= counts.len() {
                            break;
                        }
                        offered.swap(if next % 2 == 0 { 0 } else { counts[next] }, next);
                        counts[next] += 1;
                        next = 0;
                    }
                }
            }
        }
    }

    #[test]
    fn an_offer_may_have_white_space_and_quoted_values() {
        let plain = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=12";
        let expected = Agreement::new(plain.as_bytes(), dedicated(15, 15));
        assert!(expected.is_some());
        for (from, to) in [("; ", ";"), ("; ", " \t;\t "), ("=", " = "), ("=1", "=\"1"), ("=1", "=\"\\1")] {
            let mut offer = plain.replace(from, to);
            if to.contains('"') {
                offer = offer.replace("0;", "0\";") + "\"";
            }
            assert_eq!(Agreement::new(offer.as_bytes(), dedicated(15, 15)), expected, "{offer}");
        }
    }

    #[test]
    fn browsers_that_break_on_compressed_messages() {
        let desktop = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) ";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 15_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) ";
        for (products, expected) in [
            ("Version/15.0 Safari/605.1.15", true),
            ("Version/15.1 Safari/605.1.15", true),
            ("Version/15.2.1 Safari/605.1.15", true),
            ("Version/15.3 Safari/605.1.15", true),
            ("Version/15.3 Mobile/15E148 Safari/604.1", true),
            ("Version/15.4 Safari/605.1.15", false),
            ("Version/15.6.1 Safari/605.1.15", false),
            ("Version/15.10 Safari/605.1.15", false),
            ("Version/15.30 Safari/605.1.15", false),
            ("Version/15. Safari/605.1.15", false),
            ("Version/15.x Safari/605.1.15", false),
            ("Version/15 Safari/605.1.15", false),
            ("Version/14.1.2 Safari/605.1.15", false),
            ("Version/16.0 Safari/605.1.15", false),
            ("Version/115.0 Safari/605.1.15", false),
            ("Version/15.0 Other/1", false),
            ("Version/15.0", false),
        ] {
            for before in [desktop, phone] {
                let user_agent = format!("{before}{products}");
                assert_eq!(breaks_on_deflate(user_agent.as_bytes()), expected, "{user_agent}");
            }
        }
        for products in ["Chrome/141.0.0.0 Safari/537.36", ""] {
            assert!(!breaks_on_deflate(format!("{desktop}{products}").as_bytes()), "{products}");
        }
        assert!(!breaks_on_deflate(b""));
    }

    #[test]
    fn browsers_of_the_same_engine() {
        for (device, expected) in [
            ("iPhone; CPU iPhone OS 15_0 like Mac OS X", true),
            ("iPhone; CPU iPhone OS 15_1_1 like Mac OS X", true),
            ("iPad; CPU OS 15_3 like Mac OS X", true),
            ("iPod touch; CPU iPhone OS 15_2 like Mac OS X", true),
            ("iPhone; CPU iPhone OS 15_4 like Mac OS X", false),
            ("iPhone; CPU iPhone OS 15_4_1 like Mac OS X", false),
            ("iPad; CPU OS 15_10 like Mac OS X", false),
            ("iPad; CPU OS 15_30 like Mac OS X", false),
            ("iPhone; CPU iPhone OS 14_8 like Mac OS X", false),
            ("iPhone; CPU iPhone OS 16_1 like Mac OS X", false),
            ("iPhone; CPU iPhone OS 15_ like Mac OS X", false),
            ("iPhone; CPU iPhone OS 15_1", false),
            ("Macintosh; Intel Mac OS X 15_1", false),
            ("Macintosh; Intel Mac OS X 15.1", false),
        ] {
            for products in [
                "CriOS/96.0.4664.53 Mobile/15E148 Safari/604.1",
                "FxiOS/39.0 Mobile/15E148 Safari/605.1.15",
                "GSA/187.0.410064187 Mobile/15E148 Safari/604.1",
                "Mobile/15E148 Instagram 210.0.0.16.79 (iPhone12,1; iOS 15_1; en_US)",
                "Mobile/19B74 [FBAN/FBIOS;FBSN/iOS;FBSV/15.1]",
                "Mobile/15E148",
            ] {
                let user_agent = format!("Mozilla/5.0 ({device}) AppleWebKit/605.1.15 (KHTML, like Gecko) {products}");
                assert_eq!(breaks_on_deflate(user_agent.as_bytes()), expected, "{user_agent}");
            }
        }
    }
}
