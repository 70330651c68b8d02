//! The changes that a message gets when it is printed.

mod fields;

use crate::HeaderName;
use smallvec::SmallVec;

/// Changes to one message: places in its bytes where some are left out and others put in.
///
/// The changes may be asked for in any order; all are applied in one pass by
/// [`Message::print_into`](crate::Message::print_into), and every byte no change touches is written as it
/// came. Three rules settle what meets at one place:
///
/// - What is put inside of something removed goes with it.
/// - A second replacement of the same thing takes the place of the first; what is appended to a replaced
///   thing is kept.
/// - Of several lines put in at one place the first comes first: our Via, which is put in last, stands behind what
///   the script put before the first header field.
///
/// Texts are written as given: one that holds a line end makes a new line.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// In the order they are applied.
    list: SmallVec<[Edit; INLINE_EDITS]>,
    /// What is put in, all in one.
    text: Vec<u8>,
}

/// Edits that fit without an allocation.
const INLINE_EDITS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Edit {
    at: u32,
    delete: u32,
    text_start: u32,
    text_end: u32,
    place: Place,
    /// The header field this line sets, or `Other` if it is merely added: one that is set twice is there
    /// once.
    set: HeaderName,
}

/// How an edit stands to others at the same offset, in the order they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Belongs to what ends here.
    Suffix,
    /// Belongs to neither side.
    Append,
    /// Belongs to neither side, and stands right before what begins here.
    Prepend,
    /// Takes the place of what begins here.
    Replace,
}

impl Edits {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all changes; keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Leaves out `delete` bytes from `at` on and writes `text` instead. Offsets are those of the message's
    /// buffer.
    fn replace(&mut self, at: usize, delete: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(at, delete, Place::Replace, write);
    }

    /// What is written in place of exactly these bytes, if they are replaced.
    fn replacement(&self, at: u32, delete: u32) -> Option<&[u8]> {
        let is_it = |edit: &&Edit| edit.place == Place::Replace && edit.at == at && edit.delete == delete;
        let edit = self.list.iter().find(is_it)?;
        self.text.get(edit.text_start as usize..edit.text_end as usize)
    }

    fn push(&mut self, at: usize, delete: usize, place: Place, write: impl FnOnce(&mut Vec<u8>)) {
        self.push_set(at, delete, place, HeaderName::Other, write);
    }

    fn push_set(
        &mut self,
        at: usize,
        delete: usize,
        place: Place,
        set: HeaderName,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let text_start = narrow(self.text.len());
        write(&mut self.text);
        let (at, delete, text_end) = (narrow(at), narrow(delete), narrow(self.text.len()));
        let edit = Edit { at, delete, text_start, text_end, place, set };
        let (from, to) = (self.first_not_before(&edit), self.first_behind(&edit));
        match place {
            Place::Replace if from < to => self.list[from] = edit,
            _ => self.list.insert(to, edit),
        }
    }

    /// Takes back the line that sets a header field the message does not have.
    fn forget(&mut self, set: HeaderName) {
        self.list.retain(|edit| edit.set == HeaderName::Other || edit.set != set);
    }

    fn first_not_before(&self, edit: &Edit) -> usize {
        self.list.partition_point(|other| other.order() < edit.order())
    }

    fn first_behind(&self, edit: &Edit) -> usize {
        self.list.partition_point(|other| other.order() <= edit.order())
    }

    /// Whether the bytes are all left out by one edit.
    fn removes(&self, start: usize, end: usize) -> bool {
        self.list.iter().any(|edit| {
            edit.text_start == edit.text_end
                && edit.delete > 0
                && edit.at as usize <= start
                && edit.at as usize + edit.delete as usize >= end
        })
    }

    /// Whether exactly these bytes are replaced by something.
    fn is_replaced(&self, at: usize, delete: usize) -> bool {
        self.list.iter().any(|edit| {
            (edit.at as usize, edit.delete as usize) == (at, delete)
                && edit.place == Place::Replace
                && edit.text_start < edit.text_end
        })
    }

    /// Appends `buffer[from..to]` with the edits of this part applied.
    pub(crate) fn apply(&self, buffer: &[u8], from: usize, to: usize, out: &mut Vec<u8>) {
        out.reserve(to.saturating_sub(from) + self.text.len());
        // Written up to here; bytes in between have been left out.
        let mut written = from;
        // Where the last thing left out ends, and whether something took its place.
        let (mut gone, mut replaced) = (0, false);
        for edit in self.list.iter().filter(|edit| edit.at as usize >= from) {
            let at = (edit.at as usize).min(to);
            let end = (at + edit.delete as usize).min(to);
            let enclosed = at < gone || (at == gone && edit.place == Place::Suffix && !replaced);
            if !enclosed {
                out.extend_from_slice(buffer.get(written..at).unwrap_or_default());
                out.extend_from_slice(
                    self.text.get(edit.text_start as usize..edit.text_end as usize).unwrap_or_default(),
                );
                written = written.max(at);
            }
            if end > gone && edit.delete > 0 {
                gone = end;
                replaced = !enclosed && edit.text_start < edit.text_end;
                written = written.max(end);
            }
        }
        out.extend_from_slice(buffer.get(written..to).unwrap_or_default());
    }
}

impl Edit {
    /// Of two that begin at one place the larger comes first: it takes the smaller with it.
    fn order(&self) -> (u32, Place, u32) {
        (self.at, self.place, u32::MAX - self.delete)
    }
}

fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
