//! `$shv(name)`: variables in shared memory, the same for all processes (manual, cfgutils). One that was never set is 0.

use std::rc::Rc;

use tocsin_json::{Text, Value as Json};
use tocsin_mi::{MiError, Outcome, Params, Printed, Reply, Room, Rows};
use tocsin_script::{
    Accessor, Bytes, Index, Indexes, ModParam, Naming, Store, SubName, Value, Variable, WriteError,
};
use tocsin_server::Context;
use tocsin_server::commands::list_room;
use tocsin_server::core::refused;
use tocsin_server::module::{CommandRow, Setup, SetupError};
use tocsin_shm::{Alloc, Full, Map, MapOptions, ShmBytes, ShmClone, ShmSafe};

pub(super) const SHVSET: ModParam = ModParam::text(
    "shvset",
    "",
    "The first value of a shared variable, written as `name=i:5` or `name=s:text`. It may be given several times.",
)
.unset("a $shv begins as 0")
.check(is_setting);

/// How many shared variables there may be.
const MAX_SHARED_VARIABLES: usize = 10_000;
/// How long the name of one may be, in bytes.
const MAX_SHARED_NAME_BYTES: usize = 256;
/// How long the text in one may be, in bytes.
const MAX_SHARED_TEXT_BYTES: usize = 64 << 10;

const SHARDS: usize = 4;
const BUCKETS: usize = 64;

/// What a variable holds.
#[derive(ShmSafe, ShmClone)]
enum Shared {
    Int(i64),
    Text(ShmBytes),
}

/// All shared variables.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedVariables(Map<ShmBytes, Shared>);

impl SharedVariables {
    pub(super) fn create(setup: &mut Setup<'_>) -> Result<Self, SetupError> {
        let options = MapOptions { name: "shared variables", shards: SHARDS, buckets: BUCKETS };
        let variables = Self(Map::create(setup.arena, &options)?);
        setup.tables.push(variables.0.sweeper());
        for (nth, line) in setup.parameters.every(&SHVSET).filter_map(Value::to_bytes).enumerate() {
            let wrong = |problem| SetupError::Value { module: "cfgutils", name: SHVSET.name, nth, problem };
            let (name, value) = read_setting(&line).map_err(wrong)?;
            variables.write(&name, &value).map_err(|cause| wrong(cause.to_string()))?;
        }
        Ok(variables)
    }

    fn read(&self, name: &[u8]) -> Option<Value> {
        self.0.get(name, |value| match value {
            Shared::Int(number) => Value::Int(*number),
            Shared::Text(text) => Value::Str(Bytes::new(text)),
        })
    }

    fn write(&self, name: &[u8], value: &Value) -> Result<(), WriteError> {
        if name.is_empty() || name.len() > MAX_SHARED_NAME_BYTES {
            return Err(refused("a shared variable needs a name of at most 256 bytes"));
        }
        if value.as_str().is_some_and(|text| text.len() > MAX_SHARED_TEXT_BYTES) {
            return Err(refused("a shared variable holds at most 64 KiB"));
        }
        if value.is_null() {
            self.0.remove(name, |_| ());
            return Ok(());
        }
        if self.0.len() >= MAX_SHARED_VARIABLES && !self.0.contains(name) {
            return Err(refused("there are 10,000 shared variables: no more may be made"));
        }
        let build = |alloc: Alloc| -> Result<_, Full> {
            let value = match value {
                Value::Str(text) => Shared::Text(ShmBytes::try_from_slice_in(text, alloc)?),
                other => Shared::Int(other.to_int().unwrap_or(0)),
            };
            Ok((ShmBytes::try_from_slice_in(name, alloc)?, value))
        };
        match self.0.insert(name, build) {
            Ok(_) => Ok(()),
            Err(Full) => Err(refused("the shared memory is full: start with a larger -m")),
        }
    }
}

/// Checks a value that is written as `name=i:5` or `name=s:text`.
pub(super) fn is_setting(value: &Value) -> Result<(), String> {
    read_setting(value.as_str().unwrap_or_default()).map(drop)
}

