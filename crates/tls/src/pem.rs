//! Sections of PEM text (RFC 7468).
//!
//! Line breaks have no meaning here, so that sections may follow each other on one line, or have lost theirs. The
//! reason why text is refused never contains anything that can be part of a key: it names known labels, and the numbers
//! of lines.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Labels that have a meaning here, or that users confuse with those that have.
const LABELS: [&str; 27] = [
    "ANY PRIVATE KEY",
    "ATTRIBUTE CERTIFICATE",
    "CERTIFICATE",
    "CERTIFICATE REQUEST",
    "CMS",
    "DH PARAMETERS",
    "DSA PARAMETERS",
    "DSA PRIVATE KEY",
    "EC PARAMETERS",
    "EC PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "NEW CERTIFICATE REQUEST",
    "OPENSSH PRIVATE KEY",
    "PGP PRIVATE KEY BLOCK",
    "PKCS #7 SIGNED DATA",
    "PKCS12",
    "PKCS7",
    "PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PRIVATE KEY",
    "RSA PUBLIC KEY",
    "SSH2 ENCRYPTED PRIVATE KEY",
    "SSH2 PUBLIC KEY",
    "TRUSTED CERTIFICATE",
    "X509 CERTIFICATE",
    "X509 CRL",
    "X9.42 DH PARAMETERS",
];

/// How many consecutive characters of base64 outside of a section are taken for a section that has lost its marks.
const STRAY: usize = 40;

/// The shortest run of letters and digits that may be base64 rather than a word.
const SHORTEST_RUN: usize = 20;

/// Characters of a SHA-256 hash in hexadecimal.
const LONGEST_HASH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section<'t> {
    /// The label if it is one of [`LABELS`].
    pub(crate) label: Option<&'static str>,
    body: &'t str,
    /// The text between the previous section and this one.
    before: &'t str,
    /// The number of the line in which it begins, counted from 1.
    pub(crate) line: usize,
}

impl<'t> Section<'t> {
    /// A description for errors.
    pub(crate) fn name(&self) -> String {
        self.label.map_or_else(|| "a section of unknown kind".to_owned(), |label| format!("a section \"{label}\""))
    }

    /// Decodes the base64 in it.
    pub(crate) fn decode(&self) -> Result<Vec<u8>, String> {
        decode(self.body)
            .ok_or_else(|| format!("the base64 of the section that begins in line {} is damaged", self.line))
    }

    /// The text between its marks.
    pub(crate) fn body(&self) -> &'t str {
        self.body
    }

    /// Fails if the text before it looks like a damaged section.
    pub(crate) fn check_before(&self) -> Result<(), String> {
        check_between(self.before)
            .map_err(|what| format!("{what} before the section that begins in line {}", self.line))
    }
}

/// An iterator over the sections of a text. It ends after the first error.
pub(crate) struct Sections<'t> {
    text: &'t str,
    position: usize,
    has_failed: bool,
}

impl<'t> Sections<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, position: 0, has_failed: false }
    }

    /// Fails if the text after the last section may have been a section. Explanations precede what they explain, so
    /// that any text there may be a damaged section.
    pub(crate) fn check_rest(&self) -> Result<(), String> {
        let rest = &self.text[self.position..];
        if self.position == 0 {
            return check_between(rest);
        }
        check_between(rest).map_err(|what| format!("{what} behind its last section"))?;
        let Some(said) = rest.lines().position(says_something) else { return Ok(()) };
        let line = self.line(self.position) + said;
        Err(format!("there is text behind its last section, in line {line}: take it out, or begin the line with #"))
    }

    fn line(&self, position: usize) -> usize {
        self.text[..position].matches('\n').count() + 1
    }

    fn read(&mut self) -> Result<Option<Section<'t>>, String> {
        let (start, text) = (self.position, self.text);
        let Some(begin) = find(text, BEGIN, start) else { return Ok(None) };
        let line = self.line(begin);
        let after = begin + BEGIN.len();
        let label = find(text, DASHES, after).map(|end| &text[after..end]).filter(|label| !label.contains('\n'));
        let label = label.ok_or_else(|| format!("line {line} begins a section without five dashes at its end"))?;
        let content = after + label.len() + DASHES.len();
        let end = find(text, END, content);
        let next = find(text, BEGIN, content).unwrap_or(text.len());
        let end = end.filter(|end| *end < next);
        let end = end.ok_or_else(|| format!("the section that begins in line {line} has no end"))?;
        let tail = &text[end + END.len()..];
        if !tail.strip_prefix(label).is_some_and(|rest| rest.starts_with(DASHES)) {
            let last = self.line(end);
            return Err(format!("the section that begins in line {line} has another name at its end, in line {last}"));
        }
        self.position = end + END.len() + label.len() + DASHES.len();
        let known = LABELS.iter().copied().find(|known| *known == label.trim());
        Ok(Some(Section { label: known, body: &text[content..end], before: &text[start..begin], line }))
    }
}

