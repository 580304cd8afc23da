//! The served folder: opening what a path names, and nothing outside.
//!
//! `cap-std` resolves paths beneath an open directory with `openat2(RESOLVE_BENEATH)`: a symbolic link may point to
//! something else in the folder, but one that leads out, at any step, is refused by the kernel. There is no moment
//! between a check and an open.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileExt, OpenOptions, OpenOptionsExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::condition::{OwnedConditions, Validator, Verdict};
use super::page;
use super::path::{Shape, SitePath};
use super::range::Selection;

/// A folder whose files are served.
pub(crate) struct Folder {
    root: Dir,
}

/// What a path names.
#[derive(Debug)]
pub(crate) enum Found {
    File(Opened),
    /// A folder without an index file: its listing, as HTML.
    Listing(String),
    /// A folder that was asked for as a file: where it is.
    Moved(String),
}

/// A file that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<File>,
    pub(crate) length: u64,
    pub(crate) validator: Validator,
    pub(crate) media_type: String,
    pub(crate) verdict: Verdict,
    /// The first bytes of what will be sent, if anything will be.
    pub(crate) first: Vec<u8>,
}

/// Why a path is not served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotServed {
    NotFound,
    /// It leads out of the folder, may not be read, or is neither file nor folder.
    Forbidden,
    /// The disk failed.
    Failed,
}

/// Bytes read from disk at once; with one read ahead, a connection holds at most twice as much.
pub(crate) const CHUNK: usize = 128 << 10;

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: Dir::open_ambient_dir(path, ambient_authority())? })
    }

    /// Opens what `path` names and reads its first bytes. Blocks.
    pub(crate) fn find(
        &self,
        path: &SitePath,
        conditions: &OwnedConditions,
    ) -> Result<Found, NotServed> {
        let relative = path.relative();
        if relative.as_os_str().is_empty() {
            return self.index_or_listing(Path::new("."), conditions);
        }
        let file = self.open_beneath(relative)?;
        let is_folder = file.metadata()?.is_dir();
        match path.shape() {
            Shape::Folder if is_folder => self.index_or_listing(relative, conditions),
            Shape::File if is_folder => Ok(Found::Moved(format!("/{}/", href(relative)))),
            Shape::Folder => Err(NotServed::NotFound),
            Shape::File => opened(file, relative, conditions).map(Found::File),
        }
    }

    fn index_or_listing(
        &self,
        folder: &Path,
        conditions: &OwnedConditions,
    ) -> Result<Found, NotServed> {
        let index = folder.join("index.html");
        match self.open_beneath(&index) {
            Ok(file) if file.metadata()?.is_file() => {
                opened(file, &index, conditions).map(Found::File)
            }
            Ok(_) | Err(NotServed::NotFound) => {
                listing(&self.root.open_dir(folder)?, folder).map(Found::Listing)
            }
            Err(other) => Err(other),
        }
    }

    /// `O_NONBLOCK` keeps the open of a FIFO from waiting for its writer; files do not heed it.
    fn open_beneath(&self, path: &Path) -> Result<File, NotServed> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        Ok(self.root.open_with(path, &options)?)
    }
}

impl From<io::Error> for NotServed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if error.raw_os_error() == Some(libc::ELOOP) => Self::Forbidden,
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Failed,
        }
    }
}

fn opened(file: File, path: &Path, conditions: &OwnedConditions) -> Result<Opened, NotServed> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(NotServed::Forbidden);
    }
    let length = metadata.len();
    let validator = Validator::new(metadata.modified()?.into_std(), length);
    let verdict = conditions.judge(&validator, length);
    let (start, end) = match verdict {
        Verdict::Send(Selection::Whole) => (0, length),
        Verdict::Send(Selection::Part { start, end }) => (start, end),
        _ => (0, 0),
    };
    let file = Arc::new(file);
    let first = read(&file, start, end, Vec::new())?;
    let media_type = media_type(path);
    Ok(Opened { file, length, validator, media_type, verdict, first })
}

/// Reads from `start` as much as a chunk may hold, up to `end`, into `buffer`. A file that has become shorter is an
/// error: its length has been promised.
pub(crate) fn read(file: &File, start: u64, end: u64, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let len = usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK);
    buffer.resize(len, 0);
    file.read_exact_at(&mut buffer, start)?;
    Ok(buffer)
}

fn media_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = guess.type_() == mime_guess::mime::TEXT && guess.get_param("charset").is_none();
    if is_text { format!("{guess}; charset=utf-8") } else { guess.to_string() }
}

