//! The darner program.
fn main() {}
