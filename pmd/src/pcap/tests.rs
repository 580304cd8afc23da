use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;

use super::*;
use crate::{Frame, IpVersion, Medium, Pool, TxSegmentation, mem};

/// A file in memory.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl File {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that accepts its head, and then waits to be told how each writing ends.
struct Obedient {
    orders: mpsc::Receiver<io::Result<()>>,
    has_head: bool,
}

impl Write for Obedient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.has_head, true) {
            self.orders.recv().unwrap_or(Ok(()))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn obedient() -> (mpsc::Sender<io::Result<()>>, Obedient) {
    let (sender, orders) = mpsc::channel();
    (sender, Obedient { orders, has_head: false })
}

/// A clock that is a second and a nanosecond later each time.
fn steps() -> impl FnMut() -> Duration {
    let mut now = Duration::ZERO;
    move || {
        now += Duration::new(1, 1);
        now
    }
}

fn burst(pool: &Pool, packets: &[&[u8]]) -> Burst {
    let mut burst = Burst::new();
    packets.iter().for_each(|bytes| burst.push(pool.frame_of(bytes).unwrap()).unwrap());
    burst
}

#[derive(Debug, Eq, PartialEq)]
struct Record {
    at: Duration,
    bytes: Vec<u8>,
    original_len: u32,
}

/// What another's reader finds in the file.
fn read(file: &File) -> (DataLink, u32, Vec<Record>) {
    let bytes = file.bytes();
    let mut reader = PcapReader::new(bytes.as_slice()).unwrap();
    let header = reader.header();
    let mut records = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        records.push(Record {
            at: packet.timestamp,
            bytes: packet.data.to_vec(),
            original_len: packet.orig_len,
        });
    }
    (header.datalink, header.snaplen, records)
}

#[test]
fn both_directions_are_in_the_file_in_their_order() {
    let (queue, handle) = mem::device(Pool::heap(8, 64), 1500);
    let file = File::default();
    let (mut queue, recording) =
        record(Box::new(queue), file.clone(), Options::default(), steps()).unwrap();

    handle.inject_bytes(b"in 1").unwrap();
    handle.inject_bytes(b"in 2").unwrap();
    let mut frames = Burst::new();
    assert_eq!(queue.rx_burst(&mut frames), 2);
    assert_eq!(queue.tx_burst(&mut burst(&queue.info().pool.clone(), &[b"out"])), 1);
    handle.inject_bytes(b"in 3").unwrap();
    assert_eq!(queue.rx_burst(&mut frames), 1, "behind what is in the burst already");

    drop(queue);
    assert_eq!(recording.finish().unwrap(), Summary { recorded: 4, unrecorded: 0 });
    let record = |n, bytes: &[u8]| Record {
        at: Duration::new(n, u32::try_from(n).unwrap()),
        bytes: bytes.to_vec(),
        original_len: u32::try_from(bytes.len()).unwrap(),
    };
    let want = vec![record(1, b"in 1"), record(1, b"in 2"), record(2, b"out"), record(3, b"in 3")];
    assert_eq!(read(&file), (DataLink::RAW, 65_535, want));
}

