//! The request methods that routes can name.

/// A request method of RFC 9110 section 9.3, or PATCH (RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Method {
    Get,
    Post,
    Options,
    Delete,
    Patch,
    Put,
    Head,
    Connect,
    Trace,
}

impl Method {
    /// The number of methods. `method as usize` is less.
    pub const COUNT: usize = 9;

    /// Returns the method with this case-sensitive name (RFC 9110 section 9.1); `None` if routes cannot name it.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "OPTIONS" => Self::Options,
            "DELETE" => Self::Delete,
            "PATCH" => Self::Patch,
            "PUT" => Self::Put,
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            "TRACE" => Self::Trace,
            _ => return None,
        })
    }
}
