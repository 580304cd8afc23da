//! Receive-side scaling: the hash by which a card spreads flows over its queues, in software.
//!
//! A card hashes addresses and ports of a packet with a secret [`Key`] and looks the queue up in a
//! [`RedirectionTable`]. Who knows both can say which queue a packet comes in at before it does: to choose the local
//! port of a connection so that its replies arrive at the core that opened it, to steer what no card has hashed, and to
//! test what a card says it does.
//!
//! ```
//! use pmd::toeplitz::{Key, RedirectionTable, Toeplitz};
//!
//! let toeplitz = Toeplitz::new(&Key::MICROSOFT);
//! let (source, destination) = ("66.9.149.187:2794", "161.142.100.80:1766");
//! let hash = toeplitz.ipv4_ports(source.parse()?, destination.parse()?);
//! assert_eq!(hash, 0x51cc_c178);
//!
//! let table = RedirectionTable::even(128, 4);
//! assert_eq!(table.queue(hash), 0, "entry 0x78 of the table");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// The hash of Krawczyk's construction with Toeplitz matrices, with the inputs that Microsoft's RSS gives it.
///
/// Source and destination are those of the packet that is received. Hashing takes two table look-ups for each byte of
/// input; the table has 4.5 KiB.
pub struct Toeplitz {
    /// For each half byte of the input and each value of it, what it adds to the hash.
    table: Box<[[u32; 16]; 2 * LONGEST_INPUT]>,
}

impl Toeplitz {
    /// Prepares hashing with `key`.
    pub fn new(key: &Key) -> Self {
        let mut table = Box::new([[0; 16]; 2 * LONGEST_INPUT]);
        for (position, values) in table.iter_mut().enumerate() {
            for (value, sum) in values.iter_mut().enumerate() {
                let set = (0..4).filter(|bit| value & (8 >> bit) != 0);
                *sum = set.fold(0, |sum, bit| sum ^ key.window(4 * position + bit));
            }
        }
        Self { table }
    }

    /// The hash of a packet over IPv4 of which only the addresses count: a fragment, or neither TCP nor UDP.
    pub fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> u32 {
        self.hash([source.octets(), destination.octets()].as_flattened())
    }

    /// The hash of a TCP or UDP packet over IPv4.
    #[inline]
    pub fn ipv4_ports(&self, source: SocketAddrV4, destination: SocketAddrV4) -> u32 {
        let mut input = [0; 12];
        input[..4].copy_from_slice(&source.ip().octets());
        input[4..8].copy_from_slice(&destination.ip().octets());
        input[8..10].copy_from_slice(&source.port().to_be_bytes());
        input[10..].copy_from_slice(&destination.port().to_be_bytes());
        self.hash(&input)
    }

    /// The hash of a packet over IPv6 of which only the addresses count.
    pub fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> u32 {
        let mut input = [0; 32];
        input[..16].copy_from_slice(&source.octets());
        input[16..].copy_from_slice(&destination.octets());
        self.hash(&input)
    }

    /// The hash of a TCP or UDP packet over IPv6.
    #[inline]
    pub fn ipv6_ports(&self, source: SocketAddrV6, destination: SocketAddrV6) -> u32 {
        let mut input = [0; LONGEST_INPUT];
        input[..16].copy_from_slice(&source.ip().octets());
        input[16..32].copy_from_slice(&destination.ip().octets());
        input[32..34].copy_from_slice(&source.port().to_be_bytes());
        input[34..].copy_from_slice(&destination.port().to_be_bytes());
        self.hash(&input)
    }

    #[inline]
    fn hash(&self, input: &[u8]) -> u32 {
        let halves = input.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        self.table.iter().zip(halves).fold(0, |sum, (values, half)| sum ^ values[usize::from(half)])
    }
}

/// The secret of a hash.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Key([u8; Self::LEN]);

impl Key {
    /// Bytes of a key. Cards that want longer ones (52 for some) take any bytes behind these: they never count.
    pub const LEN: usize = 40;

    /// The key with which Microsoft verifies implementations, and the default of many drivers. Not secret at all.
    pub const MICROSOFT: Self = Self([
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ]);

