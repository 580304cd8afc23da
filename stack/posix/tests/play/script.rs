//! Reads scripts. The syntax is packetdrill's, as far as our scripts use it.

use crate::packet::Packet;

/// What a line of a script says.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) line: usize,
    pub(crate) at: Time,
    /// When a call returns that has to wait.
    pub(crate) until: Option<Time>,
    pub(crate) action: Action,
}

/// In microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Time {
    /// Since the start of the script.
    At(u64),
    /// Since the event before.
    After(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Call(Call),
    Arrives(Packet),
    Leaves(Packet),
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) outcome: Outcome,
}

/// What a call is to give.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Value(i64),
    Errno(String),
}

pub(crate) fn parse(text: &str) -> Vec<Event> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("").trim()))
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            event(number, line).unwrap_or_else(|| panic!("line {number} cannot be read: {line}"))
        })
        .collect()
}

fn event(number: usize, line: &str) -> Option<Event> {
    let (times, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim();
    let (at, until) = match times.split_once("...") {
        Some((at, until)) => match (time(at)?, time(until)?) {
            // The end is told as the beginning is, whether it has a sign or not.
            (at @ Time::After(_), Time::At(until) | Time::After(until)) => {
                (at, Some(Time::After(until)))
            }
            (at, until) => (at, Some(until)),
        },
        None => (time(times)?, None),
    };
    let action = if let Some(packet) = rest.strip_prefix('<') {
        Action::Arrives(packet.trim().parse().ok()?)
    } else if let Some(packet) = rest.strip_prefix('>') {
        Action::Leaves(packet.trim().parse().ok()?)
    } else {
        Action::Call(call(rest)?)
    };
    Some(Event { line: number, at, until, action })
}

fn time(text: &str) -> Option<Time> {
    let (seconds, fraction) = text.trim_start_matches('+').split_once('.').unwrap_or((text, ""));
    let whole: u64 = match seconds.trim_start_matches('+') {
        "" => 0,
        seconds => seconds.parse().ok()?,
    };
    let micros = whole * 1_000_000 + format!("{fraction:0<6}").parse::<u64>().ok()?;
    Some(if text.starts_with('+') { Time::After(micros) } else { Time::At(micros) })
}

fn call(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, outcome) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    // A text in parentheses may follow an error, as strace has it.
    let mut words = outcome.split_whitespace();
    let value: i64 = words.next()?.parse().ok()?;
    let outcome = match words.next() {
        Some(errno) if value == -1 => Outcome::Errno(errno.to_owned()),
        _ => Outcome::Value(value),
    };
    Some(Call { name: name.to_owned(), arguments: split(arguments), outcome })
}

/// At the commas that are in no bracket.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for letter in text.chars() {
        match letter {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("at least one").push(letter);
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

impl Time {
    pub(crate) fn from(self, start: u64, before: u64) -> u64 {
        match self {
            Self::At(micros) => start + micros,
            Self::After(micros) => before + micros,
        }
    }
}