impl<'t> Iterator for Sections<'t> {
    type Item = Result<Section<'t>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let read = self.read();
        self.has_failed = read.is_err();
        read.transpose()
    }
}

/// The text of PEM, with line breaks in place of `\n`, as it is written in environment variables and in JSON.
pub(crate) fn text(content: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(content);
    if !text.contains(BEGIN) || !text.contains('\\') {
        return text;
    }
    // Text that was quoted several times has several backslashes.
    let mut plain = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('\\') {
        let escaped = rest[at..].trim_start_matches('\\');
        let taken = match escaped.as_bytes().first() {
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            _ => None,
        };
        plain.push_str(&rest[..at]);
        if let Some(taken) = taken {
            plain.push(taken);
            rest = &escaped[1..];
        } else {
            plain.push('\\');
            rest = &rest[at + 1..];
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The PEM form of a certificate in DER (RFC 7468 section 5), in lines of 64 characters.
pub fn to_pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// Decodes base64, ignoring white space.
pub(crate) fn decode(body: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );

    let dense: String = body.split_ascii_whitespace().collect();
    LENIENT.decode(dense).ok()
}

/// If content without any section is recognized: what it is, and what to do.
pub(crate) fn mistake(content: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(content);
    let text = text.trim().trim_start_matches('\u{FEFF}');
    let reason = if content.is_empty() {
        "it is empty"
    } else if content.starts_with(&[0xFF, 0xFE]) || content.starts_with(&[0xFE, 0xFF]) || content.contains(&0) {
        if content[0] == 0x30 { IS_DER } else { "it is not UTF-8: save it as text in UTF-8" }
    } else if content[0] == 0x30 && content.get(1).is_some_and(|byte| *byte >= 0x80 || !byte.is_ascii_graphic()) {
        IS_DER
    } else if text.starts_with("LS0tLS1") {
        "it is PEM that has been encoded in base64 once more: decode it with Buffer.from(value, 'base64')"
    } else if text.starts_with('M') && text.len() > STRAY && text.chars().all(|it| is_base64(it) || it.is_whitespace())
    {
        "it is base64 without the lines -----BEGIN ...----- and -----END ...----- around it"
    } else if text.starts_with('{') {
        "it is JSON, such as a JWK: export it as PEM with crypto.createPrivateKey of node:crypto"
    } else if text.starts_with("PuTTY-User-Key-File") {
        "it is a PuTTY key: export it with puttygen -O private-openssh-new and convert it with ssh-keygen -p -m PKCS8"
    } else {
        return None;
    };
    Some(reason)
}

const IS_DER: &str = "it is binary, in DER or PKCS #12: convert it with openssl x509 -inform DER, openssl pkey \
                      -inform DER, or openssl pkcs12 -nodes";

/// Whether what should be the path of a file contains a key, or may contain one. Errors do not show such a path.
///
/// A line of base64 may contain slashes, but no dot, and hardly ever so few upper-case letters that each of its parts
/// looks like a word.
pub(crate) fn may_be_secret_path(path: &str) -> bool {
    let mut parts = path.trim().rsplit(['/', '\\']);
    let has_extension = parts.next().is_some_and(|file| file.contains('.'));
    may_be_secret(path) || (!has_extension && !path.split(['/', '\\']).all(is_word))
}

/// Whether what should be the name of a server or of a cipher contains a key, or may contain one. Errors do not show
/// such a name.
///
/// These names consist of short words. The last line of a key may be as short as a name, and some are no more mixed
/// than words that are joined.
pub(crate) fn may_be_secret_name(name: &str) -> bool {
    let is_part = |run: &str| {
        let is_short = run.len() < SHORTEST_RUN || run.chars().all(|it| it.is_ascii_alphabetic());
        // OpenSSL has names such as aNULL.
        is_short && (is_word(run) || run.get(1..).is_some_and(is_upper))
    };
    may_be_secret(name) || !name.split(|it: char| !is_base64(it)).all(is_part)
}

/// Whether text has upper-case letters only at its beginning, or no others.
fn is_word(text: &str) -> bool {
    is_upper(text) || !text.chars().skip(1).any(|it| it.is_ascii_uppercase())
}

fn is_upper(text: &str) -> bool {
    !text.contains(|it: char| it.is_ascii_lowercase())
}

/// Whether text that should be something else contains a key, or may contain one. Errors do not show such text.
pub(crate) fn may_be_secret(text: &str) -> bool {
    let trimmed = text.trim();
    let is_long = trimmed.len() > STRAY;
    text.chars().any(|it| it.is_control() || it == '\u{FFFD}')
        || text.contains("---")
        || text.contains("BEGIN ")
        || text.contains("PRIVATE KEY")
        || trimmed.starts_with("LS0tLS1")
        || trimmed.starts_with('{')
        || trimmed.starts_with("data:")
        || (is_long && text.contains("\\n"))
        // Base64 may end with an equals sign, and the names of files do not.
        || trimmed.split(|it: char| !is_base64(it)).any(|run| run.starts_with('M') && run.len() > STRAY)
        || trimmed.ends_with('=')
        || has_base64(trimmed)
        // Hexadecimal, or an unlikely name. The name of a folder may be a hash in hexadecimal.
        || (is_long && !trimmed.contains(['.', '/', '\\']))
        || trimmed.split(|it: char| !it.is_ascii_alphanumeric()).any(|run| run.len() > LONGEST_HASH)
}

fn is_base64(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '+' | '/' | '=')
}

fn find(text: &str, what: &str, from: usize) -> Option<usize> {
    text[from..].find(what).map(|at| from + at)
}

/// Fails if text between sections looks like a damaged section.
fn check_between(text: &str) -> Result<(), String> {
    let is_binary = |it: char| it.is_ascii_control() && !it.is_ascii_whitespace() && !matches!(it, '\0' | '\x0B');
    if text.contains(is_binary) {
        return Err("there are bytes that are no text, such as those of DER,".to_owned());
    }
    // Comments are not part of a damaged section.
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        // Word processors replace two dashes with one.
        let has_dashes = line.trim().starts_with('-') || line.contains("--") || line.contains(['\u{2013}', '\u{2014}']);
        if has_dashes && line.split(|it: char| !it.is_ascii_alphabetic()).any(|word| matches!(word, "BEGIN" | "END")) {
            return Err("there is a damaged mark of a section".to_owned());
        }
        if has_base64(line) || is_base64_line(line.trim()) {
            return Err("there is base64 without the mark of a section".to_owned());
        }
    }
    Ok(())
}

