//! HTTP/1.1 (RFC 9110, RFC 9112) without I/O: bytes in, bytes out, `now` as an argument.
//!
//! A request meets the server's modules in this order: [`connection`] takes the bytes, [`request`] makes a head of
//! them, [`body`] frames what follows it, [`path`] turns the target into a place in the folder, [`disk`] and
//! [`folder`] open it on a helper thread, [`condition`] and [`range`] decide how much of it is sent, and [`response`]
//! writes the answer. [`session`] moves the bytes between a connection and a stream. The client's half is [`client`].

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod condition;
pub(crate) mod connection;
pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod range;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod session;
pub(crate) mod site;
pub(crate) mod transfer;

#[cfg(test)]
mod tests;
