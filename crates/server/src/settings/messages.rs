//! What is done with messages that nobody wrote a line of script for.

use tocsin_script::GlobalValue;

use super::values::{Parameter, SERVER_HEADER};
use crate::declared::DefaultValue::{Switch, Text};
use crate::declared::Effect::Sets;
use crate::declared::{Kind, set, text, truth};

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "server_signature",
        Kind::Switch,
        Switch(true),
        "Responses that the server makes itself carry a Server header.",
        Sets(|settings, value| set(&mut settings.server_signature, truth(value))),
    ),
    Parameter::new(
        "server_header",
        Kind::Text,
        Text(SERVER_HEADER),
        "The value of the Server header; `Server:` in front of it is left out.",
        Sets(|settings, value| set(&mut settings.server_header, header_value("Server:", value))),
    ),
    Parameter::new(
        "disable_503_translation",
        Kind::Switch,
        Switch(false),
        "A 503 from a next hop is sent on as it is. Otherwise it becomes 500, as RFC 3261 section 16.7 asks for.",
        Sets(|settings, value| set(&mut settings.forward_503, truth(value))),
    ),
    Parameter::new(
        "user_agent_header",
        Kind::Text,
        Text(SERVER_HEADER),
        "The value of the User-Agent header of requests that the server makes itself, if server_signature is on; \
         `User-Agent:` in front of it is left out.",
        Sets(|settings, value| set(&mut settings.user_agent_header, header_value("User-Agent:", value))),
    ),
    Parameter::new(
        "sip_warning",
        Kind::Switch,
        Switch(false),
        "Adds a Warning header to the responses that a script sends, with details of the request and of the server.",
        Sets(|settings, value| set(&mut settings.sip_warning, truth(value))),
    ),
    Parameter::without_effect(
        "check_via",
        Kind::Switch,
        "Drops replies whose topmost Via is not of this server.",
        "the topmost Via of a reply is not compared with the own addresses so far",
    ),
    Parameter::without_effect(
        "reply_to_via",
        Kind::AnyNumber,
        "Sends responses to the address in the Via instead of the one that the request came from.",
        "responses go where RFC 3261 section 18.2.2 and RFC 3581 say",
    ),
    Parameter::without_effect(
        "disable_stateless_fwd",
        Kind::Switch,
        "Drops replies that belong to no transaction.",
        "replies that belong to no transaction are forwarded in any case so far",
    ),
];

/// The value of a header that may be written with its name.
fn header_value(name: &str, value: &GlobalValue) -> Result<Vec<u8>, String> {
    let text = text(value)?;
    let header = text.strip_prefix(name).unwrap_or(&text).trim();
    if header.contains(['\r', '\n']) {
        return Err("a header is one line".to_owned());
    }
    Ok(header.as_bytes().to_vec())
}
