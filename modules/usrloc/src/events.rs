//! The events of the module, each with its parameters in the order of the wire.

use tocsin_event::{EventId, ParamValue, ParamsWriter};
use tocsin_server::Server;

use super::bindings::Change;
use super::contact::Contact;

/// Their names in the order in which they are published. A refresh is raised for push notifications and a latency for
/// pings, neither of which there is yet; subscribers find the names nevertheless.
pub(super) const NAMES: [&str; 7] = [
    "E_UL_AOR_INSERT",
    "E_UL_AOR_DELETE",
    "E_UL_CONTACT_INSERT",
    "E_UL_CONTACT_UPDATE",
    "E_UL_CONTACT_DELETE",
    "E_UL_CONTACT_REFRESH",
    "E_UL_LATENCY_UPDATE",
];

/// The events that are raised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Events {
    aor_insert: EventId,
    aor_delete: EventId,
    insert: EventId,
    delete: EventId,
    update: EventId,
}

impl Events {
    /// Looks the names up. `None` before they are published.
    pub(super) fn find(server: &Server) -> Option<Self> {
        let registry = server.events.registry();
        let find = |at: usize| registry.find(NAMES[at].as_bytes());
        Some(Self {
            aor_insert: find(0)?,
            aor_delete: find(1)?,
            insert: find(2)?,
            delete: find(4)?,
            update: find(3)?,
        })
    }

    /// An AOR has its first binding.
    pub(super) fn aor_inserted(&self, server: &Server, domain: &str, aor: &[u8]) {
        server.events.raise(self.aor_insert, |params| {
            params.text("domain", domain).text("aor", aor);
        });
    }

    /// An AOR has lost its last binding.
    pub(super) fn aor_deleted(&self, server: &Server, domain: &str, aor: &[u8]) {
        server.events.raise(self.aor_delete, |params| {
            params.text("domain", domain).text("aor", aor);
        });
    }

    /// Something happened to a contact.
    pub(super) fn contact(
        &self,
        server: &Server,
        domain: &str,
        aor: &[u8],
        change: Change,
        contact: &Contact<'_>,
    ) {
        let id = match change {
            Change::Inserted => self.insert,
            Change::Updated => self.update,
            Change::Deleted | Change::Expired => self.delete,
        };
        server.events.raise(id, |params| {
            let socket = contact.socket.map(|id| server.network.sockets.listener(id).name.as_str());
            write(params, domain, aor, contact, socket);
        });
    }
}

fn write(
    params: &mut ParamsWriter<'_>,
    domain: &str,
    aor: &[u8],
    contact: &Contact<'_>,
    socket: Option<&str>,
) {
    let or_null = |text| if text == b"" { ParamValue::Null } else { ParamValue::Str(text) };
    params
        .text("domain", domain)
        .text("aor", aor)
        .text("uri", contact.uri)
        .push(Some(b"received"), or_null(contact.received))
        .push(Some(b"path"), or_null(contact.path))
        .int("qval", contact.q.into())
        .text("user_agent", contact.user_agent)
        .push(Some(b"socket"), socket.map_or(ParamValue::Null, |name| ParamValue::Str(name.as_bytes())))
        .int("bflags", contact.cflags.into())
        .int("expires", i64::try_from(contact.expires).unwrap_or(i64::MAX))
        .text("callid", contact.call_id)
        .int("cseq", contact.cseq.into())
        .text("attr", contact.attr)
        .int("latency", contact.latency.into())
        .text("shtag", contact.tag);
}

#[cfg(test)]
mod tests {
    use tocsin_event::Params;

    use super::*;

    /// As recorded from OpenSIPS for a first REGISTER.
    #[test]
    fn parameters_stand_in_the_order_of_the_peer() {
        let contact = Contact {
            uri: b"sip:alice@127.0.0.1:22323",
            q: 500,
            user_agent: b"lab/1",
            expires: 1_795_357_987,
            call_id: b"reg-1",
            cseq: 1,
            ..Contact::EMPTY
        };
        let mut bytes = Vec::new();
        let mut writer = ParamsWriter::new(&mut bytes);
        write(&mut writer, "location", b"alice", &contact, Some("udp:127.0.0.1:22320"));
        let written = Params::new(writer.finish().unwrap());
        let shown: Vec<String> = written
            .iter()
            .map(|(name, value)| {
                let name = String::from_utf8_lossy(name.unwrap()).into_owned();
                match value {
                    ParamValue::Null => format!("{name}:null"),
                    ParamValue::Int(number) => format!("{name}:{number}"),
                    ParamValue::Str(text) => format!("{name}:\"{}\"", String::from_utf8_lossy(text)),
                }
            })
            .collect();
        assert_eq!(
            shown.join(","),
            "domain:\"location\",aor:\"alice\",uri:\"sip:alice@127.0.0.1:22323\",received:null,path:null,qval:500,\
             user_agent:\"lab/1\",socket:\"udp:127.0.0.1:22320\",bflags:0,expires:1795357987,callid:\"reg-1\",cseq:1,\
             attr:\"\",latency:0,shtag:\"\""
        );
    }
}
