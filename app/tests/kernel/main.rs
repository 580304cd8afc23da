//! darner over net_tap, with the kernel and its programs as peers: each test in a network namespace of its own.
//!
//! They need CAP_SYS_ADMIN and CAP_NET_ADMIN, and fail with that remedy where they do not have them.

mod auth;
mod cores;
mod echo;
mod get;
mod interop;
mod native_tap;
mod serve;
mod through_a_wire;
mod wire;
mod world;
mod yardstick;
