//! Blocklists in a script: which ones a message is held against, and rules that come and go (manual, "Core Functions").

use std::cell::RefCell;
use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Param, ParamKind, Routes, Value};

use super::values::as_text;
use crate::blocklist::{MAX_PATTERN_BYTES, Network, Probe, Rule, RuleError, Scope, protocol};
use crate::context::Context;
use crate::time::now_ms;

/// The lists that a script names, and where: whether there are such lists is seen when the configuration has been read.
pub(crate) type WrittenLists = Rc<RefCell<Vec<(Bytes, String)>>>;

pub(super) fn functions(written: &WrittenLists) -> Vec<Function<Context>> {
    const LIST: &[Param] = &[Param::required("bl_name", ParamKind::Str)];
    const CHECK: &[Param] = &[
        Param::optional("bl_name", ParamKind::Str),
        Param::required("ip", ParamKind::Str),
        Param::optional("port", ParamKind::Int),
        Param::optional("proto", ParamKind::Str),
        Param::optional("pattern", ParamKind::Str),
    ];
    const REMOVE: &[Param] = &[
        Param::required("bl_name", ParamKind::Str),
        Param::required("ip", ParamKind::Str),
        Param::optional("port", ParamKind::Int),
        Param::optional("proto", ParamKind::Str),
        Param::optional("pattern", ParamKind::Str),
    ];
    const ADD: &[Param] = &[
        Param::required("bl_name", ParamKind::Str),
        Param::required("ip", ParamKind::Str),
        Param::optional("port", ParamKind::Int),
        Param::optional("proto", ParamKind::Str),
        Param::optional("pattern", ParamKind::Str),
        Param::optional("expire", ParamKind::Int),
    ];
    vec![
        function(written, "use_blacklist", LIST, |cx, arguments| {
            let bit = bit(cx, &arguments[0], "use_blacklist");
            cx.blocklists |= bit.unwrap_or(0);
            bit.is_some()
        })
        .doc(
            "Sends this message to no destination that the blacklist matches. 1: done; -1: there \
             is no such list.",
        ),
        function(written, "unuse_blacklist", LIST, |cx, arguments| {
            let bit = bit(cx, &arguments[0], "unuse_blacklist");
            cx.blocklists &= !bit.unwrap_or(0);
            bit.is_some()
        })
        .doc("Takes the effect of use_blacklist() back. 1: done; -1: there is no such list."),
        function(written, "check_blacklist_rule", CHECK, check).doc(
            "Whether a destination matches the blacklist; without a name, those that the message \
             uses. 1: it does; -1: it does not.",
        ),
        function(written, "add_blacklist_rule", ADD, add)
            .doc("Adds a rule to a blacklist, for `expire` seconds or for good. 1: done; -1: it failed."),
        function(written, "del_blacklist_rule", REMOVE, remove)
            .doc("Removes a rule from a blacklist. 1: done; -1: there is no such rule."),
    ]
}

fn function(
    written: &WrittenLists,
    name: &'static str,
    params: &'static [Param],
    act: fn(&mut Context, &[Value]) -> bool,
) -> Function<Context> {
    let written = Rc::clone(written);
    Function::new(name, params, Routes::ANY, move |site| {
        if let Some(list) = site.constant_str(0) {
            let place = site.place();
            written.borrow_mut().push((list.clone(), format!("{}:{}", place.file, place.line)));
        }
        let call: Call<Context> = Rc::new(move |cx, arguments| act(cx, arguments).into());
        Ok(call)
    })
}

fn bit(cx: &Context, name: &Value, function: &str) -> Option<u32> {
    let name = as_text(name).unwrap_or_default();
    let bit = cx.server().blocklists.bit(&name);
    if bit.is_none() {
        tracing::error!("{function}: there is no blocklist `{}`: define it with dst_blacklist", name.lossy());
    }
    bit
}

