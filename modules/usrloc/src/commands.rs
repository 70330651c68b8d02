//! Management commands, as OpenSIPS names and answers them.

use tocsin_json::{Text, Value};
use tocsin_mi::{MiError, Outcome, Params, Printed, Reply, Room, Rows};
use tocsin_server::Server;
use tocsin_server::commands::list_room;
use tocsin_server::module::CommandRow;
use tocsin_server::time::unix_seconds;
use tocsin_sip::{NameAddr, UriRef};

use super::contact::{Contact, PERMANENT, same_uri};
use super::domain::DomainId;
use super::locations::{Locations, until_settled};
use super::table::{CommitError, Draft};

/// The Call-ID of contacts that a management client added, by which others know them: that of OpenSIPS.
const ADDED_CALL_ID: &[u8] = b"dfjrewr12386fd6-343@opensips.mi";
/// The User-Agent of such contacts: that of OpenSIPS.
const ADDED_USER_AGENT: &[u8] = b"OpenSIPS MI Server";
/// The CSeq of such contacts.
const ADDED_CSEQ: u32 = 1;

const AOR: &[&[&str]] = &[&["table_name", "aor"]];

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::new("ul_rm", AOR, "Deletes an AOR with its contacts.", |worker, params| {
        remove(worker.server, params, None)
    }),
    CommandRow::new(
        "ul_rm_contact",
        &[&["table_name", "aor", "contact"]],
        "Deletes a contact of an AOR.",
        |worker, params| {
            let uri = params.text("contact")?.into_owned();
            remove(worker.server, params, Some(&uri))
        },
    ),
    CommandRow::replying(
        "ul_dump",
        &[&[], &["brief"]],
        "Shows all AORs and contacts; with `brief`, the AORs alone.",
        |worker, params| Reply::long(async move { dump(worker.server, &params).await }),
    ),
    CommandRow::new(
        "ul_flush",
        &[&[]],
        "Writes changes to the database; there is nothing to write, as contacts are kept in memory.",
        |_, _| Ok(Value::from("OK")),
    ),
    CommandRow::new(
        "ul_add",
        // `unused` is of older versions.
        &[
            &["table_name", "aor", "contact", "expires", "q", "flags", "cflags", "methods"],
            &["table_name", "aor", "contact", "expires", "q", "unused", "flags", "cflags", "methods"],
        ],
        "Adds a contact to an AOR.",
        |worker, params| add_contact(worker.server, params),
    ),
    CommandRow::new("ul_show_contact", AOR, "Shows the contacts of an AOR.", |worker, params| {
        show(worker.server, params)
    }),
    CommandRow::new(
        "ul_sync",
        &[&["table_name"], &["table_name", "aor"]],
        "Writes all contacts to the database. It always fails: contacts are kept in memory.",
        |worker, params| {
            table(worker.server, params)?;
            Err(MiError::new(200, "Contacts already synced"))
        },
    ),
    CommandRow::new(
        "ul_cluster_sync",
        &[&[]],
        "Fetches contacts from the cluster. It always fails: there is no cluster.",
        |_, _| Err(MiError::new(400, "Locations are kept in memory: there is no cluster to fetch from")),
    ),
];

/// The domain that a call is about.
fn table<'a>(server: &'a Server, params: &Params) -> Result<(&'a Locations, DomainId), MiError> {
    let locations = server.state::<Locations>();
    let name = params.text("table_name")?;
    let domain = std::str::from_utf8(&name).ok().and_then(|name| locations.domain(name));
    Ok((locations, domain.ok_or_else(|| MiError::new(404, "Table not found"))?))
}

/// Whose bindings a call is about.
fn named<'a>(server: &'a Server, params: &Params) -> Result<(&'a Locations, DomainId, Vec<u8>), MiError> {
    let (locations, domain) = table(server, params)?;
    let mut aor = params.text("aor")?.into_owned();
    if !locations.settings.use_domain
        && let Some(at) = aor.iter().position(|byte| *byte == b'@')
    {
        aor.truncate(at);
    }
    Ok((locations, domain, aor))
}

