//! `darner get`: fetches a URL through the stack.
//!
//! The protocol thread only moves bytes: see [`fetcher`]. The main thread resolves names, follows redirects, writes the
//! file and draws the progress; it may block.

mod fetcher;
mod output;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use darner::Waker;
use url::{Host, Url};

use crate::cli::GetOptions;
use crate::failure::Failure;
use crate::http::client::ResponseHead;
use crate::placement::Placement;
use crate::run::Running;
use crate::settings::Settings;
use fetcher::{Event, Fetcher, Request};
use output::Output;

/// Fetches the URL, and fails unless it arrives whole.
pub(crate) fn run(settings: &Settings, options: &GetOptions) -> Result<(), Failure> {
    let url = parse(&options.url)?;
    let (ask, asked) = unbounded();
    // The first core fetches; others have nothing to do.
    let running = Running::start(settings, Placement::Core, |index| {
        Box::new(Fetcher::new((index == 0).then(|| asked.clone())))
    })?;
    let outcome = running.stack().waker(0).map_or_else(
        || Err(Failure::failed("the stack has no core")),
        |waker| Download { options, running: &running, ask, waker }.follow(url),
    );
    running.stop()?;
    outcome
}

/// Pieces of a response that may wait for the main thread.
const EVENTS: usize = 64;

/// The main thread's side of a download.
struct Download<'a> {
    options: &'a GetOptions,
    running: &'a Running,
    ask: Sender<Request>,
    waker: Waker,
}

impl Download<'_> {
    fn follow(&self, mut url: Url) -> Result<(), Failure> {
        for _ in 0..=self.options.max_redirects {
            let (head, events) = self.request(&url)?;
            match redirect(&url, &head)? {
                Some(next) => url = next,
                None if (200..300).contains(&head.status) => {
                    return self.save(&url, &head, &events);
                }
                None => {
                    let ResponseHead { status, reason, .. } = head;
                    return Err(Failure::failed(format_args!(
                        "{url}: the server answered {status} {reason}"
                    )));
                }
            }
        }
        Err(Failure::failed(format_args!(
            "{}: more than {} redirects; --max-redirects allows more",
            self.options.url, self.options.max_redirects
        )))
    }

    /// Asks each address of the server until one answers.
    fn request(&self, url: &Url) -> Result<(ResponseHead, Receiver<Event>), Failure> {
        let mut last = None;
        for address in resolve(url)? {
            let (tell, told) = bounded(EVENTS);
            let request = Request { address, head: head_of(url).into_bytes(), events: tell };
            self.ask.send(request).map_err(|_| stopped())?;
            self.waker.wake();
            match self.next_event(url, &told)? {
                Event::Head(head) => return Ok((head, told)),
                Event::Failed(error) => last = Some((address, error)),
                Event::Content(_) | Event::End => return Err(stopped()),
            }
        }
        Err(match last {
            Some((address, error)) => {
                Failure::failed(format_args!("{url}: {address}: {error}{}", advice(&error)))
            }
            None => Failure::failed(format_args!("{url}: the host has no IPv4 address")),
        })
    }

    fn save(
        &self,
        url: &Url,
        head: &ResponseHead,
        events: &Receiver<Event>,
    ) -> Result<(), Failure> {
        let mut output = Output::open(self.options, head.length)?;
        loop {
            match self.next_event(url, events)? {
                Event::Content(bytes) => output.write(&bytes)?,
                Event::End => return output.finish(),
                Event::Failed(error) => {
                    return Err(Failure::failed(format_args!(
                        "{url}: {error}, after {} bytes",
                        output.written()
                    )));
                }
                Event::Head(_) => return Err(stopped()),
            }
        }
    }

    fn next_event(&self, url: &Url, events: &Receiver<Event>) -> Result<Event, Failure> {
        let patience = Duration::from_secs(self.options.timeout);
        let event = select! {
            recv(events) -> event => event.map_err(|_| stopped())?,
            recv(self.running.signals()) -> _ => return Err(Failure::failed("interrupted")),
            default(patience) => return Err(Failure::failed(format_args!(
                "{url}: nothing has arrived for {} s; --timeout waits longer",
                patience.as_secs()
            ))),
        };
        // The protocol thread may have waited for room in the channel.
        self.waker.wake();
        Ok(event)
    }
}

