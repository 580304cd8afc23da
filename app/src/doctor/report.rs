//! The findings as text, and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::device::DeviceFacts;
use super::finding::{Finding, Grade, Section};

/// All that the doctor has to say.
pub(super) struct Report {
    pub(super) sections: Vec<Section>,
    pub(super) device: Option<DeviceFacts>,
}

/// Whether words are coloured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Colour {
    Plain,
    Ansi,
}

impl Report {
    pub(super) fn count(&self, grade: Grade) -> usize {
        self.findings().filter(|(_, finding)| finding.grade == grade).count()
    }

    /// "1 problem, 3 notes".
    pub(super) fn summary(&self) -> String {
        let count = |grade, word| match self.count(grade) {
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        format!("{}, {}", count(Grade::Problem, "problem"), count(Grade::Note, "note"))
    }

    /// Topic by topic, always in the same order.
    pub(super) fn text(&self, colour: Colour) -> String {
        let mut text = String::new();
        for Section { topic, findings } in &self.sections {
            text.push_str(topic);
            text.push('\n');
            for finding in findings {
                text.push_str(&lines(finding, colour));
            }
            text.push('\n');
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        let document = Document {
            version: env!("CARGO_PKG_VERSION"),
            problems: self.count(Grade::Problem),
            notes: self.count(Grade::Note),
            findings: self.findings().map(|(topic, finding)| Row { topic, finding }).collect(),
            device: self.device.as_ref(),
        };
        serde_json::to_string_pretty(&document).map(|text| text + "\n")
    }

    fn findings(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.sections
            .iter()
            .flat_map(|section| section.findings.iter().map(|finding| (section.topic, finding)))
    }
}

fn lines(finding: &Finding, colour: Colour) -> String {
    let (word, code) = match finding.grade {
        Grade::Good => ("good", 32),
        Grade::Note => ("note", 33),
        Grade::Problem => ("problem", 31),
    };
    let padded = format!("{word:<8}");
    let mut text = match colour {
        Colour::Plain => format!("  {padded}{}\n", finding.says),
        Colour::Ansi => format!("  \x1b[{code}m{padded}\x1b[0m{}\n", finding.says),
    };
    if let Some(remedy) = &finding.remedy {
        writeln!(text, "          -> {remedy}").expect("memory takes every write");
    }
    text
}

#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    problems: usize,
    notes: usize,
    findings: Vec<Row<'a>>,
    device: Option<&'a DeviceFacts>,
}

#[derive(Serialize)]
struct Row<'a> {
    topic: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[cfg(test)]
mod tests {
    use super::super::finding::Need;
    use super::*;

    fn report() -> Report {
        let first = vec![
            Finding::good("pages abound"),
            Finding::missing(Need::Asked, "the NIC is gone", "look for it"),
        ];
        let second = vec![Finding::note("the clock is slow", "wind it")];
        let sections = vec![
            Section { topic: "pages", findings: first },
            Section { topic: "clock", findings: second },
        ];
        Report { sections, device: None }
    }

    #[test]
    fn text_goes_by_topic_and_ends_with_a_count() {
        let want = "pages\n  good    pages abound\n  problem the NIC is gone\n          -> look for it\n\n\
                    clock\n  note    the clock is slow\n          -> wind it\n\n1 problem, 1 note\n";
        assert_eq!(report().text(Colour::Plain), want);
        let coloured = report().text(Colour::Ansi);
        assert!(coloured.contains("  \x1b[31mproblem \x1b[0mthe NIC is gone\n"), "{coloured:?}");
    }

    #[test]
    fn json_has_one_row_per_finding() {
        let value: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!((&value["problems"], &value["notes"]), (&1.into(), &1.into()));
        let row = serde_json::json!({
            "topic": "pages", "grade": "problem", "says": "the NIC is gone", "remedy": "look for it"
        });
        assert_eq!(value["findings"][1], row);
        assert_eq!(value["findings"].as_array().unwrap().len(), 3);
    }
}
