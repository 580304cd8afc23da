//! A half is used by one thread at a time, whether others borrow it or share it.

use std::io::{Read, Write};

use darner::{ReadHalf, WriteHalf};

fn borrowed(mut half: WriteHalf) {
    on_two_threads(|| half.write(b"one"), || half.write(b"two"));
}

fn shared(half: &ReadHalf) {
    half.read(&mut [0]);
}

fn on_two_threads<T>(_: impl FnOnce() -> T + Send, _: impl FnOnce() -> T + Send) {}

fn main() {}
