//! The functions of the module, as scripts call them (manual, "registrar", "Exported Functions").

use std::cell::RefCell;
use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Site, Value};
use tocsin_server::Context;
use tocsin_server::core::as_text;

use super::bound::{Doomed, has_address, has_contact, has_this_contact, remove, remove_at};
use super::flags::{LookupFlags, SaveFlags};
use super::lookup::{FAILED, lookup};
use super::save::save;

/// The domains that the script names, in the order in which they are met.
#[derive(Debug, Clone, Default)]
pub(super) struct Domains(Rc<RefCell<Named>>);

#[derive(Debug, Default)]
struct Named {
    names: Vec<Bytes>,
    /// There are tables for these, and for no others.
    has_tables: bool,
}

impl Domains {
    /// All of them, which get their tables now: a script that is loaded later names no others.
    pub(super) fn close(&self) -> Vec<Bytes> {
        let mut named = self.0.borrow_mut();
        named.has_tables = true;
        named.names.clone()
    }

    /// The place of a domain.
    fn place(&self, name: &Bytes) -> Result<usize, String> {
        let mut named = self.0.borrow_mut();
        if let Some(at) = named.names.iter().position(|known| known == name) {
            return Ok(at);
        }
        if named.has_tables {
            let known: Vec<_> = named.names.iter().map(|name| name.lossy()).collect();
            return Err(format!(
                "there is no domain <{}>, but {}: restart the server to add one",
                name.lossy(),
                known.join(", ")
            ));
        }
        named.names.push(name.clone());
        Ok(named.names.len() - 1)
    }
}

const fn must(name: &'static str) -> Param {
    Param::required(name, ParamKind::Str)
}

const fn may(name: &'static str) -> Param {
    Param::optional(name, ParamKind::Str)
}

pub(super) fn all(domains: &Domains) -> Vec<Function<Context>> {
    const SAVE: &[Param] = &[must("domain"), may("flags"), may("aor"), may("ownership_tag")];
    const LOOKUP: &[Param] = &[must("domain"), may("flags"), may("aor")];
    const REMOVE: &[Param] =
        &[must("domain"), must("aor"), may("contact"), may("next_hop"), may("sip_instance")];
    const REGISTERED: &[Param] = &[must("domain"), may("aor")];
    const CONTACT: &[Param] = &[must("domain"), may("aor"), may("contact"), may("callid")];
    const ADDRESS: &[Param] = &[
        must("domain"),
        may("aor"),
        Param::required("ip", ParamKind::Variable),
        Param::optional("port", ParamKind::Variable),
    ];
    let registrations = Routes::REQUEST | Routes::REPLY;
    let questions = Routes::REQUEST | Routes::FAILURE | Routes::BRANCH | Routes::REPLY | Routes::LOCAL;
    vec![
        with_flags("save", SAVE, registrations, domains, SaveFlags::parse, |cx, domain, flags, arguments| {
            let Some(flags) = flags else { return Outcome::FALSE };
            let (aor, tag) = (given(&arguments[2]), given(&arguments[3]));
            Outcome::Done(save(cx, domain, flags, aor.as_ref(), tag))
        })
        .doc(
            "Stores the contacts of a REGISTER request in a domain of usrloc, and answers it unless the \
             flags say otherwise. 1: done; -1: it cannot be answered, or the flags cannot be read; -2: the \
             registration was refused.",
        ),
        with_flags(
            "lookup",
            LOOKUP,
            Routes::REQUEST | Routes::FAILURE,
            domains,
            LookupFlags::parse,
            |cx, domain, flags, arguments| {
                Outcome::Done(
                    flags.map_or(FAILED, |flags| lookup(cx, domain, flags, given(&arguments[2]).as_ref())),
                )
            },
        )
        .doc(
            "Replaces the Request-URI by the contacts of its AOR, or of `aor`: the first becomes the \
             Request-URI, the others branches. 1: found; -1: no contact; -2: no contact takes the method; \
             -3: an error.",
        ),
        simple("remove", REMOVE, registrations, domains, |cx, domain, arguments| {
            let Some(aor) = given(&arguments[1]) else { return false };
            let [uri, next_hop, instance] = [2, 3, 4].map(|at| given(&arguments[at]));
            remove(cx, domain, &aor, &Doomed { uri, next_hop, instance })
        })
        .doc(
            "Removes contacts of an AOR: all, or those with this URI, next hop or SIP instance. 1: they are \
             gone, also if there were none; -1: `aor` is no address of record, or there is no room.",
        ),
        address_removal(domains),
        simple("is_registered", REGISTERED, questions, domains, |cx, domain, arguments| {
            has_contact(cx, domain, given(&arguments[1]).as_ref(), |_| true)
        })
        .doc(
            "Checks whether an AOR has contacts: `aor`, or that of To in a REGISTER and of From in other \
             requests. 1: it has; -1: it has none.",
        ),
        simple("is_contact_registered", CONTACT, questions, domains, |cx, domain, arguments| {
            let [aor, contact, call_id] = [1, 2, 3].map(|at| given(&arguments[at]));
            has_this_contact(cx, domain, aor.as_ref(), contact, call_id.as_ref())
        })
        .doc("Checks whether an AOR has a contact with this URI or Call-ID. 1: it has; -1: it has none."),
        address_question(ADDRESS, questions, domains),
        add_sock_hdr(),
    ]
}

