//! Completed connections between the core that made them, those who accept, and the end of the listener.

use loom::sync::Arc;
use loom::thread;

use super::Size::{Big, Small};
use super::check;
use crate::fault::Fault;
use crate::{Shard, Stash};

/// L-7: a child is accepted, or given back to its core when the listener closes; never both, never neither.
#[test]
fn accepted_or_given_back() {
    check("shards::accepted_or_given_back", Small, close_model, &[Fault::LockUnasked]);
}

fn close_model() {
    let (shard, mut stash) = (Arc::new(Shard::new()), Stash::new());
    assert!(shard.try_push(&mut stash, 1).is_ok());
    let other = shard.clone();
    let accepting = thread::spawn(move || other.pop());
    let drained = shard.try_close(&mut stash);
    let mut children = Vec::from_iter(accepting.join().unwrap());
    match drained {
        Ok(drained) => children.extend(drained),
        Err(_busy) => children.extend(shard.try_close(&mut stash).unwrap()),
    }
    assert_eq!(children, [1]);
}

/// L-18: what comes when the listener is closed already goes back to its core.
#[test]
fn nobody_is_left_in_a_closed_shard() {
    check(
        "shards::nobody_is_left_in_a_closed_shard",
        Small,
        late_push_model,
        &[Fault::LeftOpen, Fault::PushedWhenClosed],
    );
}

fn late_push_model() {
    let (shard, mut stash) = (Arc::new(Shard::new()), Stash::new());
    let other = shard.clone();
    let accepting =
        thread::spawn(move || Vec::from_iter([other.pop(), other.pop()].into_iter().flatten()));
    let _ = shard.try_push(&mut stash, 1);
    let mut closed = shard.try_close(&mut stash).map(Vec::from_iter);
    let _ = shard.try_push(&mut stash, 2);
    let mut children = accepting.join().unwrap();
    if closed.is_ok() {
        assert!(!children.contains(&2), "accepted after the end");
    } else {
        closed = shard.try_close(&mut stash).map(Vec::from_iter);
    }
    children.extend(closed.unwrap());
    assert_eq!(shard.pop(), None);
    children.extend(shard.try_close(&mut stash).unwrap());
    assert_eq!(children, [1, 2]);
}

/// L-17: children are accepted in the order in which they came, even if the core found the shard busy.
#[test]
fn stash_keeps_the_order() {
    check("shards::stash_keeps_the_order", Big, order_model, &[Fault::StashOvertaken]);
}

fn order_model() {
    let (shard, mut stash) = (Arc::new(Shard::new()), Stash::new());
    let other = shard.clone();
    let accepting =
        thread::spawn(move || Vec::from_iter([other.pop(), other.pop()].into_iter().flatten()));
    for child in 1..=3 {
        let _ = shard.try_push(&mut stash, child);
    }
    let mut children = accepting.join().unwrap();
    shard.try_flush(&mut stash).unwrap();
    children.extend(std::iter::from_fn(|| shard.pop()));
    assert_eq!(children, [1, 2, 3]);
}

/// L-7 with two who accept at once; both only try, for loom does not end where two threads spin.
#[test]
fn two_accept() {
    check("shards::two_accept", Big, two_accept_model, &[Fault::LockUnasked, Fault::LockA1]);
}

fn two_accept_model() {
    let (shard, mut stash) = (Arc::new(Shard::new()), Stash::new());
    assert!(shard.try_push(&mut stash, 1).is_ok());
    let accepting = [(); 2].map(|()| {
        let shard = shard.clone();
        thread::spawn(move || shard.try_pop().ok().flatten())
    });
    let _ = shard.try_push(&mut stash, 2);
    let mut children: Vec<u32> =
        accepting.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
    children.extend(shard.try_close(&mut stash).unwrap());
    children.sort_unstable();
    assert_eq!(children, [1, 2]);
}
