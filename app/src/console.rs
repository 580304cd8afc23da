//! Messages to the user.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line to standard error. Nobody may be reading: that is no reason to stop serving.
pub(crate) fn tell(message: impl Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Writes a line to standard output.
///
/// # Errors
///
/// When nobody reads it any more: a program whose only purpose is its output then ends.
pub(crate) fn print(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