/// `name=i:5` or `name=s:text`.
pub(super) fn read_setting(line: &[u8]) -> Result<(Bytes, Value), String> {
    let malformed = || format!("`{}` is not written as name=i:5 or name=s:text", line.escape_ascii());
    let equals = line.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
    let (name, rest) = (line[..equals].trim_ascii(), line[equals + 1..].trim_ascii_start());
    let value = match rest {
        [b's' | b'S', b':', text @ ..] => Value::Str(Bytes::new(text)),
        [b'i' | b'I', b':', number @ ..] => {
            let number = Value::Str(Bytes::new(number.trim_ascii())).to_int();
            Value::Int(number.ok_or_else(malformed)?)
        }
        _ => return Err(malformed()),
    };
    if name.is_empty() { Err(malformed()) } else { Ok((Bytes::new(name), value)) }
}

pub(super) fn variable() -> Variable<Context> {
    Variable::declared("shv", "A variable that all processes share, 0 at first.", |site| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(SharedVariable(site.required_sub()?));
        Ok(accessor)
    })
    .named(Naming::Required("name"))
    .indexed(Indexes::Unchecked)
    .settable()
}

struct SharedVariable(SubName<Context>);

impl Accessor<Context> for SharedVariable {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        let Some(name) = self.0.value(cx).to_bytes() else { return Value::Null };
        cx.server().state::<SharedVariables>().read(&name).unwrap_or(Value::Int(0))
    }

    fn write(&self, cx: &mut Context, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
        let Some(name) = self.0.value(cx).to_bytes() else {
            return Err(refused("the name of the shared variable is NULL"));
        };
        cx.server().state::<SharedVariables>().write(&name, &value)
    }

    fn writable(&self) -> bool {
        true
    }
}

pub(super) const SET: CommandRow = CommandRow::new(
    "shv_set",
    &[&["name", "type", "value"]],
    "Sets a shared variable to a value of type `int` or `str`.",
    |worker, params| set(worker.server.state(), params),
);

pub(super) const GET: CommandRow = CommandRow::replying(
    "shv_get",
    &[&[], &["name"]],
    "Shows the value of a shared variable, or of all.",
    |worker, params| {
        let (variables, room) = (*worker.server.state::<SharedVariables>(), list_room(worker.server));
        Reply::long(async move { show(&variables, &params, room).await })
    },
);

fn set(variables: &SharedVariables, params: &Params) -> Outcome {
    let (name, kind, text) = (params.text("name")?, params.text("type")?, params.text("value")?);
    let value = match &*kind {
        b"int" => Value::Int(Value::Str(Bytes::new(&text)).to_int().ok_or_else(MiError::bad_value)?),
        b"str" => Value::Str(Bytes::new(&text)),
        _ => return Err(MiError::bad_value()),
    };
    variables.write(&name, &value).map_err(|cause| MiError::server_error(cause.to_string()))?;
    Ok(Json::from("OK"))
}

/// One variable, or all in the order of their names.
async fn show(variables: &SharedVariables, params: &Params, mut room: Room) -> Result<Printed, MiError> {
    let mut printed = Printed::default();
    if let Some(name) = params.optional_text("name")? {
        let value = variables.read(&name).ok_or_else(|| MiError::new(404, "Not found"))?;
        printed.value(&row(&name, value));
        return Ok(printed);
    }
    let (mut names, mut rows) = (Vec::new(), Rows::default());
    variables.0.for_each(|name, _| names.push(name.to_vec()));
    names.sort();
    for name in names {
        // One that has gone since is not shown.
        let Some(value) = variables.read(&name) else { continue };
        if !room.add(&mut rows, &row(&name, value)).await {
            break;
        }
    }
    printed.text("{\"VARs\":").rows(rows).end(&room);
    Ok(printed)
}