fn is_base64_line(line: &str) -> bool {
    let body = line.trim_end_matches('=');
    let has = |kind: fn(&char) -> bool| body.chars().any(|it| kind(&it));
    body.len() >= STRAY
        && line.len() - body.len() <= 2
        && body.chars().all(|it| it != '=' && is_base64(it))
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit)
}

/// Whether there is a run of letters and digits as in base64, unlike those of words and hexadecimal.
fn has_base64(text: &str) -> bool {
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '+')
        .any(|run| run.len() >= SHORTEST_RUN && (is_mixed(run) || is_of_der(run)))
}

/// In base64 some 62 % of all characters are of another kind (upper case, lower case, digit) than the previous one; in
/// joined words a third are.
fn is_mixed(run: &str) -> bool {
    let kind = |byte: u8| (byte.is_ascii_uppercase(), byte.is_ascii_digit());
    let run = run.as_bytes();
    let changes = run.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    run.iter().any(u8::is_ascii_uppercase) && run.iter().any(u8::is_ascii_lowercase) && changes * 20 >= run.len() * 9
}

/// Keys and certificates are a SEQUENCE in DER, whose base64 begins with an M and one of the first 16 letters. What
/// follows differs little between them, and is less mixed.
fn is_of_der(run: &str) -> bool {
    let run = run.as_bytes();
    matches!(run, [b'M', b'A'..=b'P', ..])
        && run.iter().any(u8::is_ascii_lowercase)
        && run.iter().any(u8::is_ascii_digit)
}

