//! What a connection says: each way to answer a request.

use super::{Connection, Extent, Phase};
use crate::http::condition::{OwnedConditions, Verdict};
use crate::http::disk::Task;
use crate::http::folder::{Found, Opened};
use crate::http::path::{BadPath, SitePath};
use crate::http::range::Selection;
use crate::http::request::Request;
use crate::http::response::{Head, Status};
use crate::http::site::{Content, Site};
use crate::http::transfer::Transfer;

impl Connection {
    pub(super) fn answer_get(&mut self, request: &Request<'_>, site: &mut Site, out: &mut Vec<u8>) {
        match (&site.content, SitePath::parse(request.target)) {
            (_, Err(BadPath::Malformed)) => {
                self.answer_status(Status::BadRequest, "This is not a path.", site, out);
            }
            (_, Err(BadPath::Forbidden)) => {
                self.answer_status(
                    Status::Forbidden,
                    "This path leads out of the folder.",
                    site,
                    out,
                );
            }
            (Content::Folder, Ok(path)) => {
                let conditions = OwnedConditions::from(request.conditions);
                self.phase = Phase::Find(Some(Box::new(Task::Find { path, conditions })));
            }
            (Content::Page, Ok(path)) if path.relative().as_os_str().is_empty() => {
                self.answer_page(site, out);
            }
            (Content::Page, Ok(_)) => {
                self.answer_status(Status::NotFound, "There is only the page at /.", site, out);
            }
        }
    }

    fn answer_page(&mut self, site: &mut Site, out: &mut Vec<u8>) {
        let (page, date) = site.page_and_date();
        Head::begin(out, Status::Ok, self.exchange.context(date))
            .text("Content-Type", HTML)
            .text("Cache-Control", "no-store")
            .field("Content-Length", page.len())
            .end();
        if self.exchange.extent == Extent::Content {
            out.extend_from_slice(page);
        }
        self.end_exchange();
    }

    pub(super) fn answer_found(&mut self, found: Found, site: &mut Site, out: &mut Vec<u8>) {
        match found {
            Found::File(opened) => self.answer_file(opened, site, out),
            Found::Listing(html) => {
                self.answer_with(Status::Ok, HTML, html.as_bytes(), site, out, |head| head);
            }
            Found::Moved(location) => {
                self.answer(Status::MovedPermanently, site, out, |head| {
                    head.text("Location", &location)
                });
            }
        }
    }

    fn answer_file(&mut self, file: Opened, site: &mut Site, out: &mut Vec<u8>) {
        let length = file.length;
        let (start, end) = match file.verdict {
            Verdict::Send(Selection::Whole) => (0, length),
            Verdict::Send(Selection::Part { start, end }) => (start, end),
            Verdict::Send(Selection::Unsatisfiable) => {
                let all = format!("bytes */{length}");
                return self.answer(Status::RangeNotSatisfiable, site, out, |head| {
                    head.text("Content-Range", &all)
                });
            }
            Verdict::Failed => {
                return self.answer_status(
                    Status::PreconditionFailed,
                    "It has changed.",
                    site,
                    out,
                );
            }
            Verdict::NotModified => return self.answer_not_modified(&file, site, out),
        };
        let is_part = file.verdict != Verdict::Send(Selection::Whole);
        let status = if is_part { Status::PartialContent } else { Status::Ok };
        let mut head = Head::begin(out, status, self.exchange.context(site.date()))
            .text("Content-Type", &file.media_type)
            .field("Content-Length", end - start)
            .text("Accept-Ranges", "bytes")
            .text("ETag", &file.validator.etag)
            .field("Last-Modified", httpdate::HttpDate::from(file.validator.modified));
        if is_part {
            head = head.field("Content-Range", format_args!("bytes {start}-{}/{length}", end - 1));
        }
        head.end();
        if self.exchange.extent == Extent::HeadOnly || start == end {
            return self.end_exchange();
        }
        self.phase = Phase::Send(Box::new(Transfer::new(file.file, file.first, start, end)));
    }

    fn answer_not_modified(&mut self, file: &Opened, site: &Site, out: &mut Vec<u8>) {
        Head::begin(out, Status::NotModified, self.exchange.context(site.date()))
            .text("ETag", &file.validator.etag)
            .field("Last-Modified", httpdate::HttpDate::from(file.validator.modified))
            .end();
        self.end_exchange();
    }

    pub(super) fn answer_status(
        &mut self,
        status: Status,
        reason: &str,
        site: &mut Site,
        out: &mut Vec<u8>,
    ) {
        let text = format!("{}\n{reason}\n", status.line());
        self.answer_with(status, TEXT, text.as_bytes(), site, out, |head| head);
    }

    /// A status with more fields and its own line as content.
    pub(super) fn answer(
        &mut self,
        status: Status,
        site: &mut Site,
        out: &mut Vec<u8>,
        fields: impl FnOnce(Head<'_>) -> Head<'_>,
    ) {
        let text = format!("{}\n", status.line());
        self.answer_with(status, TEXT, text.as_bytes(), site, out, fields);
    }

    pub(super) fn answer_with(
        &mut self,
        status: Status,
        media_type: &str,
        content: &[u8],
        site: &mut Site,
        out: &mut Vec<u8>,
        fields: impl FnOnce(Head<'_>) -> Head<'_>,
    ) {
        let head = Head::begin(out, status, self.exchange.context(site.date()))
            .text("Content-Type", media_type)
            .field("Content-Length", content.len());
        fields(head).end();
        if self.exchange.extent == Extent::Content {
            out.extend_from_slice(content);
        }
        self.end_exchange();
    }
}

pub(super) const ALLOWED: &str = "GET, HEAD, PUT, POST";
const HTML: &str = "text/html; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