fn remove(server: &'static Server, params: &Params, uri: Option<&[u8]>) -> Outcome {
    let (locations, domain, aor) = named(server, params)?;
    let removed = locations
        .change(server, domain, &aor, |bindings| {
            let known = !bindings.contacts().is_empty();
            (known, bindings.remove_where(|contact| uri.is_none_or(|uri| same_uri(contact.uri, uri))))
        })
        .map_err(failed)?;
    match (uri, removed) {
        (None, _) => Ok(Value::from("OK")),
        (_, (false, _)) => Err(MiError::new(404, "AOR not found")),
        (_, (true, 0)) => Err(MiError::new(404, "Contact not found")),
        _ => Ok(Value::from("OK")),
    }
}

fn add_contact(server: &'static Server, params: &Params) -> Outcome {
    let (locations, domain, aor) = named(server, params)?;
    let uri = params.text("contact")?;
    UriRef::parse(&uri).map_err(|_| MiError::bad_value())?;
    let now = unix_seconds();
    let seconds = u64::try_from(params.int64("expires")?).map_err(|_| MiError::bad_value())?;
    let bits = |name| params.int64(name).map(|number| number as u32);
    let contact = Contact {
        id: server.keyed_hash(&[&aor, &uri, ADDED_CALL_ID]),
        uri: &uri,
        call_id: ADDED_CALL_ID,
        cseq: ADDED_CSEQ,
        user_agent: ADDED_USER_AGENT,
        expires: if seconds == 0 { PERMANENT } else { now.saturating_add(seconds) },
        modified: now,
        q: preference(&params.text("q")?)?,
        flags: bits("flags")?,
        cflags: bits("cflags")?,
        methods: bits("methods")?,
        ..Contact::EMPTY
    };
    let settled = until_settled(|| {
        let draft = locations.open(domain, &aor);
        let mut bindings = locations.bindings(&draft);
        match bindings.contacts().iter().position(|known| same_uri(known.uri, contact.uri)) {
            Some(index) => bindings.update(index, contact),
            None => bindings.insert(contact),
        }
        locations.commit(server, &draft, &bindings)
    });
    settled.map(|()| Value::from("OK")).map_err(failed)
}

/// A `q` as in a Contact header field; -1 for none.
fn preference(text: &[u8]) -> Result<i32, MiError> {
    if text.starts_with(b"-") {
        return Ok(-1);
    }
    if text.iter().any(|byte| !byte.is_ascii_digit() && *byte != b'.') {
        return Err(MiError::bad_value());
    }
    let contact = [b"<sip:q>;q=", text].concat();
    let q = NameAddr::parse(&contact).and_then(|address| address.view().q());
    Ok(q.map_err(|_| MiError::bad_value())?.map_or(-1, i32::from))
}

fn show(server: &'static Server, params: &Params) -> Outcome {
    let (locations, domain, aor) = named(server, params)?;
    let draft = locations.open(domain, &aor);
    if draft.contacts().next().is_none() {
        return Err(MiError::new(404, "AOR not found"));
    }
    let now = unix_seconds();
    let contacts = draft.contacts().map(|contact| full(server, &contact, now));
    Ok(Value::object([("AOR", Value::from(aor)), ("Contacts", Value::Array(contacts.collect()))]))
}

async fn dump(server: &'static Server, params: &Params) -> Result<Printed, MiError> {
    // A number; older versions take the word.
    let brief = match params.optional_text("brief") {
        Ok(None) => false,
        Ok(Some(word)) if &*word == b"brief" => true,
        _ => params.optional_int("brief")?.is_some_and(|number| number != 0),
    };
    let locations = server.state::<Locations>();
    let domains: Vec<&'static str> = locations.domains.borrow().iter().map(|domain| domain.name).collect();
    let mut room = list_room(server);
    let lists = aors(server, domains.len(), brief, &mut room).await;
    let mut printed = Printed::default();
    printed.text("{\"Domains\":[");
    for (nth, (name, aors)) in domains.into_iter().zip(lists).enumerate() {
        printed.text(if nth == 0 { "{\"name\":" } else { ",{\"name\":" }).value(&Value::from(name));
        printed.text(",\"hash_size\":").value(&Value::from(locations.settings.hash_size));
        printed.text(",\"AORs\":").rows(aors).text("}");
    }
    printed.text("]").end(&room);
    Ok(printed)
}

