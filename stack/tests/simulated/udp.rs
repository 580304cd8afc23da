//! Datagrams, in fragments where they must be.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pmd::sim::Wire;

use crate::apps::{Script, Talker, UdpAsker, UdpEcho};
use crate::world::{RIGHT, World};

fn asker(questions: impl IntoIterator<Item = usize>) -> UdpAsker {
    UdpAsker {
        to: format!("{RIGHT}:7").parse().unwrap(),
        questions: questions
            .into_iter()
            .map(|len| (0..len).map(|at| (at % 251) as u8).collect())
            .collect(),
        socket: None,
        answers: Arc::new(Mutex::new(Vec::new())),
    }
}

#[test]
fn datagrams_of_every_size_come_back() {
    let sizes = [0, 1, 1471, 1472, 1473, 2953, 9000, 60_000, 65_507];
    let asker = asker(sizes);
    let (questions, answers) = (asker.questions.clone(), asker.answers.clone());
    let echo = UdpEcho { address: "0.0.0.0:7".parse().unwrap(), socket: None };
    let wire = Wire { delay: Duration::from_millis(1), ..Wire::default() };
    let mut world = World::new(1, wire, asker, echo);
    world.run(Duration::from_secs(60), |_| answers.lock().unwrap().len() == sizes.len());
    let got: Vec<_> = answers.lock().unwrap().drain(..).map(Result::unwrap).collect();
    assert!(questions == got, "{:?}", got.iter().map(Vec::len).collect::<Vec<_>>());
    world.finish();
}

#[test]
fn fragments_survive_reordering_and_duplication() {
    let asker = asker([30_000; 20]);
    let answers = asker.answers.clone();
    let echo = UdpEcho { address: "0.0.0.0:7".parse().unwrap(), socket: None };
    let wire = Wire {
        delay: Duration::from_millis(1),
        reorder: 0.3,
        reorder_by: Duration::from_micros(500),
        duplicate: 0.1,
        ..Wire::default()
    };
    let mut world = World::new(2, wire, asker, echo);
    world.run(Duration::from_secs(60), |_| answers.lock().unwrap().len() == 20);
    let got: Vec<usize> =
        answers.lock().unwrap().drain(..).map(|answer| answer.unwrap().len()).collect();
    assert_eq!(got, [30_000; 20]);
    world.finish();
}

#[test]
fn a_port_without_a_socket_is_reported_to_who_is_connected() {
    let asker = asker([10]);
    let answers = asker.answers.clone();
    let (nobody, _) = Talker::listening("0.0.0.0:7", Script { seed: 0, len: 0 });
    let mut world = World::new(3, Wire::default(), asker, nobody);
    world.run(Duration::from_secs(10), |_| !answers.lock().unwrap().is_empty());
    let kinds: Vec<_> =
        answers.lock().unwrap().iter().map(|answer| answer.as_ref().unwrap_err().kind()).collect();
    assert_eq!(kinds, [ErrorKind::ConnectionRefused]);
    world.finish();
}
