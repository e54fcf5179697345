//! The status of a response (RFC 9110 section 15).

/// The status code of a response: 101, or 200 to 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u16);

/// A status is not three digits, optionally followed by a space and a reason phrase; or it does not complete a
/// response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStatus;

impl Status {
    /// 200 OK: the status of a response whose handler has set none.
    pub const OK: Self = Self(200);

    /// 101 Switching Protocols: the status of an upgrade, and of nothing else.
    pub const SWITCHING_PROTOCOLS: Self = Self(101);

    /// Parses `200 OK` or `200`. Returns the code and the reason phrase, which defaults to the registered one.
    ///
    /// `status-line = HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 section 4)
    pub fn parse(text: &[u8]) -> Result<(Self, &[u8]), InvalidStatus> {
        let (digits, rest) = text.split_at_checked(3).ok_or(InvalidStatus)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(InvalidStatus);
        }
        let status = Self(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')));
        // 100 and 102 to 199 are interim responses, which do not complete a response.
        if status.0 < 200 && status != Self::SWITCHING_PROTOCOLS {
            return Err(InvalidStatus);
        }
        match rest {
            [] => Ok((status, status.reason().as_bytes())),
            [b' ', reason @ ..] => Ok((status, reason)),
            _ => Err(InvalidStatus),
        }
    }

    /// The class of the status, which is its first digit: 1 to 5, or 0 for any other (RFC 9110 section 15).
    pub fn class(self) -> u8 {
        match self.0 {
            100..200 => 1,
            200..300 => 2,
            300..400 => 3,
            400..500 => 4,
            500..600 => 5,
            _ => 0,
        }
    }

    /// Whether a response with this status has a body (RFC 9110 section 6.4.1).
    pub fn has_body(self) -> bool {
        !matches!(self.0, 101 | 204 | 304)
    }

    /// Whether a response with this status may have a Content-Length (RFC 9110 section 8.6). In a 304 it is the length
    /// that a 200 would have had.
    pub fn may_have_length(self) -> bool {
        !matches!(self.0, 101 | 204)
    }

    /// The reason phrase that is registered for the code; empty if there is none.
    fn reason(self) -> &'static str {
        match self.0 {
            101 => "Switching Protocols",
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            203 => "Non-Authoritative Information",
            204 => "No Content",
            205 => "Reset Content",
            206 => "Partial Content",
            207 => "Multi-Status",
            208 => "Already Reported",
            226 => "IM Used",
            300 => "Multiple Choices",
            301 => "Moved Permanently",
            302 => "Found",
            303 => "See Other",
            304 => "Not Modified",
            305 => "Use Proxy",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            409 => "Conflict",
            410 => "Gone",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            414 => "URI Too Long",
            415 => "Unsupported Media Type",
            416 => "Range Not Satisfiable",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            422 => "Unprocessable Content",
            423 => "Locked",
            424 => "Failed Dependency",
            425 => "Too Early",
            426 => "Upgrade Required",
            428 => "Precondition Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            451 => "Unavailable For Legal Reasons",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            505 => "HTTP Version Not Supported",
            506 => "Variant Also Negotiates",
            507 => "Insufficient Storage",
            508 => "Loop Detected",
            511 => "Network Authentication Required",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_a_reason() {
        for (text, code, reason) in [
            ("200 OK", 200, "OK"),
            ("404", 404, "Not Found"),
            ("299", 299, ""),
            ("200 ", 200, ""),
            ("999 Any Thing", 999, "Any Thing"),
            ("101 Switching Protocols", 101, "Switching Protocols"),
            ("500 \u{e4}", 500, "\u{e4}"),
        ] {
            assert_eq!(Status::parse(text.as_bytes()), Ok((Status(code), reason.as_bytes())), "{text}");
        }
    }

    #[test]
    fn what_is_no_status_of_a_response() {
        for text in [
            "", "OK", "20", "20x OK", "1000 x", "2000", "200OK", "200\tOK", " 200 OK", "099 x", "000", "+20", "-200 OK",
        ] {
            assert_eq!(Status::parse(text.as_bytes()), Err(InvalidStatus), "{text}");
        }
        for text in ["100 Continue", "102 Processing", "103", "199 x"] {
            assert_eq!(Status::parse(text.as_bytes()), Err(InvalidStatus), "{text}");
        }
    }

    #[test]
    fn bodies_and_lengths() {
        let facts = |text: &str| {
            let (status, _) = Status::parse(text.as_bytes()).expect("a status");
            (status.has_body(), status.may_have_length())
        };
        for (text, expected) in [
            ("101", (false, false)),
            ("200", (true, true)),
            ("204", (false, false)),
            ("205", (true, true)),
            ("304", (false, true)),
            ("404", (true, true)),
        ] {
            assert_eq!(facts(text), expected, "{text}");
        }
    }
}
