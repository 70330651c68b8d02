//! The module's parameters.

use tocsin_script::{Bytes, ModParam, Value};
use tocsin_server::flag_names::FlagNames;
use tocsin_server::module::{Parameters, SetupError};

use super::gruu::GruuMint;

const NO_PUSH: &str = "this version sends no push notifications";

const DEFAULT_EXPIRES: ModParam =
    natural("default_expires", 3600, "How long a contact without `expires` is kept.", "seconds");
const MIN_EXPIRES: ModParam =
    natural("min_expires", 60, "The shortest time for which a contact is kept; 0 is any.", "seconds");
const MAX_EXPIRES: ModParam =
    natural("max_expires", 0, "The longest time for which a contact is kept; 0 is any.", "seconds");
const DEFAULT_Q: ModParam =
    ModParam::number("default_q", -1, "The preference of a contact without `q`, in thousandths; -1 is none.")
        .within(-1, 1000, "");
const TCP_PERSISTENT_FLAG: ModParam = ModParam::number_or_text(
    "tcp_persistent_flag",
    "The message flag, by its name or number, of requests whose connection is kept for as long as their contacts; -1 is \
     none.",
)
.unset("no connection is kept");
const REALM_PREFIX: ModParam =
    ModParam::text("realm_prefix", "", "What is removed from the beginning of the domain of an AOR.");
const CASE_SENSITIVE: ModParam = ModParam::switch(
    "case_sensitive",
    true,
    "Whether AORs that differ in upper and lower case only are different.",
);
const RECEIVED_AVP: ModParam =
    avp("received_avp", "The AVP, written as `$avp(name)`, with the address that a registration came from.");
const RECEIVED_PARAM: ModParam = ModParam::text(
    "received_param",
    "received",
    "The parameter of contacts in responses that carries the address that a registration came from.",
)
.check(|value| {
    let name = value.as_str().unwrap_or_default();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    if !name.is_empty() && name.iter().all(is_token) {
        Ok(())
    } else {
        Err(format!("`{}` cannot be the name of a parameter", name.escape_ascii()))
    }
});
const MAX_CONTACTS: ModParam =
    natural("max_contacts", 0, "The most contacts of one AOR; 0 is any number.", "contacts");
const MAX_USERNAME_LEN: ModParam = natural("max_username_len", 64, "The longest user of an AOR.", "bytes");
const MAX_DOMAIN_LEN: ModParam = natural("max_domain_len", 64, "The longest domain of an AOR.", "bytes");
const MAX_AOR_LEN: ModParam = natural("max_aor_len", 256, "The longest AOR.", "bytes");
const MAX_CONTACT_LEN: ModParam = natural("max_contact_len", 255, "The longest URI of a contact.", "bytes")
    .without_effect("as in OpenSIPS 3.4.18, the size of a message is the only limit");
const ALLOW_DUP_CSEQ: ModParam = ModParam::switch(
    "allow_dup_cseq",
    false,
    "Whether a REGISTER with the Call-ID and CSeq of an earlier one counts as a newer one.",
);
const EXPIRES_MAX_DEVIATION: ModParam = ModParam::number(
    "expires_max_deviation",
    0,
    "The most by which the lifetime of a contact is lengthened or shortened at random, so that devices that came together \
     do not come together again; 0 is not at all.",
)
.within(-MAX_DEVIATION_S, MAX_DEVIATION_S, "seconds");
/// A day: more has no use.
const MAX_DEVIATION_S: i64 = 86_400;
const RETRY_AFTER: ModParam = natural(
    "retry_after",
    0,
    "What Retry-After in 5xx responses says; 0 is no such header field.",
    "seconds",
);
const SOCK_HDR_NAME: ModParam = ModParam::text(
    "sock_hdr_name",
    "",
    "The header field that names the socket on which another server received the registration.",
)
.unset("there is no such header field");
const MCONTACT_AVP: ModParam = avp(
    "mcontact_avp",
    "The AVP, written as `$avp(name)`, with the contact of this server that was sent to the main registrar.",
);
const ATTR_AVP: ModParam =
    avp("attr_avp", "The AVP, written as `$avp(name)`, with the text that save() attaches to a contact.");
const GRUU_SECRET: ModParam =
    ModParam::text("gruu_secret", "", "The secret that temporary GRUUs (RFC 5627) are encrypted with.")
        .unset("a secret of its own for each run of the server");
const DISABLE_GRUU: ModParam =
    ModParam::switch("disable_gruu", true, "Whether devices that ask for a GRUU (RFC 5627) get none.");
const PN_ENABLE: ModParam = ModParam::switch(
    "pn_enable",
    false,
    "Whether devices get push notifications (RFC 8599). Only 0 is possible so far.",
)
.check(no_push);
const PN_ENABLE_PURR: ModParam = ModParam::switch(
    "pn_enable_purr",
    false,
    "Whether devices get a PURR (RFC 8599). Only 0 is possible so far.",
)
.check(no_push);

