//! The module's variables: values that go into reports.

use std::cell::RefCell;
use std::rc::Rc;

use tocsin_script::{
    Accessor, ArgError, Bytes, Index, Indexes, Naming, Store, Value, VarSite, Variable, WriteError,
};
use tocsin_server::core::{as_text, readable, refused};
use tocsin_server::{Context, notes};

use super::account;
use super::fields::Fields;
use super::parameters::Settings;
use super::state::State;

/// The tags that the script names, which is loaded before the parameters are known; and those that there are, from then on.
#[derive(Debug, Clone, Default)]
pub(super) struct NamedTags(Rc<RefCell<Tags>>);

#[derive(Debug, Default)]
struct Tags {
    named: Vec<(Set, Bytes)>,
    known: Option<Settings>,
}

/// Which parameter names the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Extra,
    Legs,
}

impl Set {
    fn of(self, settings: &Settings) -> &Fields {
        match self {
            Self::Extra => &settings.extra,
            Self::Legs => &settings.legs,
        }
    }

    fn check(self, tag: &Bytes, settings: &Settings) -> Result<(), String> {
        if self.of(settings).place(tag).is_some() {
            return Ok(());
        }
        let (variable, parameter) = match self {
            Self::Extra => ("acc_extra", "extra_fields"),
            Self::Legs => ("acc_leg", "leg_fields"),
        };
        let tags: Vec<_> = self.of(settings).tags().map(|tag| tag.lossy().into_owned()).collect();
        let known = if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
        let tag = tag.lossy();
        Err(format!("${variable}({tag}): {parameter} names no tag {tag}, but {known}"))
    }
}

impl NamedTags {
    /// Notes a tag, or checks it if the parameters are known already: the script is loaded again.
    fn name(&self, set: Set, tag: Bytes) -> Result<(), ArgError> {
        let mut tags = self.0.borrow_mut();
        match &tags.known {
            Some(settings) => set.check(&tag, settings).map_err(ArgError::new),
            None => {
                tags.named.push((set, tag));
                Ok(())
            }
        }
    }

    /// Whether every tag that was named is one of the parameters.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), String> {
        let mut tags = self.0.borrow_mut();
        tags.known = Some(settings.clone());
        std::mem::take(&mut tags.named).iter().try_for_each(|(set, tag)| set.check(tag, settings))
    }
}

pub(super) fn all(tags: &NamedTags) -> Vec<Variable<Context>> {
    let (of_extra, of_legs) = (tags.clone(), tags.clone());
    let extra = Variable::declared(
        "acc_extra",
        "The value of a tag of extra_fields. It goes into the report on the transaction, and is the same in all routes of it. \
         NULL takes it away.",
        move |site| {
            let tag = tag(&of_extra, Set::Extra, site)?;
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Extra(tag));
            Ok(accessor)
        },
    );
    let leg = Variable::declared(
        "acc_leg",
        "The value of a tag of leg_fields in a leg of the call: without an index in the one added last. NULL takes it away.",
        move |site| {
            let tag = tag(&of_legs, Set::Legs, site)?;
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Leg(tag));
            Ok(accessor)
        },
    );
    vec![
        extra.named(Naming::Required("tag")).settable(),
        leg.named(Naming::Required("tag")).indexed(Indexes::List).settable(),
        readable("acc_current_leg", "The index of the leg that was added last, from 0.", |cx| {
            Value::Int(account::legs(&cx.notes) as i64 - 1)
        }),
    ]
}

fn tag(tags: &NamedTags, set: Set, site: &VarSite<'_, Context>) -> Result<Bytes, ArgError> {
    let tag = site.literal_sub()?;
    tags.name(set, tag.clone())?;
    Ok(tag)
}

fn place(cx: &Context, set: Set, tag: &[u8]) -> Option<usize> {
    set.of(&cx.server().state::<State>().settings).place(tag)
}

/// `$acc_extra(tag)`
struct Extra(Bytes);

impl Accessor<Context> for Extra {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        let value = place(cx, Set::Extra, &self.0).and_then(|field| account::extra(&cx.notes, field));
        value.map_or(Value::Null, Value::Str)
    }

    fn write(&self, cx: &mut Context, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
        let field = place(cx, Set::Extra, &self.0).ok_or_else(|| refused("there is no such tag"))?;
        let value = as_text(&value).map_or(Value::Null, Value::Str);
        notes::change(cx, |notes| account::set_extra(notes, field, value.clone()));
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

/// `$(acc_leg(tag)[n])`
struct Leg(Bytes);

impl Leg {
    /// The leg that an index means, if there is one.
    fn leg(cx: &Context, index: Index) -> Option<usize> {
        let legs = account::legs(&cx.notes);
        match index {
            Index::Nth(n) if n < 0 => legs.checked_sub(usize::try_from(n.unsigned_abs()).ok()?),
            Index::Nth(n) => usize::try_from(n).ok().filter(|n| *n < legs),
            _ => legs.checked_sub(1),
        }
    }
}

impl Accessor<Context> for Leg {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let found = || {
            let field = place(cx, Set::Legs, &self.0)?;
            account::leg(&cx.notes, Self::leg(cx, index)?, field)
        };
        found().map_or(Value::Null, Value::Str)
    }

    fn write(&self, cx: &mut Context, index: Index, value: Value, _: Store) -> Result<(), WriteError> {
        let field = place(cx, Set::Legs, &self.0).ok_or_else(|| refused("there is no such tag"))?;
        let leg = Self::leg(cx, index).ok_or_else(|| refused("the call has no such leg"))?;
        let value = as_text(&value).map_or(Value::Null, Value::Str);
        notes::change(cx, |notes| account::set_leg(notes, leg, field, value.clone()));
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}
