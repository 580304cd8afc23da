//! `darner serve`: HTTP/1.1 on the protocol threads, or on threads of their own.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use crossbeam_channel::Sender;
use darner::Ipv4Prefix;
use darner::time::Instant;
use darner::{Application, Core, Readiness, TcpStream, Token};
use pmd::dpdk::leave_signals_to_pollers;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slotmap::{DefaultKey, Key, KeyData, SlotMap};

use crate::cli::ServeOptions;
use crate::config::Text;
use crate::failure::Failure;
use crate::http::disk::{Answers, Disk};
use crate::http::folder::Folder;
use crate::http::page::Page;
use crate::http::session::{Next, Session, Stream};
use crate::http::site::{Content, Limits, Site, Tally};
use crate::listen::{Owner, Sockets};
use crate::placement::{Placement, PlacementOption};
use crate::run::{self, Totals};
use crate::settings::Settings;

/// Serves until Ctrl-C.
pub(crate) fn run(
    settings: &Settings,
    options: ServeOptions,
    placement: PlacementOption,
) -> Result<(), Failure> {
    // Before the threads that read the disk exist.
    leave_signals_to_pollers();
    let placement = placement.or_file(settings);
    let plan = Arc::new(Plan::new(settings, options, placement)?);
    let what = match &plan.shown {
        Some(folder) => format!("serving {folder} over HTTP at {}", plan.urls()),
        None => format!("serving a page over HTTP at {}", plan.urls()),
    };
    run::serve(settings, placement, &what, |totals| Box::new(Server::new(plan.clone(), totals)))
}

/// Every download holds its file open, and the usual limit of 1024 is for programs that wait with `select`. Where the limit
/// cannot be raised, it stays.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// What all cores serve alike.
struct Plan {
    listen: Vec<SocketAddr>,
    ours: Vec<Ipv4Prefix>,
    placement: Placement,
    content: Content,
    disk: Option<Disk>,
    limits: Limits,
    facts: Vec<(&'static str, String)>,
    /// The folder, for messages.
    shown: Option<String>,
}

const DISK_THREADS: u8 = 2;

impl Plan {
    fn new(
        settings: &Settings,
        flags: ServeOptions,
        placement: Placement,
    ) -> Result<Self, Failure> {
        let file = &settings.file.serve;
        let listen = if flags.listen.is_empty() { file.listen.0.clone() } else { flags.listen };
        let mut limits = Limits::default();
        if let Some(size) = flags.max_body.or(file.max_body.map(|Text(size)| size)) {
            limits.max_body = ByteSize::as_u64(&size);
        }
        let threads = flags.disk_threads.or(file.disk_threads).unwrap_or(DISK_THREADS).max(1);
        let folder = flags.folder.or_else(|| file.folder.clone());
        let (content, disk, shown) = match folder {
            None => (Content::Page, None, None),
            Some(path) => {
                let shown = path.display().to_string();
                let folder = Arc::new(Folder::open(&path).map_err(|error| {
                    Failure::start(format_args!(
                        "cannot serve the folder {shown}: {error}; name one that exists and can be read"
                    ))
                })?);
                allow_many_files();
                let disk = Disk::start(&folder, threads.into()).map_err(Failure::start)?;
                (Content::Folder, Some(disk), Some(shown))
            }
        };
        let addresses: Vec<String> =
            settings.stack.addresses.iter().map(ToString::to_string).collect();
        Ok(Self {
            listen: if listen.is_empty() { vec![([0, 0, 0, 0], 80).into()] } else { listen },
            ours: settings.stack.addresses.clone(),
            placement,
            content,
            disk,
            limits,
            facts: vec![
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("device", settings.device.to_string()),
                ("address", addresses.join(" ")),
            ],
            shown,
        })
    }

    fn urls(&self) -> String {
        let mut urls: Vec<String> = self.listen.iter().map(|address| self.url(address)).collect();
        urls.dedup();
        urls.join(" ")
    }

    fn url(&self, listen: &SocketAddr) -> String {
        let host = match self.ours.first() {
            Some(ours) if listen.ip().is_unspecified() => ours.address().into(),
            _ => listen.ip(),
        };
        match listen.port() {
            80 => format!("http://{host}/"),
            port => format!("http://{host}:{port}/"),
        }
    }
}

/// One server: a core's, or a thread's.
struct Server {
    plan: Arc<Plan>,
    sockets: Sockets,
    clients: SlotMap<DefaultKey, Client>,
    /// When to look at whose patience, in the order of time. A client stands here once, at most a head's time ahead:
    /// progress does not move it, and a client that has gone is passed over.
    checks: VecDeque<(Instant, DefaultKey)>,
    /// Made when there is a clock and a waker.
    started: Option<Started>,
    totals: Sender<Totals>,
}

struct Started {
    site: Site,
    answers: Arc<Answers>,
}

struct Client {
    session: Session,
    stream: TcpStream,
}

/// Connections accepted before others get their turn.
const ACCEPT_AT_ONCE: usize = 64;
/// Disk answers handled before others get their turn.
const ANSWER_AT_ONCE: usize = 64;
/// Clients looked at before others get their turn.
const CHECK_AT_ONCE: usize = 1024;
/// The time between two looks at the clients that are due.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// The token of the only timer.
const CHECKS: Token = Token(0);

impl Server {
    fn new(plan: Arc<Plan>, totals: Sender<Totals>) -> Self {
        Self {
            plan,
            totals,
            sockets: Sockets::default(),
            clients: SlotMap::new(),
            checks: VecDeque::new(),
            started: None,
        }
    }