/// The AORs of each domain, as long as there is room.
async fn aors(server: &'static Server, domains: usize, brief: bool, room: &mut Room) -> Vec<Rows> {
    /// What it costs to look at a record without showing it, in bytes printed.
    const LOOK: usize = 64;
    let (table, now) = (server.state::<Locations>().table, unix_seconds());
    let mut lists: Vec<Rows> = Vec::new();
    lists.resize_with(domains, Rows::default);
    for shard in 0..table.shards() {
        for key in table.keys(shard) {
            room.did(LOOK).await;
            let Some(record) = table.known(key) else { continue };
            let Some(list) = lists.get_mut(usize::from(record.domain())) else { continue };
            if !room.add(list, &aor(server, &record, brief, now)).await {
                return lists;
            }
        }
    }
    lists
}

fn aor(server: &Server, record: &Draft, brief: bool, now: u64) -> Value {
    if brief {
        return Value::object([("AOR", text(record.aor()))]);
    }
    let contacts = record.contacts().map(|contact| full(server, &contact, now));
    Value::object([("AOR", text(record.aor())), ("Contacts", Value::array(contacts))])
}

/// Everything about a contact; what is not known is left out.
fn full(server: &Server, contact: &Contact<'_>, now: u64) -> Value {
    let expires = match contact.seconds_left(now) {
        None => Value::from("permanent"),
        Some(0) => Value::from("expired"),
        Some(left) => Value::from(left),
    };
    let mut members = vec![
        ("Contact", text(contact.uri)),
        ("ContactID", Value::from(contact.id.to_string())),
        ("Expires", expires),
        ("Q", Value::from(decimal(contact.q))),
        ("Callid", text(contact.call_id)),
        ("Cseq", Value::from(contact.cseq)),
        ("User-agent", text(contact.user_agent)),
    ];
    let mut optional = |name, bytes: &[u8]| {
        if !bytes.is_empty() {
            members.push((name, text(bytes)));
        }
    };
    optional("Received", contact.received);
    optional("Path", contact.path);
    // New as long as no database has it.
    members.push(("State", Value::from("CS_NEW")));
    members.push(("Flags", Value::from(contact.flags)));
    members.push(("Cflags", Value::from(flag_numbers(contact.cflags))));
    if let Some(id) = contact.socket {
        members.push(("Socket", Value::from(server.network.sockets.listener(id).name.clone())));
    }
    members.push(("Methods", Value::from(contact.methods)));
    let mut optional = |name, bytes: &[u8]| {
        if !bytes.is_empty() {
            members.push((name, text(bytes)));
        }
    };
    optional("Attr", contact.attr);
    optional("SIP_instance", contact.instance);
    Value::object(members)
}

fn text(bytes: &[u8]) -> Value {
    Value::Str(Text::copy_of(bytes))
}

/// Thousandths as a number below 1, without zeros at its end; empty for none.
fn decimal(q: i32) -> String {
    if q < 0 {
        return String::new();
    }
    let digits = format!("{}.{:03}", q / 1000, q % 1000);
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The numbers of the flags that are set. Their names are the script's.
fn flag_numbers(flags: u32) -> String {
    let set: Vec<String> =
        (0..u32::BITS).filter(|bit| flags >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
    set.join(" ")
}

fn failed(cause: CommitError) -> MiError {
    MiError::server_error(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_and_shown() {
        for (given, q, shown) in
            [("0.5", 500, "0.5"), ("1", 1000, "1"), ("0", 0, "0"), ("0.33", 330, "0.33"), ("-1", -1, "")]
        {
            assert_eq!(preference(given.as_bytes()), Ok(q), "{given}");
            assert_eq!(decimal(q), shown);
        }
        assert_eq!(preference(b"2"), Err(MiError::bad_value()));
        assert_eq!(preference(b"1;x=y"), Err(MiError::bad_value()));
    }

    #[test]
    fn flags_are_shown_by_number() {
        assert_eq!(flag_numbers(0), "");
        assert_eq!(flag_numbers(1 | 1 << 7 | 1 << 31), "0 7 31");
    }
}
