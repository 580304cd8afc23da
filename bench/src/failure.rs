//! How the program ends when it does not end well.

use std::fmt::Display;
use std::process::ExitCode;

/// Why the program gives up: a message that says what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// It ran, and what was asked for did not succeed.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// Wrong options.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// It could not start: device, privilege, address.
    pub(crate) fn start(message: impl Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    /// Tells the user, and gives the code to end with.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("darner-bench: {}", self.message.trim_end());
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message.trim_end())
    }
}
