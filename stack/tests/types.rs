//! Rules of use that the compiler keeps (socket contract, 5.4).

use darner::{Control, ReadHalf, TcpListener, TcpStream, UdpSocket, WriteHalf};

/// C-1, C-39, R-1, R-29: what is forbidden does not compile.
#[test]
fn what_is_forbidden_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/types/*.rs");
}

/// Halves move between threads, one thread at a time; a control handle is any thread's.
#[test]
fn what_is_allowed_compiles() {
    fn moves<T: Send + 'static>() {}
    fn is_shared<T: Send + Sync>() {}
    fn is_cloned<T: Clone>() {}
    moves::<TcpStream>();
    moves::<ReadHalf>();
    moves::<WriteHalf>();
    moves::<UdpSocket>();
    is_shared::<Control>();
    is_cloned::<Control>();
    is_shared::<TcpListener>();
}