fn listing(folder: &Dir, path: &Path) -> Result<String, NotServed> {
    let mut names = vec![];
    for entry in folder.entries()?.take(MAX_LISTED) {
        let entry = entry?;
        // What a link points to is asked beneath the folder; what leads out is not shown.
        let Ok(metadata) = folder.metadata(entry.file_name()) else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        names.push((!metadata.is_dir(), name, metadata.len()));
    }
    names.sort();
    let title = Path::new("/").join(path.strip_prefix(".").unwrap_or(path));
    let title = title.to_string_lossy();
    let mut html = page::begin(&title);
    let title = page::escape(&title);
    let mut line = |text: std::fmt::Arguments<'_>| {
        html.write_fmt(text).expect("memory takes every write");
    };
    line(format_args!("<h1>{title}</h1>\n<table>\n"));
    if title != "/" {
        line(format_args!("<tr><td><a href=\"../\">../</a></td></tr>\n"));
    }
    for (is_file, name, length) in &names {
        let slash = if *is_file { "" } else { "/" };
        let (link, text) = (utf8_percent_encode(name, SEGMENT), page::escape(name));
        let size = if *is_file { format!("{length} bytes") } else { String::new() };
        line(format_args!(
            "<tr><td><a href=\"./{link}{slash}\">{text}{slash}</a></td><td>{size}</td></tr>\n"
        ));
    }
    html.push_str("</table>\n");
    Ok(html)
}

/// A relative path as a target. Built from the parsed path: what a client sent as `//host` must not come back.
fn href(path: &Path) -> String {
    let encode = |part: &std::ffi::OsStr| {
        percent_encoding::percent_encode(part.as_encoded_bytes(), SEGMENT).to_string()
    };
    path.iter().map(encode).collect::<Vec<_>>().join("/")
}

/// What is escaped in one segment of a target.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Most entries of a listing.
const MAX_LISTED: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_may_point_around_inside_but_not_out() {
        let place = place();
        symlink("a.txt", place.path().join("site/good")).unwrap();
        symlink("sub/../a.txt", place.path().join("site/roundabout")).unwrap();
        symlink("../secret", place.path().join("site/up")).unwrap();
        symlink("/etc/passwd", place.path().join("site/absolute")).unwrap();
        symlink("..", place.path().join("site/sub/parent")).unwrap();
        symlink("loop", place.path().join("site/loop")).unwrap();
        for (target, want) in [
            ("/a.txt", Ok("file: aaa")),
            ("/good", Ok("file: aaa")),
            ("/roundabout", Ok("file: aaa")),
            ("/sub/parent/a.txt", Ok("file: aaa")),
            ("/sub", Ok("moved: /sub/")),
            ("/sub/", Ok("listing")),
            ("/with index/", Ok("file: index")),
            ("/up", Err(NotServed::Forbidden)),
            ("/absolute", Err(NotServed::Forbidden)),
            ("/sub/parent/up", Err(NotServed::Forbidden)),
            ("/loop", Err(NotServed::Forbidden)),
            ("/a.txt/", Err(NotServed::NotFound)),
            ("/a.txt/b", Err(NotServed::NotFound)),
            ("/missing", Err(NotServed::NotFound)),
        ] {
            assert_eq!(find(&place, target), want.map(str::to_owned), "{target}");
        }
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let place = place();
        let made =
            std::process::Command::new("mkfifo").arg(place.path().join("site/fifo")).status();
        assert!(made.unwrap().success());
        assert_eq!(find(&place, "/fifo"), Err(NotServed::Forbidden));
    }

    #[test]
    fn a_listing_shows_names_and_runs_none_of_them() {
        let place = place();
        fs::write(place.path().join("site/<script>.txt"), "x").unwrap();
        symlink("../secret", place.path().join("site/up")).unwrap();
        let folder = Folder::open(&place.path().join("site")).unwrap();
        let path = SitePath::parse("/").unwrap();
        let Ok(Found::Listing(html)) = folder.find(&path, &OwnedConditions::default()) else {
            panic!("no listing")
        };
        assert!(html.contains("href=\"./%3Cscript%3E.txt\">&lt;script&gt;.txt</a>"), "{html}");
        assert!(html.contains("href=\"./with%20index/\""), "{html}");
        assert!(!html.contains("up"), "{html}");
    }

    #[test]
    fn a_redirect_never_names_a_host() {
        let place = place();
        assert_eq!(find(&place, "//sub"), Ok("moved: /sub/".to_owned()));
    }

    #[test]
    fn media_types_come_from_the_name() {
        for (name, want) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.json", "application/json"),
            ("a", "application/octet-stream"),
        ] {
            assert_eq!(media_type(Path::new(name)), want, "{name}");
        }
    }

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for folder in ["site/sub", "site/with index"] {
            fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        for (name, text) in
            [("secret", "s"), ("site/a.txt", "aaa"), ("site/with index/index.html", "index")]
        {
            fs::write(place.path().join(name), text).unwrap();
        }
        place
    }

    fn find(place: &tempfile::TempDir, target: &str) -> Result<String, NotServed> {
        let folder = Folder::open(&place.path().join("site")).unwrap();
        let found = folder.find(&SitePath::parse(target).unwrap(), &OwnedConditions::default())?;
        Ok(match found {
            Found::File(opened) => format!("file: {}", String::from_utf8(opened.first).unwrap()),
            Found::Listing(_) => "listing".to_owned(),
            Found::Moved(location) => format!("moved: {location}"),
        })
    }
}
