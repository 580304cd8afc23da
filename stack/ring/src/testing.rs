//! What the tests of several modules need.

use proptest::prelude::ProptestConfig;

/// Hundreds of cases; a few under Miri, which takes a thousand times as long.
pub(crate) fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
