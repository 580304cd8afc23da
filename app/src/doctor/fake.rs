//! A machine that is a folder, for tests.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::Asked;
use super::finding::{Finding, Grade};
use super::machine::Machine;

/// It ends with its folder.
pub(super) struct Fake {
    place: TempDir,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap() }
    }

    /// A file.
    pub(super) fn with(self, path: &str, text: &str) -> Self {
        let path = self.place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(super) fn with_folder(self, path: &str) -> Self {
        fs::create_dir_all(self.place.path().join(path)).unwrap();
        self
    }

    /// A symbolic link. A target that begins with a slash is below the root, too.
    pub(super) fn with_link(self, path: &str, target: &str) -> Self {
        let path = self.place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match target.strip_prefix('/') {
            Some(below) => symlink(self.place.path().join(below), path).unwrap(),
            None => symlink(target, path).unwrap(),
        }
        self
    }

    pub(super) fn machine(&self) -> Machine {
        Machine::at(self.place.path())
    }
}

/// Nothing in particular: a look at the machine.
pub(super) fn nothing() -> Asked {
    Asked::default()
}

/// To run on a device.
pub(super) fn on(device: &str) -> Asked {
    Asked { device: Some(device.parse().unwrap()), ..nothing() }
}

/// To run on CPUs.
pub(super) fn on_cpus(cores: &[usize]) -> Asked {
    Asked { cores: cores.to_vec(), ..nothing() }
}

/// Exactly one of the findings has all of `words` in its sentence and remedy, and it is of this grade.
#[track_caller]
pub(super) fn expect(findings: &[Finding], grade: Grade, words: &[&str]) {
    let text = |finding: &Finding| {
        format!("{} -> {}", finding.says, finding.remedy.as_deref().unwrap_or("nothing"))
    };
    let matching: Vec<&Finding> = findings
        .iter()
        .filter(|finding| words.iter().all(|word| text(finding).contains(word)))
        .collect();
    let [one] = matching.as_slice() else {
        let all: Vec<String> = findings.iter().map(text).collect();
        panic!("{} findings with {words:?} in {all:#?}", matching.len());
    };
    assert_eq!(one.grade, grade, "{}", text(one));
    assert_eq!(one.remedy.is_some(), grade != Grade::Good, "{}", text(one));
}
