//! Sessions against the client of rustls, in memory.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore};

use crate::config::CIPHERS;
use crate::{Failure, Input, NamePattern, Names, Pem, SealError, Session, Then, TlsConfig, TlsSettings};

/// The suites that work with an ECDSA key. The others differ only in what rustls does.
fn suites() -> impl Iterator<Item = CipherSuite> {
    CIPHERS.into_iter().filter(|(name, _)| !name.contains("RSA-") || name.contains("ECDSA")).map(|(_, suite)| suite)
}

/// Settings with a new certificate for a name, and the certificate.
fn settings(name: &str) -> (TlsSettings, Vec<u8>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate").pem().into_bytes();
    let settings = TlsSettings {
        key: Some(Pem::Content(key.serialize_pem().into_bytes(), "key")),
        cert: Some(Pem::Content(cert.clone(), "cert")),
        ..TlsSettings::default()
    };
    (settings, cert)
}

fn client_config(cert: &[u8], suite: Option<CipherSuite>) -> Arc<ClientConfig> {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|supported| suite.is_none_or(|suite| supported.suite() == suite));
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(cert).expect("PEM")).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().expect("a version");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Both ends of a connection, and what the server's end has received.
struct Ends {
    names: Names<u32>,
    /// The value of the name that the client has asked for.
    chosen: Option<u32>,
    session: Session,
    client: ClientConnection,
    received: Vec<u8>,
    /// The input that ended the session.
    end: Option<Input>,
    /// How many bytes the session receives at a time.
    step: usize,
}

impl Ends {
    fn new(names: Names<u32>, client: Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        Self {
            names,
            chosen: None,
            session: Session::new(),
            client: ClientConnection::new(client, name).expect("a client"),
            received: Vec::new(),
            end: None,
            step: usize::MAX,
        }
    }

    fn with(suite: CipherSuite) -> Self {
        let (settings, cert) = settings("localhost");
        let names = Names::new(TlsConfig::new(settings).expect("good settings"));
        Self::new(names, client_config(&cert, Some(suite)), "localhost")
    }

    /// Passes bytes to the session as a transport would, and returns its answer.
    fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        for piece in bytes.chunks(self.step) {
            let known = self.session.copy_partial(&mut buffer);
            buffer[known..known + piece.len()].copy_from_slice(piece);
            let length = known + piece.len();
            let mut input = self.session.receive(&mut buffer[..length], &mut out);
            if let Then::Hello(name) = &input.then {
                let (config, chosen) = self.names.choose(name.as_deref());
                self.chosen = chosen;
                input = self.session.choose(config, &mut buffer, &mut out);
            }
            self.received.extend_from_slice(&buffer[..input.data]);
            match input.then {
                Then::More => {}
                Then::Closed | Then::Failed => {
                    self.end = Some(input);
                    break;
                }
                Then::Hello(_) => panic!("a second hello"),
            }
        }
        out
    }

    /// Returns what the client has to send.
    fn sent(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut sent).expect("memory");
        }
        sent
    }

    /// Passes bytes to the client, and returns the data in them.
    fn give(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut data = Vec::new();
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).expect("memory");
            let state = self.client.process_new_packets()?;
            let start = data.len();
            data.resize(start + state.plaintext_bytes_to_read(), 0);
            self.client.reader().read_exact(&mut data[start..]).expect("what is there");
        }
        Ok(data)
    }

    /// Exchanges bytes until neither end has anything to send.
    fn settle(&mut self) -> Result<(), rustls::Error> {
        loop {
            let sent = self.sent();
            if sent.is_empty() {
                return Ok(());
            }
            let answer = self.receive(&sent);
            self.give(&answer)?;
        }
    }

    /// Sends data from the session to the client, and returns what arrives.
    fn send(&mut self, first: &[u8], second: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.seal(first, second, &mut out).expect("an open session");
        self.give(&out).expect("good records")
    }

    fn echo(&mut self, data: &[u8]) {
        self.received.clear();
        self.client.writer().write_all(data).expect("memory");
        self.settle().expect("a good server");
        assert!(self.received == data, "what the client has sent");
        let (first, second) = data.split_at(data.len() / 3);
        assert!(self.send(first, second) == data, "what the session has sent");
    }
}

#[test]
fn data_goes_both_ways_in_records_of_every_suite() {
    for suite in suites() {
        let mut ends = Ends::with(suite);
        ends.settle().expect("a handshake");
        assert!(ends.session.is_open());
        assert_eq!(ends.client.negotiated_cipher_suite().expect("a suite").suite(), suite);
        for size in [1, 20, 16_384, 16_385, 50_000] {
            ends.echo(&vec![size as u8; size]);
        }
    }
}

