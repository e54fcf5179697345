//! The header with which a proxy begins a connection to name the client: the PROXY protocol of `HAProxy`, version 1,
//! which is a line of text, and version 2, which is binary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The beginning of a header of version 1 (section 2.1). It could also begin a request with this method, which is not
/// possible where proxies are allowed.
const START: &[u8] = b"PROXY ";

/// The number of bytes of the longest line that section 2.1 allows, including CRLF.
const MAX_LINE: usize = 107;

/// `\r\n\r\n\0\r\nQUIT\n`, the beginning of a header of version 2 and of no HTTP request (section 2.2).
const SIGNATURE: &[u8; 12] = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

/// The number of bytes of the fixed part: signature, version and command, family and protocol, length of the rest.
const FIXED_LEN: usize = 16;

/// The number of bytes that may follow the fixed part. Addresses take at most 216; the rest is for the proxy's
/// additions (section 2.2).
const MAX_LEN: usize = 4096;

/// The header is invalid. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProxyHeader;

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The address of the client that has connected to the proxy. `None` if the proxy speaks for itself, as for a
    /// health check, or if the client does not use TCP.
    pub source: Option<SocketAddr>,
    /// The number of bytes of the header.
    pub length: usize,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyPrefix {
    /// Something else.
    Absent,
    /// An incomplete header, or bytes that may become one.
    Incomplete,
    /// A header.
    Complete(ProxyHeader),
}

impl ProxyPrefix {
    /// Looks for a header at the start of `input`.
    pub fn parse(input: &[u8]) -> Result<Self, InvalidProxyHeader> {
        if input.first() == START.first() {
            return parse_line(input);
        }
        let common = input.len().min(SIGNATURE.len());
        if input[..common] != SIGNATURE[..common] {
            return Ok(Self::Absent);
        }
        let Some((fixed, rest)) = input.split_at_checked(FIXED_LEN) else { return Ok(Self::Incomplete) };
        let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        if length > MAX_LEN {
            return Err(InvalidProxyHeader);
        }
        let Some(rest) = rest.get(..length) else { return Ok(Self::Incomplete) };
        let source = match fixed[12] {
            // LOCAL
            0x20 => None,
            // PROXY
            0x21 => source(fixed[13], rest)?,
            _ => return Err(InvalidProxyHeader),
        };
        Ok(Self::Complete(ProxyHeader { source, length: FIXED_LEN + length }))
    }
}

/// Parses a header of version 1: `"PROXY " ( "TCP4" / "TCP6" ) SP source SP destination SP port SP port CRLF`, or
/// `"PROXY UNKNOWN" *OCTET CRLF`.
fn parse_line(input: &[u8]) -> Result<ProxyPrefix, InvalidProxyHeader> {
    let common = input.len().min(START.len());
    if input[..common] != START[..common] {
        return Ok(ProxyPrefix::Absent);
    }
    let line = &input[..input.len().min(MAX_LINE)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        // A line that does not end within the limit is invalid.
        return if line.len() < MAX_LINE { Ok(ProxyPrefix::Incomplete) } else { Err(InvalidProxyHeader) };
    };
    let text = line[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(START)).ok_or(InvalidProxyHeader)?;
    let mut words = text.split(|byte| *byte == b' ');
    let source = match words.next() {
        // "The receiver must ignore anything presented before the CRLF".
        Some(b"UNKNOWN") => None,
        Some(b"TCP4") => Some(addresses::<Ipv4Addr>(words)?),
        Some(b"TCP6") => Some(addresses::<Ipv6Addr>(words)?),
        _ => return Err(InvalidProxyHeader),
    };
    Ok(ProxyPrefix::Complete(ProxyHeader { source, length: end + 1 }))
}

/// Parses `source SP destination SP source-port SP destination-port`, all of which must be valid. Returns the source.
fn addresses<'l, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'l [u8]>,
) -> Result<SocketAddr, InvalidProxyHeader> {
    let mut word = || words.next().and_then(|word| str::from_utf8(word).ok()).ok_or(InvalidProxyHeader);
    let mut address = || word()?.parse::<A>().map_err(|_| InvalidProxyHeader);
    let (source, _destination) = (address()?, address()?);
    let mut port = || {
        let digits = word()?;
        // "Heading zeroes are not permitted". Neither is a sign, which `parse` would accept.
        let is_plain = digits == "0" || digits.starts_with(|digit| matches!(digit, '1'..='9'));
        digits.parse::<u16>().ok().filter(|_| is_plain).ok_or(InvalidProxyHeader)
    };
    let (source_port, _destination_port) = (port()?, port()?);
    if words.next().is_some() {
        return Err(InvalidProxyHeader);
    }
    Ok(SocketAddr::new(source.into(), source_port))
}

