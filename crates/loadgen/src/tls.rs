//! TLS of clients.

use std::io::{self, Read, Write};
use std::sync::{Arc, LazyLock};

use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

pub(crate) struct Client {
    session: ClientConnection,
    stream: TcpStream,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Self {
        static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
            let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
            let builder = builder.with_safe_default_protocol_versions().expect("ring has suites for them");
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
            let mut config = builder.with_no_client_auth();
            // Each connection is to cost what a new one costs.
            config.resumption = Resumption::disabled();
            Arc::new(config)
        });

        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(&CONFIG), name).expect("a good configuration");
        Self { session, stream }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes what the session has for the socket, as far as that takes it.
    fn push(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    /// Reads from the socket once; false at its end.
    fn pull(&mut self) -> io::Result<bool> {
        let length = self.session.read_tls(&mut self.stream)?;
        self.session.process_new_packets().map_err(io::Error::other)?;
        Ok(length > 0)
    }
}

fn or_later(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        result => result,
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        loop {
            match self.session.reader().read(&mut buffer[length..]) {
                Ok(0) => return Ok(length),
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.pull() {
                    Ok(true) => or_later(self.push())?,
                    Ok(false) => return Ok(length),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && length > 0 => return Ok(length),
                    Err(error) => {
                        or_later(self.push())?;
                        return Err(error);
                    }
                },
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.session.is_handshaking() {
            self.push()?;
            if self.session.is_handshaking() && !self.pull()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // Nothing more is taken while something waits, so that the session keeps no more than once.
        self.push()?;
        let length = self.session.writer().write(bytes)?;
        or_later(self.push())?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

/// Trusts everyone: it is the server that is measured.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
