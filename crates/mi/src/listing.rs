//! Lists that may be long: printed row by row, up to a limit of bytes, with a pause after each piece.
//!
//! A row as text takes a quarter of the memory that it takes as values, and what waits in the process goes on in the
//! pauses. So a list costs a bounded amount of memory and holds up nobody, however much there is to show.

use tocsin_json::{Limits, Value, parse};

/// How many bytes are printed before others get their turn.
pub const PIECE: usize = 32 * 1024;

/// A result that is printed already: one JSON value without white space.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Printed(Vec<u8>);

impl Printed {
    /// Appends text as it is: the brackets, commas and names around what follows.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a value.
    pub fn value(&mut self, value: &Value) -> &mut Self {
        value.write_compact(&mut self.0);
        self
    }

    /// Appends an array of the rows.
    pub fn rows(&mut self, rows: Rows) -> &mut Self {
        let Rows { text } = rows;
        self.0.push(b'[');
        if self.0.len() == 1 {
            // The first and often the only list is not copied: its rows move behind the bracket.
            self.0 = text;
            self.0.insert(0, b'[');
        } else {
            self.0.extend_from_slice(&text);
        }
        self.0.push(b']');
        self
    }

    /// The value that the text is of.
    pub fn to_value(&self) -> Value {
        // Commands print JSON, and no deeper than requests may be.
        parse(&self.0, Limits::default()).unwrap_or(Value::Null)
    }

    /// Ends the object of a list: a list that was cut off says so.
    pub fn end(&mut self, room: &Room) -> &mut Self {
        self.text(if room.is_full { r#","truncated":true}"# } else { "}" })
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The rows of one list, printed.
#[derive(Debug, Default)]
pub struct Rows {
    text: Vec<u8>,
}

/// What all lists of an answer may have together.
#[derive(Debug)]
pub struct Room {
    left: usize,
    since_pause: usize,
    is_full: bool,
}

impl Room {
    /// Room for that many bytes of rows.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes, since_pause: 0, is_full: false }
    }

    /// Whether a row was left out: none is taken any more.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Prints a row behind the others of its list. `false` when there is no room for it.
    pub async fn add(&mut self, rows: &mut Rows, row: &Value) -> bool {
        if self.is_full {
            return false;
        }
        let before = rows.text.len();
        if before > 0 {
            rows.text.push(b',');
        }
        row.write_compact(&mut rows.text);
        let bytes = rows.text.len() - before;
        if bytes > self.left {
            rows.text.truncate(before);
            self.is_full = true;
            return false;
        }
        self.left -= bytes;
        self.did(bytes).await;
        true
    }

    /// Counts work that printed nothing, as if it had printed that many bytes; makes a pause when it is time for one.
    pub async fn did(&mut self, bytes: usize) {
        self.since_pause += bytes;
        if self.since_pause >= PIECE {
            self.since_pause = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn rows_are_printed_until_one_does_not_fit() {
        run(async {
            let (mut room, mut first, mut second) = (Room::new(12), Rows::default(), Rows::default());
            assert!(room.add(&mut first, &Value::from("abc")).await);
            assert!(room.add(&mut second, &Value::from(1)).await);
            assert!(room.add(&mut second, &Value::from(22)).await);
            assert!(!room.is_full());
            assert!(!room.add(&mut first, &Value::from("defgh")).await);
            assert!(!room.add(&mut first, &Value::from(1)).await, "a list does not go on behind a gap");
            let mut printed = Printed::default();
            printed.text("{\"a\":").rows(first).text(",\"b\":").rows(second).text("}");
            assert_eq!(printed.as_bytes(), br#"{"a":["abc"],"b":[1,22]}"#);
        });
    }

    #[test]
    fn an_array_may_be_all_there_is() {
        run(async {
            let (mut room, mut rows) = (Room::new(100), Rows::default());
            room.add(&mut rows, &Value::from(1)).await;
            let mut printed = Printed::default();
            printed.rows(rows);
            assert_eq!(printed.as_bytes(), b"[1]");
            let mut printed = Printed::default();
            printed.rows(Rows::default());
            assert_eq!(printed.as_bytes(), b"[]");
        });
    }

    #[test]
    fn others_go_on_between_two_pieces() {
        run(tokio::task::LocalSet::new().run_until(async {
            let pauses = std::rc::Rc::new(std::cell::Cell::new(0));
            let counted = std::rc::Rc::clone(&pauses);
            tokio::task::spawn_local(async move {
                loop {
                    counted.set(counted.get() + 1);
                    tokio::task::yield_now().await;
                }
            });
            let (mut room, mut rows) = (Room::new(10 * PIECE), Rows::default());
            let row = Value::from(vec![b'x'; PIECE / 2]);
            while room.add(&mut rows, &row).await {}
            assert!(room.is_full());
            assert!(pauses.get() >= 8, "{} pauses", pauses.get());
        }));
    }
}
