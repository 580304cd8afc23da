//! What the doctor finds.

use serde::Serialize;

/// One thing that was looked at: how it is, in a sentence, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    pub(super) says: String,
    pub(super) remedy: Option<String>,
}

/// How much a thing matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// As it should be.
    Good,
    /// darner runs; it would run better, or more of it would.
    Note,
    /// darner cannot run as it was asked to.
    Problem,
}

/// Whether what was asked for stands or falls with a thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Need {
    Asked,
    Optional,
}

/// The findings of one topic.
pub(super) struct Section {
    pub(super) topic: &'static str,
    pub(super) findings: Vec<Finding>,
}

impl Finding {
    pub(super) fn good(says: impl Into<String>) -> Self {
        Self { grade: Grade::Good, says: says.into(), remedy: None }
    }

    pub(super) fn note(says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Note, says: says.into(), remedy: Some(remedy.into()) }
    }

    /// Something is missing: how bad that is depends on who needs it.
    pub(super) fn missing(need: Need, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        let grade = match need {
            Need::Asked => Grade::Problem,
            Need::Optional => Grade::Note,
        };
        Self { grade, ..Self::note(says, remedy) }
    }

    /// A file that says how a thing is cannot be read.
    pub(super) fn unknown(what: &str, file: &str) -> Self {
        Self::note(
            format!("{what}: cannot tell, as /{file} cannot be read"),
            "look why it cannot be read: containers hide parts of /proc and /sys",
        )
    }
}

impl Need {
    /// Asked for if the condition holds.
    pub(super) fn when(asked: bool) -> Self {
        if asked { Self::Asked } else { Self::Optional }
    }
}
