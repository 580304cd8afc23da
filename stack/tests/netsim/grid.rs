//! Every cell there is, in an hour's place a few minutes: `make grid`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use darner::CongestionAlgorithm::{Bbr, Cubic, Dctcp, NewReno};

use crate::cell::{Cell, Outcome};
use crate::page;
use crate::path::{Loss, Order, Path, Queue};
use crate::snapshot::Figures;

/// A cell, and what it came to.
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) outcome: Outcome,
}

/// A cell is bounded by its packets: so a gigabit is watched for half a second, and a megabit for two minutes.
const PACKETS: u64 = 40_000;

#[test]
#[ignore = "takes minutes: make grid"]
fn every_cell_is_above_its_floor() {
    let wanted = env::var("DARNER_GRID_CELLS").unwrap_or_default();
    let mut cells = cells();
    cells.retain(|cell| is_named(&cell.to_string(), &wanted));
    let rows = run(&cells);
    let page = page::draw(&rows);
    let file = env::var("DARNER_GRID_PAGE").unwrap_or_else(|_| "grid.html".to_owned());
    fs::write(&file, page).unwrap();
    let below: Vec<String> = rows
        .iter()
        .filter(|row| row.outcome.is_out_of_bounds())
        .map(|row| format!("{} {}", row.cell, row.outcome))
        .collect();
    println!("{} cells; the page is {file}", rows.len());
    assert!(below.is_empty(), "{} of {}:\n{}", below.len(), rows.len(), below.join("\n"));
}

/// Whether a cell's name has all these words.
fn is_named(name: &str, words: &str) -> bool {
    words.split_whitespace().all(|word| name.split_whitespace().any(|part| part == word))
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for congestion in [Cubic, NewReno, Bbr, Dctcp] {
        for path in paths() {
            cells.push(Cell { path, congestion, flows: 1 });
        }
        for flows in [2, 16] {
            for path in paths().filter(|path| path.loss == Loss::None && path.order == Order::Kept)
            {
                cells.push(Cell { path, congestion, flows });
            }
        }
    }
    cells
}

fn paths() -> impl Iterator<Item = Path> {
    let rates = [1, 10, 100, 1000, 10_000];
    let losses = [
        Loss::None,
        Loss::Percent(0.01),
        Loss::Percent(0.1),
        Loss::Percent(1.0),
        Loss::Percent(5.0),
        Loss::Bursts,
    ];
    let mut paths = Vec::new();
    for megabits in rates {
        for delay_us in [50, 1000, 10_000, 50_000, 300_000] {
            for loss in losses {
                for order in [Order::Kept, Order::Mixed] {
                    for queue in [Queue::Shallow, Queue::Bloated, Queue::Marking] {
                        paths.push(Path {
                            bits_per_second: megabits * 1_000_000,
                            round_trip: 2 * Duration::from_micros(delay_us),
                            loss,
                            order,
                            queue,
                        });
                    }
                }
            }
        }
    }
    paths.into_iter()
}

/// On every CPU; a line of progress now and then.
fn run(cells: &[Cell]) -> Vec<Row> {
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = cell.run(PACKETS);
                    let mut rows = rows.lock().unwrap();
                    rows.push(Row { cell: *cell, outcome });
                    if rows.len() % 100 == 0 {
                        let (done, all) = (rows.len(), cells.len());
                        println!("{done} of {all} cells after {:.0?}", began.elapsed());
                    }
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|row| row.cell.to_string());
    rows
}

#[test]
fn cells_are_chosen_by_the_words_of_their_names() {
    let name = "  1G  20ms  0.1% ordered shallow cubic x16";
    for (words, want) in [
        ("", true),
        ("1G", true),
        ("cubic 20ms x16", true),
        ("0.1", false),
        ("x1", false),
        ("1G 20ms reno", false),
    ] {
        assert_eq!(is_named(name, words), want, "{words}");
    }
}
