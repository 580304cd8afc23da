//! The server's side of one HTTP connection: bytes in, bytes out, one exchange after the other.
//!
//! A connection is in one [`Phase`] at a time. Pipelined requests wait in the socket, not here: input is only taken
//! while the phase can use it, so what a client can make us hold is one head and two chunks of a file.

mod answer;

use sha2::{Digest as _, Sha256};

use super::body::{Decoder, Framing};
use super::disk::{Answer, Task};
use super::folder::NotServed;
use super::request::{MAX_HEAD, Method, Persistence, Refusal, Request, Version};
use super::response::{CONTINUE, Context, Status};
use super::site::Site;
use super::transfer::Transfer;
use answer::{ALLOWED, TEXT};

pub(crate) struct Connection {
    phase: Phase,
    /// The beginning of a head that has not arrived whole.
    partial: Vec<u8>,
    exchange: Exchange,
    /// Requests begun, wrapping: tells one exchange's activity from the next one's.
    requests: u32,
}

/// What is remembered of the request that is being answered.
#[derive(Debug)]
struct Exchange {
    version: Version,
    persistence: Persistence,
    extent: Extent,
    /// A body that nobody asked for, to be skipped behind the response.
    unread: Option<Decoder>,
}

/// Whether a response carries its content (GET) or only describes it (HEAD).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extent {
    Content,
    HeadOnly,
}

enum Phase {
    /// Between requests, or within a head.
    Head,
    /// A PUT's or POST's body is on its way.
    Digest(Box<Digest>),
    /// A body that nobody asked for is on its way.
    Skip(Decoder),
    /// A helper thread looks for the file.
    Find(Option<Box<Task>>),
    /// A file is on its way to the client.
    Send(Box<Transfer>),
    /// The last response has been written.
    Finished,
    /// The promised content cannot be delivered.
    Broken,
}

struct Digest {
    body: Decoder,
    hash: Sha256,
    length: u64,
    form: DigestForm,
}

/// How a digest is told to the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum DigestForm {
    Json,
    Text,
}

/// What a connection is waiting for, as far as patience is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Activity {
    /// The next request may come.
    Idle,
    /// A head has begun.
    Head,
    /// A body comes in, or a file goes out.
    Transfer,
    /// The disk works; the client is not to blame.
    Disk,
    /// All has been said.
    Finished,
    /// The response cannot be completed: reset the connection.
    Broken,
}

/// Output is flushed before more input is taken when this much of it waits.
const OUTPUT_MARK: usize = 64 << 10;
/// The longest uninvited body that is skipped to keep the connection.
const MAX_SKIPPED: u64 = 64 << 10;

impl Connection {
    pub(crate) fn new() -> Self {
        let exchange = Exchange {
            version: Version::Http11,
            persistence: Persistence::Close,
            extent: Extent::Content,
            unread: None,
        };
        Self { phase: Phase::Head, partial: Vec::new(), exchange, requests: 0 }
    }

    /// Takes bytes from the front of `input` and appends answers to `out`. Returns how many it took: none while the
    /// disk or the client has to catch up first.
    pub(crate) fn receive(&mut self, input: &[u8], site: &mut Site, out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while used < input.len() && out.len() < OUTPUT_MARK {
            let input = &input[used..];
            used += match &mut self.phase {
                Phase::Head => self.take_head(input, site, out),
                Phase::Digest(_) => self.take_digest(input, site, out),
                Phase::Skip(_) => self.skip(input),
                _ => break,
            };
        }
        used
    }

    /// Whether [`Connection::receive`] would take input.
    pub(crate) fn wants_input(&self) -> bool {
        matches!(self.phase, Phase::Head | Phase::Digest(_) | Phase::Skip(_))
    }

    /// The client will send no more. What it asked for before is still answered.
    pub(crate) fn input_ended(&mut self) {
        match self.phase {
            Phase::Head | Phase::Skip(_) | Phase::Digest(_) => self.phase = Phase::Finished,
            _ => self.exchange.persistence = Persistence::Close,
        }
    }

    /// Content to send once all output has been sent.
    pub(crate) fn content(&self) -> &[u8] {
        match &self.phase {
            Phase::Send(transfer) => transfer.content(),
            _ => &[],
        }
    }

    /// So much of [`Connection::content`] has been sent.
    pub(crate) fn content_sent(&mut self, len: usize) {
        let Phase::Send(transfer) = &mut self.phase else { return };
        transfer.sent(len);
        if transfer.is_done() {
            self.end_exchange();
        }
    }

