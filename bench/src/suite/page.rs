//! The results as a page that needs nothing else.

use std::fmt::Write as _;

use super::outcome::{Outcome, Verdict};
use super::rows::Figure;
use super::table::{comparison, remarks, shown, word};
use crate::load::report::Latency;

/// The page.
pub(crate) fn draw(outcomes: &[Outcome]) -> String {
    let mut page = format!(
        "<!doctype html><meta charset=utf-8><title>darner: the bench</title><style>{STYLE}</style><h1>How fast it is</h1><p>Each row was \
         measured beside a loop that sends frames back as they are, pair by pair: the ratio is the median of the pairs' own.</p>"
    );
    table(&mut page, outcomes);
    page.push_str("<h2>Throughput against connections</h2><p>Requests of 64 bytes per second.</p>");
    let points: Vec<(f64, f64)> = outcomes
        .iter()
        .filter_map(|row| Some((f64::from(row.connections?).log10(), row.ours)))
        .collect();
    let label = |x: f64| shown(10_f64.powf(x));
    plot(&mut page, &[("requests", points)], (label, shown));
    for row in outcomes.iter().filter(|row| !row.curve.is_empty()) {
        let _ = write!(page, "<h2>{}</h2><p>{}, in {}", row.name, row.what, row.unit);
        let note = row.note.as_deref().map_or_else(String::new, |note| format!(": {note}"));
        let _ = write!(page, "{}.</p>", escaped(&note));
        let points = row.curve.iter().map(|(x, y)| (x.log10(), *y)).collect();
        plot(&mut page, &[(row.name, points)], (label, shown));
    }
    page.push_str("<h2>Latency</h2><p>In microseconds (logarithmic) beside the loop; to the right ever rarer.</p>");
    for row in outcomes.iter().filter(|row| row.unit == Figure::Latency.unit()) {
        let _ = write!(page, "<h3>{}: {}</h3>", row.name, row.what);
        let curves = [("ours", &row.latency), ("reference", &row.reference_latency)];
        let curves: Vec<(&str, Vec<(f64, f64)>)> = curves
            .iter()
            .filter_map(|(name, latency)| Some((*name, curve(latency.as_ref()?))))
            .collect();
        plot(&mut page, &curves, (percentile, |y| shown(10_f64.powf(y))));
    }
    page
}

/// The percentile that stands as far to the right: 90, 99, 99.9 and so on.
fn percentile(x: f64) -> String {
    let text = format!("{:.3}", 100.0 - 100.0 * 10_f64.powf(-x));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How rare against how long, both by their logarithms.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    let inside = latency.curve.iter().filter(|(percentile, _)| *percentile < 100.0);
    inside
        .map(|(percentile, nanos)| {
            (-((100.0 - percentile) / 100.0).log10(), (*nanos as f64 / 1e3).max(0.01).log10())
        })
        .collect()
}

