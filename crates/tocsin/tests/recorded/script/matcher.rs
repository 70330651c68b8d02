//! What differs between two lists of lines: the longest block that both have, and the same again before and behind it.
//!
//! The recordings of relayed requests were made with `SequenceMatcher` of Python's difflib, so the choice among equally
//! good alignments has to be the same.

use std::collections::HashMap;
use std::ops::Range;

/// A place where the lists differ: these lines are gone, those are new.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) gone: Range<usize>,
    pub(super) new: Range<usize>,
}

/// The same lines at two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    old: usize,
    new: usize,
    length: usize,
}

/// All changes that make `new` of `old`, in order.
pub(super) fn changes<T: AsRef<str>>(old: &[T], new: &[T]) -> Vec<Change> {
    let mut blocks = Vec::new();
    collect(old, new, 0..old.len(), 0..new.len(), &mut blocks);
    blocks.push(Block { old: old.len(), new: new.len(), length: 0 });
    let (mut at_old, mut at_new) = (0, 0);
    let mut changes = Vec::new();
    for block in blocks {
        let change = Change { gone: at_old..block.old, new: at_new..block.new };
        if !change.gone.is_empty() || !change.new.is_empty() {
            changes.push(change);
        }
        (at_old, at_new) = (block.old + block.length, block.new + block.length);
    }
    changes
}

/// Adds the blocks that two ranges have in common, in order.
fn collect<T: AsRef<str>>(
    old: &[T],
    new: &[T],
    in_old: Range<usize>,
    in_new: Range<usize>,
    blocks: &mut Vec<Block>,
) {
    let block = longest(old, new, &in_old, &in_new);
    if block.length == 0 {
        return;
    }
    collect(old, new, in_old.start..block.old, in_new.start..block.new, blocks);
    blocks.push(block);
    let behind = (block.old + block.length..in_old.end, block.new + block.length..in_new.end);
    collect(old, new, behind.0, behind.1, blocks);
}

/// The longest block of two ranges; of several, the one that begins first in `old`, then in `new`.
fn longest<T: AsRef<str>>(old: &[T], new: &[T], in_old: &Range<usize>, in_new: &Range<usize>) -> Block {
    let mut best = Block { old: in_old.start, new: in_new.start, length: 0 };
    // How long the block is that ends at the line before of `old` and at this line of `new`.
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for i in in_old.clone() {
        let mut next = HashMap::new();
        for j in in_new.clone().filter(|j| old[i].as_ref() == new[*j].as_ref()) {
            let length =
                j.checked_sub(1).and_then(|before| lengths.get(&before)).map_or(1, |length| length + 1);
            next.insert(j, length);
            if length > best.length {
                best = Block { old: i + 1 - length, new: j + 1 - length, length };
            }
        }
        lengths = next;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(old: &str, new: &str) -> Vec<(Range<usize>, Range<usize>)> {
        let split = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        changes(&split(old), &split(new)).into_iter().map(|change| (change.gone, change.new)).collect()
    }

    // The expected values are what Python 3.11 says.
    #[test]
    fn changes_are_those_of_difflib() {
        assert_eq!(between("abcd", "abcd"), []);
        assert_eq!(between("", "ab"), [(0..0, 0..2)]);
        assert_eq!(between("qabxcd", "abycdf"), [(0..1, 0..0), (3..4, 2..3), (6..6, 5..6)]);
        assert_eq!(between("abab", "ab"), [(2..4, 2..2)]);
        assert_eq!(between("abcabc", "cabxabcc"), [(0..0, 0..4), (3..5, 7..7)]);
    }

    #[test]
    fn the_first_of_equally_long_blocks_is_taken() {
        assert_eq!(between("axbx", "xx"), [(0..1, 0..0), (2..3, 1..1)]);
    }
}
