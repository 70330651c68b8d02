//! The events of the module, each with its parameters in the order of the wire.

use tocsin_event::{Description, EventId, Field, ParamValue, ParamsWriter};
use tocsin_server::Server;

use super::bindings::Change;
use super::contact::Contact;

const DOMAIN: Field = Field::text("domain", "The domain, as the script names it.");
const AOR: Field = Field::text("aor", "The address of record.");
const URI: Field = Field::text("uri", "The contact.");
const RECEIVED: Field =
    Field::text_or_null("received", "Where the REGISTER came from, if not from the contact.");
const PATH: Field = Field::text_or_null("path", "The Path header field of the REGISTER.");
const QVAL: Field = Field::number("qval", "The preference in thousandths; -1 for none.");
const USER_AGENT: Field = Field::text("user_agent", "The User-Agent header field of the REGISTER.");
const SOCKET: Field = Field::text_or_null("socket", "The listener at which the REGISTER came in.");
const BFLAGS: Field = Field::number("bflags", "The branch flags.");
const EXPIRES: Field =
    Field::number("expires", "When the contact expires, in seconds since 1970; 0 for never.");
const CALLID: Field = Field::text("callid", "The Call-ID of the REGISTER.");
const CSEQ: Field = Field::number("cseq", "The CSeq of the REGISTER.");
const ATTR: Field = Field::text("attr", "The value of `attr_avp` at the REGISTER.");
const LATENCY: Field = Field::number("latency", "Microseconds that the last ping took; 0 for none.");
const SHTAG: Field = Field::text("shtag", "The sharing tag of the cluster; always empty.");

const OF_AOR: &[Field] = &[DOMAIN, AOR];
const OF_CONTACT: &[Field] = &[
    DOMAIN, AOR, URI, RECEIVED, PATH, QVAL, USER_AGENT, SOCKET, BFLAGS, EXPIRES, CALLID, CSEQ, ATTR, LATENCY,
    SHTAG,
];

const AOR_INSERT: Description =
    Description { name: "E_UL_AOR_INSERT", cause: "An AOR has its first contact.", fields: OF_AOR };
const AOR_DELETE: Description =
    Description { name: "E_UL_AOR_DELETE", cause: "An AOR has lost its last contact.", fields: OF_AOR };
const INSERT: Description =
    Description { name: "E_UL_CONTACT_INSERT", cause: "A contact was added.", fields: OF_CONTACT };
const UPDATE: Description =
    Description { name: "E_UL_CONTACT_UPDATE", cause: "A contact was registered again.", fields: OF_CONTACT };
const DELETE: Description = Description {
    name: "E_UL_CONTACT_DELETE",
    cause: "A contact was removed, or expired.",
    fields: OF_CONTACT,
};
const REFRESH: Description = Description {
    name: "E_UL_CONTACT_REFRESH",
    cause: "A contact has to be refreshed by a push notification. Never raised: there are none yet.",
    fields: OF_CONTACT,
};
const LATENCY_UPDATE: Description = Description {
    name: "E_UL_LATENCY_UPDATE",
    cause: "A ping took much longer, or less long, than before. Never raised: there are no pings yet.",
    fields: OF_CONTACT,
};

/// All of them, in the order in which they are published.
pub(super) const EVENTS: &[Description] =
    &[AOR_INSERT, AOR_DELETE, INSERT, UPDATE, DELETE, REFRESH, LATENCY_UPDATE];

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
        let find = |event: Description| registry.find(event.name.as_bytes());
        Some(Self {
            aor_insert: find(AOR_INSERT)?,
            aor_delete: find(AOR_DELETE)?,
            insert: find(INSERT)?,
            delete: find(DELETE)?,
            update: find(UPDATE)?,
        })
    }

    /// An AOR has its first binding.
    pub(super) fn aor_inserted(&self, server: &Server, domain: &str, aor: &[u8]) {
        server.events.raise(self.aor_insert, |params| {
            params.text(DOMAIN.name, domain).text(AOR.name, aor);
        });
    }

    /// An AOR has lost its last binding.
    pub(super) fn aor_deleted(&self, server: &Server, domain: &str, aor: &[u8]) {
        server.events.raise(self.aor_delete, |params| {
            params.text(DOMAIN.name, domain).text(AOR.name, aor);
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
        .text(DOMAIN.name, domain)
        .text(AOR.name, aor)
        .text(URI.name, contact.uri)
        .push(Some(RECEIVED.name.as_bytes()), or_null(contact.received))
        .push(Some(PATH.name.as_bytes()), or_null(contact.path))
        .int(QVAL.name, contact.q.into())
        .text(USER_AGENT.name, contact.user_agent)
        .push(
            Some(SOCKET.name.as_bytes()),
            socket.map_or(ParamValue::Null, |name| ParamValue::Str(name.as_bytes())),
        )
        .int(BFLAGS.name, contact.cflags.into())
        .int(EXPIRES.name, i64::try_from(contact.expires).unwrap_or(i64::MAX))
        .text(CALLID.name, contact.call_id)
        .int(CSEQ.name, contact.cseq.into())
        .text(ATTR.name, contact.attr)
        .int(LATENCY.name, contact.latency.into())
        .text(SHTAG.name, contact.tag);
}

#[cfg(test)]
mod tests {
    use tocsin_event::Params;

    use super::*;

    /// As recorded from OpenSIPS for a first REGISTER.
    #[test]
    fn parameters_stand_in_the_order_of_opensips() {
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
