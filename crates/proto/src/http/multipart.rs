//! `multipart/form-data` (RFC 7578): the parts of a body that has been received as a whole.

use std::borrow::Cow;

use super::query::escaped;

/// The number of header fields that a part may have. Browsers send two.
const MAX_PART_HEADERS: usize = 10;

/// The number of bytes that a boundary may have (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// A part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'b> {
    /// The field's name, from Content-Disposition. Every part of a form should have one.
    pub name: Option<Cow<'b, [u8]>>,
    /// The name of the file that was chosen, if the part is a file.
    pub filename: Option<Cow<'b, [u8]>>,
    /// The Content-Type, if the part has one.
    pub media_type: Option<Cow<'b, [u8]>>,
    /// The content.
    pub data: &'b [u8],
}

/// The parts of a body, in order.
#[derive(Clone, Debug)]
pub struct Parts<'b> {
    /// What follows a delimiter; `None` after the last one, or if nothing more can be read.
    rest: Option<&'b [u8]>,
    /// CRLF, two hyphens and the boundary.
    delimiter: Vec<u8>,
}

impl<'b> Parts<'b> {
    /// Returns the parts of a body with this Content-Type; `None` if it is not that of a multipart body.
    pub fn new(body: &'b [u8], content_type: &[u8]) -> Option<Self> {
        let boundary = boundary_of(content_type)?;
        let delimiter = [b"\r\n--", boundary].concat();
        // dash-boundary: at the very beginning of the body, no CRLF precedes the delimiter.
        let rest = match body.strip_prefix(&delimiter[2..]) {
            Some(rest) => Some(rest),
            None => find(body, &delimiter).map(|at| &body[at + delimiter.len()..]),
        };
        Some(Self { rest, delimiter })
    }
}

impl<'b> Iterator for Parts<'b> {
    type Item = Part<'b>;

    fn next(&mut self) -> Option<Part<'b>> {
        loop {
            // After a delimiter: transport-padding CRLF. After the last one: "--".
            let rest = self.rest.take()?;
            let line_end = find(rest, b"\r\n").filter(|_| !rest.starts_with(b"--"))?;
            let rest = &rest[line_end..];
            // The CRLF of the next delimiter may be the one that ends this line; the part is then empty.
            let end = find(rest, &self.delimiter)?;
            self.rest = Some(&rest[end + self.delimiter.len()..]);
            // An invalid part is skipped. Browsers do not send any.
            if let Some(part) = parse_part(&rest[..end]) {
                return Some(part);
            }
        }
    }
}

/// `body-part := MIME-part-headers [CRLF *OCTET]`, with the CRLF that ends the delimiter's line before it.
fn parse_part(part: &[u8]) -> Option<Part<'_>> {
    let (mut name, mut filename, mut media_type) = (None, None, None);
    let mut rest = part.strip_prefix(b"\r\n")?;
    for _ in 0..=MAX_PART_HEADERS {
        if let Some(data) = rest.strip_prefix(b"\r\n") {
            return Some(Part { name, filename, media_type, data });
        }
        let end = line_end(rest)?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (field, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if field.eq_ignore_ascii_case(b"content-disposition") {
            name = named(value, b"name");
            filename = named(value, b"filename");
        } else if field.eq_ignore_ascii_case(b"content-type") {
            media_type = Some(unfolded(value));
        }
    }
    None
}

/// Returns the index at which a header field ends. A CRLF before white space does not end it (RFC 5322 section 2.2.3).
fn line_end(text: &[u8]) -> Option<usize> {
    let mut ends = memchr::memmem::find_iter(text, b"\r\n");
    ends.find(|end| !matches!(text.get(end + 2), Some(b' ' | b'\t')))
}

/// Returns the value of a header field without its line ends.
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if find(value, b"\r\n").is_none() {
        return Cow::Borrowed(value);
    }
    value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect::<Vec<_>>().into()
}