/// Returns the first of the two addresses of a header of version 2. What follows them is ignored.
fn source(family: u8, addresses: &[u8]) -> Result<Option<SocketAddr>, InvalidProxyHeader> {
    let (address, port) = match family {
        // TCP over IPv4: source, destination, source port, destination port
        0x11 => {
            let [a, b, c, d, _, _, _, _, port @ ..] = addresses.first_chunk::<12>().ok_or(InvalidProxyHeader)?;
            (IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), [port[0], port[1]])
        }
        // TCP over IPv6
        0x21 => {
            let addresses = addresses.first_chunk::<36>().ok_or(InvalidProxyHeader)?;
            let source = *addresses.first_chunk::<16>().ok_or(InvalidProxyHeader)?;
            (IpAddr::V6(Ipv6Addr::from(source)), [addresses[32], addresses[33]])
        }
        // "The receiver should ignore address information" of a family that it does not know (section 2.2).
        _ => return Ok(None),
    };
    Ok(Some(SocketAddr::new(address, u16::from_be_bytes(port))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend_from_slice(&[command, family]);
        header.extend_from_slice(&(rest.len() as u16).to_be_bytes());
        header.extend_from_slice(rest);
        header
    }

    /// Parses the header alone, with more after it, and at every split. A prefix is incomplete.
    fn parse(header: &[u8]) -> Result<ProxyPrefix, InvalidProxyHeader> {
        let mut longer = header.to_vec();
        longer.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let parsed = ProxyPrefix::parse(&longer);
        assert_eq!(ProxyPrefix::parse(header), parsed);
        if let Ok(ProxyPrefix::Complete(complete)) = parsed {
            assert_eq!(complete.length, header.len());
            for end in 0..header.len() {
                assert_eq!(ProxyPrefix::parse(&header[..end]), Ok(ProxyPrefix::Incomplete), "{end} bytes");
            }
        }
        parsed
    }

    fn source_of(header: &[u8]) -> Option<SocketAddr> {
        match parse(header) {
            Ok(ProxyPrefix::Complete(complete)) => complete.source,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_source_of_tcp_connections() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 7, 0x1F, 0x90, 0x01, 0xBB];
        assert_eq!(source_of(&header(0x21, 0x11, &v4)), Some("192.0.2.1:8080".parse().expect("an address")));
        let mut with_more = v4.to_vec();
        with_more.extend_from_slice(&[0x04, 0x00, 0x01, 0xFF]);
        assert_eq!(source_of(&header(0x21, 0x11, &with_more)), Some("192.0.2.1:8080".parse().expect("an address")));
        let mut v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets().to_vec();
        v6.extend_from_slice(&[0; 16]);
        v6.extend_from_slice(&[0x1F, 0x90, 0x01, 0xBB]);
        assert_eq!(source_of(&header(0x21, 0x21, &v6)), Some("[2001:db8::1]:8080".parse().expect("an address")));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_and_other_families_have_no_source() {
        assert_eq!(source_of(&header(0x20, 0x00, &[])), None);
        assert_eq!(source_of(&header(0x20, 0x11, &[0; 12])), None);
        assert_eq!(source_of(&header(0x21, 0x31, &[b'x'; 216])), None);
        assert_eq!(source_of(&header(0x21, 0x12, &[0; 12])), None);
    }

    #[test]
    fn what_does_not_begin_so_is_none() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Ok(ProxyPrefix::Absent));
        assert_eq!(parse(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"), Ok(ProxyPrefix::Absent));
        assert_eq!(parse(b"PROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n"), Ok(ProxyPrefix::Absent));
        assert_eq!(ProxyPrefix::parse(b"PROXY\r\n"), Ok(ProxyPrefix::Absent));
        assert_eq!(ProxyPrefix::parse(b"\r\n\r\nGET"), Ok(ProxyPrefix::Absent));
    }

    #[test]
    fn the_source_in_a_line_of_text() {
        for (line, source) in [
            ("TCP4 192.0.2.1 198.51.100.7 8080 443", Some("192.0.2.1:8080")),
            ("TCP4 255.255.255.255 255.255.255.255 65535 65535", Some("255.255.255.255:65535")),
            ("TCP4 0.0.0.0 0.0.0.0 0 0", Some("0.0.0.0:0")),
            ("TCP6 2001:db8::1 ::1 8080 443", Some("[2001:db8::1]:8080")),
            (
                "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:FFFF ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
                Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            ("TCP6 ::ffff:192.0.2.1 :: 1 2", Some("[::ffff:192.0.2.1]:1")),
            ("UNKNOWN", None),
            ("UNKNOWN ffff::1 \u{e9} what ever", None),
        ] {
            let source = source.map(|source| source.parse().expect("an address"));
            assert_eq!(source_of(format!("PROXY {line}\r\n").as_bytes()), source, "{line}");
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "TCP4 192.0.2.1 198.51.100.7 8080\r\n",
            "TCP4 192.0.2.1 198.51.100.7 8080 443 1\r\n",
            "TCP4 192.0.2.1 198.51.100.7 8080 443 \r\n",
            "TCP4  192.0.2.1 198.51.100.7 8080 443\r\n",
            "TCP4\t192.0.2.1 198.51.100.7 8080 443\r\n",
            "TCP4 192.0.2.1 198.51.100.7 8080 443\n",
            "TCP4 192.0.2.1 198.51.100.7 8080 443\r \r\n",
            "TCP4 192.0.2.01 198.51.100.7 8080 443\r\n",
            "TCP4 192.0.2.256 198.51.100.7 8080 443\r\n",
            "TCP4 192.0.2.1 198.51.100 8080 443\r\n",
            "TCP4 192.0.2.1 198.51.100.7 08080 443\r\n",
            "TCP4 192.0.2.1 198.51.100.7 +8080 443\r\n",
            "TCP4 192.0.2.1 198.51.100.7 -1 443\r\n",
            "TCP4 192.0.2.1 198.51.100.7 65536 443\r\n",
            "TCP4 192.0.2.1 198.51.100.7 8080 00\r\n",
            "TCP4 2001:db8::1 ::1 8080 443\r\n",
            "TCP6 192.0.2.1 198.51.100.7 8080 443\r\n",
            "TCP6 2001:db8::1::2 ::1 8080 443\r\n",
            "TCP6 [::1] ::1 8080 443\r\n",
            "TCP5 192.0.2.1 198.51.100.7 8080 443\r\n",
            "tcp4 192.0.2.1 198.51.100.7 8080 443\r\n",
            "UNKNOWNX\r\n",
            "UDP4 192.0.2.1 198.51.100.7 8080 443\r\n",
            "\r\n",
            "/ HTTP/1.1\r\n",
        ] {
            assert_eq!(parse(format!("PROXY {line}").as_bytes()), Err(InvalidProxyHeader), "{line:?}");
        }
        // The longest line, a longer one, and one that does not end.
        let unknown = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - "PROXY UNKNOWN \r\n".len()));
        assert_eq!(source_of(unknown(MAX_LINE).as_bytes()), None);
        assert_eq!(parse(unknown(MAX_LINE + 1).as_bytes()), Err(InvalidProxyHeader));
        assert_eq!(ProxyPrefix::parse(&unknown(2 * MAX_LINE).as_bytes()[..MAX_LINE - 1]), Ok(ProxyPrefix::Incomplete));
        assert_eq!(ProxyPrefix::parse(&unknown(2 * MAX_LINE).as_bytes()[..MAX_LINE]), Err(InvalidProxyHeader));
    }

    #[test]
    fn malformed_headers_are_refused() {
        assert_eq!(parse(&header(0x11, 0x11, &[0; 12])), Err(InvalidProxyHeader));
        assert_eq!(parse(&header(0x22, 0x11, &[0; 12])), Err(InvalidProxyHeader));
        assert_eq!(parse(&header(0x21, 0x11, &[0; 11])), Err(InvalidProxyHeader));
        assert_eq!(parse(&header(0x21, 0x21, &[0; 35])), Err(InvalidProxyHeader));
        assert_eq!(parse(&header(0x20, 0x00, &[0; MAX_LEN + 1])), Err(InvalidProxyHeader));
    }
}
