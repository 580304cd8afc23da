//! The grid as a picture: a heat map for each congestion control and queue, rates across and round trips down, one small map for each kind of loss.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::grid::Row;
use crate::path::{Loss, Order, Path, Queue};
use crate::snapshot::Figures;

/// A page that needs nothing else.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut page = format!(
        "<!doctype html><meta charset=utf-8><title>darner: the grid</title><style>{STYLE}</style>"
    );
    let below = rows.iter().filter(|row| row.outcome.is_out_of_bounds()).count();
    write!(
        page,
        "<h1>TCP on every path</h1><p>Throughput of one flow in percent of what the path can carry, by rate (across) and round trip (down), in virtual \
         time. {} cells, <b>{below}</b> below what theory asks for{}. Point at a cell for its figures.</p>{}",
        rows.len(),
        if below > 0 { " (framed in red)" } else { "" },
        legend()
    )
    .unwrap();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.cell.congestion.name()).collect();
    for name in names {
        for (queue, what) in QUEUES {
            for (order, kept) in [(Order::Kept, ""), (Order::Mixed, ", reordered")] {
                let of = |row: &&Row| {
                    let Path { queue: its_queue, order: its_order, .. } = row.cell.path;
                    row.cell.congestion.name() == name
                        && its_queue == queue
                        && its_order == order
                        && row.cell.flows == 1
                };
                let mine: Vec<&Row> = rows.iter().filter(of).collect();
                write!(page, "<h2>{name}, {what}{kept}</h2><div class=maps>").unwrap();
                for (loss, label) in LOSSES {
                    map(&mut page, &mine, loss, label);
                }
                page.push_str("</div>");
            }
        }
    }
    fairness(&mut page, rows);
    page
}

/// One map: five rates by five round trips.
fn map(page: &mut String, rows: &[&Row], loss: Loss, label: &str) {
    let mine: Vec<&&Row> = rows.iter().filter(|row| row.cell.path.loss == loss).collect();
    let rates: BTreeSet<u64> = mine.iter().map(|row| row.cell.path.bits_per_second).collect();
    let trips: BTreeSet<Duration> = mine.iter().map(|row| row.cell.path.round_trip).collect();
    let (width, height) = (70 + 44 * rates.len(), 40 + 26 * trips.len());
    write!(page, "<svg width={width} height={height}><text x=4 y=14 class=head>{label}</text>")
        .unwrap();
    for (column, rate) in rates.iter().enumerate() {
        let x = 66 + 44 * column + 22;
        write!(page, "<text x={x} y=30 class=top>{}</text>", rate_label(*rate)).unwrap();
    }
    for (line, trip) in trips.iter().enumerate() {
        let y = 36 + 26 * line;
        let ms = trip.as_micros() as f64 / 1000.0;
        write!(page, "<text x=60 y={} class=side>{ms} ms</text>", y + 17).unwrap();
        for (column, rate) in rates.iter().enumerate() {
            let here = |row: &&&&Row| {
                row.cell.path.bits_per_second == *rate && row.cell.path.round_trip == *trip
            };
            if let Some(row) = mine.iter().find(here) {
                square(page, row, (66 + 44 * column, y));
            }
        }
    }
    page.push_str("</svg>");
}

fn square(page: &mut String, row: &Row, (x, y): (usize, usize)) {
    let throughput = row.outcome.throughput;
    let frame = if row.outcome.is_out_of_bounds() { " class=below" } else { "" };
    let dark = if throughput < 55.0 { "light" } else { "dark" };
    write!(
        page,
        "<g><rect x={x} y={y} width=42 height=24 fill='{}'{frame}/><text x={} y={} class='{dark} value'>{throughput:.0}</text>\
         <title>{}: {throughput:.1} % of the capacity (floor {:.1} %), {:.2} % sent again</title></g>",
        colour(throughput),
        x + 21,
        y + 17,
        row.cell,
        row.outcome.floor,
        row.outcome.again
    )
    .unwrap();
}

/// From deep blue at nothing over green to yellow at everything: told apart without telling red from green.
fn colour(percent: f64) -> String {
    const STOPS: [[f64; 3]; 5] = [
        [68.0, 1.0, 84.0],
        [59.0, 82.0, 139.0],
        [33.0, 145.0, 140.0],
        [94.0, 201.0, 98.0],
        [253.0, 231.0, 37.0],
    ];
    let at = (percent.clamp(0.0, 100.0) / 25.0).min(3.999);
    let (stop, part) = (at as usize, at.fract());
    let mix = |n: usize| STOPS[stop][n] + (STOPS[stop + 1][n] - STOPS[stop][n]) * part;
    format!("rgb({:.0},{:.0},{:.0})", mix(0), mix(1), mix(2))
}

fn legend() -> String {
    let mut svg = "<svg width=560 height=44>".to_owned();
    for step in 0..=10 {
        let (x, percent) = (10 + 50 * step, f64::from(step) * 10.0);
        write!(
            svg,
            "<rect x={x} y=4 width=50 height=18 fill='{}'/><text x={} y=38 class=top>{percent} %</text>",
            colour(percent),
            x + 25
        )
        .unwrap();
    }
    svg + "</svg>"
}

fn fairness(page: &mut String, rows: &[Row]) {
    page.push_str(
        "<h2>Several flows on one path</h2><p>Jain's index of their shares: 1 when all are equal.</p><table><tr><th>path<th>control<th>flows\
         <th>throughput %<th>sent again %<th>fairness",
    );
    for row in rows.iter().filter(|row| row.cell.flows > 1) {
        let (cell, outcome) = (&row.cell, &row.outcome);
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{:.1}<td>{:.2}<td>{:.3}",
            cell.path,
            cell.congestion.name(),
            cell.flows,
            outcome.throughput,
            outcome.again,
            outcome.fairness
        )
        .unwrap();
    }
    page.push_str("</table>");
}

fn rate_label(rate: u64) -> String {
    match rate / 1_000_000 {
        mega @ ..1000 => format!("{mega}M"),
        mega => format!("{}G", mega / 1000),
    }
}

const QUEUES: [(Queue, &str); 3] = [
    (Queue::Shallow, "short queue"),
    (Queue::Bloated, "long queue"),
    (Queue::Marking, "queue that marks"),
];

const LOSSES: [(Loss, &str); 6] = [
    (Loss::None, "nothing lost"),
    (Loss::Percent(0.01), "0.01 % lost"),
    (Loss::Percent(0.1), "0.1 % lost"),
    (Loss::Percent(1.0), "1 % lost"),
    (Loss::Percent(5.0), "5 % lost"),
    (Loss::Bursts, "bursts lost"),
];

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:24px;max-width:1100px}h2{margin:24px 0 4px}.maps{display:flex;flex-wrap:wrap;gap:8px}\
text{font-size:11px;fill:#333}.head{font-weight:600;font-size:12px}.top,.value{text-anchor:middle}.side{text-anchor:end}.light{fill:#fff}.dark{fill:#000}\
.below{stroke:#d00;stroke-width:3}table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}\
td:first-child{text-align:left;font-family:monospace;white-space:pre}";