fn table(page: &mut String, outcomes: &[Outcome]) {
    page.push_str(
        "<table><tr><th>row<th>ours<th>reference<th>ratio<th>spread<th>budget<th><th class=remarks>remarks",
    );
    for row in outcomes {
        let class = if row.verdict == Verdict::Missed { " class=missed" } else { "" };
        let budget = row.budget.map_or_else(String::new, |budget| budget.to_string());
        let [reference, ratio, spread] = comparison(row);
        let remarks = escaped(&remarks(row).join("; "));
        let _ = write!(
            page,
            "<tr><td><b>{}</b> {}<td>{} {}<td>{reference}<td>{ratio}<td>{spread}<td>{budget}<td{class}>{}<td class=remarks>{remarks}",
            row.name,
            row.what,
            shown(row.ours),
            row.unit,
            word(row.verdict),
        );
    }
    page.push_str("</table>");
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const MARGIN: f64 = 56.0;
const COLOURS: [&str; 2] = ["rgb(59,82,139)", "rgb(94,201,98)"];

/// Lines through points, with what stands at the ends of the axes.
fn plot(
    page: &mut String,
    lines: &[(&str, Vec<(f64, f64)>)],
    (x_label, y_label): (impl Fn(f64) -> String, impl Fn(f64) -> String),
) {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let most = |pick: fn(&(f64, f64)) -> f64| all().map(pick).fold(f64::NEG_INFINITY, f64::max);
    let (right, top) = (most(|point| point.0), most(|point| point.1));
    if !right.is_finite() || !top.is_finite() {
        return page.push_str("<p>Not measured.</p>");
    }
    let bottom = all().map(|point| point.1).fold(0.0, f64::min);
    let x = |value: f64| MARGIN + value / right.max(1e-9) * (WIDTH - 2.0 * MARGIN);
    let y =
        |value: f64| HEIGHT - 30.0 - (value - bottom) / (top - bottom).max(1e-9) * (HEIGHT - 60.0);
    let _ = write!(page, "<svg width={WIDTH} height={HEIGHT}>");
    for tick in 0..=4 {
        let value = bottom + (top - bottom) * f64::from(tick) / 4.0;
        let at = y(value);
        let _ = write!(
            page,
            "<path d='M{MARGIN} {at:.0}H{}' class=grid /><text x={} y={:.0} class=side>{}</text>",
            WIDTH - MARGIN,
            MARGIN - 6.0,
            at + 4.0,
            y_label(value)
        );
    }
    for tick in 0..=5 {
        let value = right * f64::from(tick) / 5.0;
        let _ = write!(
            page,
            "<text x={:.0} y={} class=top>{}</text>",
            x(value),
            HEIGHT - 8.0,
            x_label(value)
        );
    }
    for (place, ((name, points), colour)) in lines.iter().zip(COLOURS).enumerate() {
        let (left, lines) = (MARGIN + 8.0, u8::try_from(place).unwrap_or(0));
        let down = 14.0 * (1.0 + f64::from(lines));
        let _ = write!(page, "<text x={left} y={down} style='fill:{colour}'>{name}</text>");
        let path: Vec<String> =
            points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let _ = write!(
            page,
            "<polyline points='{}' stroke='{colour}'><title>{name}</title></polyline>",
            path.join(" ")
        );
        for (a, b) in points {
            let _ = write!(
                page,
                "<circle cx={:.1} cy={:.1} r=3 fill='{colour}'><title>{name}: {}, {}</title></circle>",
                x(*a),
                y(*b),
                x_label(*a),
                y_label(*b)
            );
        }
    }
    page.push_str("</svg>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:24px;max-width:1200px}h2{margin:24px 0 4px}text{font-size:11px;fill:#333}\
.top{text-anchor:middle}.side{text-anchor:end}.grid{stroke:#ddd}polyline{fill:none;stroke-width:2}.missed{color:#d00;font-weight:600}\
table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child,.remarks{text-align:left}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_told_as_they_are_spoken_of() {
        let told: Vec<String> = [0.0, 1.0, 2.0, 3.0, 5.0].map(percentile).into();
        assert_eq!(told, ["0", "90", "99", "99.9", "99.999"]);
    }

    #[test]
    fn every_row_of_latencies_has_its_curves() {
        let latency = Latency { curve: vec![(50.0, 3000), (99.0, 9000)], ..Latency::default() };
        let outcome = |name| Outcome {
            name,
            unit: "us",
            latency: Some(latency.clone()),
            reference_latency: Some(latency.clone()),
            ..Outcome::default()
        };
        let page = draw(&[outcome("one"), outcome("two"), Outcome::default()]);
        assert_eq!(page.matches("<polyline").count(), 4);
        assert!(page.contains("<h3>one: ") && page.contains("ours: 99, 9.00"), "{page}");
    }

    #[test]
    fn a_page_without_results_is_still_a_page() {
        let page = draw(&[]);
        assert!(page.contains("Not measured") && page.starts_with("<!doctype html>"));
    }
}
