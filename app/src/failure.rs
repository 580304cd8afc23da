//! How the program ends when it does not end well.

use std::fmt::Display;
use std::process::ExitCode;

use crate::console;

/// Why the program gives up: one message that says what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

/// The exit codes; `darner --help` lists them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// It ran, and what was asked for did not succeed.
    Failed = 1,
    /// Wrong options or a wrong configuration file.
    Usage = 2,
    /// It could not start: device, privilege, address, folder.
    Start = 3,
}

/// The exit code after a second Ctrl-C.
pub(crate) const INTERRUPTED: i32 = 130;

impl Failure {
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { kind: Kind::Failed, message: message.to_string() }
    }

    pub(crate) fn usage(message: impl Display) -> Self {
        Self { kind: Kind::Usage, message: message.to_string() }
    }

    pub(crate) fn start(message: impl Display) -> Self {
        Self { kind: Kind::Start, message: message.to_string() }
    }

    /// What to tell the user.
    pub(crate) fn message(&self) -> &str {
        self.message.trim_end()
    }

    /// Tells the user, and gives the code to end with.
    pub(crate) fn report(&self) -> ExitCode {
        console::tell(format_args!("darner: {}", self.message()));
        ExitCode::from(self.kind as u8)
    }
}
