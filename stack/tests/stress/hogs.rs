//! T-5: the protocol thread shares its CPU with threads that never rest, and eight application threads want each CPU.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use darner::counters::Counter;

use crate::world::{Finally, LONG, World, config, duration};

const CPUS: usize = 2;
const THREADS: usize = 8 * CPUS;

/// nobody waits for long for a thread that the kernel has put aside.
#[test]
fn echoes_go_on_although_the_cpus_are_taken() {
    let world = World::new(&config());
    let over = AtomicBool::new(false);
    let rounds: Vec<usize> = thread::scope(|scope| {
        let _over = Finally(|| over.store(true, Ordering::Relaxed));
        for _ in 0..CPUS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let talking: Vec<_> = (0..THREADS / 2)
            .map(|_| {
                let (mut client, mut server) = world.pair();
                client.set_read_timeout(Some(LONG)).unwrap();
                scope.spawn(move || {
                    let mut bytes = [0; 100];
                    while let Ok(len @ 1..) = server.read(&mut bytes) {
                        server.write_all(&bytes[..len]).unwrap();
                    }
                });
                let until = Instant::now() + duration();
                scope.spawn(move || {
                    let mut rounds = 0;
                    while Instant::now() < until {
                        client.write_all(&[7; 100]).unwrap();
                        client.read_exact(&mut [0; 100]).unwrap();
                        // Options are set under the lock that the protocol thread tries.
                        client.set_nodelay(rounds % 2 == 0);
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        talking.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(rounds.iter().all(|&rounds| rounds > 3), "{rounds:?}");
    assert_eq!(world.snapshot().counter(Counter::TcpZeroWindowProbes), 0);
    world.assert_balanced();
}
