//! Where the applications of a server run: on the protocol threads, or on threads of their own.

use clap::{Args, ValueEnum};
use darner::{Application, ApplicationThread, Core, ListenOptions, Sharing, Stack};
use serde::Deserialize;

use crate::failure::Failure;
use crate::settings::Settings;

/// Where a server runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Placement {
    /// On the protocol threads: no packet waits for another thread.
    #[default]
    Core,
    /// On as many threads of its own: no packet waits for the server.
    Thread,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PlacementOption {
    /// Where the server runs: on the protocol threads, or on as many threads of its own [default: core]
    #[arg(long, value_name = "PLACE")]
    placement: Option<Placement>,
}

impl PlacementOption {
    /// The flag overrides the file.
    pub(crate) fn or_file(self, settings: &Settings) -> Placement {
        self.placement.or(settings.file.placement).unwrap_or_default()
    }
}

impl Placement {
    /// As announcements have it.
    pub(crate) fn shown(self, cores: usize) -> String {
        match (self, cores) {
            (Self::Core, 1) => "on the protocol thread".to_owned(),
            (Self::Core, count) => format!("on {count} protocol threads"),
            (Self::Thread, 1) => "on an application thread".to_owned(),
            (Self::Thread, count) => format!("on {count} application threads"),
        }
    }

    /// How each of the applications listens. On threads every listener is all cores' and shares its address with the others;
    /// then the connections of a core go to the application that is next to it, as they do on the core itself.
    pub(crate) fn listening(self, core: &Core<'_>, backlog: u32) -> ListenOptions {
        let sharing = match self {
            Self::Core => Sharing::Exclusive,
            Self::Thread => Sharing::GroupPinned(core.index()),
        };
        ListenOptions { sharing, ..ListenOptions::with_backlog(backlog) }
    }

    /// Whether this application takes the datagrams: on threads a UDP socket is the whole stack's, so that one has it.
    pub(crate) fn takes_datagrams(self, core: &Core<'_>) -> bool {
        match self {
            Self::Core => true,
            Self::Thread => core.index() == 0,
        }
    }
}

/// The applications of a stack that have threads of their own.
pub(crate) struct Threads(Vec<ApplicationThread>);

impl Threads {
    /// Starts one for each core.
    pub(crate) fn start(
        stack: &Stack,
        cores: usize,
        mut application: impl FnMut(usize) -> Box<dyn Application>,
    ) -> Result<Self, Failure> {
        let threads =
            (0..cores).map(|index| stack.spawn(application(index))).collect::<Result<_, _>>();
        threads.map(Self).map_err(Failure::start)
    }

    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether one has ended, which without [`stop`](Self::stop) it only does when it panics or the stack has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.iter().any(ApplicationThread::is_finished)
    }

    /// Ends them all, and with them their sockets, which then close in good order for as long as the stack runs.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.0.iter().for_each(ApplicationThread::stop);
        let ended = self.0.into_iter().map(ApplicationThread::join);
        // Everyone is waited for, whoever has panicked.
        ended.fold(Ok(()), Result::and).map_err(Failure::failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_count_threads() {
        for (placement, cores, want) in [
            (Placement::Core, 1, "on the protocol thread"),
            (Placement::Core, 2, "on 2 protocol threads"),
            (Placement::Thread, 1, "on an application thread"),
            (Placement::Thread, 2, "on 2 application threads"),
        ] {
            assert_eq!(placement.shown(cores), want);
        }
    }
}