    fn accept(&mut self, core: &mut Core<'_>, token: Token, listener: usize) {
        let Some(started) = &mut self.started else { return };
        for _ in 0..ACCEPT_AT_ONCE {
            let Some(Ok((stream, _))) =
                self.sockets.listeners.get_mut(listener).map(|l| l.accept())
            else {
                return;
            };
            // Heads and bodies are written in one go each; nothing is gained by holding the last segment back.
            stream.set_nodelay(true);
            started.site.tally.connections += 1;
            started.site.tally.open += 1;
            let session = Session::new(core.now());
            let key = self.clients.insert(Client { session, stream });
            let client = &mut self.clients[key];
            core.register(&mut client.stream, token_of(key));
            self.checks.push_back((core.now() + started.site.limits.head, key));
        }
        core.again(token, Readiness::READABLE);
    }

    /// Lets a client's session run as far as it can.
    fn run(&mut self, core: &mut Core<'_>, key: DefaultKey) {
        let (Some(started), Some(client)) = (&mut self.started, self.clients.get_mut(key)) else {
            return;
        };
        started.site.tick(core.now());
        let next = client.session.run(&mut client.stream, &mut started.site);
        if let (Some(task), Some(disk)) = (client.session.task(), &self.plan.disk) {
            disk.submit(key.data().as_ffi(), task, &started.answers);
        }
        self.follow(core, key, next);
    }

    /// Loses patience with a client that has none left.
    fn check(&mut self, core: &mut Core<'_>, key: DefaultKey) {
        let (Some(started), Some(client)) = (&mut self.started, self.clients.get_mut(key)) else {
            return;
        };
        started.site.tick(core.now());
        let next = client.session.check_patience(&mut started.site);
        self.checks.push_back((core.now() + started.site.limits.head, key));
        self.follow(core, key, next);
    }

    fn follow(&mut self, core: &mut Core<'_>, key: DefaultKey, next: Next) {
        match next {
            Next::Wait => return,
            Next::Again => return core.again(token_of(key), Readiness::READABLE),
            Next::Reset => {
                if let Some(client) = self.clients.get(key) {
                    client.stream.abort();
                }
            }
            Next::Close => {}
        }
        if self.clients.remove(key).is_some()
            && let Some(started) = &mut self.started
        {
            started.site.tally.open -= 1;
        }
    }
}

impl Application for Server {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let waker = core.waker();
        let page = Page::new(self.plan.facts.clone());
        let content = self.plan.content;
        self.started = Some(Started {
            site: Site::new(content, self.plan.limits, page, core.now(), SystemTime::now()),
            answers: Answers::new(move || waker.wake()),
        });
        core.set_timer(CHECK_EVERY, CHECKS);
        self.sockets.listen(core, &self.plan.listen, &self.plan.ours, self.plan.placement)
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        match Owner::of(token) {
            Owner::Listener(index) => self.accept(core, token, index),
            Owner::Connection => self.run(core, key_of(token)),
            Owner::Datagrams(_) => {}
        }
    }

    fn woken(&mut self, core: &mut Core<'_>) {
        for _ in 0..ANSWER_AT_ONCE {
            let Some(started) = &mut self.started else { return };
            let Some((ticket, answer)) = started.answers.next() else { return };
            let key = KeyData::from_ffi(ticket).into();
            // The client may have gone while the disk worked.
            let Some(client) = self.clients.get_mut(key) else { continue };
            started.site.tick(core.now());
            client.session.disk_answered(answer, &mut started.site);
            self.run(core, key);
        }
        core.waker().wake();
    }

    fn timeout(&mut self, core: &mut Core<'_>, _: Token) {
        for _ in 0..CHECK_AT_ONCE {
            let due = self.checks.pop_front_if(|(due, _)| *due <= core.now());
            let Some((_, key)) = due else { return core.set_timer(CHECK_EVERY, CHECKS) };
            self.check(core, key);
        }
        core.set_timer(Duration::ZERO, CHECKS);
    }

    fn stop(&mut self, _: &mut Core<'_>) {
        if let Some(Started { site, .. }) = &self.started {
            let Tally { connections, requests, bytes_in, bytes_out, .. } = site.tally;
            let _ = self.totals.send(Totals {
                connections,
                requests: Some(requests),
                bytes_in,
                bytes_out,
            });
        }
    }
}

impl Stream for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write);
        Ok(())
    }
}

fn token_of(key: DefaultKey) -> Token {
    Token(key.data().as_ffi())
}

fn key_of(token: Token) -> DefaultKey {
    KeyData::from_ffi(token.0).into()
}