/// Returns the boundary of `multipart/...; boundary=...`.
fn boundary_of(content_type: &[u8]) -> Option<&[u8]> {
    let is_multipart = content_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let (_, text) = Parameters(content_type).find(|(name, _)| name.eq_ignore_ascii_case(b"boundary"))?;
    let boundary = match text {
        Text::Plain(boundary) | Text::Quoted(boundary) => boundary,
    };
    // bchars include neither quotes nor backslashes, so there is nothing to unescape.
    let is_one = is_multipart && (1..=MAX_BOUNDARY).contains(&boundary.len()) && !boundary.contains(&b'"');
    is_one.then_some(boundary)
}

/// Returns the value of the parameter `asked`. A parameter whose name ends in an asterisk names its character set (RFC
/// 8187 section 3.2). It is preferred if it can be decoded; if it cannot, it still stands in for a missing plain one.
///
/// Such parameters "MUST NOT be used" in forms (RFC 7578 section 4.2), but some clients use them.
fn named<'b>(value: &'b [u8], asked: &[u8]) -> Option<Cow<'b, [u8]>> {
    let (mut plain, mut extended) = (None, None);
    for (name, text) in Parameters(value) {
        if name.eq_ignore_ascii_case(asked) {
            plain = plain.or(Some(text));
        } else if name.strip_suffix(b"*").is_some_and(|name| name.eq_ignore_ascii_case(asked)) {
            extended = extended.or(Some(text));
        }
    }
    let decoded = extended.and_then(|text| decode_extended(&text.unescaped()));
    decoded.map(Cow::Owned).or_else(|| plain.or(extended).map(Text::unescaped))
}

/// Decodes `ext-value = charset "'" [ language ] "'" value-chars` to UTF-8. Returns `None` if it is malformed, or if
/// the character set is not one of the two of RFC 8187 and its predecessor.
fn decode_extended(text: &[u8]) -> Option<Vec<u8>> {
    let mut fields = text.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, mut rest) = (fields.next()?, fields.next()?, fields.next()?);
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            bytes.push(escaped(after)?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes).ok().map(String::into_bytes)
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(bytes.into_iter().map(char::from).collect::<String>().into_bytes())
    } else {
        None
    }
}

/// Iterates over `*( ";" name "=" ( token / quoted-string ) )` after a value. Anything in between is skipped.
struct Parameters<'b>(&'b [u8]);

/// The value of a parameter.
#[derive(Clone, Copy)]
enum Text<'b> {
    Plain(&'b [u8]),
    /// A quoted string without its quotes.
    Quoted(&'b [u8]),
}

impl<'b> Iterator for Parameters<'b> {
    type Item = (&'b [u8], Text<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let is_end = |byte: &u8| matches!(byte, b'=' | b';');
        loop {
            let semicolon = self.0.iter().position(|byte| *byte == b';')?;
            let rest = &self.0[semicolon + 1..];
            let end = rest.iter().position(is_end)?;
            if rest[end] == b';' {
                // A name without a value.
                self.0 = &rest[end..];
                continue;
            }
            let (name, text) = (rest[..end].trim_ascii(), rest[end + 1..].trim_ascii_start());
            let quoted = text.strip_prefix(b"\"").and_then(|quoted| Some((quoted, closing_quote(quoted)?)));
            return Some(if let Some((quoted, end)) = quoted {
                self.0 = &quoted[end + 1..];
                (name, Text::Quoted(&quoted[..end]))
            } else {
                // Clients that do not quote names do not quote names with spaces either.
                let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
                self.0 = &text[end..];
                (name, Text::Plain(text[..end].trim_ascii()))
            });
        }
    }
}

/// Returns the index at which a quoted string ends. `quoted` begins after the first quote.
///
/// Browsers write a quote in the string as `%22` and a backslash as it is (HTML, multipart/form-data encoding
/// algorithm). Older browsers, and clients that follow RFC 2616, put a backslash before a quote. So a backslash before
/// a quote escapes it if the parameter can end somewhere after it; otherwise it is the last character of the name.
fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let ends_parameter = |end: &usize| matches!(quoted[end + 1..].trim_ascii_start().first(), None | Some(b';'));
    let mut is_escaped = false;
    let unescaped = quoted.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    if let Some(end) = unescaped.filter(ends_parameter) {
        return Some(end);
    }
    // Look only as far as the next semicolon, where the next parameter begins. (Looking further would take time
    // quadratic in the number of quotes.)
    let first = memchr::memchr(b'"', quoted)?;
    let next = memchr::memchr(b';', &quoted[first..]).map_or(quoted.len(), |length| first + length);
    memchr::memchr_iter(b'"', &quoted[..next]).find(ends_parameter).or(Some(first))
}

