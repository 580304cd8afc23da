//! TCP (RFC 9293): one file per step of the RFC or per algorithm.

#[cfg_attr(not(test), expect(dead_code, reason = "the input path uses it next"))]
pub(crate) mod seq;
