//! The query of a request's target, as forms encode it (`application/x-www-form-urlencoded`, WHATWG URL section 5.1).

use std::borrow::Cow;

/// Returns the decoded value of the first pair with this key; `None` if there is none. Keys are compared without
/// decoding. A key without `=` is not a pair. An invalid escape is kept as it is.
pub fn query_value<'q>(query: &'q [u8], key: &[u8]) -> Option<Cow<'q, [u8]>> {
    if key.is_empty() {
        return None;
    }
    let mut pairs = query.split(|byte| *byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(key)?.strip_prefix(b"=")).map(decode)
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match (first, escaped(after)) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(*first),
        }
        rest = after;
    }
    Cow::Owned(decoded)
}

/// Decodes `"%" HEXDIG HEXDIG`. `digits` begins after the percent sign.
pub(super) fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |index: usize| char::from(*digits.get(index)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(query: &str, key: &str) -> Option<String> {
        query_value(query.as_bytes(), key.as_bytes()).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    #[test]
    fn the_first_pair_with_the_key() {
        let query = "a=1&b=2&a=3&=empty&flag&c==x=&%61b=raw";
        for (key, expected) in [("a", "1"), ("b", "2"), ("c", "=x="), ("%61b", "raw")] {
            assert_eq!(value(query, key).as_deref(), Some(expected), "{key}");
        }
        for missing in ["A", "", "flag", "ab"] {
            assert_eq!(value(query, missing), None, "{missing}");
        }
        assert_eq!(value("", "a"), None);
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(value("a=c%20d%2B+é%C3%A9", "a").as_deref(), Some("c d+ éé"));
        assert_eq!(value("a=%", "a").as_deref(), Some("%"));
        assert_eq!(value("a=%4", "a").as_deref(), Some("%4"));
        assert_eq!(value("a=%zz%41", "a").as_deref(), Some("%zzA"));
    }
}