    /// Work for the disk, once for each piece of it.
    pub(crate) fn task(&mut self) -> Option<Task> {
        match &mut self.phase {
            Phase::Find(task) => task.take().map(|task| *task),
            Phase::Send(transfer) => transfer.task(),
            _ => None,
        }
    }

    /// What the disk says to this connection's last task.
    pub(crate) fn disk_answered(&mut self, answer: Answer, site: &mut Site, out: &mut Vec<u8>) {
        match (&mut self.phase, answer) {
            (Phase::Find(_), Answer::Found(Ok(found))) => self.answer_found(found, site, out),
            (Phase::Find(_), Answer::Found(Err(NotServed::NotFound))) => {
                self.answer_status(Status::NotFound, "There is nothing here.", site, out);
            }
            (Phase::Find(_), Answer::Found(Err(NotServed::Forbidden))) => {
                self.answer_status(Status::Forbidden, "This is not served.", site, out);
            }
            (Phase::Find(_), Answer::Found(Err(NotServed::Failed))) => {
                self.answer_status(Status::InternalServerError, "The disk failed.", site, out);
            }
            (Phase::Send(transfer), Answer::Read(Ok(chunk))) => transfer.arrived(chunk),
            (Phase::Send(_), Answer::Read(Err(_))) => self.phase = Phase::Broken,
            _ => {}
        }
    }

    /// The client took too long over its request.
    pub(crate) fn expire(&mut self, site: &mut Site, out: &mut Vec<u8>) {
        match self.activity() {
            Activity::Head => {
                self.refuse(Status::RequestTimeout, "The request took too long.", site, out)
            }
            Activity::Idle => self.phase = Phase::Finished,
            _ => self.phase = Phase::Broken,
        }
    }