/// What `modparam("registrar", ...)` may set.
pub(super) const NAMES: &[ModParam] = &[
    DEFAULT_EXPIRES,
    MIN_EXPIRES,
    MAX_EXPIRES,
    DEFAULT_Q,
    TCP_PERSISTENT_FLAG,
    REALM_PREFIX,
    CASE_SENSITIVE,
    RECEIVED_AVP,
    RECEIVED_PARAM,
    MAX_CONTACTS,
    MAX_USERNAME_LEN,
    MAX_DOMAIN_LEN,
    MAX_AOR_LEN,
    MAX_CONTACT_LEN,
    ALLOW_DUP_CSEQ,
    EXPIRES_MAX_DEVIATION,
    RETRY_AFTER,
    SOCK_HDR_NAME,
    MCONTACT_AVP,
    ATTR_AVP,
    GRUU_SECRET,
    DISABLE_GRUU,
    PN_ENABLE,
    ModParam::text("pn_providers", "", "The push notification services that devices may use.")
        .unset("")
        .without_effect(NO_PUSH),
    ModParam::text(
        "pn_ct_match_params",
        "pn-provider, pn-prid, pn-param",
        "Parameters by which contacts are matched.",
    )
    .without_effect(NO_PUSH),
    ModParam::number(
        "pn_pnsreg_interval",
        130,
        "Seconds before its end that a contact is due for a refresh.",
    )
    .without_effect(NO_PUSH),
    ModParam::number(
        "pn_trigger_interval",
        120,
        "Seconds before its end that the refresh of a contact is asked for.",
    )
    .without_effect(NO_PUSH),
    ModParam::number("pn_skip_pn_interval", 0, "Seconds after a registration without push notifications.")
        .without_effect(NO_PUSH),
    ModParam::number("pn_refresh_timeout", 6, "Seconds that a request waits for the refresh of a contact.")
        .without_effect(NO_PUSH),
    PN_ENABLE_PURR,
];

const fn natural(name: &'static str, default: u32, doc: &'static str, unit: &'static str) -> ModParam {
    ModParam::number(name, default as i64, doc).within(0, u32::MAX as i64, unit)
}

const fn avp(name: &'static str, doc: &'static str) -> ModParam {
    ModParam::text(name, "", doc).unset("there is no such AVP").check(|value| match avp_name(value) {
        Some(_) => Ok(()),
        None => {
            let text = value.as_str().unwrap_or_default();
            Err(format!("`{}` is no AVP: write it as $avp(name)", text.escape_ascii()))
        }
    })
}

/// The name in `$avp(name)`.
fn avp_name(value: &Value) -> Option<&[u8]> {
    let inner = value.as_str()?.strip_prefix(b"$avp(")?.strip_suffix(b")")?;
    (!inner.is_empty()).then_some(inner)
}

fn no_push(value: &Value) -> Result<(), String> {
    match tocsin_script::is_on(value) {
        Some(true) => Err(format!("{NO_PUSH}: take the line out")),
        _ => Ok(()),
    }
}

/// The parameters that are acted on.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Seconds that a contact lives which says nothing.
    pub(super) default_expires: u32,
    /// The shortest life of a contact, in seconds; 0 is any.
    pub(super) min_expires: u32,
    /// The longest life of a contact, in seconds; 0 is any.
    pub(super) max_expires: u32,
    /// The preference of a contact that says nothing, in thousandths; -1 is none.
    pub(super) default_q: i32,
    /// Taken off the domain of an AOR.
    pub(super) realm_prefix: String,
    /// Whether AORs that differ in the case of letters are different.
    pub(super) case_sensitive: bool,
    /// The AVP with the address that a registration came from.
    pub(super) received_avp: Option<Bytes>,
    /// The parameter that carries that address.
    pub(super) received_param: String,
    /// Contacts that an AOR may have; 0 is any.
    pub(super) max_contacts: u32,
    /// Bytes of an AOR's user.
    pub(super) max_username_len: usize,
    /// Bytes of an AOR's domain.
    pub(super) max_domain_len: usize,
    /// Bytes of an AOR.
    pub(super) max_aor_len: usize,
    /// Whether a request with the CSeq of an earlier one is a newer one.
    pub(super) allow_dup_cseq: bool,
    /// The most by which a lifetime is changed at random, in seconds.
    pub(super) max_deviation: u32,
    /// Seconds in Retry-After of 5xx; 0 is no such header field.
    pub(super) retry_after: u32,
    /// The header field with the socket that a registration arrived on elsewhere.
    pub(super) sock_hdr_name: Option<Bytes>,
    /// The AVP with the contact that was sent to the main registrar.
    pub(super) mcontact_avp: Option<Bytes>,
    /// The AVP with what the script attaches to a contact.
    pub(super) attr_avp: Option<Bytes>,
    /// Makes and reads GRUUs (RFC 5627), if devices are given any.
    pub(super) gruu: Option<GruuMint>,
}

