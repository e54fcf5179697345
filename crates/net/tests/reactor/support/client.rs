//! A client that turns the server while it waits.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::{CLOSE, DATE, Server, UPGRADE, UPGRADED, masked, shown, without_dates};

/// The client's end of a connection. Methods that wait turn the server meanwhile.
pub(crate) struct Client<'s> {
    pub(crate) stream: TcpStream,
    server: &'s Server,
}

impl<'s> Client<'s> {
    pub(crate) fn new(server: &'s Server, stream: TcpStream) -> Self {
        stream.set_nonblocking(true).expect("a socket");
        // Unix sockets do not have this option.
        let _ = stream.set_nodelay(true);
        Self { stream, server }
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        self.server.until("room for what a client sends", || {
            rest = &rest[self.send_some(rest)..];
            rest.is_empty()
        });
    }

    /// Sends as much as the kernel takes at once. Returns the number of bytes, which may be 0.
    pub(crate) fn send_some(&self, bytes: &[u8]) -> usize {
        match (&self.stream).write(bytes) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => panic!("cannot send: {error}"),
        }
    }

    /// Sends as much as the kernel takes at once. Does nothing if the connection has ended.
    pub(crate) fn try_send(&self, bytes: &[u8]) {
        let _ = (&self.stream).write(bytes);
    }

    /// Sends pieces one by one, and has the server handle each before sending the next.
    pub(crate) fn send_pieces(&self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.send(piece);
            self.server.settle();
        }
    }

    /// Reads what has arrived. Returns `None` if nothing has, and an empty piece at the end of the stream.
    pub(crate) fn read_some(&self) -> Option<io::Result<Vec<u8>>> {
        let mut buffer = vec![0; 64 * 1024];
        match (&self.stream).read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                Some(Ok(buffer))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    pub(crate) fn read(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        self.server.until("what a client is to read", || {
            while filled < length {
                match (&self.stream).read(&mut bytes[filled..]) {
                    Ok(0) => panic!("the end after {filled} of {length} bytes: {}", shown(&bytes[..filled])),
                    Ok(more) => filled += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                    Err(error) => panic!("{error} after {filled} of {length} bytes: {}", shown(&bytes[..filled])),
                }
            }
            true
        });
        bytes
    }

    /// Reads up to and including `text`.
    pub(crate) fn read_until(&self, text: &str) {
        self.read_to(text);
    }

    /// Reads up to and including `text`. Returns what precedes it.
    pub(crate) fn read_to(&self, text: &str) -> Vec<u8> {
        let mut read = Vec::new();
        while !read.ends_with(text.as_bytes()) {
            read.extend(self.read(1));
        }
        read.truncate(read.len() - text.len());
        read
    }

    #[track_caller]
    pub(crate) fn expect(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let read = self.read(bytes.len());
        assert!(read == bytes, "got {}\nnot {}", shown(&read), shown(bytes));
    }

    /// Reads one or more responses. `Date: *` stands for any date.
    #[track_caller]
    pub(crate) fn expect_response(&self, expected: &str) {
        let dates = expected.matches("Date: *").count();
        let read = self.read(expected.len() + dates * (DATE.len() - 1));
        let read = without_dates(&read);
        assert!(read == expected, "got {}\nnot {}", shown(read.as_bytes()), shown(expected.as_bytes()));
    }

    /// Expects a FIN, with nothing before it.
    #[track_caller]
    pub(crate) fn expect_end(&self) {
        let end = self.read_rest();
        assert_eq!(end.expect("FIN, not a reset").escape_ascii().to_string(), "");
    }

    /// Expects a FIN or a reset, with nothing before it.
    #[track_caller]
    pub(crate) fn expect_gone(&self) {
        match self.read_rest() {
            Ok(rest) => assert_eq!(rest.escape_ascii().to_string(), ""),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    /// Reads to the end of the stream.
    pub(crate) fn read_rest(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut outcome = Ok(());
        self.server.until("the end of the stream", || {
            loop {
                match self.read_some() {
                    None => return false,
                    Some(Ok(piece)) if piece.is_empty() => return true,
                    Some(Ok(piece)) => all.extend_from_slice(&piece),
                    Some(Err(error)) => {
                        outcome = Err(error);
                        return true;
                    }
                }
            }
        });
        outcome.map(|()| all)
    }

    /// Answers the server's Close frame, and expects the server's FIN.
    #[track_caller]
    pub(crate) fn answer_close(&self) {
        self.expect_silence();
        self.send(masked(CLOSE, b""));
        self.expect_end();
    }

    /// Expects that nothing arrives and the connection does not end.
    #[track_caller]
    pub(crate) fn expect_silence(&self) {
        self.server.settle();
        match self.read_some() {
            None => {}
            Some(Ok(bytes)) if bytes.is_empty() => panic!("the end of the stream"),
            Some(Ok(bytes)) => panic!("unexpected: {}", shown(&bytes)),
            Some(Err(error)) => panic!("{error}"),
        }
    }

    /// Sends a FIN.
    pub(crate) fn finish(&self) {
        // An error means that the connection has ended already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    /// Opens a WebSocket, and takes the event from the log.
    #[track_caller]
    pub(crate) fn upgrade(&self) {
        self.send(UPGRADE);
        self.expect_response(UPGRADED);
        self.server.expect(&["open GET /"]);
    }
}