fn address_question(params: &'static [Param], routes: Routes, domains: &Domains) -> Function<Context> {
    let domains = domains.clone();
    Function::new("is_ip_registered", params, routes, move |site| {
        let domain = domain(site, 0, &domains)?;
        let addresses =
            site.variable(2).ok_or_else(|| ArgError::at(2, "a variable with addresses is needed"))?;
        let ports = site.variable(3);
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            Outcome::Done(has_address(cx, domain, given(&arguments[1]).as_ref(), &addresses, ports.as_deref()))
        });
        Ok(call)
    })
    .doc(
        "Checks whether an AOR has a contact at one of the IP addresses that the variable `ip` holds, and at the \
         port that `port` holds at the same place. 1: it has; -1: it has none; -2: no address of record, or the \
         Contact of the message cannot be read.",
    )
}

fn address_removal(domains: &Domains) -> Function<Context> {
    const PARAMS: &[Param] =
        &[must("ip"), Param::required("port", ParamKind::Int), must("domain"), may("aor")];
    let domains = domains.clone();
    Function::new("remove_ip_port", PARAMS, Routes::ANY, move |site| {
        let domain = domain(site, 2, &domains)?;
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let (host, port) = (as_text(&arguments[0]).unwrap_or_default(), arguments[1].to_int());
            let Some(port) = port.filter(|_| !host.is_empty()) else { return Outcome::FALSE };
            remove_at(cx, domain, given(&arguments[3]).as_ref(), host, port)
        });
        Ok(call)
    })
    .doc(
        "Removes the contacts whose next hop is at this IP address and port: those of `aor`, or of all AORs of the \
         domain. 1: they are gone, also if there were none; -1: `aor` is no address of record, or there is no room.",
    )
}

/// A function of a domain and texts.
fn simple(
    name: &'static str,
    params: &'static [Param],
    routes: Routes,
    domains: &Domains,
    act: fn(&mut Context, usize, &[Value]) -> bool,
) -> Function<Context> {
    let domains = domains.clone();
    Function::new(name, params, routes, move |site| {
        let domain = domain(site, 0, &domains)?;
        let call: Call<Context> = Rc::new(move |cx, arguments| act(cx, domain, arguments).into());
        Ok(call)
    })
}

/// A function of a domain and flags, which are read when the script is loaded if they are constant. `act` is given none
/// when flags that a variable holds cannot be read.
fn with_flags<F: 'static>(
    name: &'static str,
    params: &'static [Param],
    routes: Routes,
    domains: &Domains,
    parse: fn(&[u8]) -> Result<F, String>,
    act: fn(&mut Context, usize, Option<&F>, &[Value]) -> Outcome<Context>,
) -> Function<Context> {
    let domains = domains.clone();
    Function::new(name, params, routes, move |site| {
        let domain = domain(site, 0, &domains)?;
        let constant =
            if site.is_absent(1) { Some(&b""[..]) } else { site.constant_str(1).map(Bytes::as_slice) };
        let known = constant.map(parse).transpose().map_err(|problem| ArgError::at(1, problem))?;
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            if known.is_some() {
                return act(cx, domain, known.as_ref(), arguments);
            }
            let flags = parse(&as_text(&arguments[1]).unwrap_or_default());
            if let Err(problem) = &flags {
                tracing::error!("{name}: {problem}");
            }
            act(cx, domain, flags.ok().as_ref(), arguments)
        });
        Ok(call)
    })
}

/// The place of the argument `at` among the domains of the script.
fn domain(site: &Site<'_, Context>, at: usize, domains: &Domains) -> Result<usize, ArgError> {
    let name = site.constant_str(at).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| ArgError::at(at, "the domain is a constant, such as \"location\""))?;
    domains.place(name).map_err(|problem| ArgError::at(at, problem))
}

/// An argument that was given and is not empty.
fn given(argument: &Value) -> Option<Bytes> {
    as_text(argument).filter(|text| !text.is_empty())
}

fn add_sock_hdr() -> Function<Context> {
    const NAME: &[Param] = &[must("hdr_name")];
    Function::new("add_sock_hdr", NAME, Routes::REQUEST, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            let name = as_text(&arguments[0]).unwrap_or_default();
            let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
            if name.is_empty() || !name.iter().all(is_token) {
                tracing::error!("add_sock_hdr: `{}` cannot be the name of a header field", name.lossy());
                return Outcome::FALSE;
            }
            let socket = &cx.server().network.sockets.listener(cx.received.socket).name;
            cx.edits.append_header(&cx.message, &name, socket.as_bytes());
            Outcome::TRUE
        });
        Ok(call)
    })
    .doc(
        "Adds a header field of this name with the socket that the request arrived on. 1: done; -1: \
         it cannot be the name of a header field.",
    )
}