impl Settings {
    pub(super) fn new(given: &Parameters) -> Self {
        let natural = |row: &ModParam| given.int(row) as u32;
        let length = |row: &ModParam| given.int(row) as usize;
        let avp = |row: &ModParam| given.last(row).and_then(avp_name).map(Bytes::new);
        Self {
            default_expires: natural(&DEFAULT_EXPIRES),
            min_expires: natural(&MIN_EXPIRES),
            max_expires: natural(&MAX_EXPIRES),
            default_q: given.int(&DEFAULT_Q) as i32,
            realm_prefix: given.string(&REALM_PREFIX).to_ascii_lowercase(),
            case_sensitive: given.on(&CASE_SENSITIVE),
            received_avp: avp(&RECEIVED_AVP),
            received_param: given.string(&RECEIVED_PARAM),
            max_contacts: natural(&MAX_CONTACTS),
            max_username_len: length(&MAX_USERNAME_LEN),
            max_domain_len: length(&MAX_DOMAIN_LEN),
            max_aor_len: length(&MAX_AOR_LEN),
            allow_dup_cseq: given.on(&ALLOW_DUP_CSEQ),
            max_deviation: given.int(&EXPIRES_MAX_DEVIATION).unsigned_abs() as u32,
            retry_after: natural(&RETRY_AFTER),
            sock_hdr_name: given.last(&SOCK_HDR_NAME).and_then(Value::to_bytes),
            mcontact_avp: avp(&MCONTACT_AVP),
            attr_avp: avp(&ATTR_AVP),
            gruu: (!given.on(&DISABLE_GRUU)).then(|| GruuMint::new(given.string(&GRUU_SECRET).as_bytes())),
        }
    }
}

/// The bit of `tcp_persistent_flag`, which is a name, a number, or -1 for none; 0 when there is none.
pub(super) fn persistent_flag(given: &Parameters, names: &FlagNames) -> Result<u32, SetupError> {
    let Some(value) = given.last(&TCP_PERSISTENT_FLAG) else { return Ok(0) };
    let flag = value.to_int().map_or_else(|| value.clone(), Value::Int);
    if flag == Value::Int(-1) {
        return Ok(0);
    }
    names.bit(&flag).map_err(|problem| SetupError::Parameter {
        module: "registrar",
        name: TCP_PERSISTENT_FLAG.name,
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, Value)]) -> Result<Settings, String> {
        Parameters::checked(NAMES, given).map(|given| Settings::new(&given))
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let s = settings(&[]).unwrap();
        assert_eq!((s.default_expires, s.min_expires, s.max_expires, s.max_contacts), (3600, 60, 0, 0));
        assert_eq!((s.max_username_len, s.max_domain_len, s.max_aor_len), (64, 64, 256));
        assert!(s.case_sensitive && s.gruu.is_none() && !s.allow_dup_cseq);
        assert_eq!((s.default_q, s.received_param.as_str(), s.retry_after), (-1, "received", 0));
    }

    #[test]
    fn the_persistent_flag_is_that_of_the_script() {
        let names = FlagNames::default();
        let _ = names.bit(&"FIRST".into());
        let flag = |value: Value| {
            persistent_flag(&Parameters(vec![("tcp_persistent_flag".to_owned(), value)]), &names)
        };
        assert_eq!(persistent_flag(&Parameters::default(), &names).unwrap(), 0);
        assert_eq!(flag(Value::Int(-1)).unwrap(), 0);
        assert_eq!(flag("TCP_PERSIST".into()).unwrap(), 0b10);
        assert_eq!((flag(Value::Int(7)).unwrap(), flag("7".into()).unwrap()), (1 << 7, 1 << 7));
        assert!(flag(Value::Int(32)).is_err_and(|cause| cause.to_string().contains("tcp_persistent_flag")));
    }

    #[test]
    fn values_that_cannot_be_used_are_refused() {
        for (name, value) in [
            ("default_expires", Value::Int(-1)),
            ("default_q", Value::Int(1001)),
            ("received_avp", "rcv".into()),
            ("attr_avp", "$avp()".into()),
            ("received_param", "a b".into()),
            ("pn_enable", Value::Int(1)),
            ("pn_enable", "yes".into()),
        ] {
            assert!(settings(&[(name, value)]).is_err_and(|problem| problem.contains(name)), "{name}");
        }
        assert!(settings(&[("pn_enable", "false".into())]).is_ok());
        assert_eq!(
            settings(&[("received_avp", "$avp(rcv)".into())]).unwrap().received_avp,
            Some(Bytes::from("rcv"))
        );
    }
}
