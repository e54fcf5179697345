//! `multipart/form-data` (RFC 7578): a body that has been received as a whole, taken apart.

/// Header fields a part may have. Browsers send two.
const MAX_PART_HEADERS: usize = 10;

/// Bytes a boundary may have (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// A part of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'b> {
    /// The field's name, from Content-Disposition. A part of a form has one.
    pub name: Option<&'b [u8]>,
    /// The name of the file that was chosen for it, if it is one.
    pub filename: Option<&'b [u8]>,
    /// Content-Type, if the part has one.
    pub media_type: Option<&'b [u8]>,
    /// Its content.
    pub data: &'b [u8],
}

/// The parts of a body, in order.
#[derive(Clone, Debug)]
pub struct Parts<'b> {
    /// What follows a delimiter; `None` when that was the last one or nothing more can be read.
    rest: Option<&'b [u8]>,
    /// CRLF, two hyphens, the boundary.
    delimiter: Vec<u8>,
}

impl<'b> Parts<'b> {
    /// Begins to read a body with this Content-Type; `None` when that is none of a multipart body.
    pub fn new(body: &'b [u8], content_type: &[u8]) -> Option<Self> {
        let boundary = boundary_of(content_type)?;
        let delimiter = [b"\r\n--", boundary].concat();
        // dash-boundary: the first delimiter may stand at the very beginning, where no CRLF goes before it.
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
            // Behind a delimiter: transport-padding CRLF, or "--" behind the last.
            let rest = self.rest.take()?;
            let line_end = find(rest, b"\r\n").filter(|_| !rest.starts_with(b"--"))?;
            let rest = &rest[line_end..];
            // A delimiter's CRLF may be the one that ends the line before it: the part is empty of all.
            let end = find(rest, &self.delimiter)?;
            self.rest = Some(&rest[end + self.delimiter.len()..]);
            // What is no part is left out, as browsers don't send it.
            if let Some(part) = parse_part(&rest[..end]) {
                return Some(part);
            }
        }
    }
}

/// `body-part := MIME-part-headers [CRLF *OCTET]`, behind the CRLF of the delimiter's line.
fn parse_part(part: &[u8]) -> Option<Part<'_>> {
    let (mut name, mut filename, mut media_type) = (None, None, None);
    let mut rest = part.strip_prefix(b"\r\n")?;
    for _ in 0..=MAX_PART_HEADERS {
        if let Some(data) = rest.strip_prefix(b"\r\n") {
            return Some(Part { name, filename, media_type, data });
        }
        let end = find(rest, b"\r\n")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (field, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if field.eq_ignore_ascii_case(b"content-disposition") {
            name = parameter(value, b"name");
            filename = parameter(value, b"filename");
        } else if field.eq_ignore_ascii_case(b"content-type") {
            media_type = Some(value);
        }
    }
    None
}

/// The boundary of `multipart/...; boundary=...`.
fn boundary_of(content_type: &[u8]) -> Option<&[u8]> {
    let is_multipart = content_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let boundary = parameter(content_type, b"boundary").filter(|_| is_multipart)?;
    (1..=MAX_BOUNDARY).contains(&boundary.len()).then_some(boundary)
}

/// `*( ";" name "=" ( token / quoted-string ) )` behind a value; the value of a parameter. Quotes are taken off, and an
/// escaped quote does not end it: browsers write `%22` instead (RFC 7578 section 4.2).
fn parameter<'b>(value: &'b [u8], asked: &[u8]) -> Option<&'b [u8]> {
    let mut rest = &value[value.iter().position(|byte| *byte == b';')?..];
    while let Some(parameter) = rest.strip_prefix(b";") {
        let equals = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, text) = (parameter[..equals].trim_ascii(), parameter[equals + 1..].trim_ascii());
        let (found, after) = if let Some(quoted) = text.strip_prefix(b"\"") {
            let end = closing_quote(quoted)?;
            (&quoted[..end], quoted[end + 1..].trim_ascii_start())
        } else {
            let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
            (text[..end].trim_ascii(), &text[end..])
        };
        if name.eq_ignore_ascii_case(asked) {
            return Some(found);
        }
        rest = after;
    }
    None
}

fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    quoted.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })
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
        Part { name: Some(name), filename: None, media_type: None, data }
    }

    #[test]
    fn fields_and_files() {
        let body = b"--X-1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
            --X-1\r\ncontent-disposition:form-data; name=\"f\"; filename=\"x;y.txt\"\r\nContent-Type: text/plain\r\n\r\n\
            two\r\n--X\r\n\r\n--X-1\r\nContent-Disposition: form-data; filename=z; name=e\r\n\r\n\r\n--X-1--\r\n";
        let file = Part {
            name: Some(b"f"),
            filename: Some(b"x;y.txt"),
            media_type: Some(b"text/plain"),
            data: b"two\r\n--X\r\n",
        };
        let empty = Part { name: Some(b"e"), filename: Some(b"z"), media_type: None, data: b"" };
        assert_eq!(parts(body, TYPE), Some(vec![field(b"a", b"one"), file, empty]));
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
                found.iter().all(|part| part.name.is_some_and(|name| name.len() == 1) && part.data.len() == 1),
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
        let unnamed = Part { name: None, filename: None, media_type: Some(b"text/plain"), data: b"no name" };
        assert_eq!(parts(body.as_bytes(), TYPE), Some(vec![unnamed, field(b"b", b"2")]));
    }
}
