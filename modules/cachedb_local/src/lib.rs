//! cachedb_local: key-value stores in shared memory, one a collection, for the core's `cache_` functions.
//!
//! A key whose time is over is no longer found, and its memory is given back by the TIMER workers within a moment.
#![forbid(unsafe_code)]

mod collection;
mod urls;

use std::rc::Rc;

use tocsin_json::{Text, Value as Json};
use tocsin_mi::{MiError, Outcome as Answer, PIECE, Params, Reply, Room};
use tocsin_script::{Call, Function, ModParam, ModuleSpec, Outcome, Param, ParamKind, Routes, Value};
use tocsin_server::module::{CommandRow, Deadlines, Management, Module, Setup, SetupError};
use tocsin_server::{Context, Server, Worker};

use self::collection::{Collection, Matching};
use self::urls::{DEFAULT, Sizes, collection_of};

/// The module's name.
const NAME: &str = "cachedb_local";
/// The most collections.
const MAX_COLLECTIONS: usize = 64;
/// Bytes of keys and values that `cache_fetch_chunk` shows.
const MAX_CHUNK_BYTES: usize = 1 << 20;
/// How long a pattern for keys may be, in bytes: each key costs time in the product of both lengths at worst.
const MAX_GLOB_BYTES: usize = 256;

const CACHEDB_URL: ModParam = ModParam::text(
    "cachedb_url",
    "local://",
    "The name under which scripts use a collection, such as `local:group1:///collection1`. It may be given several times.",
)
.check(|value| read(value, |url| collection_of(url).map(drop)));
const CACHE_COLLECTIONS: ModParam = ModParam::text(
    "cache_collections",
    "",
    "Names of collections, separated by semicolons, each perhaps with the exponent of its size: `default = 4; other`. It \
     may be given several times.",
)
.unset("there is the collection `default` only")
.check(|value| read(value, |line| Sizes::default().read(line)));
const CACHE_CLEAN_PERIOD: ModParam =
    ModParam::number("cache_clean_period", 600, "Seconds between two searches for expired keys.")
        .without_effect("a key is removed when it expires");
const EXEC_THRESHOLD: ModParam = ModParam::number(
    "exec_threshold",
    0,
    "Microseconds that an operation may take before it is logged as slow.",
)
.without_effect("no operation waits for anything");

const CLUSTER_ID: ModParam =
    ModParam::number("cluster_id", 0, "The cluster that shares the collections marked so.")
        .without_effect("there is no clustering yet");
const CLUSTER_PERSISTENCY: ModParam = ModParam::text(
    "cluster_persistency",
    "sync-from-cluster",
    "Where a node of a cluster takes its entries from when it starts: `none` or `sync-from-cluster`.",
)
.without_effect("there is no clustering yet");
const ENABLE_RESTART_PERSISTENCY: ModParam =
    ModParam::switch("enable_restart_persistency", false, "Whether entries outlive a restart of the server.")
        .without_effect("entries live as long as the server");

fn read(value: &Value, read: impl FnOnce(&[u8]) -> Result<(), String>) -> Result<(), String> {
    read(value.as_str().unwrap_or_default())
}

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct CachedbLocal;

/// All collections.
#[derive(Debug)]
struct Collections(Vec<Rc<Collection>>);

impl Collections {
    fn find(&self, name: &[u8]) -> Option<&Rc<Collection>> {
        self.0.iter().find(|collection| collection.name.as_bytes() == name)
    }
}

