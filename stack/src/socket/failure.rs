//! Why sockets fail.

use rustix::io::Errno;

/// Why a socket failed; it decides which errno the application gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    Refused,
    Reset,
    /// Reset, when it had already finished.
    BrokenPipe,
    Aborted,
    TimedOut,
    HostUnreachable,
    NetUnreachable,
    ProtocolUnreachable,
    MessageTooLong,
    StackStopped,
}

impl Failure {
    pub(super) fn errno(self) -> i32 {
        match self {
            Self::Refused => Errno::CONNREFUSED,
            Self::Reset => Errno::CONNRESET,
            Self::BrokenPipe => Errno::PIPE,
            Self::Aborted => Errno::CONNABORTED,
            Self::TimedOut => Errno::TIMEDOUT,
            Self::HostUnreachable => Errno::HOSTUNREACH,
            Self::NetUnreachable => Errno::NETUNREACH,
            Self::ProtocolUnreachable => Errno::NOPROTOOPT,
            Self::MessageTooLong => Errno::MSGSIZE,
            Self::StackStopped => Errno::NETDOWN,
        }
        .raw_os_error()
    }
}
