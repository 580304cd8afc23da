//! `darner ping`: echo requests through the stack, with statistics as ping prints them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, never, select, unbounded};
use darner::time::Instant;
use darner::{Application, Core, EchoReply, Readiness, Token};

use crate::cli::PingOptions;
use crate::console;
use crate::failure::Failure;
use crate::placement::Placement;
use crate::run::Running;
use crate::settings::Settings;

/// Pings until the count is reached or Ctrl-C is pressed. Fails without any answer.
pub(crate) fn run(settings: &Settings, options: &PingOptions) -> Result<(), Failure> {
    let target = resolve(&options.host)?;
    let (tell, told) = unbounded();
    let running = Running::start(settings, Placement::Core, |index| {
        // The first core pings; others only answer.
        let plan = (index == 0).then(|| Plan { target, options: options.into() });
        Box::new(Pinger { plan, tell: tell.clone(), sent: 0, sent_at: Vec::new() })
    })?;
    let title = format!("PING {} ({target}): {} bytes of payload", options.host, options.size);
    let mut statistics = Statistics::default();
    let shown = console::print(title).and_then(|()| statistics.watch(&running, options, &told));
    running.stop()?;
    shown
        .and_then(|()| console::print(statistics.render(&options.host).trim_end()))
        .map_err(Failure::failed)?;
    if statistics.round_trips.is_empty() {
        return Err(Failure::failed(format_args!("{target} did not answer")));
    }
    Ok(())
}

fn resolve(host: &str) -> Result<Ipv4Addr, Failure> {
    let found = (host, 0).to_socket_addrs().map_err(|error| {
        Failure::failed(format_args!(
            "cannot find the address of {host}: {error}; the host's resolver was asked"
        ))
    })?;
    let mut v4 = found.filter_map(|address| match address {
        SocketAddr::V4(address) => Some(*address.ip()),
        SocketAddr::V6(_) => None,
    });
    v4.next().ok_or_else(|| Failure::failed(format_args!("{host} has no IPv4 address")))
}

/// What the protocol thread tells.
enum Event {
    Sent,
    NotSent(io::Error),
    Answered { reply: EchoReply, after: Duration },
}

struct Plan {
    target: Ipv4Addr,
    options: Timing,
}

/// What the protocol thread needs of the options.
struct Timing {
    count: Option<u64>,
    interval: Duration,
    size: usize,
}

impl From<&PingOptions> for Timing {
    fn from(options: &PingOptions) -> Self {
        Self { count: options.count, interval: options.interval, size: options.size.into() }
    }
}

/// Pings from the protocol thread.
struct Pinger {
    plan: Option<Plan>,
    tell: Sender<Event>,
    sent: u64,
    /// When each of the last [`REMEMBERED`] was sent.
    sent_at: Vec<Instant>,
}

/// Sequence numbers, and so requests, that are told apart.
const REMEMBERED: u64 = 1 << 16;
const IDENTIFIER: u16 = 0xda12;
const NEXT: Token = Token(0);

impl Pinger {
    fn send(&mut self, core: &mut Core<'_>) {
        let Some(Plan { target, options }) = &self.plan else { return };
        if options.count.is_some_and(|count| self.sent >= count) {
            return;
        }
        let sequence = sequence(self.sent);
        let event = match core.ping(*target, IDENTIFIER, sequence, options.size) {
            Ok(()) => Event::Sent,
            Err(error) => Event::NotSent(error),
        };
        match self.sent_at.get_mut(usize::from(sequence)) {
            Some(at) => *at = core.now(),
            None => self.sent_at.push(core.now()),
        }
        self.sent += 1;
        core.set_timer(options.interval, NEXT);
        let _ = self.tell.send(event);
    }
}

/// Sequence numbers begin again after the last.
fn sequence(count: u64) -> u16 {
    u16::try_from(count % REMEMBERED).expect("the remainder has 16 bits")
}

impl Application for Pinger {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        core.set_timer(Duration::ZERO, NEXT);
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}

    fn timeout(&mut self, core: &mut Core<'_>, _: Token) {
        self.send(core);
    }

    fn echo_reply(&mut self, core: &mut Core<'_>, reply: EchoReply) {
        let Some(sent) = self.sent_at.get(usize::from(reply.sequence)) else { return };
        if reply.identifier == IDENTIFIER {
            let after = core.now().since(*sent);
            let _ = self.tell.send(Event::Answered { reply, after });
        }
    }
}

#[derive(Default)]
struct Statistics {
    sent: u64,
    all_sent: bool,
    round_trips: Vec<Duration>,
}

impl Statistics {
    /// Prints answers until the last has come, or the wait for it is over.
    fn watch(
        &mut self,
        running: &Running,
        options: &PingOptions,
        told: &Receiver<Event>,
    ) -> io::Result<()> {
        let mut deadline = never();
        loop {
            select! {
                recv(running.signals()) -> _ => return Ok(()),
                recv(deadline) -> _ => return Ok(()),
                recv(told) -> event => match event {
                    Ok(event) => self.take(&event)?,
                    Err(_) => return Ok(()),
                },
            }
            let all_sent = options.count.is_some_and(|count| self.sent >= count);
            if all_sent && self.round_trips.len() as u64 >= self.sent {
                return Ok(());
            }
            if all_sent && !self.all_sent {
                self.all_sent = true;
                deadline = after(options.wait);
            }
        }
    }

    fn take(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Sent => {
                self.sent += 1;
                Ok(())
            }
            Event::NotSent(error) => {
                self.sent += 1;
                console::print(format_args!("not sent: {error}"))
            }
            Event::Answered { reply, after } => {
                self.round_trips.push(*after);
                console::print(format_args!(
                    "{} bytes from {}: seq={} ttl={} time={:.3} ms",
                    reply.len,
                    reply.from,
                    reply.sequence,
                    reply.ttl,
                    millis(*after)
                ))
            }
        }
    }

    fn render(&self, host: &str) -> String {
        let received = self.round_trips.len() as u64;
        let lost = self.sent.saturating_sub(received) * 100 / self.sent.max(1);
        let sent = self.sent;
        let mut text = format!("--- {host} ---\n{sent} sent, {received} answered, {lost} % lost\n");
        let (Some(least), Some(most)) =
            (self.round_trips.iter().min(), self.round_trips.iter().max())
        else {
            return text;
        };
        let count = self.round_trips.len();
        let mean = self.round_trips.iter().map(|time| millis(*time)).sum::<f64>() / to_f64(count);
        let variance =
            self.round_trips.iter().map(|time| (millis(*time) - mean).powi(2)).sum::<f64>();
        let deviation = (variance / to_f64(count)).sqrt();
        text.push_str(&format!(
            "round trip min/avg/max/stddev = {:.3}/{mean:.3}/{:.3}/{deviation:.3} ms\n",
            millis(*least),
            millis(*most)
        ));
        text
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_count_what_came_back() {
        let statistics = Statistics {
            sent: 4,
            all_sent: true,
            round_trips: [1, 2, 3].map(Duration::from_millis).to_vec(),
        };
        assert_eq!(
            statistics.render("h"),
            "--- h ---\n4 sent, 3 answered, 25 % lost\n\
             round trip min/avg/max/stddev = 1.000/2.000/3.000/0.816 ms\n"
        );
        let silence = Statistics { sent: 2, ..Statistics::default() };
        assert_eq!(silence.render("h"), "--- h ---\n2 sent, 0 answered, 100 % lost\n");
    }
}