    /// A key that is given.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// A key of random bytes. `None`, for about one in sixty, when the bytes make a bad one: draw others.
    ///
    /// With a good key the local port alone can lead to every entry of a table of [`WIDEST_TABLE`], whatever the
    /// addresses and the other port are, over IPv4 and over IPv6.
    pub fn from_random(bytes: [u8; Self::LEN]) -> Option<Self> {
        let key = Self(bytes);
        let ports = [10, 34]; // Where the destination port is in the input.
        ports.into_iter().all(|port| key.port_reaches_all_entries(port * 8)).then_some(key)
    }

    /// The key's bytes, as a card wants them.
    pub const fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// What bit `bit` of the input adds to the hash if it is set: the 32 bits of the key that begin there.
    fn window(&self, bit: usize) -> u32 {
        let mut bytes = [0; 8];
        bytes[..5].copy_from_slice(&self.0[bit / 8..bit / 8 + 5]);
        // The first 32 bits after the shift.
        let [a, b, c, d, ..] = (u64::from_be_bytes(bytes) << (bit % 8)).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether the windows of 16 bits from `first` on span all indices of the widest table: Gaussian elimination.
    fn port_reaches_all_entries(&self, first: usize) -> bool {
        let mask = WIDEST_TABLE - 1;
        let mut rows: Vec<u32> = (first..first + 16).map(|bit| self.window(bit) & mask).collect();
        (0..WIDEST_TABLE.ilog2()).all(|column| {
            let bit = 1 << column;
            let Some(found) = rows.iter().position(|row| row & bit != 0) else { return false };
            let pivot = rows.swap_remove(found);
            rows.iter_mut().filter(|row| **row & bit != 0).for_each(|row| *row ^= pivot);
            true
        })
    }
}

/// Not the secret.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Which queue each hash goes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedirectionTable {
    entries: Vec<u16>,
}

impl RedirectionTable {
    /// A table of `len` entries that go to the queues `0..queues` in turn.
    ///
    /// # Panics
    ///
    /// When `len` is not a power of two, or there is no queue.
    pub fn even(len: usize, queues: u16) -> Self {
        Self::new((0..queues).cycle().take(len).collect())
    }

    /// A table that is given.
    ///
    /// # Panics
    ///
    /// When the number of entries is not a power of two.
    pub fn new(entries: Vec<u16>) -> Self {
        assert!(
            entries.len().is_power_of_two(),
            "{} entries in a redirection table",
            entries.len()
        );
        Self { entries }
    }

    /// The queue for a hash: the entry that its low bits name.
    #[inline]
    pub fn queue(&self, hash: u32) -> u16 {
        self.entries[hash as usize & (self.entries.len() - 1)]
    }

    /// The queue of each entry, as a card wants them.
    pub fn entries(&self) -> &[u16] {
        &self.entries
    }
}

/// Entries of the largest redirection table that [`Key::from_random`] cares for.
pub const WIDEST_TABLE: u32 = 512;

