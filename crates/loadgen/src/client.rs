//! Sockets of clients, and the upgrade.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::args::Options;
use crate::tls;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Starts to connect; `index` chooses the source address.
pub(crate) fn connect(options: &Options, registry: &Registry, index: usize) -> io::Result<Stream> {
    let socket = Socket::new(Domain::for_address(options.address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let source = options.first_source + (index % usize::from(options.sources)) as u8;
    if options.address.is_ipv4() && source != 1 {
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, source));
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&options.address.into()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let mut stream = TcpStream::from_std(socket.into());
    registry.register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
    Ok(if options.tls { Stream::Tls(Box::new(tls::Client::new(stream))) } else { Stream::Clear(stream) })
}

/// A connection, in the clear or by TLS.
pub(crate) enum Stream {
    Clear(TcpStream),
    Tls(Box<tls::Client>),
}

impl Stream {
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(client) => client.socket(),
        }
    }
}

impl Read for Stream {
    /// Less than there is room for is all that there is now.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(client) => client.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(client) => client.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The request that asks for a WebSocket.
pub(crate) fn upgrade_request(options: &Options) -> Vec<u8> {
    let offer = if options.offer_deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n",
        options.path, options.address
    )
    .into_bytes()
}

/// The length of the response at the start of `input` if it is complete and accepts the upgrade.
pub(crate) fn accepted(input: &[u8]) -> Result<Option<usize>> {
    let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&input[..end]);
    // The answer to the key that is always sent, RFC 6455 section 1.3.
    if head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        return Ok(Some(end + 4));
    }
    Err(format!("the upgrade was answered with: {head}").into())
}

/// Reads what there is behind `buffer`'s contents. False when the peer has finished.
pub(crate) fn read_more(stream: &mut Stream, buffer: &mut Vec<u8>, scratch: &mut [u8]) -> io::Result<bool> {
    loop {
        match stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(length) => {
                buffer.extend_from_slice(&scratch[..length]);
                if length < scratch.len() {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes as much of `output` as the socket takes, and keeps the rest.
pub(crate) fn flush(stream: &mut Stream, output: &mut Vec<u8>) -> io::Result<()> {
    while !output.is_empty() {
        let written = write_some(stream, output)?;
        if written == 0 {
            break;
        }
        output.drain(..written);
    }
    Ok(())
}

/// Writes the beginning of `bytes`; 0 when the socket takes none now.
pub(crate) fn write_some(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            // Not connected yet.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
