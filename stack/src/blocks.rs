//! Values by number, in memory that grows and never moves them.

/// Values that keep their numbers and their places, however many come.
///
/// Memory comes in blocks, each twice as large as the one before it: so there are few, a number says which one it is in, and growth neither moves nor
/// copies anything. The kernel gives memory of a large block when it is first used.
pub(crate) struct Blocks<T> {
    /// The first has [`FIRST`] values, each other twice as many as the one before it. All but the last are full.
    blocks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Blocks<T> {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }

    /// Adds a value, whose number is how many there were.
    pub(crate) fn push(&mut self, value: T) {
        let (block, _) = place_of(self.len);
        if block == self.blocks.len() {
            self.blocks.push(Vec::with_capacity(FIRST << block));
        }
        self.blocks[block].push(value);
        self.len += 1;
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (block, offset) = place_of(number as usize);
        self.blocks.get(block)?.get(offset)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (block, offset) = place_of(number as usize);
        self.blocks.get_mut(block)?.get_mut(offset)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The block that a value is in, and which of that it is.
#[inline]
fn place_of(number: usize) -> (usize, usize) {
    // Blocks begin where this is a power of two, and end before the next.
    let above = number + FIRST;
    let log = above.ilog2() as usize;
    (log - FIRST.ilog2() as usize, above - (1 << log))
}

/// How many values the first block has.
const FIRST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_what_was_pushed_and_nothing_else() {
        let mut blocks = Blocks::new();
        for number in 0..5000_u32 {
            assert_eq!((blocks.len(), blocks.get(number)), (number as usize, None));
            blocks.push(number);
            *blocks.get_mut(number).unwrap() += 1;
        }
        assert!((0..5000).all(|number| blocks.get(number) == Some(&(number + 1))));
        assert!(blocks.iter().copied().eq(1..=5000));
        assert_eq!(blocks.get(u32::MAX), None);
    }

    #[test]
    fn blocks_double_and_growing_moves_nothing() {
        let mut blocks = Blocks::new();
        blocks.push(0);
        let first = blocks.get(0).map(std::ptr::from_ref);
        (1..10 * FIRST).for_each(|number| blocks.push(number));
        assert_eq!(blocks.get(0).map(std::ptr::from_ref), first);
        let lens: Vec<usize> = blocks.blocks.iter().map(Vec::len).collect();
        assert_eq!(lens, [FIRST, 2 * FIRST, 4 * FIRST, 3 * FIRST]);
        let capacities: Vec<usize> = blocks.blocks.iter().map(Vec::capacity).collect();
        assert_eq!(capacities, [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]);
    }
}
