//! Conditional requests (RFC 9110, section 13): what a validator the client holds does to the response.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::range::Selection;
use super::request::Conditions;

/// What tells one version of a file from another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Validator {
    /// A strong entity tag, quotes included.
    pub(crate) etag: String,
    /// Whole seconds, as the header field can say.
    pub(crate) modified: SystemTime,
}

/// The header fields of [`Conditions`], kept until the file has been opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnedConditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_modified_since: Option<String>,
    if_unmodified_since: Option<String>,
    if_range: Option<String>,
    range: Option<String>,
}

/// What the conditions make of a GET or HEAD.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Send this much of it.
    Send(Selection),
    /// 304: the client has it.
    NotModified,
    /// 412: the client wanted another version.
    Failed,
}

impl Validator {
    /// Size and time of change, to the nanosecond, stand for the content.
    pub(crate) fn new(modified: SystemTime, length: u64) -> Self {
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            etag: format!("\"{:x}-{length:x}\"", since.as_nanos()),
            modified: UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        }
    }
}

impl From<Conditions<'_>> for OwnedConditions {
    fn from(conditions: Conditions<'_>) -> Self {
        let own = |field: Option<&str>| field.map(str::to_owned);
        Self {
            if_match: own(conditions.if_match),
            if_none_match: own(conditions.if_none_match),
            if_modified_since: own(conditions.if_modified_since),
            if_unmodified_since: own(conditions.if_unmodified_since),
            if_range: own(conditions.if_range),
            range: own(conditions.range),
        }
    }
}

impl OwnedConditions {
    /// Evaluates in the order of RFC 9110, section 13.2.2.
    pub(crate) fn judge(&self, current: &Validator, length: u64) -> Verdict {
        if let Some(tags) = &self.if_match {
            if !lists(tags, &current.etag, Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if let Some(date) = date(self.if_unmodified_since.as_deref())
            && current.modified > date
        {
            return Verdict::Failed;
        }
        if let Some(tags) = &self.if_none_match {
            if lists(tags, &current.etag, Comparison::Weak) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = date(self.if_modified_since.as_deref())
            && current.modified <= date
        {
            return Verdict::NotModified;
        }
        let range = self.range.as_deref().filter(|_| self.range_applies(current));
        Verdict::Send(Selection::of(range, length))
    }

    /// `If-Range`: the part is wanted only of the version that the client already has a part of.
    fn range_applies(&self, current: &Validator) -> bool {
        let Some(known) = self.if_range.as_deref() else { return true };
        if known.starts_with('"') || known.starts_with("W/") {
            return known == current.etag;
        }
        date(Some(known)) == Some(current.modified)
    }
}

/// How entity tags are compared (RFC 9110, section 8.8.3.2).
#[derive(Clone, Copy, Eq, PartialEq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags, or `*`, has ours. Our tags contain no comma, so splitting at commas cannot make one.
fn lists(tags: &str, ours: &str, comparison: Comparison) -> bool {
    tags.split(',').map(str::trim).any(|tag| match tag.strip_prefix("W/") {
        Some(weak) => comparison == Comparison::Weak && weak == ours,
        None => tag == "*" || tag == ours,
    })
}

/// A date that cannot be read is as good as none (RFC 9110, section 13.1.3).
fn date(field: Option<&str>) -> Option<SystemTime> {
    httpdate::parse_http_date(field?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_decide_in_the_order_of_the_rfc() {
        use Verdict::*;
        let (whole, part) = (Selection::Whole, Selection::Part { start: 2, end: 10 });
        let (earlier, exact, later) = (
            "Sun, 09 Sep 2001 01:46:39 GMT",
            "Sun, 09 Sep 2001 01:46:40 GMT",
            "Sun, 09 Sep 2001 01:46:41 GMT",
        );
        let weak = format!("W/{TAG}");
        let list = format!("\"x\", {TAG}");
        for (name, want, conditions) in [
            ("none", Send(whole), Conditions::default()),
            ("has it", NotModified, Conditions { if_none_match: Some(TAG), ..NONE }),
            ("has it, weakly", NotModified, Conditions { if_none_match: Some(&weak), ..NONE }),
            ("has it among others", NotModified, Conditions { if_none_match: Some(&list), ..NONE }),
            ("has any", NotModified, Conditions { if_none_match: Some("*"), ..NONE }),
            ("has another", Send(whole), Conditions { if_none_match: Some("\"x\""), ..NONE }),
            ("as new", NotModified, Conditions { if_modified_since: Some(exact), ..NONE }),
            ("newer", NotModified, Conditions { if_modified_since: Some(later), ..NONE }),
            ("older", Send(whole), Conditions { if_modified_since: Some(earlier), ..NONE }),
            ("no date", Send(whole), Conditions { if_modified_since: Some("x"), ..NONE }),
            (
                "tag before date",
                Send(whole),
                Conditions { if_none_match: Some("\"x\""), if_modified_since: Some(later), ..NONE },
            ),
            ("wants this", Send(whole), Conditions { if_match: Some(TAG), ..NONE }),
            ("wants this, weakly", Failed, Conditions { if_match: Some(&weak), ..NONE }),
            ("wants another", Failed, Conditions { if_match: Some("\"x\""), ..NONE }),
            ("changed since", Failed, Conditions { if_unmodified_since: Some(earlier), ..NONE }),
            ("the rest", Send(part), Conditions { range: Some(REST), ..NONE }),
            (
                "the rest of this",
                Send(part),
                Conditions { range: Some(REST), if_range: Some(TAG), ..NONE },
            ),
            (
                "the rest of another",
                Send(whole),
                Conditions { range: Some(REST), if_range: Some("\"x\""), ..NONE },
            ),
            (
                "the rest of that date's",
                Send(part),
                Conditions { range: Some(REST), if_range: Some(exact), ..NONE },
            ),
            (
                "the rest of a later one",
                Send(whole),
                Conditions { range: Some(REST), if_range: Some(later), ..NONE },
            ),
        ] {
            let current = Validator {
                etag: TAG.into(),
                modified: UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            };
            assert_eq!(OwnedConditions::from(conditions).judge(&current, 10), want, "{name}");
        }
    }

    #[test]
    fn a_change_within_a_second_changes_the_tag() {
        let at = |nanos| Validator::new(UNIX_EPOCH + Duration::new(5, nanos), 1);
        assert_ne!(at(1).etag, at(2).etag);
        assert_eq!(at(1).modified, at(2).modified);
    }

    const NONE: Conditions<'static> = Conditions {
        if_match: None,
        if_none_match: None,
        if_modified_since: None,
        if_unmodified_since: None,
        if_range: None,
        range: None,
    };
    const TAG: &str = "\"1-a\"";
    const REST: &str = "bytes=2-";
}