impl<'b> Text<'b> {
    /// Returns the text without line folds and without the backslashes before quotes. Other backslashes are those of
    /// Windows paths.
    fn unescaped(self) -> Cow<'b, [u8]> {
        match self {
            Self::Quoted(text) if find(text, b"\\\"").is_some() => {
                let mut unescaped = Vec::with_capacity(text.len());
                let mut rest = text;
                while let Some(at) = find(rest, b"\\\"") {
                    unescaped.extend_from_slice(&rest[..at]);
                    unescaped.push(b'"');
                    rest = &rest[at + 2..];
                }
                unescaped.extend_from_slice(rest);
                unfolded(&unescaped).into_owned().into()
            }
            Self::Plain(text) | Self::Quoted(text) => unfolded(text),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=X-1";

    fn parts<'b>(body: &'b [u8], content_type: &[u8]) -> Option<Vec<Part<'b>>> {
        Parts::new(body, content_type).map(Iterator::collect)
    }

    fn field<'b>(name: &'b [u8], data: &'b [u8]) -> Part<'b> {
        Part { name: Some(name.into()), filename: None, media_type: None, data }
    }

    #[test]
    fn fields_and_files() {
        let body = b"--X-1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
            --X-1\r\ncontent-disposition:form-data; name=\"f\"; filename=\"x;y.txt\"\r\nContent-Type: text/plain\r\n\r\n\
            two\r\n--X\r\n\r\n--X-1\r\nContent-Disposition: form-data; filename=z; name=e\r\n\r\n\r\n--X-1--\r\n";
        let file = Part {
            name: Some(b"f".into()),
            filename: Some(b"x;y.txt".into()),
            media_type: Some(b"text/plain".into()),
            data: b"two\r\n--X\r\n",
        };
        let empty = Part { name: Some(b"e".into()), filename: Some(b"z".into()), media_type: None, data: b"" };
        assert_eq!(parts(body, TYPE), Some(vec![field(b"a", b"one"), file, empty]));
    }

    /// Returns the name, file name and media type of a part with these header fields.
    fn described(fields: &str) -> (Option<String>, Option<String>, Option<String>) {
        let body = format!("--X-1\r\n{fields}\r\n\r\ndata\r\n--X-1--\r\n");
        let found = parts(body.as_bytes(), TYPE).expect("it is multipart");
        let [part] = &found[..] else { panic!("{fields:?} gave {found:?}") };
        assert_eq!(part.data, b"data");
        let text =
            |bytes: &Option<Cow<'_, [u8]>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        (text(&part.name), text(&part.filename), text(&part.media_type))
    }

    #[test]
    fn names_as_clients_write_them() {
        for (parameters, name, filename) in [
            // Today's Chrome, Firefox and Safari write quotes as %22 and backslashes as they are.
            (r#"name="a%22b"; filename="c%22d\e.txt""#, Some("a%22b"), Some(r"c%22d\e.txt")),
            (r#"name="f"; filename="C:\dir\a.txt""#, Some("f"), Some(r"C:\dir\a.txt")),
            (r#"name="f"; filename="\\server\a.txt""#, Some("f"), Some(r"\\server\a.txt")),
            (r#"name="f"; filename="C:\dir\""#, Some("f"), Some("C:\\dir\\")),
            (r#"name="a\"; filename="b\""#, Some("a\\"), Some("b\\")),
            (r#"name="a\\"; filename="b""#, Some("a\\\\"), Some("b")),
            // Older browsers and curl put a backslash before quotes.
            (r#"name="a\"b"; filename="\"c\".txt""#, Some("a\"b"), Some("\"c\".txt")),
            (r#"name="f"; filename="x\"; name=\"y.txt""#, Some("f"), Some("x\"; name=\"y.txt")),
            (r#"name="f"; filename="a\"; x=y"#, Some("f"), Some("a\\")),
            // Some clients write quotes as they are.
            (r#"name="f"; filename="a"b".txt""#, Some("f"), Some("a\"b\".txt")),
            (r#"name="f"; filename="a"b; x=y"#, Some("f"), Some("a")),
            // No quotes, or only one.
            ("name=f; filename=a b.txt", Some("f"), Some("a b.txt")),
            ("filename=it's; name = f ;", Some("f"), Some("it's")),
            (r#"name=f; filename="open"#, Some("f"), Some("\"open")),
            (r#"name="f"; filename="open; x=y"#, Some("f"), Some("\"open")),
            (r#"name=f; filename=a"b"c"#, Some("f"), Some("a\"b\"c")),
            ("name=; filename=\"\"", Some(""), Some("")),
            // Words and white space in between.
            (r#"flag; name="f"; filename="a""#, Some("f"), Some("a")),
            (r#"name="f" word; filename="a" x=y; z"#, Some("f"), Some("a")),
            (r#"name="f" word; filename="a""#, Some("f"), Some("a")),
            (r#"NAME="f";;FileName="a""#, Some("f"), Some("a")),
            ("\r\n name=\"f\";\r\n\tfilename=\"a\r\n b\"", Some("f"), Some("a b")),
            (r#"name="f"; name="g"; filename="a"; filename="b""#, Some("f"), Some("a")),
            ("xname=f; name_=g", None, None),
        ] {
            let (name, filename) = (name.map(str::to_owned), filename.map(str::to_owned));
            assert_eq!(
                described(&format!("Content-Disposition: form-data; {parameters}")),
                (name, filename, None),
                "{parameters}"
            );
        }
    }

    #[test]
    fn names_in_a_character_set_of_their_own() {
        for (parameters, name, filename) in [
            ("name=f; filename*=UTF-8''%e2%82%ac%20rates.txt", "f", "€ rates.txt"),
            ("name=f; filename=\"EURO rates.txt\"; filename*=utf-8'en'%E2%82%AC%20rates.txt", "f", "€ rates.txt"),
            ("name=f; filename*=UTF-8''a%3Bb; filename=\"c\"", "f", "a;b"),
            ("name=f; filename*=\"UTF-8''a%20b\"", "f", "a b"),
            ("name=f; FILENAME* = iso-8859-1'de'%DCbung", "f", "Übung"),
            ("name=f; filename*=UTF-8''", "f", ""),
            ("name=f; filename*=UTF-8''it's%20plain", "f", "it's plain"),
            ("name*=UTF-8''%C3%BC; filename=a", "ü", "a"),
            // A value that cannot be decoded counts only if there is no other.
            ("name=f; filename=plain; filename*=UTF-8''%ff", "f", "plain"),
            ("name=f; filename=plain; filename*=UTF-8''%4", "f", "plain"),
            ("name=f; filename=plain; filename*=UTF-8''%zz", "f", "plain"),
            ("name=f; filename=plain; filename*=windows-1252''a", "f", "plain"),
            ("name=f; filename=plain; filename*=UTF-8'a", "f", "plain"),
            ("name=f; filename*=windows-1252''%80.txt", "f", "windows-1252''%80.txt"),
        ] {
            let expected = (Some(name.to_owned()), Some(filename.to_owned()), None);
            assert_eq!(described(&format!("Content-Disposition: form-data; {parameters}")), expected, "{parameters}");
        }
    }

    #[test]
    fn many_quotes_take_no_time_that_grows_with_their_square() {
        // A million quotes. In quadratic time this would not end.
        for parameter in [";a=\"x", ";a=\"\\\"", ";a=\"", "\"", "\\\"", ";", ";a=", "\"    "] {
            let value = format!("form-data; name=\"{}", parameter.repeat(1_000_000));
            let body = format!("--X-1\r\nContent-Disposition: {value}\r\n\r\ndata\r\n--X-1--\r\n");
            assert_eq!(parts(body.as_bytes(), TYPE).map(|parts| parts.len()), Some(1), "{parameter}");
        }
    }

    #[test]
    fn folded_header_fields() {
        let fields = "Content-Type: text/plain;\r\n charset=utf-8\r\nX: y\r\n\t: z\r\nContent-Disposition: form-data;\r\n name=f";
        assert_eq!(described(fields), (Some("f".to_owned()), None, Some("text/plain; charset=utf-8".to_owned())));
    }

    #[test]
    fn a_preamble_an_epilogue_and_padding_are_skipped() {
        let body = b"preamble\r\n--X-1 \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--X-1--\r\nepilogue\r\n--X-1\r\n";
        assert_eq!(parts(body, TYPE), Some(vec![field(b"a", b"1")]));
    }

    #[test]
    fn quoted_boundaries_and_other_parameters() {
        let body = b"--a b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--a b--";
        for content_type in
            ["multipart/form-data; boundary=\"a b\"", "Multipart/Mixed; charset=utf-8; Boundary=\"a b\" ; x=y"]
        {
            assert_eq!(parts(body, content_type.as_bytes()), Some(vec![field(b"a", b"1")]), "{content_type}");
        }
    }

    #[test]
    fn what_is_not_multipart_has_no_parts() {
        for content_type in [
            "",
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=\"a",
            "xmultipart/form-data; boundary=a",
        ] {
            assert_eq!(parts(b"--a\r\n", content_type.as_bytes()), None, "{content_type}");
        }
        assert_eq!(parts(b"", format!("multipart/x; boundary={}", "b".repeat(71)).as_bytes()), None);
    }

    #[test]
    fn a_body_that_ends_early_gives_what_is_complete() {
        let body = b"--X-1\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--X-1\r\nContent-Disposition: form-data; name=b\r\n\r\n2\r\n--X-1--";
        for end in 0..body.len() {
            let found = parts(&body[..end], TYPE).expect("it is multipart");
            assert!(found.len() <= 2, "{end}");
            assert!(
                found.iter().all(|part| part.name.as_ref().is_some_and(|name| name.len() == 1) && part.data.len() == 1),
                "{end}"
            );
        }
        assert_eq!(parts(body, TYPE).expect("it is multipart").len(), 2);
    }

    #[test]
    fn parts_with_too_many_headers_or_none_are_left_out() {
        let many = "A: b\r\n".repeat(MAX_PART_HEADERS);
        let body = format!(
            "--X-1\r\nContent-Type: text/plain\r\n\r\nno name\r\n\
             --X-1\r\n{many}Content-Disposition: form-data; name=a\r\n\r\n1\r\n\
             --X-1\r\nno colon\r\n\r\n1\r\n--X-1\r\n--X-1\r\nContent-Disposition: form-data; name=b\r\n\r\n2\r\n--X-1--"
        );
        let unnamed = Part { name: None, filename: None, media_type: Some(b"text/plain".into()), data: b"no name" };
        assert_eq!(parts(body.as_bytes(), TYPE), Some(vec![unnamed, field(b"b", b"2")]));
    }
}