    pub(crate) fn activity(&self) -> Activity {
        match &self.phase {
            Phase::Head if self.partial.is_empty() => Activity::Idle,
            Phase::Head => Activity::Head,
            Phase::Digest(_) | Phase::Skip(_) => Activity::Transfer,
            Phase::Send(transfer) if transfer.content().is_empty() => Activity::Disk,
            Phase::Send(_) => Activity::Transfer,
            Phase::Find(_) => Activity::Disk,
            Phase::Finished => Activity::Finished,
            Phase::Broken => Activity::Broken,
        }
    }

    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    /// Parses in place where the head arrives whole; else gathers it.
    fn take_head(&mut self, input: &[u8], site: &mut Site, out: &mut Vec<u8>) -> usize {
        if !self.partial.is_empty() {
            return self.take_rest_of_head(input, site, out);
        }
        // Empty lines before a request are ignored (RFC 9112, section 2.2).
        let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            return empty;
        }
        match Request::parse(input) {
            Ok(Some((request, len))) => {
                self.begin(&request, site, out);
                len
            }
            Ok(None) => {
                self.partial.extend_from_slice(input);
                input.len()
            }
            Err(refusal) => {
                self.refuse_head(refusal, site, out);
                input.len()
            }
        }
    }

    fn take_rest_of_head(&mut self, input: &[u8], site: &mut Site, out: &mut Vec<u8>) -> usize {
        let had = self.partial.len();
        let more = &input[..input.len().min(MAX_HEAD - had)];
        let line_known = self.partial.contains(&b'\n');
        self.partial.extend_from_slice(more);
        // Behind the first line nothing new can be said before a line ends. This keeps one-byte segments from
        // parsing the whole head once each.
        if line_known && !more.contains(&b'\n') && self.partial.len() < MAX_HEAD {
            return more.len();
        }
        let head = std::mem::take(&mut self.partial);
        match Request::parse(&head) {
            Ok(Some((request, len))) => {
                self.begin(&request, site, out);
                len - had
            }
            Ok(None) => {
                self.partial = head;
                more.len()
            }
            Err(refusal) => {
                self.refuse_head(refusal, site, out);
                more.len()
            }
        }
    }

    fn begin(&mut self, request: &Request<'_>, site: &mut Site, out: &mut Vec<u8>) {
        site.tally.requests += 1;
        self.requests = self.requests.wrapping_add(1);
        self.exchange = Exchange {
            version: request.version,
            persistence: request.persistence,
            extent: if request.method == Method::Head { Extent::HeadOnly } else { Extent::Content },
            unread: None,
        };
        match request.method {
            Method::Put | Method::Post => self.begin_digest(request, site, out),
            Method::Get | Method::Head => {
                self.leave_body_unread(request);
                self.answer_get(request, site, out);
            }
            Method::Other => {
                self.leave_body_unread(request);
                self.answer(Status::MethodNotAllowed, site, out, |head| {
                    head.text("Allow", ALLOWED)
                });
            }
        }
    }

    /// A body without a use is skipped if it is short and on its way; else the connection closes behind the response.
    fn leave_body_unread(&mut self, request: &Request<'_>) {
        match request.framing {
            Framing::Length(0) => {}
            Framing::Length(length) if length <= MAX_SKIPPED && !request.awaits_continue => {
                self.exchange.unread = Some(Decoder::Length(length));
            }
            _ => self.exchange.persistence = Persistence::Close,
        }
    }

    fn begin_digest(&mut self, request: &Request<'_>, site: &mut Site, out: &mut Vec<u8>) {
        if matches!(request.framing, Framing::Length(length) if length > site.limits.max_body) {
            return self.refuse(Status::ContentTooLarge, "The body is too long.", site, out);
        }
        let body = Decoder::new(request.framing);
        if request.awaits_continue && !body.is_done() {
            out.extend_from_slice(CONTINUE);
        }
        let wants_json = request.accept.is_some_and(|accept| accept.contains("json"));
        let form = if wants_json { DigestForm::Json } else { DigestForm::Text };
        let digest = Box::new(Digest { body, hash: Sha256::new(), length: 0, form });
        if digest.body.is_done() {
            return self.answer_digest(*digest, site, out);
        }
        self.phase = Phase::Digest(digest);
    }

    fn take_digest(&mut self, input: &[u8], site: &mut Site, out: &mut Vec<u8>) -> usize {
        let Phase::Digest(digest) = &mut self.phase else { return 0 };
        let Ok(step) = digest.body.step(input) else {
            self.refuse(Status::BadRequest, "The chunked coding is broken.", site, out);
            return input.len();
        };
        digest.hash.update(step.content);
        digest.length += step.content.len() as u64;
        if digest.length > site.limits.max_body {
            self.refuse(Status::ContentTooLarge, "The body is too long.", site, out);
            return input.len();
        }
        if digest.body.is_done()
            && let Phase::Digest(digest) = std::mem::replace(&mut self.phase, Phase::Head)
        {
            self.answer_digest(*digest, site, out);
        }
        step.used
    }

    fn answer_digest(&mut self, digest: Digest, site: &mut Site, out: &mut Vec<u8>) {
        let length = digest.length;
        let hash: String =
            digest.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let (media_type, text) = match digest.form {
            DigestForm::Json => {
                ("application/json", format!("{{\"length\":{length},\"sha256\":\"{hash}\"}}\n"))
            }
            DigestForm::Text => (TEXT, format!("length {length}\nsha256 {hash}\n")),
        };
        self.answer_with(Status::Ok, media_type, text.as_bytes(), site, out, |head| head);
    }

    fn skip(&mut self, input: &[u8]) -> usize {
        let Phase::Skip(body) = &mut self.phase else { return 0 };
        let Ok(step) = body.step(input) else {
            self.phase = Phase::Finished;
            return input.len();
        };
        if body.is_done() {
            self.phase = Phase::Head;
        }
        step.used
    }

    fn refuse_head(&mut self, refusal: Refusal, site: &mut Site, out: &mut Vec<u8>) {
        let reason = match refusal {
            Refusal::BadRequest(reason) => reason,
            Refusal::TargetTooLong => "the target is too long",
            Refusal::HeadTooLarge => "the head is too long or has too many fields",
            Refusal::UnknownCoding => "only the chunked coding is known",
            Refusal::UnknownExpectation => "only 100-continue can be expected",
            Refusal::UnknownVersion => "only HTTP/1.0 and HTTP/1.1 are spoken",
        };
        self.exchange.extent = Extent::Content;
        self.exchange.version = Version::Http11;
        self.refuse(refusal.into(), reason, site, out);
    }

    /// Answers and closes: where the next request would start is unknown.
    fn refuse(&mut self, status: Status, reason: &str, site: &mut Site, out: &mut Vec<u8>) {
        self.exchange.persistence = Persistence::Close;
        self.partial = Vec::new();
        self.answer_status(status, reason, site, out);
    }

    fn end_exchange(&mut self) {
        self.phase = match (self.exchange.persistence, self.exchange.unread.take()) {
            (Persistence::Close, _) => Phase::Finished,
            (Persistence::KeepAlive, Some(body)) => Phase::Skip(body),
            (Persistence::KeepAlive, None) => Phase::Head,
        };
    }
}

impl Exchange {
    fn context<'a>(&self, date: &'a str) -> Context<'a> {
        Context { version: self.version, persistence: self.persistence, date }
    }
}
