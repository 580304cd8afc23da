//! Rows over tap devices: ours to a kernel, beside a kernel to a kernel.

use super::{Figure, Row, TapKind, When, row};

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
    let (send, receive) = ("--mode send --connections 1", "--mode receive --connections 1");
    vec![
        over("taps-in", "bulk from a kernel; net_tap", GigabitsOut, "sink", send, NetTap),
        over("taps-out", "bulk to a kernel; net_tap", GigabitsIn, "source", receive, NetTap),
        over("taps-native-in", "bulk from a kernel; native tap", GigabitsOut, "sink", send, Native),
        over(
            "taps-native-out",
            "bulk to a kernel; native tap",
            GigabitsIn,
            "source",
            receive,
            Native,
        ),
    ]
}
