//! The server as a client meets it: bytes in, bytes out, through a stream made of memory.

use std::fs;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use darner::time::Instant;
use proptest::prelude::*;

use super::disk;
use super::folder::Folder;
use super::page::Page;
use super::session::{Next, Session, Stream};
use super::site::{Content, Limits, Site};

#[test]
fn the_page_is_served_and_the_connection_kept() {
    let output = Client::of_page()
        .talk("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    let responses = split(&output);
    assert_eq!(responses[0].status, "200 OK");
    assert!(responses[0].body.contains("<h1>It works.</h1>"), "{output}");
    assert_eq!(responses[1].status, "404 Not Found");
    assert_eq!(responses.len(), 2);
}

#[test]
fn each_request_has_its_status() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(9000));
    let fields = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(17000));
    for (request, want) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK"),
        ("GET /../x HTTP/1.1\r\nHost: h\r\n\r\n", "403 Forbidden"),
        ("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("\r\n\r\nGET / HTTP/1.0\r\n\r\n", "200 OK"),
        ("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/3.0\r\n\r\n", "505 HTTP Version Not Supported"),
        (&long, "414 URI Too Long"),
        (&fields, "431 Request Header Fields Too Large"),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", "413 Content Too Large"),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented"),
        ("PUT / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", "417 Expectation Failed"),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "400 Bad Request",
        ),
    ] {
        let output = Client::of_page().talk(request);
        assert_eq!(split(&output)[0].status, want, "{}", &request[..request.len().min(60)]);
    }
}

