//! The parameters of one event, in the compact form they have in the event log.
//!
//! A parameter is a tag, an optional name and a value, one after the other; a reader needs no index and a writer no
//! second pass. The same process image writes and reads them, so numbers are in the machine's byte order.

/// How many bytes the parameters of one event may take in the log. A raise that needs more is refused and counted.
pub const MAX_PARAMS_BYTES: usize = 65_000;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const NAMED: u8 = 0x80;

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamValue<'p> {
    /// A string that is not there: JSON `null`.
    Null,
    /// A number.
    Int(i64),
    /// A string of any bytes.
    Str(&'p [u8]),
}

/// Writes the parameters of an event, in wire order.
#[derive(Debug)]
pub struct ParamsWriter<'b> {
    bytes: &'b mut Vec<u8>,
    too_large: bool,
}

impl<'b> ParamsWriter<'b> {
    /// A writer into `bytes`, which is emptied first and never grows beyond [`MAX_PARAMS_BYTES`].
    pub fn new(bytes: &'b mut Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, too_large: false }
    }

    /// A named number.
    pub fn int(&mut self, name: &str, number: i64) -> &mut Self {
        self.push(Some(name.as_bytes()), ParamValue::Int(number))
    }

    /// A named string.
    pub fn text(&mut self, name: &str, text: impl AsRef<[u8]>) -> &mut Self {
        self.push(Some(name.as_bytes()), ParamValue::Str(text.as_ref()))
    }

    /// A parameter of any kind, with or without a name. Names are cut at 65,535 bytes.
    pub fn push(&mut self, name: Option<&[u8]>, value: ParamValue<'_>) -> &mut Self {
        let name = name.map(|name| &name[..name.len().min(usize::from(u16::MAX))]);
        let body = match value {
            ParamValue::Null => 0,
            ParamValue::Int(_) => 8,
            ParamValue::Str(text) => text.len().saturating_add(4),
        };
        let needed = body.saturating_add(1 + name.map_or(0, |name| 2 + name.len()));
        if self.too_large || needed > MAX_PARAMS_BYTES - self.bytes.len() {
            self.too_large = true;
            return self;
        }
        let tag = match value {
            ParamValue::Null => NULL,
            ParamValue::Int(_) => INTEGER,
            ParamValue::Str(_) => TEXT,
        };
        self.bytes.push(if name.is_some() { tag | NAMED } else { tag });
        if let Some(name) = name {
            self.bytes.extend_from_slice(&(name.len() as u16).to_ne_bytes());
            self.bytes.extend_from_slice(name);
        }
        match value {
            ParamValue::Null => {}
            ParamValue::Int(number) => self.bytes.extend_from_slice(&number.to_ne_bytes()),
            ParamValue::Str(text) => {
                self.bytes.extend_from_slice(&(text.len() as u32).to_ne_bytes());
                self.bytes.extend_from_slice(text);
            }
        }
        self
    }

    /// What was written; `None` when it would have passed [`MAX_PARAMS_BYTES`].
    pub fn finish(self) -> Option<&'b [u8]> {
        if self.too_large { None } else { Some(self.bytes) }
    }
}

/// The parameters of an event as they lie in the log.
#[derive(Clone, Copy, Debug)]
pub struct Params<'p>(&'p [u8]);

impl<'p> Params<'p> {
    /// Parameters written by [`ParamsWriter`].
    pub fn new(bytes: &'p [u8]) -> Self {
        Self(bytes)
    }

    /// Name and value of each parameter in order. Damaged bytes end the iteration.
    pub fn iter(self) -> impl Iterator<Item = (Option<&'p [u8]>, ParamValue<'p>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || read_one(&mut rest))
    }

    /// The parameters as [`ParamsWriter`] wrote them.
    pub fn as_bytes(self) -> &'p [u8] {
        self.0
    }

    /// Whether there is no parameter at all.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

fn read_one<'p>(rest: &mut &'p [u8]) -> Option<(Option<&'p [u8]>, ParamValue<'p>)> {
    let tag = take::<1>(rest)?[0];
    let name = if tag & NAMED == 0 {
        None
    } else {
        let length = u16::from_ne_bytes(take(rest)?);
        Some(rest.split_off(..usize::from(length))?)
    };
    let value = match tag & !NAMED {
        NULL => ParamValue::Null,
        INTEGER => ParamValue::Int(i64::from_ne_bytes(take(rest)?)),
        TEXT => {
            let length = u32::from_ne_bytes(take(rest)?);
            ParamValue::Str(rest.split_off(..length as usize)?)
        }
        _ => return None,
    };
    Some((name, value))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    rest.split_off(..N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Option<Vec<u8>>, Option<Result<i64, Vec<u8>>>);

    fn value(owned: &Option<Result<i64, Vec<u8>>>) -> ParamValue<'_> {
        match owned {
            None => ParamValue::Null,
            Some(Ok(number)) => ParamValue::Int(*number),
            Some(Err(text)) => ParamValue::Str(text),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(list in any::<Vec<Owned>>()) {
            let mut bytes = Vec::new();
            let mut writer = ParamsWriter::new(&mut bytes);
            for (name, owned) in &list {
                writer.push(name.as_deref(), value(owned));
            }
            let written = writer.finish().unwrap();
            let expected: Vec<_> = list.iter().map(|(name, owned)| (name.as_deref(), value(owned))).collect();
            prop_assert_eq!(Params::new(written).iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn damaged_bytes_end_it(bytes in any::<Vec<u8>>()) {
            prop_assert!(Params::new(&bytes).iter().count() <= bytes.len());
        }
    }

    #[test]
    fn too_large_is_refused_at_the_limit() {
        let mut bytes = Vec::new();
        let overhead = 1 + 4;
        let mut writer = ParamsWriter::new(&mut bytes);
        writer.push(None, ParamValue::Str(&[b'x'; MAX_PARAMS_BYTES][overhead..]));
        assert_eq!(writer.finish().map(<[u8]>::len), Some(MAX_PARAMS_BYTES));

        let mut writer = ParamsWriter::new(&mut bytes);
        writer.push(None, ParamValue::Str(&[b'x'; MAX_PARAMS_BYTES][overhead - 1..])).int("later", 1);
        assert_eq!(writer.finish(), None);
        assert!(bytes.len() <= MAX_PARAMS_BYTES);
    }
}
