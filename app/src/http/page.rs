//! The built-in page: says what served it, with numbers of the moment.

use std::fmt::Write;
use std::time::Duration;

use darner::time::Instant;

use super::site::Tally;

/// The page, rendered at most once a second.
pub(crate) struct Page {
    facts: Vec<(&'static str, String)>,
    html: String,
    started: Option<Instant>,
    stale_at: Instant,
}

impl Page {
    /// `facts` do not change while we run: the device, the address.
    pub(crate) fn new(facts: Vec<(&'static str, String)>) -> Self {
        Self { facts, html: String::new(), started: None, stale_at: Instant::ZERO }
    }

    pub(crate) fn render(&mut self, now: Instant, tally: &Tally) -> &[u8] {
        if now >= self.stale_at || self.html.is_empty() {
            let uptime = now.since(*self.started.get_or_insert(now));
            self.html = html(&self.facts, uptime, tally);
            self.stale_at = now + Duration::from_secs(1);
        }
        self.html.as_bytes()
    }
}

fn html(facts: &[(&str, String)], uptime: Duration, tally: &Tally) -> String {
    let mut page = begin("darner");
    page.push_str(TOP);
    let mut row = |name: &str, value: &str| {
        writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", escape(value))
            .expect("memory takes every write");
    };
    for (name, value) in facts {
        row(name, value);
    }
    row("up for", &format!("{} s", uptime.as_secs()));
    row("connections", &format!("{} open, {} in all", tally.open, tally.connections));
    row("requests", &tally.requests.to_string());
    row("bytes", &format!("{} in, {} out", tally.bytes_in, tally.bytes_out));
    page.push_str(BOTTOM);
    page
}

/// The start of an HTML document, up to its content.
pub(crate) fn begin(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n{STYLE}\n"
    )
}

/// Text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

const STYLE: &str = "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42em;margin:3em auto;\
padding:0 1em;color:#223;background:#fbfcfd}h1{font-weight:600}table{border-collapse:collapse}\
th{text-align:left;font-weight:400;color:#567;padding-right:2em}td{font-variant-numeric:tabular-nums}\
a{color:#0563af;text-decoration:none}</style>";

const TOP: &str = "<h1>It works.</h1>
<p>This page came from <b>darner</b>, a TCP/IP stack in user space: no packet of it met the kernel's own.</p>
<table>
";

const BOTTOM: &str = "</table>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_a_second_old_at_most() {
        let mut page = Page::new(vec![("device", "a<b".into())]);
        let mut tally = Tally { requests: 41, ..Tally::default() };
        let text = |html: &[u8]| String::from_utf8(html.to_vec()).unwrap();
        let first = text(page.render(Instant::from_millis(0), &tally));
        assert!(first.contains("a&lt;b") && first.contains("<td>41</td>"), "{first}");
        tally.requests = 42;
        assert_eq!(text(page.render(Instant::from_millis(999), &tally)), first);
        let later = text(page.render(Instant::from_millis(1000), &tally));
        assert!(later.contains("<td>42</td>") && later.contains("<td>1 s</td>"), "{later}");
    }
}
