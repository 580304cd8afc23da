//! The options of `darner wire`, and the wire that they come to.

use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use pmd::dpdk::DeviceSpec;
use pmd::sim::{Rate, Wire};

use crate::cli::HugePagesOption;
use crate::settings::Idle;

use super::bridge::Directions;
use super::values::{BitRate, Both, Bursts, Late, QueueLimit, Share, Span};

/// Join two devices by a wire that is slow, long or bad on purpose.
///
/// Every frame that arrives at one device leaves by the other, after what the options say. An option with one value is for
/// both directions; THERE/BACK is for left to right and for right to left, such as --rate 100M/10M.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WireCommand {
    /// tap:NAME, vtap:NAME, memif:server, memif:client, af_packet:IF, af_xdp:IF, pci:ADDRESS or vdev:DEVARGS
    #[arg(value_name = "LEFT")]
    pub(crate) left: DeviceSpec,
    /// Another device.
    #[arg(value_name = "RIGHT")]
    pub(crate) right: DeviceSpec,
    #[command(flatten)]
    pub(crate) wire: WireOptions,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "What the wire does")]
pub(crate) struct WireOptions {
    /// Bits per second, such as 10M, or none [default: none]
    #[arg(long, value_name = "RATE")]
    rate: Option<Both<BitRate>>,
    /// Room before the rate, in frames, such as 100, or bytes, such as 64KiB [default: 1000]
    #[arg(long, value_name = "LIMIT", requires = "rate")]
    queue: Option<Both<QueueLimit>>,
    /// With so many bytes in the queue, packets that allow it are marked (ECN), such as 30KiB
    #[arg(long, value_name = "BYTES", requires = "rate")]
    mark: Option<Both<ByteSize>>,
    /// How long a frame is on the wire, such as 20ms: a round trip takes it twice.
    #[arg(long, value_name = "TIME")]
    delay: Option<Both<Span>>,
    /// Up to so much more delay, by chance; frames stay in order.
    #[arg(long, value_name = "TIME")]
    jitter: Option<Both<Span>>,
    /// Share of the frames that is lost, such as 0.1%
    #[arg(long, value_name = "SHARE")]
    loss: Option<Both<Share>>,
    /// Losses in bursts: how likely a frame begins one, how many frames it lasts in the mean, and which share of them is lost if
    /// not all, such as 0.1%,10 or 1%,5,50%
    #[arg(long, value_name = "SHARE,FRAMES[,LOSS]")]
    burst_loss: Option<Both<Bursts>>,
    /// Frames that are late and may be overtaken: the share, and by how much, such as 1%,5ms
    #[arg(long, value_name = "SHARE,TIME")]
    reorder: Option<Both<Late>>,
    /// Share of the frames that comes twice.
    #[arg(long, value_name = "SHARE")]
    duplicate: Option<Both<Share>>,
    /// Share of the packets of which one bit is flipped.
    #[arg(long, value_name = "SHARE")]
    corrupt: Option<Both<Share>>,
    /// The largest IP packet, if not the devices' own; a larger one is dropped.
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u16>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "How it runs")]
pub(crate) struct RunOptions {
    /// Chance begins here: the same seed and the same frames give the same losses [default: another each time, which is told]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Run on this CPU, which should have no other poller that never rests [default: any CPU]
    #[arg(long, value_name = "CPU")]
    pub(crate) core: Option<usize>,
    /// While nothing is due: spin for precision, yield, or sleep.
    #[arg(long, value_name = "KIND", default_value = "sleep")]
    pub(crate) idle: Idle,
    #[command(flatten)]
    pub(crate) huge_pages: HugePagesOption,
}

impl WireOptions {
    /// The wire in each direction, for packets of at most `mtu` bytes.
    pub(crate) fn wires(&self, mtu: u16) -> Directions<Wire> {
        [0, 1].map(|way| self.wire(way, mtu))
    }

    /// How many frames the memory behind a device should have for those on the way from it.
    pub(crate) fn frames(&self, way: usize) -> u32 {
        let wire = self.wire(way, 0);
        let longest = (wire.delay + wire.jitter + wire.reorder_by).as_nanos();
        let (per_second, queued) = match wire.rate {
            Some(rate) => (
                rate.bits_per_second / 8 / MEAN_FRAME as u64,
                rate.queue_frames.min(rate.queue_bytes / MEAN_FRAME) as u128,
            ),
            None => (FASTEST, 0),
        };
        let frames = u128::from(per_second) * longest / 1_000_000_000 + queued;
        u32::try_from(frames).unwrap_or(u32::MAX).clamp(FEWEST_FRAMES, MOST_FRAMES)
    }

    fn wire(&self, way: usize, mtu: u16) -> Wire {
        let share = |option| pick(option, way).map_or(0.0, |Share(share)| share);
        let span = |option| pick(option, way).map_or(Duration::ZERO, |Span(span)| span);
        let late = pick(&self.reorder, way).unwrap_or_default();
        Wire {
            mtu,
            rate: self.rate(way),
            loss: share(&self.loss),
            burst_loss: pick(&self.burst_loss, way).and_then(|Bursts(bursts)| bursts),
            delay: span(&self.delay),
            jitter: span(&self.jitter),
            reorder: late.share.0,
            reorder_by: late.by.0,
            duplicate: share(&self.duplicate),
            corrupt: share(&self.corrupt),
        }
    }