fn row(name: &[u8], value: Value) -> Json {
    let value = match value {
        Value::Int(number) => Json::Int(number),
        other => Json::Str(Text::copy_of(other.as_str().unwrap_or_default())),
    };
    Json::object([("name", Json::Str(Text::copy_of(name))), ("value", value)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_mi::{Command, Registry};
    use tocsin_shm::{Arena, ArenaOptions};

    fn variables() -> SharedVariables {
        let arena = Arena::create(&ArenaOptions { bytes: 8 << 20, boot_bytes: 1 << 20 }).unwrap();
        let options = MapOptions { name: "shared variables", shards: SHARDS, buckets: BUCKETS };
        SharedVariables(Map::create(arena, &options).unwrap())
    }

    #[test]
    fn values_are_kept_replaced_and_taken_away() {
        let all = variables();
        assert_eq!(all.read(b"x"), None);
        for value in [Value::Int(-5), Value::from("a longer text than fits into a word"), Value::Int(7)] {
            all.write(b"x", &value).unwrap();
            assert_eq!(all.read(b"x"), Some(value));
        }
        all.write(b"x", &Value::Null).unwrap();
        assert_eq!(all.read(b"x"), None);
    }

    #[test]
    fn names_and_texts_have_a_limit() {
        let all = variables();
        let long = vec![b'x'; MAX_SHARED_TEXT_BYTES + 1];
        assert!(all.write(b"", &Value::Int(1)).is_err());
        assert!(all.write(&long, &Value::Int(1)).is_err());
        assert!(all.write(b"x", &Value::Str(Bytes::new(&long))).is_err());
        assert_eq!(all.0.len(), 0);
    }

    #[test]
    fn a_full_memory_is_an_answer() {
        let all = variables();
        let text = Value::Str(Bytes::new(&[b'x'; 60 << 10]));
        let fits = (0..500).take_while(|n: &i32| all.write(n.to_string().as_bytes(), &text).is_ok()).count();
        assert!((20..500).contains(&fits), "{fits}");
        assert_eq!(all.read(b"0"), Some(text));
    }

    #[test]
    fn settings_are_read() {
        assert_eq!(read_setting(b"debug=i:1"), Ok((Bytes::from("debug"), Value::Int(1))));
        assert_eq!(
            read_setting(b"gw = s:sip:10.0.0.1;x=y"),
            Ok((Bytes::from("gw"), Value::from("sip:10.0.0.1;x=y")))
        );
        assert_eq!(read_setting(b"e=s:"), Ok((Bytes::from("e"), Value::from(""))));
        for bad in ["", "debug", "=i:1", "debug=1", "debug=i:x", "debug=i:", "debug=f:1"] {
            assert!(read_setting(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_set_and_show() {
        let all = variables();
        let call = |name: &[u8], params: Json| {
            let mut registry = Registry::new();
            registry.add(Command::new(
                "cfgutils",
                "set",
                &[&["name", "type", "value"]],
                "",
                move |p: Params| set(&all, &p),
            ));
            registry.add(Command::new("cfgutils", "get", &[&[], &["name"]], "", move |p: Params| {
                Reply::long(async move { show(&all, &p, Room::new(1000)).await })
            }));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(registry.call(name, Some(params)).outcome())
        };
        assert_eq!(call(b"set", Json::array(["b", "int", "5"])), Ok(Json::from("OK")));
        assert_eq!(call(b"set", Json::array(["a", "str", "x"])), Ok(Json::from("OK")));
        let (a, b) = (row(b"a", Value::from("x")), row(b"b", Value::Int(5)));
        assert_eq!(call(b"get", Json::array(["b"])), Ok(b.clone()));
        assert_eq!(call(b"get", Json::Array(vec![])), Ok(Json::object([("VARs", Json::Array(vec![a, b]))])));
        assert!(call(b"get", Json::array(["nosuch"])).is_err());
        assert!(call(b"set", Json::array(["b", "int", "x"])).is_err());
        assert!(call(b"set", Json::array(["b", "float", "1"])).is_err());
    }
}