#[test]
fn a_body_is_answered_with_its_length_and_hash() {
    let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for (name, request) in [
        ("length", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "chunks",
            "POST /any HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ),
    ] {
        let output = Client::of_page().talk(request);
        assert_eq!(split(&output)[0].body, format!("length 5\nsha256 {sha}\n"), "{name}");
    }
    let json =
        "PUT / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nContent-Length: 5\r\n\r\nhello";
    let output = Client::of_page().talk(json);
    assert_eq!(split(&output)[0].body, format!("{{\"length\":5,\"sha256\":\"{sha}\"}}\n"));
}

#[test]
fn a_body_that_waits_for_it_is_asked_for() {
    let mut client = Client::of_page();
    client.wire.input =
        b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n".to_vec();
    client.run();
    assert_eq!(client.wire.output, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.wire.input.push(b'x');
    client.run();
    assert!(client.text().contains("\r\n\r\nlength 1\n"), "{}", client.text());
}

#[test]
fn an_uninvited_body_is_skipped() {
    let next = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
    let output = Client::of_page()
        .talk(&format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /{next}"));
    let statuses: Vec<_> = split(&output).into_iter().map(|response| response.status).collect();
    assert_eq!(statuses, ["200 OK", "404 Not Found"]);
}

#[test]
fn old_clients_get_their_connection_closed() {
    let mut client = Client::of_page();
    assert!(client.talk("GET / HTTP/1.0\r\n\r\n").contains("\r\nConnection: close\r\n"));
    assert!(client.wire.finished);
    let mut client = Client::of_page();
    let output = client.talk("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(output.contains("\r\nConnection: keep-alive\r\n") && !client.wire.finished);
}

#[test]
fn a_head_request_is_answered_without_content() {
    for path in ["/", "/missing"] {
        let output = Client::of_page().talk(&format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(
            output.contains("\r\nContent-Length: ") && output.ends_with("\r\n\r\n"),
            "{output}"
        );
    }
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let mut client = Client::of_page();
    client.wire.input = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    client.wire.ended = true;
    assert_eq!(client.run(), Next::Close);
    assert!(client.text().ends_with("</table>\n"));
}

#[test]
fn files_and_their_parts_arrive_whole_through_a_narrow_stream() {
    let place = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..500_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
    fs::write(place.path().join("big.bin"), &content).unwrap();
    for (range, status, want) in [
        ("", "200 OK", &content[..]),
        ("Range: bytes=1000-400000\r\n", "206 Partial Content", &content[1000..400_001]),
        ("Range: bytes=-3\r\n", "206 Partial Content", &content[499_997..]),
        ("Range: bytes=0-1,5-6\r\n", "200 OK", &content[..]),
    ] {
        let mut client = Client::of_folder(place.path());
        client.wire.window = 1499;
        client.wire.input = format!(
            "GET /big.bin HTTP/1.1\r\nHost: h\r\n{range}\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        .into_bytes();
        client.run();
        let output = &client.wire.output;
        let head = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert!(output.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{range}");
        assert!(output[head..head + want.len()] == *want, "{range}");
        assert!(output[head + want.len()..].starts_with(b"HTTP/1.1 404"), "{range}");
    }
}

#[test]
fn ranges_say_what_they_are_of() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("ten.txt"), "0123456789").unwrap();
    let ask = |field: &str| {
        let request = format!("GET /ten.txt HTTP/1.1\r\nHost: h\r\n{field}\r\n");
        Client::of_folder(place.path()).talk(&request)
    };
    assert!(ask("Range: bytes=2-4\r\n").contains("\r\nContent-Range: bytes 2-4/10\r\n"));
    let none = ask("Range: bytes=10-\r\n");
    assert!(
        none.starts_with("HTTP/1.1 416 ") && none.contains("\r\nContent-Range: bytes */10\r\n")
    );
    let whole = ask("");
    let etag = field(&whole, "ETag").unwrap();
    let modified = field(&whole, "Last-Modified").unwrap();
    for condition in
        [format!("If-None-Match: {etag}\r\n"), format!("If-Modified-Since: {modified}\r\n")]
    {
        let unchanged = ask(&condition);
        assert!(
            unchanged.starts_with("HTTP/1.1 304 ") && unchanged.ends_with("\r\n\r\n"),
            "{unchanged}"
        );
    }
}

#[test]
fn a_file_that_shrinks_under_way_resets_the_connection() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("shrinks");
    fs::write(&path, vec![7; 1_000_000]).unwrap();
    let mut client = Client::of_folder(place.path());
    client.wire.input = b"GET /shrinks HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    client.wire.room = 100_000;
    client.run();
    fs::write(&path, "short").unwrap();
    client.wire.room = usize::MAX;
    assert_eq!(client.run(), Next::Reset);
}

#[test]
fn patience_ends() {
    let limits = Limits::default();
    for (name, input, room, wait, want) in [
        ("idle", "", usize::MAX, limits.idle, ""),
        ("a slow head", "GET / HTTP/1.1\r\nHo", usize::MAX, limits.head, "HTTP/1.1 408 "),
        (
            "a response that is not read",
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            10,
            limits.stall,
            "HTTP/1.1 2",
        ),
    ] {
        let mut client = Client::of_page();
        client.wire.input = input.as_bytes().to_vec();
        client.wire.room = room;
        assert_eq!(client.run(), Next::Wait, "{name}");
        client.pass(wait - Duration::from_millis(1));
        assert_eq!(client.session.check_patience(&mut client.site), Next::Wait, "{name}");
        client.pass(Duration::from_millis(1));
        assert_ne!(client.session.check_patience(&mut client.site), Next::Wait, "{name}");
        client.run();
        assert!(client.text().starts_with(want), "{name}: {}", client.text());
    }
}

#[test]
fn a_trickle_is_not_progress() {
    let mut client = Client::of_page();
    client.wire.input = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n".to_vec();
    let mut seconds = 0;
    while client.session.check_patience(&mut client.site) == Next::Wait {
        client.wire.input.push(b'x');
        client.run();
        client.pass(Duration::from_secs(1));
        seconds += 1;
        assert!(seconds < 40, "one byte a second goes on for ever");
    }
    assert!(seconds >= 30, "cut off after {seconds} s");
}

#[test]
fn a_new_request_has_its_own_time() {
    let mut client = Client::of_page();
    for _ in 0..10 {
        client.wire.input.extend_from_slice(b"GET / HTTP/1.1\r\nHost: ");
        client.run();
        client.pass(Duration::from_secs(6));
        assert_eq!(client.session.check_patience(&mut client.site), Next::Wait);
        client.wire.input.extend_from_slice(b"h\r\n\r\n");
        client.run();
    }
    assert_eq!(split(&client.text()).len(), 10);
}

proptest! {
    /// However the segments fall, the answers are the same.
    #[test]
    fn no_split_changes_the_answers(cuts in proptest::collection::vec(0..PIPELINE.len(), 0..12), window in 1_usize..200) {
        let whole = Client::of_page().talk(PIPELINE);
        let mut client = Client::of_page();
        client.wire.window = window;
        let mut cuts = cuts;
        cuts.push(PIPELINE.len());
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            client.wire.input.extend_from_slice(&PIPELINE.as_bytes()[from..cut]);
            client.run();
            from = cut;
        }
        prop_assert_eq!(client.text(), whole);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut client = Client::of_page();
        client.wire.input = input;
        client.wire.ended = true;
        client.run();
    }

    #[test]
    fn mangled_requests_do_no_harm(at in 0..PIPELINE.len(), byte: u8) {
        let mut client = Client::of_page();
        client.wire.input = PIPELINE.as_bytes().to_vec();
        client.wire.input[at] = byte;
        client.wire.ended = true;
        client.run();
    }
}

#[test]
fn single_bytes_get_the_same_answers() {
    let whole = Client::of_page().talk(PIPELINE);
    let mut client = Client::of_page();
    for byte in PIPELINE.bytes() {
        client.wire.input.push(byte);
        client.run();
    }
    assert_eq!(client.text(), whole);
    assert_eq!(split(&whole).len(), 7);
}

const PIPELINE: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n\
    \r\nHEAD / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n\
    PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world\
    POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: u\r\n\r\n\
    OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz\
    GET /%2e%2e/ HTTP/1.1\r\nHost: h\r\n\r\n\
    GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n\
    GET /never HTTP/1.1\r\nHost: h\r\n\r\n";

/// A client at the other end of a stream of memory, a server at this one.
struct Client {
    session: Session,
    site: Site,
    folder: Option<Arc<Folder>>,
    wire: Wire,
    now: Instant,
}

struct Wire {
    /// What the client has sent and the server has not read.
    input: Vec<u8>,
    /// Whether the client has ended its direction.
    ended: bool,
    output: Vec<u8>,
    /// Most bytes per read and write.
    window: usize,
    /// Bytes the stream still takes.
    room: usize,
    finished: bool,
}

impl Client {
    fn of_page() -> Self {
        Self::new(Content::Page, None)
    }

    fn of_folder(path: &std::path::Path) -> Self {
        let folder = Arc::new(Folder::open(path).unwrap());
        Self::new(Content::Folder, Some(folder))
    }

    fn new(content: Content, folder: Option<Arc<Folder>>) -> Self {
        let now = Instant::from_millis(1);
        let limits = Limits { max_body: 1000, ..Limits::default() };
        let mut site = Site::new(content, limits, Page::new(vec![]), now, SystemTime::UNIX_EPOCH);
        // Rendered before the first request, so that its numbers do not depend on how requests are cut.
        site.page_and_date();
        let wire = Wire {
            input: vec![],
            ended: false,
            output: vec![],
            window: usize::MAX,
            room: usize::MAX,
            finished: false,
        };
        Self { session: Session::new(now), site, folder, wire, now }
    }

    /// Sends `request`; returns everything the server says to it.
    fn talk(&mut self, request: &str) -> String {
        self.wire.input.extend_from_slice(request.as_bytes());
        self.run();
        self.text()
    }

    /// Runs the server until it has nothing left to do.
    fn run(&mut self) -> Next {
        loop {
            let next = self.session.run(&mut self.wire, &mut self.site);
            if let (Some(task), Some(folder)) = (self.session.task(), &self.folder) {
                let answer = disk::perform(folder, task);
                self.session.disk_answered(answer, &mut self.site);
            } else if next != Next::Again {
                return next;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.site.tick(self.now);
    }

    fn text(&self) -> String {
        String::from_utf8(self.wire.output.clone()).unwrap()
    }
}

impl Read for Wire {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("input is read in place")
    }
}

impl BufRead for Wire {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.input.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.input[..self.input.len().min(self.window)])
    }

    fn consume(&mut self, len: usize) {
        self.input.drain(..len);
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.window).min(self.room);
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= len;
        self.output.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Wire {
    fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }
}

#[derive(Debug)]
struct Response {
    status: String,
    body: String,
}

/// The responses in `output`. Those to HEAD are recognised by the status line that follows at once.
fn split(output: &str) -> Vec<Response> {
    let mut responses = vec![];
    let mut rest = output;
    while let Some((head, tail)) = rest.split_once("\r\n\r\n") {
        let status = head.lines().next().unwrap().strip_prefix("HTTP/1.1 ").unwrap().to_owned();
        let length = match field(head, "Content-Length") {
            Some(_) if tail.starts_with("HTTP/1.1 ") => 0,
            Some(length) => length.parse().unwrap(),
            None => 0,
        };
        responses.push(Response { status, body: tail[..length].to_owned() });
        rest = &tail[length..];
    }
    responses
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