fn stopped() -> Failure {
    Failure::failed("the stack stopped during the download")
}

fn parse(text: &str) -> Result<Url, Failure> {
    let usage = |problem: &dyn std::fmt::Display| {
        Failure::usage(format_args!(
            "\"{text}\" cannot be fetched: {problem}; write http://HOST[:PORT]/PATH"
        ))
    };
    let url = Url::parse(text).map_err(|error| usage(&error))?;
    match url.scheme() {
        "http" => Ok(url),
        "https" => Err(usage(&"there is no TLS here")),
        other => Err(usage(&format_args!("{other} is not spoken here"))),
    }
}

/// Where a response leads to, if it leads on.
fn redirect(from: &Url, head: &ResponseHead) -> Result<Option<Url>, Failure> {
    let Some(location) =
        head.location.as_ref().filter(|_| matches!(head.status, 301 | 302 | 303 | 307 | 308))
    else {
        return Ok(None);
    };
    let bad = |error| Failure::failed(format_args!("{from} redirects to \"{location}\": {error}"));
    let next = from.join(location).map_err(bad)?;
    parse(next.as_str()).map(Some)
}

fn resolve(url: &Url) -> Result<Vec<SocketAddr>, Failure> {
    let port = url.port_or_known_default().unwrap_or(80);
    let found = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
        Some(Host::Domain(name)) => (name, port).to_socket_addrs(),
        _ => Err(io::Error::other("only IPv4 addresses and names are understood")),
    };
    let found = found.map_err(|error| {
        Failure::failed(format_args!(
            "{url}: cannot find the host's address: {error}; the host's resolver was asked"
        ))
    })?;
    Ok(found.filter(SocketAddr::is_ipv4).collect())
}

fn head_of(url: &Url) -> String {
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: darner/{}\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// What may help against an error of the connection.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable => "; --gateway names who leads to other networks",
        io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => {
            "; is the host on this link, and does it know the way back?"
        }
        io::ErrorKind::ConnectionRefused => "; nothing listens on that port",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_requests() {
        let head = |url| head_of(&parse(url).unwrap());
        assert!(head("http://h").starts_with("GET / HTTP/1.1\r\nHost: h\r\n"));
        assert!(
            head("http://h:81/a b?c=d#e").starts_with("GET /a%20b?c=d HTTP/1.1\r\nHost: h:81\r\n")
        );
    }

    #[test]
    fn what_cannot_be_fetched_is_said() {
        for (url, want) in [
            ("https://h/", "no TLS"),
            ("ftp://h/", "ftp is not spoken"),
            ("h/x", "relative URL"),
            ("http://", "empty host"),
        ] {
            let error = format!("{:?}", parse(url).unwrap_err());
            assert!(error.contains(want) && error.contains("http://HOST"), "{error}");
        }
    }

    #[test]
    fn redirects_are_followed_where_they_lead() {
        let from = parse("http://a/b/c").unwrap();
        let to = |status, location: Option<&str>| {
            let location = location.map(str::to_owned);
            redirect(&from, &ResponseHead { status, reason: String::new(), location, length: None })
                .map(|url| url.map(String::from))
        };
        assert_eq!(to(302, Some("d")).unwrap(), Some("http://a/b/d".to_owned()));
        assert_eq!(to(308, Some("//e/f")).unwrap(), Some("http://e/f".to_owned()));
        assert_eq!(to(200, Some("d")).unwrap(), None);
        assert_eq!(to(302, None).unwrap(), None);
        assert!(to(301, Some("https://a/")).is_err());
    }
}