#[test]
fn bytes_may_come_one_by_one() {
    for suite in suites() {
        let mut ends = Ends::with(suite);
        ends.step = 1;
        ends.settle().expect("a handshake");
        ends.echo(b"in many pieces");
        ends.echo(&vec![7; 17_000]);
    }
}

#[test]
fn a_flight_may_be_cut_anywhere() {
    for suite in suites() {
        let mut ends = Ends::with(suite);
        ends.settle().expect("a handshake");
        ends.client.writer().write_all(b"first").expect("memory");
        ends.client.writer().flush().expect("memory");
        ends.client.writer().write_all(b"second").expect("memory");
        let sent = ends.sent();
        // Opening cannot be undone, so that each cut has a connection of its own.
        for cut in 0..=sent.len() {
            let mut ends = Ends::with(suite);
            ends.settle().expect("a handshake");
            ends.client.writer().write_all(b"first").expect("memory");
            let mut sent = ends.sent();
            ends.client.writer().write_all(b"second").expect("memory");
            sent.extend(ends.sent());
            let (head, tail) = sent.split_at(cut.min(sent.len()));
            ends.receive(head);
            ends.receive(tail);
            assert_eq!(ends.received, b"firstsecond");
        }
    }
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    for suite in [CIPHERS[0].1, CIPHERS[3].1] {
        for flight in 0..2 {
            for cut in 0.. {
                let mut ends = Ends::with(suite);
                let mut length = 0;
                for index in 0.. {
                    let sent = ends.sent();
                    if sent.is_empty() {
                        break;
                    }
                    let mut at = sent.len();
                    if index == flight {
                        length = at;
                        at = at.min(cut);
                    }
                    let mut answer = ends.receive(&sent[..at]);
                    answer.extend(ends.receive(&sent[at..]));
                    ends.give(&answer).expect("a good server");
                }
                assert!(ends.session.is_open(), "{suite:?}, flight {flight} cut at {cut}");
                ends.echo(b"as if it had come in one piece");
                if cut >= length {
                    break;
                }
            }
        }
    }
}

#[test]
fn data_that_comes_with_the_end_of_the_handshake_is_not_lost() {
    for suite in suites() {
        let mut ends = Ends::with(suite);
        ends.client.writer().write_all(b"early").expect("memory");
        ends.settle().expect("a handshake");
        assert_eq!(ends.received, b"early");
        ends.echo(b"late");
        let mut ends = Ends::with(suite);
        while ends.client.is_handshaking() {
            let sent = ends.sent();
            let answer = ends.receive(&sent);
            ends.give(&answer).expect("a good server");
        }
        ends.client.writer().write_all(b"all").expect("memory");
        ends.client.send_close_notify();
        ends.settle().expect("a good server");
        assert_eq!((&ends.received[..], &ends.end), (&b"all"[..], &Some(Input { data: 3, then: Then::Closed })));
        assert_eq!(ends.send(b"an", b"swer"), b"answer");
    }
}

#[test]
fn keys_are_made_again_after_a_rest() {
    for suite in suites() {
        let mut ends = Ends::with(suite);
        ends.settle().expect("a handshake");
        for _ in 0..3 {
            ends.echo(b"before");
            ends.session.rest();
        }
        ends.echo(b"after");
    }
}

#[test]
fn the_peer_may_take_new_keys_as_often_as_it_has_something_to_say() {
    for (_, suite) in &CIPHERS[..3] {
        let mut ends = Ends::with(*suite);
        ends.settle().expect("a handshake");
        for _ in 0..100 {
            ends.client.refresh_traffic_keys().expect("TLS 1.3");
            ends.echo(b"with new keys");
        }
        // But not while it has nothing to say.
        for _ in 0..40 {
            ends.client.refresh_traffic_keys().expect("TLS 1.3");
        }
        ends.settle().expect_err("an alert");
        assert_eq!(ends.end, Some(Input { data: 0, then: Then::Failed }));
    }
}

#[test]
fn close_notify_comes_after_the_data_before_it() {
    for suite in suites() {
        let mut ends = Ends::with(suite);
        ends.settle().expect("a handshake");
        ends.client.writer().write_all(b"last words").expect("memory");
        ends.client.send_close_notify();
        ends.settle().expect("a good server");
        assert_eq!(ends.received, b"last words");
        assert_eq!(ends.end, Some(Input { data: 10, then: Then::Closed }));
        let mut out = Vec::new();
        ends.session.seal_close(&mut out);
        ends.give(&out).expect("a good record");
        assert!(ends.client.process_new_packets().expect("nothing bad").peer_has_closed());
    }
}

