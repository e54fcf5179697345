use super::*;

/// Parses `input` and every prefix of it. A prefix of valid input is incomplete, never an error. A prefix of invalid
/// input is incomplete or the same error.
fn parse(input: &[u8]) -> Result<(String, Option<Body>, usize), HttpError> {
    let once = |input: &[u8]| {
        let mut room = RequestRoom::default();
        Request::parse(input, &mut room, DEFAULT_MAX_HEAD_SIZE).map(|parsed| {
            parsed.map(|(request, length)| {
                let line = format!("{} {} {:?}", request.method, request.path, request.query);
                (line, request.body(), length)
            })
        })
    };
    let whole = once(input);
    for end in 0..input.len() {
        match (once(&input[..end]), &whole) {
            (Ok(None), _) => {}
            (Ok(Some(early)), Ok(Some(whole))) => assert_eq!(early, *whole),
            (Err(early), Err(whole)) => assert_eq!(early, *whole),
            (early, whole) => panic!("prefix of {end} bytes gave {early:?}, all of it {whole:?}"),
        }
    }
    whole.map(|parsed| parsed.expect("a complete head"))
}

#[test]
fn a_plain_request() {
    let (line, body, length) = parse(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nrest").expect("good");
    assert_eq!((line.as_str(), body.is_none(), length), ("GET /a Some(\"b=c\")", true, 32));
}

#[test]
fn path_query_and_headers() {
    let input = b"GET /a%20b?x=1?y HTTP/1.1\r\nHost: h\r\nX-Y:  v \r\nx-y: second\r\nConnection: a , CLOSE\r\n\r\n";
    let mut room = RequestRoom::default();
    let (request, _) = Request::parse(input, &mut room, 4096).expect("good").expect("complete");
    assert_eq!((request.path(), request.query()), ("/a%20b", Some("x=1?y")));
    assert_eq!(request.header(b"x-y"), Some(&b"v"[..]));
    assert_eq!(request.header(b"X-Y"), None);
    assert_eq!(request.header(b"missing"), None);
    assert!(request.asks_to_close());
    assert_eq!(request.headers().count(), 4);
}

#[test]
fn a_bare_question_mark_is_an_empty_query() {
    let mut room = RequestRoom::default();
    let (request, _) =
        Request::parse(b"GET /? HTTP/1.1\r\nHost: h\r\n\r\n", &mut room, 4096).expect("good").expect("complete");
    assert_eq!((request.path(), request.query()), ("/", Some("")));
}

#[test]
fn bodies_by_length_and_chunked() {
    let length = |input: &[u8]| parse(input).expect("good").1;
    assert_eq!(length(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), None);
    assert_eq!(length(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n"), Some(Body::with_length(12)));
    assert_eq!(length(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"), Some(Body::chunked()));
}

#[test]
fn ambiguous_or_malformed_requests_are_refused() {
    for (headers, error) in [
        ("", HttpError::MissingHost),
        ("Host:\r\n", HttpError::MissingHost),
        ("Host: a\r\nHost: b\r\n", HttpError::RepeatedHost),
        ("Host: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", HttpError::AmbiguousLength),
        ("Host: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n", HttpError::AmbiguousLength),
        ("Host: h\r\nContent-Length: 1, 1\r\n", HttpError::InvalidContentLength),
        ("Host: h\r\nContent-Length: +1\r\n", HttpError::InvalidContentLength),
        ("Host: h\r\nContent-Length: \r\n", HttpError::InvalidContentLength),
        ("Host: h\r\nContent-Length: 1000000000000000000\r\n", HttpError::InvalidContentLength),
        ("Host: h\r\nContent-Length: 0000000000000000001\r\n", HttpError::InvalidContentLength),
        ("Host: h\r\nContent-Length: 18446744073709551617\r\n", HttpError::InvalidContentLength),
        ("Host: h\r\nTransfer-Encoding: gzip, chunked\r\n", HttpError::InvalidTransferEncoding),
        ("Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HttpError::AmbiguousLength),
        ("Host: h\r\nTransfer-Encoding: xchunked\r\n", HttpError::InvalidTransferEncoding),
        ("Host : h\r\n", HttpError::InvalidHeaderName),
        ("Host: h\r\n folded\r\n", HttpError::InvalidHeaderName),
        ("Host: h\r\n: empty\r\n", HttpError::InvalidHeaderName),
        ("Host: h\nX: y\r\n", HttpError::InvalidLineEnd),
        ("Host: h\r\nX: a\0b\r\n", HttpError::InvalidHeaderValue),
        ("Host: h\r\nX: a\rb\r\n", HttpError::InvalidHeaderValue),
    ] {
        let input = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        assert_eq!(parse(input.as_bytes()).err(), Some(error), "{headers:?}");
    }
}

#[test]
fn what_is_no_request_line_is_a_bad_request() {
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 GET / HTTP/1.1",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\rX",
        "GET / HTTP/1.1\nX: HTTP/1.1",
        "GET / HTTP/1.1\rX HTTP/1.1",
        "GET / HTTP/2",
        "GET / HTTP/2.0x",
        "GET / HTTP/2.0 ",
        "GET / HTTP/2.0\n",
        "GET / HTTP/2.0\rx",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1,1",
        "GET / HTTP/x.1",
        "GET / http/1.1",
        "GET / HTTPS/1.1",
        "GET / JUNK",
        "GET / ",
        "GET /",
        "G=T\x01 / HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\0 HTTP/1.1",
        " GET / HTTP/1.1",
        "\nGET / HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS *a HTTP/1.1",
        "GET x HTTP/1.1",
        "CONNECT h:443 HTTP/1.1",
        "GET",
    ] {
        let input = format!("{line}\r\nHost: h\r\n\r\n");
        assert_eq!(parse(input.as_bytes()).err().map(HttpError::status), Some(400), "{line:?}");
    }
    for (line, error) in [
        ("G=T\x01 / HTTP/1.1", HttpError::InvalidRequestLine),
        ("GET /\x01 HTTP/1.1", HttpError::InvalidRequestLine),
        ("GET / JUNK", HttpError::InvalidVersion),
        ("GET / HTTP/1.1\rX", HttpError::InvalidLineEnd),
        ("\nGET / HTTP/1.1", HttpError::InvalidLineEnd),
        ("CONNECT h:443 HTTP/1.1", HttpError::InvalidTarget),
    ] {
        let input = format!("{line}\r\nHost: h\r\n\r\n");
        assert_eq!(parse(input.as_bytes()).err(), Some(error), "{line:?}");
    }
}

#[test]
fn another_version_is_refused_as_such_and_a_later_minor_one_is_read_as_1_1() {
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9"] {
        let mut input = format!("PRI * {version}\r\nHost: h\r\n\r\n").into_bytes();
        assert_eq!(parse(&input).err(), Some(HttpError::UnsupportedVersion), "{version}");
        assert!(!lower_minor_version(&mut input), "{version}");
    }
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let mut input = format!("\r\nGET /a {version}\r\nHost: h\r\n\r\n").into_bytes();
        assert_eq!(parse(&input).err(), Some(HttpError::UnsupportedVersion), "{version}");
        assert!(lower_minor_version(&mut input));
        assert_eq!(parse(&input).expect("good").0, "GET /a None");
    }
    // Input that was not refused for its version is not changed.
    for input in
        [&b"GET / HTTP/1.1\r\n"[..], b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.2\r", b"GET / HTTP/1.23\r\n", b"GET /"]
    {
        assert!(!lower_minor_version(&mut input.to_vec()), "{}", input.escape_ascii());
    }
}

#[test]
fn http_1_0_needs_no_host_and_closes_unless_it_asks_not_to() {
    for (headers, closes) in [
        ("", true),
        ("Host: h\r\n", true),
        ("Connection: keep-alive\r\n", false),
        ("Connection: x, Keep-Alive\r\n", false),
        ("Connection: x\r\nConnection: keep-alive\r\n", false),
        ("Connection: keep-alive, close\r\n", true),
        ("Connection: close\r\nConnection: keep-alive\r\n", true),
        ("Keep-Alive: timeout=5\r\n", true),
    ] {
        let input = format!("GET / HTTP/1.0\r\n{headers}\r\n");
        parse(input.as_bytes()).expect("good");
        let mut room = RequestRoom::default();
        let (request, _) = Request::parse(input.as_bytes(), &mut room, 4096).expect("good").expect("complete");
        assert_eq!((request.is_http_1_0(), request.asks_to_close()), (true, closes), "{headers:?}");
    }
    let length = parse(b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").expect("good").1;
    assert_eq!(length, Some(Body::with_length(3)));
    for (headers, error) in [
        ("Host:\r\n", HttpError::MissingHost),
        ("Host: a\r\nHost: b\r\n", HttpError::RepeatedHost),
        ("Transfer-Encoding: chunked\r\n", HttpError::InvalidTransferEncoding),
        ("Transfer-Encoding: identity\r\n", HttpError::InvalidTransferEncoding),
    ] {
        let input = format!("POST / HTTP/1.0\r\n{headers}\r\n");
        assert_eq!(parse(input.as_bytes()).err(), Some(error), "{headers:?}");
    }
}

#[test]
fn http_1_1_is_kept_alive_whatever_else_it_asks_for() {
    for (connection, closes) in [("keep-alive", false), ("close", true), ("keep-alive, close", true), ("x", false)] {
        let input = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n");
        let mut room = RequestRoom::default();
        let (request, _) = Request::parse(input.as_bytes(), &mut room, 4096).expect("good").expect("complete");
        assert_eq!((request.is_http_1_0(), request.asks_to_close()), (false, closes), "{connection}");
    }
}

/// Returns the path, query and host of a request with this method and target.
fn resolve(line: &str, version: &str, headers: &str) -> Option<(String, Option<String>, String)> {
    let input = format!("{line} {version}\r\n{headers}\r\n");
    parse(input.as_bytes()).ok()?;
    let mut room = RequestRoom::default();
    let (request, _) = Request::parse(input.as_bytes(), &mut room, 4096).ok()??;
    let host = String::from_utf8_lossy(request.header(b"host").unwrap_or_default()).into_owned();
    let hosts = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count();
    assert_eq!(hosts, usize::from(!host.is_empty()));
    Some((request.path().to_owned(), request.query().map(str::to_owned), host))
}

#[test]
fn a_target_in_absolute_form_has_a_host_that_goes_before_the_header() {
    for (target, path, query, host) in [
        ("http://other/a/b?c=d?e", "/a/b", Some("c=d?e"), "other"),
        ("HTTP://Other:8080/", "/", None, "Other:8080"),
        ("https://other", "/", None, "other"),
        ("http://other?q", "/", Some("q"), "other"),
        ("http://other:/a:b@c", "/a:b@c", None, "other:"),
        ("http://[2001:db8::1]:80/a", "/a", None, "[2001:db8::1]:80"),
        ("http://[::1]", "/", None, "[::1]"),
        ("http://127.0.0.1:80/x", "/x", None, "127.0.0.1:80"),
        ("http://a%20b_c/x", "/x", None, "a%20b_c"),
        ("http://other//x", "//x", None, "other"),
    ] {
        let expected = Some((path.to_owned(), query.map(str::to_owned), host.to_owned()));
        let line = format!("GET {target}");
        for headers in ["Host: h\r\nX: y\r\n", "X: y\r\nhost:\r\n"] {
            assert_eq!(resolve(&line, "HTTP/1.1", headers), expected, "{target}");
        }
        for headers in ["Host: h\r\n", ""] {
            assert_eq!(resolve(&line, "HTTP/1.0", headers), expected, "{target}");
        }
        assert_eq!(resolve(&line, "HTTP/1.1", ""), None, "HTTP/1.1 has a Host all the same");
        assert_eq!(resolve(&line, "HTTP/1.1", "Host: a\r\nHost: b\r\n"), None);
    }
}

#[test]
fn a_target_that_is_no_uri_of_ours_is_a_bad_request() {
    for target in [
        "http:///a",
        "http://:80/a",
        "http://u@h/a",
        "http://u:p@h/",
        "http://h:8o/",
        "http://h:80:80/",
        "http://",
        "http:/h/a",
        "http:h",
        "http",
        "ftp://h/a",
        "ws://h/a",
        "httpx://h/a",
        "://h/a",
        "http://h#a",
        "http://[::1/",
        "http://::1]/",
        "http://[]/",
        "http://[[::1]]/",
        "http://[::1]x/",
        "http://h\"/",
        "http://h\\/",
        "h",
        "h:80",
        "#",
        "?a",
    ] {
        for method in ["GET", "OPTIONS", "CONNECT"] {
            assert_eq!(resolve(&format!("{method} {target}"), "HTTP/1.1", "Host: h\r\n"), None, "{method} {target}");
        }
    }
}

#[test]
fn options_for_the_server_as_a_whole() {
    let whole = Some(("*".to_owned(), None, "h".to_owned()));
    assert_eq!(resolve("OPTIONS *", "HTTP/1.1", "Host: h\r\n"), whole);
    assert_eq!(resolve("OPTIONS http://h", "HTTP/1.1", "Host: x\r\n"), whole);
    let path = Some(("/".to_owned(), None, "h".to_owned()));
    assert_eq!(resolve("OPTIONS http://h/", "HTTP/1.1", "Host: x\r\n"), path);
    assert_eq!(resolve("options *", "HTTP/1.1", "Host: h\r\n"), None);
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let (line, _, length) = parse(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("good");
    assert_eq!((line.as_str(), length), ("GET / None", 31));
}

#[test]
fn limits_on_size_and_number_of_headers() {
    let with_filler = |size: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(size));
    let frame = with_filler(0).len();
    let mut room = RequestRoom::default();
    let fits = with_filler(DEFAULT_MAX_HEAD_SIZE - frame);
    assert!(matches!(Request::parse(fits.as_bytes(), &mut room, DEFAULT_MAX_HEAD_SIZE), Ok(Some(_))));
    let over = with_filler(DEFAULT_MAX_HEAD_SIZE - frame + 1);
    for end in [DEFAULT_MAX_HEAD_SIZE, over.len()] {
        let mut room = RequestRoom::default();
        let refused = Request::parse(&over.as_bytes()[..end], &mut room, DEFAULT_MAX_HEAD_SIZE);
        assert_eq!(refused.err(), Some(HttpError::HeadTooLarge));
    }
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS));
    let mut room = RequestRoom::default();
    let refused = Request::parse(many.as_bytes(), &mut room, DEFAULT_MAX_HEAD_SIZE);
    assert_eq!(refused.err(), Some(HttpError::TooManyHeaders));
}