#[test]
fn what_passes_is_soon_in_the_file() {
    let (queue, handle) = mem::device(Pool::heap(8, 64), 1500);
    let file = File::default();
    let (mut queue, _recording) =
        record(Box::new(queue), file.clone(), Options::default(), steps()).unwrap();
    for n in 1..=3 {
        handle.inject_bytes(b"four").unwrap();
        queue.rx_burst(&mut Burst::new());
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        while file.bytes().len() < 24 + n * 20 {
            assert!(std::time::Instant::now() < patience, "packet {n} is not in the file");
            std::thread::sleep(Duration::from_micros(100));
            queue.rx_burst(&mut Burst::new());
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let (queue, handle) = mem::ethernet(Pool::heap(8, 64), 1500, [2; 6]);
    let file = File::default();
    let options = Options { snap_len: 5, ..Options::default() };
    let (mut queue, recording) = record(Box::new(queue), file.clone(), options, steps()).unwrap();
    handle.inject_bytes(b"longer than five").unwrap();
    queue.rx_burst(&mut Burst::new());
    drop(queue);
    recording.finish().unwrap();
    let want = [
        &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0][..],
        &[1, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 16, 0, 0, 0],
        b"longe",
    ];
    assert_eq!(file.bytes(), want.concat());
}

#[test]
fn a_chain_is_recorded_whole_and_cut_at_the_snap_length() {
    for (snap_len, want) in [(99, "seven b"), (5, "seven"), (6, "seven "), (0, "")] {
        let (queue, handle) = mem::device(Pool::heap(8, 3), 1500);
        let file = File::default();
        let options = Options { snap_len: snap_len.into(), ..Options::default() };
        let (mut queue, recording) =
            record(Box::new(queue), file.clone(), options, steps()).unwrap();
        handle.inject_bytes(b"seven b").unwrap();
        queue.rx_burst(&mut Burst::new());
        drop(queue);
        recording.finish().unwrap();
        // Read by hand: the other reader refuses packets that were longer than the snap length.
        let bytes = file.bytes();
        let (lengths, kept) = bytes[24 + 8..].split_at(8);
        assert_eq!(lengths, [snap_len.min(7), 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(kept, want.as_bytes());
    }
}

#[test]
fn only_what_the_device_accepts_is_recorded() {
    let (queue, handle) = mem::device(Pool::heap(8, 64), 1500);
    handle.limit_transmit(2);
    let file = File::default();
    let (mut queue, recording) =
        record(Box::new(queue), file.clone(), Options::default(), steps()).unwrap();
    let mut frames = burst(&queue.info().pool.clone(), &[b"first", b"2nd", b"third"]);
    assert_eq!(queue.tx_burst(&mut frames), 2);
    assert_eq!(queue.tx_burst(&mut frames), 0);
    handle.take();
    assert_eq!(queue.tx_burst(&mut frames), 1);
    drop(queue);
    recording.finish().unwrap();
    let bytes: Vec<_> = read(&file).2.into_iter().map(|record| record.bytes).collect();
    assert_eq!(bytes, [&b"first"[..], b"2nd", b"third"]);
}

#[test]
fn a_slow_disk_costs_records_and_not_packets() {
    let (queue, handle) = mem::device(Pool::heap(64, 60_000), 65_535);
    let (orders, file) = obedient();
    let options = Options { memory: 0, ..Options::default() };
    let (mut queue, recording) = record(Box::new(queue), file, options, steps()).unwrap();
    let packet = [0; 60_000];
    // The first packet goes into the one buffer, which is then written for ever; four fit into the other one.
    for _ in 0..30 {
        handle.inject_bytes(&packet).unwrap();
        let mut frames = Burst::new();
        assert_eq!(queue.rx_burst(&mut frames), 1);
    }
    drop((queue, orders));
    let summary = recording.finish().unwrap();
    assert_eq!(summary, Summary { recorded: 5, unrecorded: 25 });
}

#[test]
fn a_full_disk_is_told_at_the_end() {
    let (queue, handle) = mem::device(Pool::heap(8, 64), 1500);
    let (orders, file) = obedient();
    let (mut queue, recording) =
        record(Box::new(queue), file, Options::default(), steps()).unwrap();
    orders.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    for _ in 0..100 {
        handle.inject_bytes(b"still passes").unwrap();
        assert_eq!(queue.rx_burst(&mut Burst::new()), 1);
    }
    drop((queue, orders));
    assert_eq!(recording.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_head_that_cannot_be_written_is_an_error_at_once() {
    let (queue, _handle) = mem::device(Pool::heap(8, 64), 1500);
    let too_small = io::Cursor::new(Box::<[u8]>::from([0; 23]));
    let started = record(Box::new(queue), too_small, Options::default(), steps());
    assert_eq!(started.err().map(|error| error.kind()), Some(io::ErrorKind::WriteZero));
}

#[test]
fn a_queue_pair_outlives_its_recording() {
    let (queue, handle) = mem::device(Pool::heap(8, 64), 1500);
    let file = File::default();
    let (mut queue, recording) =
        record(Box::new(queue), file.clone(), Options::default(), steps()).unwrap();
    drop(recording);
    handle.inject_bytes(b"passes").unwrap();
    assert_eq!(queue.rx_burst(&mut Burst::new()), 1);
    assert_eq!((queue.info().mtu, queue.info().medium), (1500, Medium::Ip));
    assert!(queue.wait_descriptor().is_none());
    drop(queue);
    assert_eq!(read(&file).2, []);
}

#[test]
fn every_frame_returns_to_its_pool() {
    let pool = Pool::heap(8, 64);
    let (queue, handle) = mem::device(pool.clone(), 1500);
    let (mut queue, recording) =
        record(Box::new(queue), File::default(), Options::default(), steps()).unwrap();
    (0..4).for_each(|n| handle.inject_bytes(&[n]).unwrap());
    let mut frames = Burst::new();
    queue.rx_burst(&mut frames);
    let foreign: Vec<Frame> = frames.drain_front(2).collect();
    std::thread::spawn(move || drop(foreign)).join().unwrap();
    queue.tx_burst(&mut frames);
    drop((queue, handle));
    assert_eq!(pool.available(), 8);
    recording.finish().unwrap();
}

#[test]
fn a_packet_to_be_cut_passes_and_is_one_record() {
    let pool = Pool::heap(64, 2048);
    let (queue, handle) = mem::device(pool.clone(), 1500);
    let file = File::default();
    let (mut recorder, recording) =
        record(Box::new(queue), file.clone(), Options::default(), steps()).unwrap();
    let bytes: Vec<u8> = (0..60_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut burst = burst(&pool, &[&bytes]);
    let (l2_len, l3_len, l4_len, ip) = (0, 20, 20, IpVersion::V4);
    let wanted =
        TxSegmentation { l2_len, l3_len, l4_len, segment_size: 1460, ip, ipv4_header: true };
    let mut frame = burst.drain().next().unwrap();
    frame.request_segmentation(wanted);
    burst.push(frame).unwrap();
    assert_eq!(recorder.tx_burst(&mut burst), 1);
    drop(recorder);
    recording.finish().unwrap();
    assert_eq!(handle.take().unwrap().requested_segmentation(), Some(wanted));
    let (_, _, records) = read(&file);
    assert_eq!(records.len(), 1);
    assert!(records[0].bytes == bytes);
}
