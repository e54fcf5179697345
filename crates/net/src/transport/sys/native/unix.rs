//! System calls that only Unix has, or that differ on other platforms.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use mio::Poll;
use mio::net::{TcpStream, UnixListener};
use socket2::{Domain, SockAddr, Socket, Type};

/// The system error for an invalid argument.
pub(crate) const INVALID_ARGUMENT: c_int = libc::EINVAL;

/// Returns the file descriptor of a poll, which another poll can watch: it is readable when there are events.
#[expect(clippy::unnecessary_wraps, reason = "other platforms have none")]
pub(crate) fn descriptor(poll: &Poll) -> io::Result<c_int> {
    Ok(poll.as_raw_fd())
}

/// Returns whether a call has failed because the process or the system has run out of descriptors or memory.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

/// Returns whether binding has failed because this machine does not have the family of the address.
pub(crate) fn is_unknown_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Allows a port to be bound while connections of a previous listener are in TIME-WAIT and, if `is_shared`, while
/// others listen on it, between which the kernel then divides the connections.
pub(crate) fn allow_reuse(socket: &Socket, is_shared: bool) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    if is_shared { socket.set_reuse_port(true) } else { Ok(()) }
}

/// A listening Unix socket.
pub(crate) type LocalListener = UnixListener;

/// Listens on a Unix socket at `path`, which only this user may connect to. A socket that is already there, for example
/// that of a previous process, is replaced.
pub(crate) fn bind_local(path: &Path, backlog: c_int) -> io::Result<LocalListener> {
    // The kernel would bind to what is before a NUL.
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // `SockAddr::unix` fails for nothing but the length.
    let address = SockAddr::unix(path).map_err(|_| io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
    socket.bind(&address)?;
    // Nobody can connect before the socket listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    socket.listen(backlog)?;
    Ok(UnixListener::from_std(OwnedFd::from(socket).into()))
}

/// Accepts a connection of a Unix socket. Reading and writing are the same for all stream sockets, so it is treated as
/// a TCP connection.
pub(crate) fn accept_local(listener: &LocalListener) -> io::Result<TcpStream> {
    let (stream, _address) = listener.accept()?;
    let descriptor = OwnedFd::from(std::os::unix::net::UnixStream::from(stream));
    Ok(TcpStream::from_std(descriptor.into()))
}