/// Whether a line is anything but blank, a comment, or a ruler.
fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.starts_with('#') && line.contains(|it: char| it.is_alphanumeric() || it == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Vec<(Option<&'static str>, Vec<u8>)>;

    fn read(text: &str) -> Result<Read, String> {
        let mut sections = Sections::new(text);
        let mut read = Vec::new();
        for section in &mut sections {
            let section = section?;
            section.check_before()?;
            read.push((section.label, section.decode()?));
        }
        sections.check_rest()?;
        Ok(read)
    }

    #[test]
    fn line_breaks_have_no_meaning() {
        let expected = vec![(Some("CERTIFICATE"), vec![1, 2, 3, 4]), (Some("PRIVATE KEY"), vec![5, 6])];
        for text in [
            "-----BEGIN CERTIFICATE-----\nAQID\nBA==\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nBQY=\n-----END PRIVATE KEY-----\n",
            "-----BEGIN CERTIFICATE-----\r\nAQIDBA==\r\n-----END CERTIFICATE----------BEGIN PRIVATE KEY-----\r\nBQY=\r\n-----END PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE-----AQIDBA==-----END CERTIFICATE----------BEGIN PRIVATE KEY-----BQY=-----END PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE----- AQID BA== -----END CERTIFICATE----- -----BEGIN PRIVATE KEY----- BQY -----END PRIVATE KEY-----",
            "serial=39F50F2C6F0A4E1B9C7D5A3B8E2F4C6D1A9B7E5C\n-----BEGIN CERTIFICATE-----\nAQIDBA==\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nBQY=\n-----END PRIVATE KEY-----",
            "text: 1\n-----BEGIN CERTIFICATE-----\nAQIDBA==\n-----END CERTIFICATE-----\nmore\n-----BEGIN PRIVATE KEY-----\nBQY=\n-----END PRIVATE KEY-----\n# end",
        ] {
            assert_eq!(read(text), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn line_breaks_may_be_written_as_backslash_n() {
        let plain = "-----BEGIN PRIVATE KEY-----\nBQY=\n-----END PRIVATE KEY-----\n";
        for backslashes in ["\\", "\\\\", "\\\\\\\\"] {
            let escaped = plain.replace('\n', &format!("{backslashes}n"));
            assert_eq!(text(escaped.as_bytes()), plain);
            assert_eq!(
                text(plain.replace('\n', &format!("{backslashes}r{backslashes}n")).as_bytes()).replace('\r', ""),
                plain
            );
        }
        assert_eq!(text(b"C:\\new"), "C:\\new");
        assert_eq!(text(b"C:\\x -----BEGIN \\"), "C:\\x -----BEGIN \\");
    }

    #[test]
    fn a_damaged_section_is_refused_with_its_line() {
        let whole = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        let stray = "MIIBszCCAVmgAwIBAgIUQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVI";
        for (follows, reason) in [
            ("-----BEGIN CERTIFICATE-----\nAQID\n", "the section that begins in line 4 has no end"),
            (
                "-----BEGIN CERTIFICATE\nAQID\n-----END CERTIFICATE-----\n",
                "line 4 begins a section without five dashes at its end",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAQID\n-----END PRIVATE KEY-----\n",
                "the section that begins in line 4 has another name at its end, in line 6",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nA*ID\n-----END CERTIFICATE-----\n",
                "the base64 of the section that begins in line 4 is damaged",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
                "the section that begins in line 4 has no end",
            ),
            (
                "----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
                "there is a damaged mark of a section behind its last section",
            ),
            (stray, "there is base64 without the mark of a section behind its last section"),
            (
                "-----BEGIN CERTIFICATE-----AQID-----END CERTIFICATE-----BEGIN CERTIFICATE-----AQID-----END CERTIFICATE-----",
                "there is a damaged mark of a section behind its last section",
            ),
            ("AQID-----END CERTIFICATE-----", "there is a damaged mark of a section behind its last section"),
            ("-----BEGIN%20CERTIFICATE-----%0AAQID", "there is a damaged mark of a section behind its last section"),
            ("\u{1}\u{2}", "there are bytes that are no text, such as those of DER, behind its last section"),
            (
                "Ue9PY0OaorznGuKUsIJi XTGQ9z6hRANCAAQejMpof/d5gVT2N99C",
                "there is base64 without the mark of a section behind its last section",
            ),
            ("\ngarbage", "there is text behind its last section, in line 5: take it out, or begin the line with #"),
            ("--", "there is text behind its last section, in line 4: take it out, or begin the line with #"),
            (
                &format!("{stray}\n-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"),
                "there is base64 without the mark of a section before the section that begins in line 5",
            ),
        ] {
            assert_eq!(read(&format!("{whole}{follows}")), Err(reason.to_owned()), "{follows}");
        }
    }

    #[test]
    fn other_text_may_stand_around_sections() {
        let whole = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        for text in [
            "Some Root Certification Authority of a Long Name\n================================================\n",
            "Bag Attributes\n    localKeyID: 54 69 6D 65\nsubject=CN = localhost\n-- \n",
            "# ----BEGIN CERTIFICATE\n#Ue9PY0OaorznGuKUsIJiXTGQ9z6hRANCAAQejMpof\nand more\n",
            "sha256:6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a\n",
            "        00:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89\n----------\n",
        ] {
            assert!(read(&format!("{text}{whole}{text}{whole}")).is_ok(), "{text}");
            assert!(read(&format!("{whole}{text}")).is_err(), "{text}");
        }
        for nothing in ["\n\n \t\r\n", "# the end\n  # of it", "*****\n\n*****\n", "\"", "',\n]", "\0", "\u{feff}"] {
            assert!(read(&format!("{whole}{nothing}")).is_ok(), "{nothing}");
        }
    }

    #[test]
    fn text_may_be_cut_off_only_between_sections() {
        let whole = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        let both = [whole, whole].concat();
        for end in 0..both.len() {
            let read = read(&both[..end]).map(|sections| sections.len());
            match end {
                _ if end == whole.len() - 1 || end == whole.len() => assert_eq!(read, Ok(1)),
                _ if end == both.len() - 1 => assert_eq!(read, Ok(2)),
                _ => assert!(!matches!(read, Ok(1..)), "{end}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_certificate_in_pem_is_read_again() {
        for length in [0, 1, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let pem = to_pem(&der);
            assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
            assert_eq!(read(&pem), Ok(vec![(Some("CERTIFICATE"), der)]));
        }
    }

    #[test]
    fn an_unknown_label_is_not_shown() {
        let section =
            Sections::new("-----BEGIN SECRET-----\n-----END SECRET-----").next().expect("a section").expect("good");
        assert_eq!((section.label, section.name()), (None, "a section of unknown kind".to_owned()));
    }

    #[test]
    fn text_that_may_be_a_key_is_distinguished_from_paths() {
        for path in [
            "key.pem",
            "/etc/letsencrypt/live/example.com/privkey.pem",
            "C:\\keys\\new.pem",
            "./Мой ключ.pem",
            "secret",
            "/Users/ford/Library/keys/TLS/server",
            "/run/secrets/tls-key",
            "/etc/ssl/TheCertificateOfOurWebServers2026.pem",
            "/etc/ssl/MyCertificateForMyWebServers2026.pem",
            "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/key-Ab3xYz.pem",
        ] {
            assert!(!may_be_secret_path(path), "{path}");
        }
        let deep = format!("/var/lib/certificates/{}/key.pem", "6a".repeat(32));
        assert!(!may_be_secret_path(&deep));
        for secret in [
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\\nMIIE",
            "MC4CAQAwBQYDK2VwBCIEIEZqTT1ZqpFVfjpt0JbR1Bmn4dyVYbn6vDO8xEPzb6Yw",
            "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
            "{\"kty\":\"EC\",\"d\":\"x\"}",
            "two\nlines",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            &"6a".repeat(32),
            &format!("x/{}", "6a".repeat(40)),
            "data:application/x-pem-file;base64,AQID",
            "/etc/ssl/MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg",
            "wW+S1ueF+yHXVK5rsKOWV8R/+hLxe7enelpJZP0+8TYleA1ZPqkgcAQY",
            "file:///etc/Ue9PY0OaorznGuKUsIJiXTGQ9z6hRANCAAQejMpof/d5gVT2N99",
        ] {
            assert!(may_be_secret(secret), "{secret}");
        }
        for secret in [
            "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFqHw8FKLAlwG/fSd+pDIPMEgZDq",
            "Ho2k/3oGkDxGi0ytTXlVGPrr",
            "/etc/ssl/yz23BEwpcC4/ysu3tTR3Vrt+",
            "M2Yx",
        ] {
            assert!(may_be_secret_path(secret), "{secret}");
        }
    }

    #[test]
    fn text_that_may_be_a_key_is_distinguished_from_names() {
        for name in [
            "ECDHE-RSA-AES256-GMC-SHA384",
            "ecdhe-rsa-aes256-gcm-sha384",
            "TLS_AES_128_CCM_8_SHA256",
            "DEFAULT@SECLEVEL=1",
            "!aNULL",
            "EECDH+ECDSA",
            "-.Example.com",
            "exa mple.com",
            "b\u{fc}cher.example",
        ] {
            assert!(!may_be_secret_name(name), "{name}");
        }
        for secret in ["FZqluuxt+nea7Lsh+OBmjeCy", "MC4CAQAwBQYDK2VwBCIEIEZqTT1Z", "two\nlines", "M2Yx"] {
            assert!(may_be_secret_name(secret), "{secret}");
        }
    }

    /// The last line of an RSA key has 20, 24 or 28 characters.
    #[test]
    fn the_last_line_of_a_key_is_no_name_whatever_it_is() {
        const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(BASE64[usize::try_from(state >> 58).expect("six bits")])
        };
        for length in [20, 24, 28] {
            for _ in 0..10_000 {
                let line: String = (0..length).map(|_| next()).collect();
                assert!(may_be_secret_name(&line), "{line}");
            }
        }
    }
}