#[test]
fn a_record_that_was_changed_ends_the_session_with_an_alert() {
    for suite in suites() {
        for place in [Some(0), Some(1), Some(3), Some(5), Some(12), None] {
            let mut ends = Ends::with(suite);
            ends.settle().expect("a handshake");
            ends.client.writer().write_all(b"what was said").expect("memory");
            let mut sent = ends.sent();
            let index = place.unwrap_or(sent.len() - 1);
            // With a length that is possible, though too long, the session would wait for the rest.
            sent[index] ^= 0x80;
            let answer = ends.receive(&sent);
            assert!(ends.received.is_empty(), "{suite:?} took a record with byte {place:?} changed");
            assert_eq!(ends.end, Some(Input { data: 0, then: Then::Failed }), "{suite:?}, byte {place:?}");
            assert!(matches!(ends.give(&answer), Err(rustls::Error::AlertReceived(_))), "{suite:?}, byte {place:?}");
        }
    }
}

#[test]
fn a_record_is_not_taken_twice() {
    for suite in suites() {
        let mut ends = Ends::with(suite);
        ends.settle().expect("a handshake");
        ends.client.writer().write_all(b"once").expect("memory");
        let sent = ends.sent();
        ends.receive(&sent);
        assert_eq!(ends.received, b"once");
        ends.receive(&sent);
        assert_eq!(ends.received, b"once");
        assert_eq!(ends.end, Some(Input { data: 0, then: Then::Failed }));
    }
}

#[test]
fn bytes_that_are_no_handshake_are_answered_with_an_alert() {
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 100], &[0xFF; 100], &[22, 3, 1, 0, 4, 9, 0, 0, 0]]
    {
        for step in [1, usize::MAX] {
            let (settings, cert) = settings("localhost");
            let names = Names::new(TlsConfig::new(settings).expect("good settings"));
            let mut ends = Ends::new(names, client_config(&cert, None), "localhost");
            ends.step = step;
            let answer = ends.receive(garbage);
            assert_eq!(ends.end, Some(Input { data: 0, then: Then::Failed }), "{garbage:?}");
            assert_eq!(answer[0], 21, "{garbage:?}");
            let failure = if garbage[0] == 22 { Failure::UnexpectedMessage } else { Failure::NotTls };
            assert_eq!(ends.session.failure(), Some(failure), "{garbage:?}");
        }
    }
}

#[test]
fn a_session_says_why_it_has_failed() {
    let (own, cert) = settings("localhost");
    let names = |settings: &TlsSettings| Names::new(TlsConfig::new(settings.clone()).expect("good settings"));
    // The client wants a certificate for another name.
    let mut ends = Ends::new(names(&own), client_config(&cert, None), "example.com");
    assert_eq!(ends.session.failure(), None);
    ends.settle().expect_err("another certificate");
    let alert = ends.sent();
    ends.receive(&alert);
    assert_eq!(ends.session.failure(), Some(Failure::PeerRefusedCertificate));
    // The client has no cipher suite that the server has.
    let suites = TlsSettings { ciphers: Some("ECDHE-ECDSA-CHACHA20-POLY1305".to_owned()), ..own.clone() };
    let mut ends = Ends::new(names(&suites), client_config(&cert, Some(CIPHERS[4].1)), "localhost");
    ends.settle().expect_err("no common suite");
    assert_eq!(ends.session.failure(), Some(Failure::HandshakeFailure));
    // A record was changed.
    let mut ends = Ends::with(CIPHERS[0].1);
    ends.settle().expect("a handshake");
    ends.client.writer().write_all(b"what was said").expect("memory");
    let mut sent = ends.sent();
    *sent.last_mut().expect("a record") ^= 1;
    ends.receive(&sent);
    assert_eq!(ends.session.failure(), Some(Failure::BadRecordMac));
}

