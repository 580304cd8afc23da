//! Where a download goes, and how far it has come.

use std::fs::File;
use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::GetOptions;
use crate::failure::Failure;

/// The file, or standard output.
pub(crate) struct Output {
    sink: Box<dyn Write>,
    name: String,
    progress: ProgressBar,
    written: u64,
}

const WITH_LENGTH: &str = "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta}";
const WITHOUT_LENGTH: &str = "{spinner} {bytes} {bytes_per_sec}";

impl Output {
    pub(crate) fn open(options: &GetOptions, length: Option<u64>) -> Result<Self, Failure> {
        let (sink, name): (Box<dyn Write>, _) = match &options.output {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path).map_err(|error| {
                    Failure::failed(format_args!("cannot write to {name}: {error}"))
                })?;
                (Box::new(file), name)
            }
            None => (Box::new(io::stdout().lock()), "standard output".to_owned()),
        };
        // Text on the terminal and a bar between it would spoil each other.
        let shows_content = options.output.is_none() && io::stdout().is_terminal();
        let progress =
            if options.quiet || shows_content { ProgressBar::hidden() } else { bar(length) };
        Ok(Self { sink, name, progress, written: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.sink.write_all(bytes).map_err(|error| self.failure(&error))?;
        self.written += bytes.len() as u64;
        self.progress.set_position(self.written);
        Ok(())
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.sink.flush().map_err(|error| self.failure(&error))?;
        self.progress.finish();
        Ok(())
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::failed(format_args!("{}: {error}, after {} bytes", self.name, self.written))
    }
}

/// Draws on standard error, and only if that is a terminal.
fn bar(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), WITH_LENGTH),
        None => (ProgressBar::new_spinner(), WITHOUT_LENGTH),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is well-formed"))
}