    fn rate(&self, way: usize) -> Option<Rate> {
        let mut rate = Rate::new(pick(&self.rate, way)?.0?);
        match pick(&self.queue, way) {
            Some(QueueLimit::Frames(frames)) => rate.queue_frames = frames,
            Some(QueueLimit::Bytes(bytes)) => {
                (rate.queue_bytes, rate.queue_frames) = (bytes, usize::MAX);
            }
            None => {}
        }
        if let Some(ByteSize(bytes)) = pick(&self.mark, way) {
            rate.mark_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        Some(rate)
    }
}

/// Bytes of a frame, as there are short and long ones.
const MEAN_FRAME: usize = 256;
/// Frames per second that come when nothing limits them.
const FASTEST: u64 = 500_000;
/// Each takes some 2 KiB.
const FEWEST_FRAMES: u32 = 16 << 10;
const MOST_FRAMES: u32 = 128 << 10;

fn pick<T: Copy>(option: &Option<Both<T>>, way: usize) -> Option<T> {
    option.as_ref().map(|both| both.0[way])
}

const EXAMPLES: &str = "\
Examples:
  A line of 10 Mb/s with a round trip of 40 ms that loses each 1000th frame, between two taps:
      darner wire tap:left tap:right --rate 10M --delay 20ms --loss 0.1% --queue 100
  The kernel has an end in this network namespace and one in another:
      ip netns add far && ip link set right netns far
      ip address add 10.0.0.1/24 dev left && ip link set left up
      ip -n far address add 10.0.0.2/24 dev right && ip -n far link set right up
      ping 10.0.0.2
  A slow way back, and a queue of bytes each:
      darner wire tap:left tap:right --rate 100M/5M --delay 10ms --queue 256KiB/32KiB
  darner on one side, the kernel on the other:
      darner wire memif:lab,server tap:right --delay 5ms --burst-loss 0.1%,10
      darner serve --device memif:lab,client --address 10.0.0.2/24";

#[cfg(test)]
mod tests {
    use clap::Parser;
    use pmd::sim::BurstLoss;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        wire: WireOptions,
    }

    fn options(line: &str) -> WireOptions {
        Line::parse_from(std::iter::once("wire").chain(line.split_whitespace())).wire
    }

    #[test]
    fn every_option_reaches_the_wire_of_its_direction() {
        let options = options(
            "--rate 8M/none --queue 64KiB/7 --mark 30KB --delay 5ms/6ms --jitter 1ms --loss 1%/0 --burst-loss none/1%,10,50% \
             --reorder 2%,3ms/0 --duplicate 0/4% --corrupt 5%",
        );
        let ms = Duration::from_millis;
        let [there, back] = options.wires(1400);
        let queue = Rate {
            bits_per_second: 8_000_000,
            queue_bytes: 65_536,
            queue_frames: usize::MAX,
            mark_bytes: 30_000,
        };
        assert_eq!((there.rate, back.rate), (Some(queue), None));
        assert_eq!([there.delay, back.delay, there.jitter, back.jitter], [5, 6, 1, 1].map(ms));
        assert_eq!((there.loss, back.loss), (0.01, 0.0));
        let bursts = BurstLoss { begin: 0.01, end: 0.1, loss: 0.5 };
        assert_eq!((there.burst_loss, back.burst_loss), (None, Some(bursts)));
        assert_eq!((there.reorder, there.reorder_by, back.reorder), (0.02, ms(3), 0.0));
        assert_eq!(
            [there.duplicate, back.duplicate, there.corrupt, back.corrupt],
            [0.0, 0.04, 0.05, 0.05]
        );
        assert_eq!([there.mtu, back.mtu], [1400, 1400]);
    }

    #[test]
    fn a_queue_is_a_thousand_frames_unless_it_is_said() {
        let [there, back] = options("--rate 1M").wires(1500);
        assert_eq!(
            (there.rate, back.rate),
            (Some(Rate::new(1_000_000)), Some(Rate::new(1_000_000)))
        );
        let [there, _] = options("--rate 1M --queue 7").wires(1500);
        assert_eq!(there.rate, Some(Rate { queue_frames: 7, ..Rate::new(1_000_000) }));
    }

    #[test]
    fn memory_is_for_what_a_direction_keeps_on_the_way() {
        for (line, there, back) in [
            ("", FEWEST_FRAMES, FEWEST_FRAMES),
            // 2 Gb/s for 100 ms are 25 MB.
            ("--rate 2G/1M --delay 100ms", 98_656, FEWEST_FRAMES),
            ("--delay 50ms/60s", 25_000, MOST_FRAMES),
            ("--rate 1M --queue 1GiB/30000", MOST_FRAMES, 30_000),
        ] {
            let options = options(line);
            assert_eq!([0, 1].map(|way| options.frames(way)), [there, back], "{line}");
        }
    }
}
