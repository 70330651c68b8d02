//! `$avp(name)`: values that belong to a message and its transaction.

use std::rc::Rc;

use tocsin_script::{Accessor, Bytes, Index, Indexes, Naming, Store, SubName, Value, Variable, WriteError};

use super::values::{BETWEEN, as_text, nth, refused};
use crate::avps::Avps;
use crate::context::Context;

pub(super) fn variables() -> Vec<Variable<Context>> {
    let avp = Variable::declared(
        "avp",
        "Values that belong to the message and stay with its transaction. `=` puts one in front of the others, `:=` replaces \
         all, `[n]` replaces one, `[append]` adds one behind the last, and NULL removes.",
        |site| {
            let accessor: Rc<dyn Accessor<Context>> =
                Rc::new(Avp { sub: site.required_sub()?, of_branch: false });
            Ok(accessor)
        },
    );
    vec![avp.named(Naming::Required("name")).indexed(Indexes::Append).settable()]
}

/// `$bavp(name)`: for the module that makes branches.
pub fn branch_avp() -> Variable<Context> {
    let avp = Variable::declared(
        "bavp",
        "Values that belong to one branch of the transaction: those of a branch route are there in the reply routes of \
         its replies. In other routes there are none. Indices are those of `$avp`.",
        |site| {
            let accessor: Rc<dyn Accessor<Context>> =
                Rc::new(Avp { sub: site.required_sub()?, of_branch: true });
            Ok(accessor)
        },
    );
    avp.named(Naming::Required("name")).indexed(Indexes::Append).settable()
}

/// `$avp(name)` or `$bavp(name)`, with all index forms.
struct Avp {
    sub: SubName<Context>,
    of_branch: bool,
}

impl Avp {
    /// `None` for a name that is NULL, or where there is no branch.
    fn name(&self, cx: &mut Context) -> Option<Bytes> {
        let name = as_text(&self.sub.value(cx))?;
        if !self.of_branch {
            return Some(name);
        }
        let branch = cx.transaction.and_then(|transaction| transaction.branch)?;
        Some(Avps::name_of_branch(branch, &name))
    }

    fn read_all(avps: &Avps, name: &[u8]) -> Value {
        let mut values = avps.values(name);
        let Some(first) = values.next() else { return Value::Null };
        let mut out = Vec::new();
        first.append_to(&mut out);
        for value in values {
            out.extend_from_slice(BETWEEN);
            value.append_to(&mut out);
        }
        Value::Str(Bytes::from(out))
    }

    fn remove(avps: &mut Avps, name: &[u8], index: Index, store: Store) {
        match index {
            Index::Nth(_) => {
                let count = avps.values(name).count();
                if let Some(at) = nth(index, count) {
                    avps.remove(name, at);
                }
            }
            Index::Unset | Index::Append if store == Store::Set => avps.pop(name),
            _ => avps.clear(name),
        }
    }
}

impl Accessor<Context> for Avp {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let Some(name) = self.name(cx) else { return Value::Null };
        match index {
            Index::All => Self::read_all(&cx.avps, &name),
            Index::Nth(_) => {
                let count = cx.avps.values(&name).count();
                nth(index, count).and_then(|at| cx.avps.values(&name).nth(at).cloned()).unwrap_or_default()
            }
            Index::Unset => cx.avps.values(&name).next().cloned().unwrap_or_default(),
            Index::Append => Value::Null,
        }
    }

    fn write(&self, cx: &mut Context, index: Index, value: Value, store: Store) -> Result<(), WriteError> {
        let Some(name) = self.name(cx) else {
            return Err(refused("the name of the AVP is NULL, or there is no branch here"));
        };
        let avps = &mut cx.avps;
        if value == Value::Null {
            Self::remove(avps, &name, index, store);
            return Ok(());
        }
        if index == Index::All || store == Store::Replace {
            avps.clear(&name);
        }
        let stored = match index {
            Index::Nth(_) => {
                let count = avps.values(&name).count();
                match nth(index, count) {
                    Some(at) => avps.replace(&name, at, value),
                    None => return Err(refused("the AVP has no value at this index")),
                }
            }
            Index::Append => avps.append(&name, value),
            Index::Unset | Index::All => avps.push(&name, value),
        };
        if !stored {
            return Err(refused("too many AVPs in one message"));
        }
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}
