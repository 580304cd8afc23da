//! Rows over tap devices: ours to a kernel, beside a kernel to a kernel.

use super::{Figure, RECEIVE, Row, SEND, TapKind, When, row};

pub(super) fn rows() -> Vec<Row> {
    use Figure::{GigabitsIn, GigabitsOut};
    use TapKind::{Native, NetTap};
    let over = |name, what, figure, serve, load: &str, kind| Row {
        serve,
        load: load.to_owned(),
        taps: Some(kind),
        budget: Some(1.0),
        when: if kind == Native { When::Full } else { When::Always },
        ..row(name, what, figure)
    };
    vec![
        over("taps-in", "bulk from a kernel; net_tap", GigabitsOut, "sink", SEND, NetTap),
        over("taps-out", "bulk to a kernel; net_tap", GigabitsIn, "source", RECEIVE, NetTap),
        over("taps-native-in", "bulk from a kernel; native tap", GigabitsOut, "sink", SEND, Native),
        over(
            "taps-native-out",
            "bulk to a kernel; native tap",
            GigabitsIn,
            "source",
            RECEIVE,
            Native,
        ),
    ]
}
