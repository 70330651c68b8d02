//! One JSON value as scripts change it. Values may be shared: `json_link()` puts one into several places.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use tocsin_json::{Limits, Value as Json};
use tocsin_script::{Bytes, Value};

/// How many members an array or object may have.
pub(super) const MAX_MEMBERS: usize = 65_536;
/// How many values one text may hold.
const MAX_VALUES: usize = 65_536;

/// A value that may lie in several places.
pub(super) type Shared = Rc<RefCell<Node>>;

/// A JSON value.
#[derive(Debug, Default)]
pub(super) enum Node {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Bytes),
    Array(Vec<Shared>),
    Object(Vec<(Bytes, Shared)>),
}

/// Where a member lies in its array or object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Key(Bytes),
    /// From the end if it is negative.
    At(i64),
    /// Behind the last.
    End,
}

impl Node {
    /// Reads a text. Whole numbers beyond 32 bits become strings if `quote` is on.
    pub(super) fn parse(text: &[u8], quote: bool) -> Result<Self, tocsin_json::Error> {
        let limits = Limits { values: MAX_VALUES, ..Limits::default() };
        tocsin_json::parse(text, limits).map(|value| Self::new(value, quote))
    }

    fn new(value: Json, quote: bool) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(on) => Self::Bool(on),
            Json::Int(number) if quote && i32::try_from(number).is_err() => Self::Str(Bytes::decimal(number)),
            Json::Int(number) => Self::Int(number),
            Json::Float(number) => Self::Float(number),
            Json::Str(text) => Self::Str(Bytes::new(text.as_bytes())),
            Json::Array(elements) => {
                Self::Array(elements.into_iter().map(|element| shared(Self::new(element, quote))).collect())
            }
            Json::Object(given) => {
                let mut members = Vec::with_capacity(given.len());
                for (key, value) in given {
                    let value = shared(Self::new(value, quote));
                    put(&mut members, Bytes::new(key.as_bytes()), value);
                }
                Self::Object(members)
            }
        }
    }

    /// A value of the script as it is; `None` for NULL.
    pub(super) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Int(number) => Some(Self::Int(number)),
            Value::Str(text) => Some(Self::Str(text)),
        }
    }

    /// The member at a place, if there is one.
    pub(super) fn member(&self, place: &Place) -> Option<Shared> {
        match (self, place) {
            (Self::Object(members), Place::Key(key)) => {
                members.iter().find(|(known, _)| known == key).map(|(_, value)| Rc::clone(value))
            }
            (Self::Array(elements), Place::At(at)) => elements.get(nth(*at, elements.len())?).cloned(),
            _ => None,
        }
    }

    /// Puts a member at a place, or takes the one there away if there is no value. The error says why not.
    pub(super) fn set(&mut self, place: &Place, value: Option<Shared>) -> Result<(), &'static str> {
        match (self, place, value) {
            (Self::Object(members), Place::Key(key), Some(value)) => {
                if members.len() >= MAX_MEMBERS {
                    return Err("the object has too many members");
                }
                put(members, key.clone(), value);
            }
            (Self::Object(members), Place::Key(key), None) => members.retain(|(known, _)| known != key),
            (Self::Array(elements), Place::End, Some(value)) => {
                if elements.len() >= MAX_MEMBERS {
                    return Err("the array has too many elements");
                }
                elements.push(value);
            }
            (Self::Array(_), Place::End, None) => {}
            (Self::Array(elements), Place::At(at), value) => {
                let at = nth(*at, elements.len()).ok_or("the array has no such element")?;
                match value {
                    Some(value) => elements[at] = value,
                    None => drop(elements.remove(at)),
                }
            }
            (_, Place::Key(_), _) => return Err("the value is no object"),
            _ => return Err("the value is no array"),
        }
        Ok(())
    }

    /// The keys of an object.
    pub(super) fn key(&self, at: usize) -> Option<Bytes> {
        let Self::Object(members) = self else { return None };
        members.get(at).map(|(key, _)| key.clone())
    }

    /// A value of an array or object, in order.
    pub(super) fn nth_value(&self, at: usize) -> Option<Shared> {
        match self {
            Self::Array(elements) => elements.get(at).cloned(),
            Self::Object(members) => members.get(at).map(|(_, value)| Rc::clone(value)),
            _ => None,
        }
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Shared> + '_> {
        match self {
            Self::Array(elements) => Box::new(elements.iter()),
            Self::Object(members) => Box::new(members.iter().map(|(_, value)| value)),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Takes the members out.
    fn take_children(&mut self, into: &mut Vec<Shared>) {
        match self {
            Self::Array(elements) => into.append(elements),
            Self::Object(members) => into.extend(members.drain(..).map(|(_, value)| value)),
            _ => {}
        }
    }
}

/// Links can make chains of any length: they are let go one by one instead of inside of each other.
impl Drop for Node {
    fn drop(&mut self) {
        let mut left = Vec::new();
        self.take_children(&mut left);
        while let Some(mut node) = left.pop() {
            if let Some(node) = Rc::get_mut(&mut node) {
                node.get_mut().take_children(&mut left);
            }
        }
    }
}

pub(super) fn shared(node: Node) -> Shared {
    Rc::new(RefCell::new(node))
}

/// Whether `wanted` lies somewhere in `from`, or is it.
pub(super) fn reaches(from: &Shared, wanted: &Shared) -> bool {
    let (mut seen, mut left) = (HashSet::new(), vec![Rc::clone(from)]);
    while let Some(node) = left.pop() {
        if Rc::ptr_eq(&node, wanted) {
            return true;
        }
        if seen.insert(Rc::as_ptr(&node)) {
            left.extend(node.borrow().children().map(Rc::clone));
        }
    }
    false
}

/// In the place of the member with this key, or behind the others.
fn put(members: &mut Vec<(Bytes, Shared)>, key: Bytes, value: Shared) {
    match members.iter_mut().find(|(known, _)| *known == key) {
        Some(member) => member.1 = value,
        None => members.push((key, value)),
    }
}

fn nth(at: i64, count: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add(i64::try_from(count).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_of_links_is_let_go() {
        let mut chain = shared(Node::Null);
        for _ in 0..200_000 {
            chain = shared(Node::Array(vec![chain]));
        }
        drop(chain);
    }

    #[test]
    fn what_reaches_what_is_found_once() {
        let inner = shared(Node::Null);
        let mut outer = Rc::clone(&inner);
        for _ in 0..64 {
            outer = shared(Node::Array(vec![Rc::clone(&outer), outer]));
        }
        assert!(reaches(&outer, &inner) && !reaches(&inner, &outer));
    }

    #[test]
    fn members_are_set_and_removed() {
        let mut object = Node::parse(b"{\"a\":1,\"a\":2}", false).unwrap();
        let key = |key: &str| Place::Key(Bytes::from(key));
        assert!(matches!(*object.member(&key("a")).unwrap().borrow(), Node::Int(2)), "the last counts");
        assert!(object.set(&key("b"), Node::of(Value::Int(3)).map(shared)).is_ok());
        assert!(object.set(&key("a"), None).is_ok() && object.member(&key("a")).is_none());
        assert_eq!(object.set(&Place::At(0), None), Err("the value is no array"));
        let mut array = Node::parse(b"[1,2]", false).unwrap();
        assert!(array.set(&Place::At(-1), None).is_ok() && array.member(&Place::At(1)).is_none());
        assert_eq!(array.set(&Place::At(1), None), Err("the array has no such element"));
        assert_eq!(array.set(&key("x"), None), Err("the value is no object"));
    }

    #[test]
    fn long_numbers_are_quoted_if_wanted() {
        assert!(matches!(Node::parse(b"12345678901", false).unwrap(), Node::Int(12_345_678_901)));
        assert!(matches!(&Node::parse(b"12345678901", true).unwrap(), Node::Str(text) if text.len() == 11));
    }
}
