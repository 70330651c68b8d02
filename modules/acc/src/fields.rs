//! Further fields of a report: `extra_fields` and `leg_fields`, each a backend and what it writes under which name.

use tocsin_script::{Bytes, Value};

use super::account::{Backend, MAX_FIELDS};

/// The fields of one of the two parameters. A tag has one value, whichever backends write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    tags: Vec<Bytes>,
    /// By backend: the place of the tag, and the name that is written.
    written: [Vec<(usize, String)>; Backend::COUNT],
}

/// A backend's name in front of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Known(Backend),
    /// A backend that is not there yet: its tags may be set, and are written nowhere.
    Missing,
}

impl Fields {
    /// The fields of all values of a parameter.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a Value>) -> Result<Self, String> {
        let mut fields = Self::default();
        for value in values {
            fields.add(&value.to_bytes().unwrap_or_default().lossy())?;
        }
        Ok(fields)
    }

    /// `log: tag->name; tag`
    fn add(&mut self, text: &str) -> Result<(), String> {
        let mut backend = None;
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let field = match part.split_once(':') {
                Some((name, field)) => {
                    backend = Some(prefix(name.trim())?);
                    field.trim()
                }
                None => part,
            };
            let backend = backend
                .ok_or_else(|| format!("`{part}` names no backend: write log: {part} or evi: {part}"))?;
            if !field.is_empty() {
                self.add_field(backend, field)?;
            }
        }
        Ok(())
    }

    fn add_field(&mut self, backend: Prefix, field: &str) -> Result<(), String> {
        let (tag, name) = field.split_once("->").unwrap_or((field, field));
        let (tag, name) = (tag.trim(), name.trim());
        if tag.is_empty() || name.is_empty() {
            return Err(format!("`{field}` is not written as tag or tag->name"));
        }
        let at = match self.place(tag.as_bytes()) {
            Some(at) => at,
            None if self.tags.len() == MAX_FIELDS => {
                return Err(format!("there are more than {MAX_FIELDS} fields"));
            }
            None => {
                self.tags.push(Bytes::from(tag));
                self.tags.len() - 1
            }
        };
        if let Prefix::Known(backend) = backend {
            self.written[backend as usize].push((at, name.to_owned()));
        }
        Ok(())
    }

    /// The place of the tag, if it was named.
    pub(crate) fn place(&self, tag: &[u8]) -> Option<usize> {
        self.tags.iter().position(|known| **known == *tag)
    }

    /// All tags.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &Bytes> {
        self.tags.iter()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// What a backend writes, in order: the place of the tag, and the name.
    pub(crate) fn of(&self, backend: Backend) -> &[(usize, String)] {
        &self.written[backend as usize]
    }
}

fn prefix(name: &str) -> Result<Prefix, String> {
    match name {
        "log" => Ok(Prefix::Known(Backend::Log)),
        "evi" => Ok(Prefix::Known(Backend::Events)),
        "db" | "aaa" => Ok(Prefix::Missing),
        _ => Err(format!("`{name}` is no backend: give log, evi, db or aaa")),
    }
}

/// Whether a value of the parameter can be read.
pub(crate) fn are_fields(value: &Value) -> Result<(), String> {
    Fields::new(std::iter::once(value)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(texts: &[&str]) -> Result<Fields, String> {
        let values: Vec<_> = texts.iter().map(|text| Value::str(*text)).collect();
        Fields::new(values.iter())
    }

    #[test]
    fn a_tag_has_one_place_whichever_backends_write_it() {
        let fields = fields(&["log: a->My_a; b", "evi: b->second ; a", "db:c->col"]).unwrap();
        let written = |backend| fields.of(backend).to_vec();
        assert_eq!(written(Backend::Log), [(0, "My_a".to_owned()), (1, "b".to_owned())]);
        assert_eq!(written(Backend::Events), [(1, "second".to_owned()), (0, "a".to_owned())]);
        assert_eq!((fields.place(b"c"), fields.place(b"d")), (Some(2), None));
    }

    #[test]
    fn a_backend_may_change_within_one_text() {
        let fields = fields(&["log: x; evi: y"]).unwrap();
        assert_eq!(fields.of(Backend::Log), [(0, "x".to_owned())]);
        assert_eq!(fields.of(Backend::Events), [(1, "y".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(fields(&["a"]), Err("`a` names no backend: write log: a or evi: a".to_owned()));
        assert_eq!(fields(&["lag: a"]), Err("`lag` is no backend: give log, evi, db or aaa".to_owned()));
        assert_eq!(fields(&["log: a->"]), Err("`a->` is not written as tag or tag->name".to_owned()));
    }
}
