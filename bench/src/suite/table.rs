//! The results as text.

use super::outcome::{Outcome, Verdict};

/// The whole table.
pub(crate) fn whole(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "\n{:<17}{:<43}{:>13} {:<14}{:>13}{:>9}{:>18}{:>8}  {:<10}\n",
        "row", "", "ours", "", "reference", "ratio", "spread", "budget", ""
    );
    for outcome in outcomes {
        text.push_str(&line(outcome));
        text.push('\n');
    }
    text
}

/// One row.
pub(crate) fn line(outcome: &Outcome) -> String {
    if outcome.verdict == Verdict::Failed {
        let why = outcome.note.as_deref().unwrap_or("");
        return format!("{:<17}{:<43}failed: {why}", outcome.name, outcome.what);
    }
    let [reference, ratio, spread] = comparison(outcome);
    let budget = outcome.budget.map_or_else(String::new, |budget| budget.to_string());
    let mut text = format!(
        "{:<17}{:<43}{:>13} {:<14}{reference:>13}{ratio:>9}{spread:>18}{budget:>8}  {:<10}",
        outcome.name,
        outcome.what,
        shown(outcome.ours),
        outcome.unit,
        word(outcome.verdict),
    );
    for remark in remarks(outcome) {
        text.push_str(&format!(" [{remark}]"));
    }
    text.trim_end().to_owned()
}

/// The reference, the ratio to it and how that was spread; nothing where there is none.
pub(crate) fn comparison(outcome: &Outcome) -> [String; 3] {
    if outcome.reference <= 0.0 {
        return [const { String::new() }; 3];
    }
    let Outcome { ratio, lowest, highest, .. } = outcome;
    [shown(outcome.reference), format!("{ratio:.3}"), format!("{lowest:.3}-{highest:.3}")]
}

pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NoBudget => "",
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::ClientTooSlow => "client too slow",
        Verdict::Failed => "failed",
    }
}

/// What is to be known beside the figures.
pub(crate) fn remarks(outcome: &Outcome) -> Vec<String> {
    let mut remarks = Vec::new();
    if outcome.disturbed {
        remarks.push("disturbed: the machine was never quiet".to_owned());
    }
    if outcome.discarded > 0 {
        remarks.push(format!("{} pairs were disturbed", outcome.discarded));
    }
    if let Some(ceiling) = outcome.ceiling {
        remarks.push(format!("client makes {}", shown(ceiling)));
    }
    remarks.extend(outcome.note.clone());
    let drops: Vec<String> =
        outcome.drops.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if !drops.is_empty() {
        remarks.push(format!("dropped: {}", drops.join(", ")));
    }
    remarks
}

/// A figure with as many digits as it deserves.
pub(crate) fn shown(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e4 => format!("{:.1} k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, want) in
            [(10_097_628.0, "10.10 M"), (60_780.0, "60.8 k"), (337.4, "337"), (3.04, "3.04")]
        {
            assert_eq!(shown(value), want);
        }
    }

    #[test]
    fn a_row_says_why_it_failed() {
        let outcome = Outcome {
            name: "x",
            verdict: Verdict::Failed,
            note: Some("because".to_owned()),
            ..Outcome::default()
        };
        assert!(line(&outcome).contains("failed: because"));
    }
}
