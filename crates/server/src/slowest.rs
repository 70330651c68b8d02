//! The slowest functions of a script, for the warning about a slow message.

/// Functions that a warning names.
const NAMED: usize = 5;

/// A function that the script called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    /// Its name.
    pub name: String,
    /// The line of the script.
    pub line: u32,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// The slowest functions so far, the slowest first.
#[derive(Debug, Clone, Default)]
pub struct Slowest(Vec<Action>);

impl Slowest {
    /// Keeps the function if it is among the slowest so far.
    pub(crate) fn note(&mut self, name: &str, line: u32, micros: u64) {
        let at = self.0.partition_point(|action| action.micros >= micros);
        if at < NAMED {
            self.0.insert(at, Action { name: name.to_owned(), line, micros });
            self.0.truncate(NAMED);
        }
    }

    /// The slowest, the slowest first.
    pub(crate) fn actions(&self) -> &[Action] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut slowest = Slowest::default();
        for (line, micros) in [(1, 5), (2, 50), (3, 1), (4, 20), (5, 7), (6, 9)] {
            slowest.note("f", line, micros);
        }
        let lines: Vec<_> = slowest.actions().iter().map(|action| action.line).collect();
        assert_eq!(lines, [2, 4, 6, 5, 1]);
    }
}