/// Two IPv6 addresses and two ports.
const LONGEST_INPUT: usize = 36;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Destination, source, hash of the addresses, hash with ports.
    type Vector = (&'static str, &'static str, u32, u32);

    #[test]
    fn microsofts_vectors_over_ipv4() {
        const VECTORS: &[Vector] = &[
            ("161.142.100.80:1766", "66.9.149.187:2794", 0x323e_8fc2, 0x51cc_c178),
            ("65.69.140.83:4739", "199.92.111.2:14230", 0xd718_262a, 0xc626_b0ea),
            ("12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0_a5de, 0x5c2b_394a),
            ("209.142.163.6:2217", "38.27.205.30:48228", 0x8298_9176, 0xafc7_327f),
            ("202.188.127.2:1303", "153.39.163.191:44251", 0x5d18_09c5, 0x10e8_28a2),
        ];
        let toeplitz = Toeplitz::new(&Key::MICROSOFT);
        for &(destination, source, addresses, with_ports) in VECTORS {
            let (to, from): (SocketAddrV4, SocketAddrV4) =
                (destination.parse().unwrap(), source.parse().unwrap());
            assert_eq!(toeplitz.ipv4(*from.ip(), *to.ip()), addresses, "{source}");
            assert_eq!(toeplitz.ipv4_ports(from, to), with_ports, "{source}");
        }
    }

    #[test]
    fn microsofts_vectors_over_ipv6() {
        const VECTORS: &[Vector] = &[
            ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc1_8cd5, 0x4020_7d3d),
            ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c_461c, 0xdde5_1bbf),
            (
                "[fe80::200:f8ff:fe21:67cf]:38024",
                "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251",
                0x4b61_e985,
                0x02d1_feef,
            ),
        ];
        let toeplitz = Toeplitz::new(&Key::MICROSOFT);
        for &(destination, source, addresses, with_ports) in VECTORS {
            let (to, from): (SocketAddrV6, SocketAddrV6) =
                (destination.parse().unwrap(), source.parse().unwrap());
            assert_eq!(toeplitz.ipv6(*from.ip(), *to.ip()), addresses, "{source}");
            assert_eq!(toeplitz.ipv6_ports(from, to), with_ports, "{source}");
        }
    }

    /// The definition: for each bit of the input that is set, the key shifted so far.
    fn bit_by_bit(key: &Key, input: &[u8]) -> u32 {
        let mut rest =
            key.bytes().iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1));
        let mut window = rest.by_ref().take(32).fold(0, |word, bit| word << 1 | u32::from(bit));
        let mut sum = 0;
        for bit in input.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1)) {
            sum ^= window * u32::from(bit);
            window = window << 1 | u32::from(rest.next().unwrap_or(0));
        }
        sum
    }

    fn bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
        proptest::collection::vec(any::<u8>(), N).prop_map(|bytes| bytes.try_into().unwrap())
    }

    proptest! {
        #[test]
        fn the_table_gives_what_the_definition_gives(
            key in bytes::<40>(), input in proptest::collection::vec(any::<u8>(), 0..=36),
        ) {
            let key = Key::new(key);
            prop_assert_eq!(Toeplitz::new(&key).hash(&input), bit_by_bit(&key, &input));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_good_key_lets_the_local_port_reach_every_entry(
            key in bytes::<40>(), remote: u16, local_address: u32,
        ) {
            let Some(key) = Key::from_random(key) else { return Ok(()) };
            let toeplitz = Toeplitz::new(&key);
            let remote = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), remote);
            let mut reached = [false; WIDEST_TABLE as usize];
            for port in 0..=u16::MAX {
                let local = SocketAddrV4::new(local_address.into(), port);
                reached[(toeplitz.ipv4_ports(remote, local) % WIDEST_TABLE) as usize] = true;
            }
            prop_assert!(reached.iter().all(|&entry| entry));
        }
    }

    #[test]
    fn few_random_keys_are_bad_and_those_are_refused() {
        assert_eq!(Key::from_random([0; 40]), None);
        assert_eq!(Key::from_random([0x6d; 40]), None, "windows that repeat reach eight values");
        for (name, local_port) in [("IPv4", 10..16), ("IPv6", 34..40)] {
            let mut bytes = *Key::MICROSOFT.bytes();
            assert!(Key::from_random(bytes).is_some());
            bytes[local_port].fill(0);
            assert_eq!(Key::from_random(bytes), None, "bad for {name} alone");
        }
        let mut word = 1_u32;
        let mut random = || {
            word = word.wrapping_mul(0x915f_77f5).wrapping_add(1);
            word.to_be_bytes()[0]
        };
        let good = (0..1_000).filter(|_| Key::from_random([0; 40].map(|_: u8| random())).is_some());
        assert!((960..1_000).contains(&good.count()));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::MICROSOFT), "Key(..)");
    }

    #[test]
    fn an_even_table_goes_round() {
        let table = RedirectionTable::even(8, 3);
        assert_eq!(table.entries(), [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!((table.queue(5), table.queue(0xffff_fff8)), (2, 0));
    }

    #[test]
    #[should_panic(expected = "0 entries")]
    fn a_table_without_queues_is_refused() {
        RedirectionTable::even(8, 0);
    }
}
