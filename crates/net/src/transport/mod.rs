//! Sockets and what waits to be written to them.

pub(crate) mod output;
pub(crate) mod sys;