#[test]
fn a_name_has_its_own_certificate_and_an_unknown_one_has_the_default() {
    let (own, _) = settings("localhost");
    let (single, single_cert) = settings("example.com");
    let (pattern, pattern_cert) = settings("any.example.com");
    let of = |name| NamePattern::new(name).expect("a name");
    let names = || {
        let mut names = Names::new(TlsConfig::new(own.clone()).expect("good settings"));
        names.insert(of("Example.com"), TlsConfig::new(single.clone()).expect("good settings"), 1);
        names.insert(of("*.example.com"), TlsConfig::new(pattern.clone()).expect("good settings"), 2);
        names
    };
    for (name, cert, value) in [("example.com", &single_cert, 1), ("any.example.com", &pattern_cert, 2)] {
        let mut ends = Ends::new(names(), client_config(cert, None), name);
        ends.settle().expect("a certificate for the name");
        assert_eq!(ends.chosen, Some(value));
    }
    for name in ["two.any.example.com", "other.com"] {
        let mut ends = Ends::new(names(), client_config(&single_cert, None), name);
        let error = ends.settle().expect_err("another certificate");
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
        assert_eq!(ends.chosen, None);
        assert_eq!(ends.names.find(name), None);
    }
    let mut names = names();
    assert_eq!(names.remove("EXAMPLE.com"), Some(1));
    assert_eq!(names.remove("example.com"), None);
    assert_eq!(names.find("example.com"), None);
    assert_eq!(names.find("*.example.com"), Some(2));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "threads share the keys of tickets")]
fn sessions_are_resumed_on_another_thread() {
    for suite in [CIPHERS[0].1, CIPHERS[3].1] {
        let (settings, cert) = settings("localhost");
        let client = client_config(&cert, Some(suite));
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let (settings, client) = (settings.clone(), Arc::clone(&client));
            let kind = std::thread::spawn(move || {
                let names = Names::new(TlsConfig::new(settings).expect("good settings"));
                let mut ends = Ends::new(names, client, "localhost");
                ends.settle().expect("a handshake");
                ends.echo(b"resumed or not");
                let is_resumed = ends.client.handshake_kind() == Some(HandshakeKind::Resumed);
                assert_eq!(ends.session.is_resumed(), is_resumed);
                ends.client.handshake_kind()
            });
            kinds.push(kind.join().expect("no panic"));
        }
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed), Some(HandshakeKind::Resumed)]);
    }
}