impl Module for CachedbLocal {
    fn spec(&self) -> ModuleSpec<Context> {
        const PARAMETERS: &[ModParam] = &[
            CACHEDB_URL,
            CACHE_COLLECTIONS,
            CACHE_CLEAN_PERIOD,
            EXEC_THRESHOLD,
            CLUSTER_ID,
            CLUSTER_PERSISTENCY,
            ENABLE_RESTART_PERSISTENCY,
        ];
        ModuleSpec { params: PARAMETERS, functions: vec![remove_chunk()], ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let wrong = |row: ModParam, problem| SetupError::Parameter { module: NAME, name: row.name, problem };
        let mut sizes = Sizes::default();
        for line in setup.parameters.every(&CACHE_COLLECTIONS).filter_map(Value::to_bytes) {
            sizes.read(&line).map_err(|problem| wrong(CACHE_COLLECTIONS, problem))?;
        }
        if sizes.0.len() > MAX_COLLECTIONS {
            return Err(wrong(CACHE_COLLECTIONS, format!("more than {MAX_COLLECTIONS} collections")));
        }
        let mut collections = Vec::new();
        for (name, exponent) in &sizes.0 {
            let collection = Collection::create(setup.arena, name, *exponent)?;
            setup.tables.push(collection.sweeper());
            collections.push(Rc::new(collection));
        }
        let collections = Collections(collections);
        let urls: Vec<_> = setup.parameters.every(&CACHEDB_URL).filter_map(Value::to_bytes).collect();
        let urls = if urls.is_empty() { vec![CACHEDB_URL.default_text().into()] } else { urls };
        for (nth, url) in urls.iter().enumerate() {
            let wrong = |problem| SetupError::Value { module: NAME, name: CACHEDB_URL.name, nth, problem };
            let (id, name) = collection_of(url).map_err(wrong)?;
            let collection = collections.find(&name).ok_or_else(|| {
                let shown = String::from_utf8_lossy(&name);
                wrong(format!("there is no collection `{shown}`: name it in {}", CACHE_COLLECTIONS.name))
            })?;
            setup.registered.caches.add(id, Rc::clone(collection) as _);
        }
        setup
            .registered
            .deadlines
            .extend(collections.0.iter().map(|collection| Rc::new(Expiry(Rc::clone(collection))) as _));
        setup.registered.states.put(collections);
        Ok(())
    }

    fn management(&self) -> Management {
        Management { commands: COMMANDS, ..Management::default() }
    }
}

const COMMANDS: &[CommandRow] = &[
    CommandRow::replying(
        "cache_remove_chunk",
        &[&["glob"], &["glob", "collection"]],
        "Removes the entries whose key matches a pattern.",
        |worker, params| {
            Reply::later(
                async move { remove(collection_named(worker.server, &params)?, &glob(&params)?).await },
            )
        },
    ),
    CommandRow::replying(
        "cache_fetch_chunk",
        &[&["glob"], &["glob", "collection"]],
        "Shows the entries whose key matches a pattern.",
        |worker, params| {
            Reply::later(async move {
                fetch_chunk(collection_named(worker.server, &params)?, &glob(&params)?).await
            })
        },
    ),
];

fn glob(params: &Params) -> Result<Vec<u8>, MiError> {
    let glob = params.text("glob")?.into_owned();
    if glob.len() > MAX_GLOB_BYTES {
        return Err(MiError::invalid_params(format!("A pattern has at most {MAX_GLOB_BYTES} bytes")));
    }
    Ok(glob)
}

/// Removes what matches; others have their turn after each shard.
async fn remove(collection: &Collection, glob: &[u8]) -> Answer {
    let mut pauses = Room::new(0);
    for shard in 0..collection.shards() {
        while collection.remove_matching(shard, glob) {
            pauses.did(PIECE).await;
        }
        pauses.did(PIECE).await;
    }
    Ok(Json::from("OK"))
}

fn collection_named(server: &'static Server, params: &Params) -> Result<&'static Rc<Collection>, MiError> {
    let name = params.optional_text("collection")?;
    let name = name.as_deref().unwrap_or(DEFAULT.as_bytes());
    server.state::<Collections>().find(name).ok_or_else(|| MiError::new(404, "Collection not found"))
}

/// What matches, as far as there is room; others have their turn after each shard.
async fn fetch_chunk(collection: &Collection, glob: &[u8]) -> Answer {
    let (mut found, mut pauses) = (Matching::new(MAX_CHUNK_BYTES), Room::new(0));
    for shard in 0..collection.shards() {
        collection.matching(shard, glob, &mut found);
        pauses.did(PIECE).await;
    }
    let truncated = found.is_full.then(|| ("truncated", Json::from(true)));
    let entries = found.sorted().into_iter().map(|(key, value)| {
        let text = |bytes: &[u8]| Json::Str(Text::copy_of(bytes));
        Json::object([("name", text(&key)), ("value", text(&value))])
    });
    Ok(Json::object([("keys", Json::array(entries))].into_iter().chain(truncated)))
}

/// `cache_remove_chunk([collection,] glob)`
fn remove_chunk() -> Function<Context> {
    const PARAMS: &[Param] =
        &[Param::optional("collection", ParamKind::Str), Param::optional("glob", ParamKind::Str)];
    Function::new("cache_remove_chunk", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            let (name, glob) = match (arguments[0].as_str(), arguments[1].as_str()) {
                // the manual leaves out the first and not its comma, too
                (Some(glob), None) | (None, Some(glob)) => (DEFAULT.as_bytes(), glob),
                (Some(name), Some(glob)) => (name, glob),
                (None, None) => return Outcome::FALSE,
            };
            let Some(collection) = cx.server().state::<Collections>().find(name) else {
                tracing::error!("cache_remove_chunk: there is no collection `{}`", name.escape_ascii());
                return Outcome::FALSE;
            };
            if glob.len() > MAX_GLOB_BYTES {
                tracing::error!("cache_remove_chunk: a pattern has at most {MAX_GLOB_BYTES} bytes");
                return Outcome::FALSE;
            }
            for shard in 0..collection.shards() {
                while collection.remove_matching(shard, glob) {}
            }
            Outcome::TRUE
        });
        Ok(call)
    })
    .doc(
        "Removes the keys that a pattern fits from a collection. 1: done; -1: there is no such \
         collection, or the pattern is too long.",
    )
}

/// The entries whose time is over.
struct Expiry(Rc<Collection>);

impl Deadlines for Expiry {
    fn shards(&self) -> usize {
        self.0.shards()
    }

    fn next_due(&self, shard: usize) -> u64 {
        self.0.next_due(shard)
    }

    fn expire(&self, _: &'static Worker, shard: usize, now: u64) {
        self.0.expire(shard, now);
    }
}
