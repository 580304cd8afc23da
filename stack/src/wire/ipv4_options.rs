//! IPv4 options (RFC 791, section 3.1), walked one by one.

use crate::drops::Drop;

/// The options of one header. Padding (no-operation and end of list) is left out; the walk ends at the first fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    rest: &'a [u8],
    /// Where `rest` starts in the header.
    pointer: u8,
}

impl<'a> Options<'a> {
    /// The options at the end of a header: what follows its fixed part.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, pointer: FIXED_LEN }
    }

    /// The source route that the header carries, if it carries one and its options are well formed.
    ///
    /// A host that does not forward has no use for a packet with a source route, and such packets are an old way around
    /// filters: RFC 7126, sections 4.3 and 4.4, advises to drop them.
    pub(crate) fn source_route(self) -> Result<Option<SourceRoute>, Fault> {
        for option in self {
            match option?.kind {
                LOOSE_SOURCE_ROUTE => return Ok(Some(SourceRoute::Loose)),
                STRICT_SOURCE_ROUTE => return Ok(Some(SourceRoute::Strict)),
                _ => {}
            }
        }
        Ok(None)
    }

    fn fault(&mut self) -> Fault {
        self.rest = &[];
        Fault { pointer: self.pointer }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Ipv4Option<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.rest {
                [] | [END_OF_LIST, ..] => return None,
                [NO_OPERATION, ref rest @ ..] => {
                    self.rest = rest;
                    self.pointer += 1;
                }
                [_] => return Some(Err(self.fault())),
                [kind, len, ..] => {
                    let option = self.rest.split_at_checked(usize::from(len));
                    let Some(([_, _, data @ ..], rest)) = option else {
                        return Some(Err(self.fault()));
                    };
                    self.rest = rest;
                    self.pointer += len;
                    return Some(Ok(Ipv4Option { kind, data }));
                }
            }
        }
    }
}

/// One option with data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ipv4Option<'a> {
    /// The type octet: copied flag, class and number.
    pub(crate) kind: u8,
    /// What follows the length octet.
    pub(crate) data: &'a [u8],
}

/// A length octet that is below 2, points past the header, or is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    /// Where in the header the broken option starts, as ICMP's Parameter Problem wants it.
    pub(crate) pointer: u8,
}

impl From<Fault> for Drop {
    fn from(_: Fault) -> Self {
        Self::IpOption
    }
}

/// A route that the sender prescribes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SourceRoute {
    /// Any routers may come between those listed.
    Loose,
    /// Exactly the routers listed.
    Strict,
}

/// Where in the header the options start.
const FIXED_LEN: u8 = 20;

const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options_are_walked_until_the_end_or_a_fault() {
        type Want<'a> = &'a [Result<(u8, &'a [u8]), u8>];
        let cases: [(&str, &[u8], Want<'_>); 10] = [
            ("none", &[], &[]),
            ("padding only", &[1, 1, 1, 0], &[]),
            ("router alert", &[148, 4, 0, 0], &[Ok((148, &[0, 0]))]),
            (
                "two, padded between",
                &[7, 3, 4, 1, 148, 4, 0, 0],
                &[Ok((7, &[4])), Ok((148, &[0, 0]))],
            ),
            ("nothing counts after the end", &[0, 148, 9, 9], &[]),
            ("no data", &[30, 2, 0, 0], &[Ok((30, &[]))]),
            ("length zero", &[1, 30, 0, 0], &[Err(21)]),
            ("length one", &[30, 1, 148, 4], &[Err(20)]),
            ("length past the header", &[7, 3, 4, 1, 30, 5, 0, 0], &[Ok((7, &[4])), Err(24)]),
            ("length missing", &[1, 1, 1, 30], &[Err(23)]),
        ];
        for (name, bytes, want) in cases {
            let got: Vec<_> = Options::new(bytes)
                .map(|option| option.map(|o| (o.kind, o.data)).map_err(|f| f.pointer))
                .collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn source_routes_are_found_behind_other_options() {
        for (name, bytes, want) in [
            ("none", &[148, 4, 0, 0][..], Ok(None)),
            ("loose", &[131, 3, 4, 0], Ok(Some(SourceRoute::Loose))),
            (
                "strict, behind an alert",
                &[148, 4, 0, 0, 137, 3, 4, 0],
                Ok(Some(SourceRoute::Strict)),
            ),
            ("behind a fault", &[7, 0, 131, 3], Err(Fault { pointer: 20 })),
            ("behind the end", &[0, 131, 3, 4], Ok(None)),
        ] {
            assert_eq!(Options::new(bytes).source_route(), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_walk_covers_the_options_exactly_once(bytes in prop::collection::vec(0..9_u8, 0..40)) {
            let mut covered = 0;
            for option in Options::new(&bytes) {
                match option {
                    Ok(option) => covered += 2 + option.data.len(),
                    Err(fault) => prop_assert!(usize::from(fault.pointer) - 20 >= covered),
                }
            }
            prop_assert!(covered <= bytes.len());
        }
    }
}