#[test]
fn a_ticket_is_refused_by_a_server_with_other_authorities() {
    let (settings, cert) = settings("localhost");
    let client = client_config(&cert, None);
    let with_ca = TlsSettings { ca: settings.cert.clone(), ..settings.clone() };
    for settings in [with_ca, settings] {
        let names = Names::new(TlsConfig::new(settings).expect("good settings"));
        let mut ends = Ends::new(names, Arc::clone(&client), "localhost");
        ends.settle().expect("a handshake");
        ends.echo(b"so that tickets arrive");
        assert_eq!(ends.client.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn no_input_during_a_handshake_causes_a_panic() {
    let record = |content: &[u8]| [&[22, 3, 3, 0, content.len() as u8], content].concat();
    let mut random = 1_u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    let mut all = vec![
        // A part of a message, followed by something that is not a record.
        [&record(&[16, 0, 0, 32])[..], &[0xFF; 20]].concat(),
        // An invalid message, and another one in the same record.
        record(&[16, 0, 0, 2, 1, 0, 20, 0, 0, 0]),
    ];
    for _ in 0..2000 {
        let mut bytes = Vec::new();
        for _ in 0..next() % 4 {
            let content: Vec<u8> = (0..next() % 40).map(|_| next()).collect();
            bytes.extend(record(&content));
            let index = bytes.len() - content.len();
            // Half of them look like a message, or like a part of one.
            if !content.is_empty() && next() > 128 {
                bytes[index] = [1, 11, 16, 20, 24][usize::from(next() % 5)];
                for byte in bytes[index..].iter_mut().skip(1).take(2) {
                    *byte = 0;
                }
            }
        }
        bytes.extend((0..next() % 12).map(|_| next()));
        all.push(bytes);
    }
    for suite in [CIPHERS[0].1, CIPHERS[3].1] {
        let (settings, cert) = settings("localhost");
        let client = client_config(&cert, Some(suite));
        for bytes in &all {
            for step in [3, usize::MAX] {
                let names = Names::new(TlsConfig::new(settings.clone()).expect("good settings"));
                let mut ends = Ends::new(names, Arc::clone(&client), "localhost");
                ends.step = step;
                let mut hello = ends.sent();
                hello.extend_from_slice(bytes);
                ends.receive(&hello);
            }
        }
    }
}

#[test]
fn a_new_key_right_after_the_handshake_is_accepted() {
    for (_, suite) in &CIPHERS[..3] {
        let mut ends = Ends::with(*suite);
        let hello = ends.sent();
        let answer = ends.receive(&hello);
        ends.give(&answer).expect("a good server");
        ends.client.refresh_traffic_keys().expect("TLS 1.3");
        ends.client.writer().write_all(b"with the new one").expect("memory");
        ends.settle().expect("a handshake");
        assert_eq!(ends.received, b"with the new one");
        ends.echo(b"and on");
    }
}

#[test]
fn nothing_is_sealed_before_the_handshake_and_after_the_close() {
    let mut ends = Ends::with(CIPHERS[0].1);
    let mut out = Vec::new();
    assert_eq!(ends.session.seal(b"too early", b"", &mut out), Err(SealError));
    ends.settle().expect("a handshake");
    assert_eq!(out, b"");
    ends.session.seal_close(&mut out);
    let length = out.len();
    ends.session.seal_close(&mut out);
    assert_eq!(ends.session.seal(b"too late", b"", &mut out), Err(SealError));
    assert_eq!(out.len(), length);
    ends.give(&out).expect("a good record");
    assert!(ends.client.process_new_packets().expect("nothing bad").peer_has_closed());
}

#[test]
fn bytes_wait_for_the_choice_of_a_name() {
    let mut ends = Ends::with(CIPHERS[0].1);
    let mut hello = ends.sent();
    let mut out = Vec::new();
    let named = Input { data: 0, then: Then::Hello(Some("localhost".to_owned())) };
    assert_eq!(ends.session.receive(&mut hello, &mut out), named);
    // Whether something was read in between makes no difference.
    let mut buffer = vec![0; Session::MAX_PARTIAL + 1];
    for _ in 0..2 {
        assert_eq!(ends.session.copy_partial(&mut buffer), hello.len());
        assert_eq!(buffer[..hello.len()], hello);
        let input = ends.session.receive(&mut buffer[..hello.len()], &mut out);
        assert_eq!(input, Input { data: 0, then: Then::More });
    }
    assert_eq!(out, b"");
    let input = ends.session.choose(ends.names.choose(None).0, &mut buffer, &mut out);
    assert_eq!(input, Input { data: 0, then: Then::More });
    ends.give(&out).expect("a good server");
    ends.settle().expect("a handshake");
    ends.echo(b"and on");
}

#[test]
fn a_choice_out_of_turn_fails() {
    let mut buffer = vec![0; Session::MAX_PARTIAL];
    for is_open in [false, true] {
        let mut ends = Ends::with(CIPHERS[0].1);
        if is_open {
            ends.settle().expect("a handshake");
        }
        let failed = Input { data: 0, then: Then::Failed };
        let mut out = Vec::new();
        assert_eq!(ends.session.choose(ends.names.choose(None).0, &mut buffer, &mut out), failed);
        assert_eq!(ends.session.receive(&mut [22, 3, 3, 0, 1, 0], &mut out), failed);
        assert_eq!(out, b"");
    }
}

#[test]
fn bytes_held_before_the_handshake_are_not_part_of_it() {
    let mut ends = Ends::with(CIPHERS[0].1);
    let mut buffer = vec![0; Session::MAX_PARTIAL + 1];
    for header in [&b"PROXY TC"[..], b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"] {
        ends.session.hold(header);
        assert_eq!(ends.session.copy_partial(&mut buffer), header.len());
        assert_eq!(&buffer[..header.len()], header);
    }
    let mut out = Vec::new();
    let mut hello = ends.sent();
    let (first, second) = hello.split_at_mut(100);
    assert_eq!(ends.session.receive(first, &mut out).then, Then::More);
    assert_eq!(ends.session.copy_partial(&mut buffer), first.len());
    let answer = ends.receive(second);
    ends.give(&answer).expect("a good server");
    ends.settle().expect("a handshake");
    ends.echo(b"behind a proxy");
}

#[test]
fn bytes_after_the_close_are_dropped() {
    let mut ends = Ends::with(CIPHERS[0].1);
    ends.settle().expect("a handshake");
    ends.client.send_close_notify();
    ends.settle().expect("a good server");
    let mut out = Vec::new();
    let closed = Input { data: 0, then: Then::Closed };
    assert_eq!(ends.session.receive(&mut [23, 3, 3, 0, 1, 0], &mut out), closed);
    assert_eq!((&out[..], ends.session.copy_partial(&mut [])), (&b""[..], 0));
    assert_eq!(ends.send(b"an", b"swer"), b"answer");
}
