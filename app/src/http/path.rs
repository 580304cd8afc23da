//! From a request's target to a place in the served folder.
//!
//! This is the first of two walls. Here `..` is resolved on the text and may not climb above the root; in
//! [`super::folder`] the kernel is asked to resolve the result beneath the folder, so that no symbolic link leads out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

/// A relative path without `.`, `..`, empty or absolute components.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SitePath {
    relative: PathBuf,
    shape: Shape,
}

/// What the last character of the target says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// It ended in `/`: a folder is meant.
    Folder,
    /// It did not: a file is meant, a folder is redirected to.
    File,
}

/// Why a target names nothing here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BadPath {
    /// It climbs above the root, or hides a separator or NUL in an escape.
    Forbidden,
    /// It does not start with `/`, or a `%` is not followed by two hexadecimal digits.
    Malformed,
}

impl SitePath {
    /// The path in `target`, whose query is ignored.
    pub(crate) fn parse(target: &str) -> Result<Self, BadPath> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let segments = path.strip_prefix('/').ok_or(BadPath::Malformed)?;
        let mut relative = PathBuf::new();
        for segment in segments.split('/') {
            match decode(segment)?.as_slice() {
                b"" | b"." => {}
                b".." => {
                    if !relative.pop() {
                        return Err(BadPath::Forbidden);
                    }
                }
                name if name.iter().any(|byte| matches!(byte, 0 | b'/')) => {
                    return Err(BadPath::Forbidden);
                }
                name => relative.push(OsStr::from_bytes(name)),
            }
        }
        let last = segments.rsplit('/').next().unwrap_or_default();
        let shape = match decode(last)?.as_slice() {
            b"" | b"." | b".." => Shape::Folder,
            _ => Shape::File,
        };
        Ok(Self { relative, shape })
    }

    /// The path below the folder; empty for the folder itself.
    pub(crate) fn relative(&self) -> &Path {
        &self.relative
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }
}

/// One segment with its escapes replaced. Decoding comes after splitting, so an escaped `/` never separates.
fn decode(segment: &str) -> Result<Vec<u8>, BadPath> {
    let is_escape = |tail: &str| {
        let digits = tail.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    };
    if segment.split('%').skip(1).any(|tail| !is_escape(tail)) {
        return Err(BadPath::Malformed);
    }
    Ok(percent_decode_str(segment).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_become_paths_below_the_folder_or_nothing() {
        use Shape::*;
        let (forbidden, malformed) = (Err(BadPath::Forbidden), Err(BadPath::Malformed));
        for (target, want) in [
            ("/", Ok(("", Folder))),
            ("/a", Ok(("a", File))),
            ("/a/", Ok(("a", Folder))),
            ("/a/b.txt?q=/../..", Ok(("a/b.txt", File))),
            ("/a//./b", Ok(("a/b", File))),
            ("/a/../b", Ok(("b", File))),
            ("/a/..", Ok(("", Folder))),
            ("/%61", Ok(("a", File))),
            ("/a%20b", Ok(("a b", File))),
            ("/%e4%bd%a0", Ok(("\u{4f60}", File))),
            ("/...", Ok(("...", File))),
            ("/a\\..\\b", Ok(("a\\..\\b", File))),
            ("/..", forbidden),
            ("/../etc/passwd", forbidden),
            ("/a/../../etc/passwd", forbidden),
            ("/%2e%2e/etc/passwd", forbidden),
            ("/.%2E/etc/passwd", forbidden),
            ("/a/%2e%2e/%2E./etc/passwd", forbidden),
            ("/..%2fetc/passwd", forbidden),
            ("/a%2fb", forbidden),
            ("/a%00.txt", forbidden),
            ("/%", malformed),
            ("/%2", malformed),
            ("/%zz", malformed),
            ("/%%32%65%%32%65/", malformed),
            ("a", malformed),
            ("*", malformed),
            ("", malformed),
        ] {
            let got = SitePath::parse(target);
            let want = want.map(|(path, shape)| SitePath { relative: path.into(), shape });
            assert_eq!(got, want, "{target}");
        }
    }

    #[test]
    fn double_encoding_is_decoded_once() {
        let path = SitePath::parse("/%252e%252e/x").unwrap();
        assert_eq!(path.relative(), Path::new("%2e%2e/x"));
    }

    proptest! {
        #[test]
        fn no_target_leaves_the_folder(target in "/([a.%/2eEfF0\\\\]|%2e|%2F|\\.\\.){0,20}") {
            if let Ok(path) = SitePath::parse(&target) {
                let normal = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(path.relative().components().all(normal), "{path:?}");
            }
        }
    }
}
