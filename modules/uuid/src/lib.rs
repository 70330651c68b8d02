//! uuid: universally unique identifiers (RFC 9562) for scripts.
#![forbid(unsafe_code)]

use std::rc::Rc;

use md5::{Digest, Md5};
use sha1::Sha1;
use tocsin_script::{
    Accessor, ArgError, Call, Function, Index, ModuleSpec, Outcome, Param, ParamKind, Routes, Store, Value,
    Variable,
};
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::{Context, time};

/// The 128 bits of an identifier.
type Octets = [u8; 16];

/// Between the first day of the Gregorian calendar and 1970, in units of 100 ns (RFC 9562 section 5.1).
const GREGORIAN_EPOCH: u64 = 0x01b2_1dd2_1381_4000;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Uuid;

impl Module for Uuid {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { functions: vec![function()], variables: vec![variable()], ..ModuleSpec::new("uuid") }
    }

    fn start(&self, _: &mut Setup<'_>) -> Result<(), SetupError> {
        Ok(())
    }
}

fn variable() -> Variable<Context> {
    struct Random;
    impl Accessor<Context> for Random {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            Value::str(text(&random(cx)))
        }
    }
    Variable::declared("uuid", "A new identifier, made of random bits (version 4).", |_| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Random);
        Ok(accessor)
    })
}

fn function() -> Function<Context> {
    const PARAMS: &[Param] = &[
        Param::required("out_var", ParamKind::Output),
        Param::optional("version", ParamKind::StrOrInt),
        Param::optional("namespace", ParamKind::Str),
        Param::optional("name", ParamKind::Str),
    ];
    Function::new("uuid", PARAMS, Routes::ANY, |site| {
        let out = site.variable(0).ok_or_else(|| ArgError::at(0, "a variable for the result is needed"))?;
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let version = if arguments[1].is_null() { Some(0) } else { arguments[1].to_int() };
            let made = match version {
                Some(0 | 4) => Ok(random(cx)),
                Some(1) => Ok(timed(cx)),
                Some(version @ (3 | 5)) => named(version, &arguments[2], &arguments[3]),
                _ => Err("the version is 0, 1, 3, 4 or 5"),
            };
            let written = made.map_err(str::to_owned).and_then(|made| {
                out.write(cx, Value::str(text(&made)), Store::Set).map_err(|cause| cause.to_string())
            });
            match written {
                Ok(()) => Outcome::TRUE,
                Err(cause) => {
                    tracing::error!("uuid: {cause}");
                    Outcome::FALSE
                }
            }
        });
        Ok(call)
    })
    .doc(
        "Writes a new identifier into a variable. `version`: 0 or 4 random, 1 of the time, 3 (MD5) or 5 (SHA-1) of a \
         name within a namespace, which is an identifier itself. 1: done; -1: the version is unknown, or the namespace \
         is no identifier.",
    )
}

/// Version 4.
fn random(cx: &Context) -> Octets {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&cx.worker.unique().to_be_bytes());
    octets[8..].copy_from_slice(&cx.worker.unique().to_be_bytes());
    marked(octets, 4)
}

/// Version 1. The clock sequence and the node are random, so that no two processes make the same.
fn timed(cx: &Context) -> Octets {
    let time = (time::unix_micros() * 10).wrapping_add(GREGORIAN_EPOCH);
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&(time as u32).to_be_bytes());
    octets[4..6].copy_from_slice(&((time >> 32) as u16).to_be_bytes());
    octets[6..8].copy_from_slice(&((time >> 48) as u16).to_be_bytes());
    octets[8..].copy_from_slice(&cx.worker.unique().to_be_bytes());
    // a node that is no address of a network card has the multicast bit
    octets[10] |= 1;
    marked(octets, 1)
}

/// Versions 3 and 5.
fn named(version: i64, namespace: &Value, name: &Value) -> Result<Octets, &'static str> {
    let namespace = namespace.as_str().and_then(read).ok_or("the namespace is no identifier")?;
    let name = name.as_str().ok_or("a name is needed")?;
    let mut octets = [0; 16];
    if version == 3 {
        octets.copy_from_slice(&Md5::new().chain_update(namespace).chain_update(name).finalize());
        return Ok(marked(octets, 3));
    }
    octets.copy_from_slice(&Sha1::new().chain_update(namespace).chain_update(name).finalize()[..16]);
    Ok(marked(octets, 5))
}

/// With the bits that name version and variant.
fn marked(mut octets: Octets, version: u8) -> Octets {
    octets[6] = octets[6] & 0x0f | version << 4;
    octets[8] = octets[8] & 0x3f | 0x80;
    octets
}

fn text(octets: &Octets) -> String {
    let mut text = String::with_capacity(36);
    for (at, octet) in octets.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{octet:02x}"));
    }
    text
}

fn read(text: &[u8]) -> Option<Octets> {
    let dashes = [8, 13, 18, 23];
    if text.len() != 36 || dashes.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().enumerate().filter(|(at, _)| !dashes.contains(at));
    let mut digit = || char::from(*digits.next()?.1).to_digit(16);
    let mut octets = [0; 16];
    for octet in &mut octets {
        *octet = (digit()? << 4 | digit()?) as u8;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_testbench::{TestBed, first_line, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(Uuid), Rc::new(tocsin_sl::Sl)]);

    fn seen(script: &str, shown: &str) -> String {
        let lines = "loadmodule \"sl.so\"\nloadmodule \"uuid.so\"";
        let routes = format!("route {{ {script} sl_send_reply(200, \"{shown}\"); }}");
        let answer = TEST_BED.bench(lines, &routes).serve(&request("OPTIONS", "", ""), 1).remove(0);
        first_line(&answer).trim_start_matches("SIP/2.0 200 ").to_owned()
    }

    #[test]
    fn identifiers_have_their_form() {
        assert_eq!(seen("$var(u) = $uuid;", "$(var(u){s.len}) $(var(u){s.substr,14,1})"), "36 4");
        assert_eq!(seen("uuid($var(u));", "$rc $(var(u){s.substr,14,1})"), "1 4");
        assert_eq!(seen("uuid($var(u), 1);", "$rc $(var(u){s.substr,14,1})"), "1 1");
        assert_eq!(seen("$var(u) = \"old\"; uuid($var(u), 2);", "$rc $var(u)"), "-1 old");
        assert_eq!(seen("uuid($var(u), \"3\", \"nonsense\", \"x\");", "$rc"), "-1");
    }

    #[test]
    fn names_have_the_identifiers_of_the_rfc() {
        // RFC 9562 appendix A.2 and A.4: www.example.com in the namespace of DNS
        let dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        for (version, expected) in
            [(3, "5df41881-3aed-3515-88a7-2f4a814cf09e"), (5, "2ed6657d-e927-568b-95e1-2665a8aea6a2")]
        {
            let script = format!("uuid($var(u), \"{version}\", \"{dns}\", \"www.example.com\");");
            assert_eq!(seen(&script, "$var(u)"), expected);
        }
    }
}
