//! A half is one thread's: it cannot be cloned, and what any thread may hold can neither read nor write.

use std::io::{Read, Write};

use darner::TcpStream;

fn split(stream: TcpStream) {
    let (read, write, mut control) = stream.split();
    let _second_reader = read.clone();
    let _second_writer = write.clone();
    let _any_number_of_these = control.clone();
    let _ = control.read(&mut [0]);
    let _ = control.write(&[0]);
}

fn main() {}