/// Without a name, the lists that the message uses.
fn check(cx: &mut Context, arguments: &[Value]) -> bool {
    let used = match as_text(&arguments[0]) {
        None => cx.blocklists,
        Some(_) => match bit(cx, &arguments[0], "check_blacklist_rule") {
            Some(bit) => bit,
            None => return false,
        },
    };
    let pattern = as_text(&arguments[4]).unwrap_or_default();
    match rule(&arguments[1..4], &Bytes::default()) {
        Ok(rule) => {
            let Scope { protocol, network, port, .. } = rule.scope;
            let probe = Probe { protocol, ip: network.address(), port, message: &pattern };
            cx.server().blocklists.matches(used, &probe)
        }
        Err(cause) => refused("check_blacklist_rule", &cause),
    }
}

fn add(cx: &mut Context, arguments: &[Value]) -> bool {
    let seconds = arguments[5].to_int().and_then(|seconds| u32::try_from(seconds).ok()).filter(|n| *n > 0);
    let rule = match rule(&arguments[1..4], &as_text(&arguments[4]).unwrap_or_default()) {
        Ok(rule) => rule,
        Err(cause) => return refused("add_blacklist_rule", &cause),
    };
    match cx.server().blocklists.add(&name(arguments), &rule, seconds, now_ms()) {
        Ok(_) => true,
        Err(cause) => refused("add_blacklist_rule", &cause),
    }
}

fn remove(cx: &mut Context, arguments: &[Value]) -> bool {
    let rule = match rule(&arguments[1..4], &as_text(&arguments[4]).unwrap_or_default()) {
        Ok(rule) => rule,
        Err(cause) => return refused("del_blacklist_rule", &cause),
    };
    match cx.server().blocklists.remove(&name(arguments), &rule) {
        Ok(was_there) => was_there,
        Err(cause) => refused("del_blacklist_rule", &cause),
    }
}

fn name(arguments: &[Value]) -> Bytes {
    as_text(&arguments[0]).unwrap_or_default()
}

/// The rule that address, port and protocol stand for; an address that begins with `!` negates it.
fn rule(arguments: &[Value], pattern: &Bytes) -> Result<Rule, RuleError> {
    let ip = as_text(&arguments[0]).unwrap_or_default();
    let ip = ip.lossy();
    let (negated, ip) = ip.strip_prefix('!').map_or((false, &*ip), |rest| (true, rest));
    let network = Network::parse(ip.trim())?;
    let port = match arguments[1].to_int() {
        None => 0,
        Some(port) => u16::try_from(port).map_err(|_| RuleError::Port(port.to_string()))?,
    };
    let protocol = match as_text(&arguments[2]) {
        None => None,
        Some(name) => protocol(&name.lossy())?,
    };
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(RuleError::Pattern(pattern.len()));
    }
    Ok(Rule { scope: Scope { negated, protocol, network, port }, pattern: pattern[..].into() })
}

fn refused(function: &str, cause: &dyn std::fmt::Display) -> bool {
    tracing::error!("{function}: {cause}");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(ip: &str, port: Value, protocol: Value) -> String {
        let arguments = [Value::str(ip), port, protocol];
        rule(&arguments, &Bytes::default()).map_or_else(|e| e.to_string(), |rule| rule.to_string())
    }

    #[test]
    fn a_rule_of_arguments() {
        assert_eq!(shown("10.0.0.1", Value::Null, Value::Null), "(any, 10.0.0.1, 0, \"\")");
        assert_eq!(
            shown("!10.0.0.0/8", Value::Int(5060), Value::str("TCP")),
            "!(tcp, 10.0.0.0/8, 5060, \"\")"
        );
        assert!(shown("10.0.0.1", Value::Int(70000), Value::Null).contains("is not a port"));
        assert!(shown("10.0.0.1", Value::Null, Value::str("x")).contains("is not a protocol"));
        assert!(shown("here", Value::Null, Value::Null).contains("neither an address"));
    }
}
