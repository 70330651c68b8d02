//! The module's parameters.

use tocsin_script::{Bytes, ModParam, Value};
use tocsin_server::flag_names::FlagNames;
use tocsin_server::module::{Parameters, SetupError};

const fn number(name: &'static str) -> ModParam {
    ModParam::number(name, 0, "")
}

const fn text(name: &'static str) -> ModParam {
    ModParam::text(name, "", "")
}

const fn either(name: &'static str) -> ModParam {
    ModParam::number_or_text(name, "")
}

/// What `modparam("registrar", ...)` may set.
pub(super) const NAMES: &[ModParam] = &[
    number("default_expires"),
    number("min_expires"),
    number("max_expires"),
    number("default_q"),
    either("tcp_persistent_flag"),
    text("realm_prefix"),
    number("case_sensitive"),
    text("received_avp"),
    text("received_param"),
    number("max_contacts"),
    number("max_username_len"),
    number("max_domain_len"),
    number("max_aor_len"),
    number("max_contact_len"),
    number("retry_after"),
    text("sock_hdr_name"),
    text("mcontact_avp"),
    text("attr_avp"),
    // Not acted on: it veils temporary GRUUs, which are not given out.
    text("gruu_secret"),
    number("disable_gruu"),
    either("pn_enable"),
    // Not acted on: they tune push notifications.
    text("pn_providers"),
    text("pn_ct_match_params"),
    number("pn_pnsreg_interval"),
    number("pn_trigger_interval"),
    number("pn_skip_pn_interval"),
    number("pn_refresh_timeout"),
    either("pn_enable_purr"),
];

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
    /// The parameter in which that address is told.
    pub(super) received_param: String,
    /// Contacts that an AOR may have; 0 is any.
    pub(super) max_contacts: u32,
    /// Bytes of an AOR's user.
    pub(super) max_username_len: usize,
    /// Bytes of an AOR's domain.
    pub(super) max_domain_len: usize,
    /// Bytes of an AOR.
    pub(super) max_aor_len: usize,
    /// Bytes of a contact URI.
    pub(super) max_contact_len: usize,
    /// Seconds in Retry-After of 5xx; 0 is no such header field.
    pub(super) retry_after: u32,
    /// The header field with the socket that a registration arrived on elsewhere.
    pub(super) sock_hdr_name: Option<Bytes>,
    /// The AVP with the contact that was sent to the main registrar.
    pub(super) mcontact_avp: Option<Bytes>,
    /// The AVP with what the script attaches to a contact.
    pub(super) attr_avp: Option<Bytes>,
    /// Whether devices are given a GRUU (RFC 5627).
    pub(super) gruu: bool,
}

impl Settings {
    pub(super) fn new(given: &Parameters) -> Result<Self, SetupError> {
        let natural = |name: &'static str, default: u32| {
            let value = given.number(name, default.into());
            u32::try_from(value)
                .map_err(|_| wrong(name, format!("{value} is out of range: give 0 to {}", u32::MAX)))
        };
        let length = |name, default| natural(name, default).map(|length| length as usize);
        for name in ["pn_enable", "pn_enable_purr"] {
            if is_on(given.value(name)) {
                return Err(wrong(
                    name,
                    "this version sends no push notifications: take the line out".to_owned(),
                ));
            }
        }
        let default_q = given.number("default_q", -1);
        if !(-1..=1000).contains(&default_q) {
            return Err(wrong(
                "default_q",
                format!("{default_q} is out of range: give 0 to 1000, or -1 for none"),
            ));
        }
        Ok(Self {
            default_expires: natural("default_expires", 3600)?,
            min_expires: natural("min_expires", 60)?,
            max_expires: natural("max_expires", 0)?,
            default_q: default_q as i32,
            realm_prefix: given.text("realm_prefix", "").to_ascii_lowercase(),
            case_sensitive: given.number("case_sensitive", 1) != 0,
            received_avp: avp(given, "received_avp")?,
            received_param: token(given, "received_param", "received")?,
            max_contacts: natural("max_contacts", 0)?,
            max_username_len: length("max_username_len", 64)?,
            max_domain_len: length("max_domain_len", 64)?,
            max_aor_len: length("max_aor_len", 256)?,
            max_contact_len: length("max_contact_len", 255)?,
            retry_after: natural("retry_after", 0)?,
            sock_hdr_name: given.value("sock_hdr_name").and_then(Value::to_bytes),
            mcontact_avp: avp(given, "mcontact_avp")?,
            attr_avp: avp(given, "attr_avp")?,
            gruu: given.number("disable_gruu", 1) == 0,
        })
    }
}

/// The bit of `tcp_persistent_flag`, which is a name, a number, or -1 for none; 0 when there is none.
pub(super) fn persistent_flag(given: &Parameters, names: &FlagNames) -> Result<u32, SetupError> {
    const NAME: &str = "tcp_persistent_flag";
    let Some(value) = given.value(NAME) else { return Ok(0) };
    let flag = value.to_int().map_or_else(|| value.clone(), Value::Int);
    if flag == Value::Int(-1) {
        return Ok(0);
    }
    names.bit(&flag).map_err(|problem| wrong(NAME, problem))
}

fn is_on(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Int(number)) => *number != 0,
        Some(Value::Str(text)) => {
            !matches!(&*text.to_ascii_lowercase(), b"" | b"0" | b"no" | b"off" | b"false")
        }
        _ => false,
    }
}

/// The name in `$avp(name)`.
fn avp(given: &Parameters, name: &'static str) -> Result<Option<Bytes>, SetupError> {
    let Some(value) = given.value(name).and_then(Value::to_bytes) else { return Ok(None) };
    let inner = value
        .strip_prefix(b"$avp(")
        .and_then(|rest| rest.strip_suffix(b")"))
        .filter(|inner| !inner.is_empty());
    match inner {
        Some(inner) => Ok(Some(Bytes::new(inner))),
        None => Err(wrong(name, format!("`{}` is no AVP: write it as $avp(name)", value.lossy()))),
    }
}

fn token(given: &Parameters, name: &'static str, default: &str) -> Result<String, SetupError> {
    let text = given.text(name, default);
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
        && !text.is_empty()
    {
        Ok(text)
    } else {
        Err(wrong(name, format!("`{text}` cannot be the name of a parameter")))
    }
}

fn wrong(name: &'static str, problem: String) -> SetupError {
    SetupError::Parameter { module: "registrar", name, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, Value)]) -> Result<Settings, String> {
        let list = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Settings::new(&Parameters(list)).map_err(|cause| cause.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let s = settings(&[]).unwrap();
        assert_eq!((s.default_expires, s.min_expires, s.max_expires, s.max_contacts), (3600, 60, 0, 0));
        assert_eq!(
            (s.max_username_len, s.max_domain_len, s.max_aor_len, s.max_contact_len),
            (64, 64, 256, 255)
        );
        assert!(s.case_sensitive && !s.gruu);
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
