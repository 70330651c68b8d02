//! The text of a subscriber's socket: `rabbitmq:[user[:password]@]host[:port]/[parameters?]routing_key`.

use tocsin_event::{Address, AddressError, MAX_SOCKET_BYTES, parse_host_port};

/// The port of a broker that is named without one.
const DEFAULT_PORT: u16 = 5672;
/// The name and the password of a user that is not named.
const DEFAULT_USER: &str = "guest";
/// Bytes of a short string of AMQP, the most that a name can have.
const MAX_NAME_BYTES: usize = 255;

/// Where and how events are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) user: String,
    pub(super) password: String,
    /// The broker's host, as it was written.
    pub(super) host: String,
    /// Empty for the default exchange, which takes a message to the queue that has the name of its routing key.
    pub(super) exchange: String,
    pub(super) routing_key: String,
    /// Whether the broker keeps messages on disk.
    pub(super) persistent: bool,
    /// The TLS domain of the connection, if it is encrypted.
    pub(super) tls_domain: Option<String>,
}

/// Reads what follows `rabbitmq:`. `tls`: whether a TLS domain may be named.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(scheme: &'static str, text: &str, tls: bool) -> Result<(Address, Target), AddressError> {
    let (broker, message) = text.split_once('/').ok_or_else(|| refused("no routing key is given"))?;
    let (credentials, place) = match broker.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, broker),
    };
    let (user, password) = match credentials.map(|given| given.split_once(':').ok_or(given)) {
        None => (DEFAULT_USER, DEFAULT_USER),
        Some(Err(user)) => (user, DEFAULT_USER),
        Some(Ok(both)) => both,
    };
    let place = match place.contains(':') {
        true => parse_host_port(scheme, place)?,
        false => parse_host_port(scheme, &format!("{place}:{DEFAULT_PORT}"))?,
    };
    let (parameters, routing_key) = message.split_once('?').unwrap_or(("", message));
    if routing_key.is_empty() {
        return Err(refused("no routing key is given"));
    }
    let host_and_port = place.socket.strip_prefix("rabbitmq:").unwrap_or(&place.socket);
    let mut target = Target {
        user: user.to_owned(),
        password: password.to_owned(),
        host: host_and_port.rsplit_once(':').map_or(host_and_port, |(host, _)| host).to_owned(),
        exchange: String::new(),
        routing_key: routing_key.to_owned(),
        persistent: false,
        tls_domain: None,
    };
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        target.set(parameter, tls)?;
    }
    target.check()?;
    let address =
        Address { socket: target.identity(scheme, host_and_port), shown: target.shown(scheme), ..place };
    if address.socket.len() > MAX_SOCKET_BYTES {
        return Err(AddressError::Text);
    }
    Ok((address, target))
}

impl Target {
    fn set(&mut self, parameter: &str, tls: bool) -> Result<(), AddressError> {
        match parameter.split_once('=').unwrap_or((parameter, "")) {
            ("persistent", "") => self.persistent = true,
            ("exchange", name) if !name.is_empty() => name.clone_into(&mut self.exchange),
            ("tls_domain", name) if !name.is_empty() => {
                if !tls {
                    return Err(refused("a `tls_domain` needs the parameter `use_tls` of event_rabbitmq"));
                }
                self.tls_domain = Some(name.to_owned());
            }
            _ => {
                return Err(AddressError::Other(format!(
                    "`{parameter}` is no parameter of a broker: there are `exchange=NAME`, `persistent` and \
                     `tls_domain=NAME`"
                )));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), AddressError> {
        let names = [&self.user, &self.exchange, &self.routing_key];
        if names.iter().any(|name| name.len() > MAX_NAME_BYTES) {
            return Err(refused("a user, an exchange and a routing key have at most 255 bytes"));
        }
        if self.user.contains('\0') || self.password.contains('\0') {
            return Err(refused("a user and a password have no zero byte"));
        }
        Ok(())
    }

    /// All that makes this subscriber another one than others.
    fn identity(&self, scheme: &str, host_and_port: &str) -> String {
        let Self { user, password, routing_key, .. } = self;
        let parameters: Vec<_> = [
            (!self.exchange.is_empty()).then(|| format!("exchange={}", self.exchange)),
            self.persistent.then(|| "persistent".to_owned()),
            self.tls_domain.as_ref().map(|name| format!("tls_domain={name}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        // Behind a `?`, the routing key is read as it is, even if it has another one.
        let parameters = parameters.join(";");
        format!("{scheme}:{user}:{password}@{host_and_port}/{parameters}?{routing_key}")
    }

    /// What lists show: neither the password nor the port (recorded).
    fn shown(&self, scheme: &str) -> String {
        let Self { user, host, exchange, routing_key, .. } = self;
        match exchange.as_str() {
            "" => format!("{scheme}:{user}@{host}/{routing_key}"),
            exchange => format!("{scheme}:{user}@{host}/{exchange}?{routing_key}"),
        }
    }
}

fn refused(why: &str) -> AddressError {
    AddressError::Other(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Address, Target) {
        parse("rabbitmq", text, true).unwrap()
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let (address, target) = read("127.0.0.1/q1");
        assert_eq!(address.shown, "rabbitmq:guest@127.0.0.1/q1");
        assert_eq!(address.socket, "rabbitmq:guest:guest@127.0.0.1:5672/?q1");
        assert_eq!((target.user.as_str(), target.password.as_str()), ("guest", "guest"));
        assert_eq!((target.exchange.as_str(), target.routing_key.as_str()), ("", "q1"));
        assert!(!target.persistent && target.tls_domain.is_none());
        assert_eq!(read("u@h.example:1/q").0.unresolved(), Some(("h.example", 1)));
        assert_eq!(read("u@h.example/q").1.host, "h.example");
    }

    #[test]
    fn everything_can_be_said() {
        let (address, target) =
            read("me:se:c@ret@127.0.0.1:20672/exchange=ex1;persistent;tls_domain=rmq?a?b/c");
        assert_eq!(address.shown, "rabbitmq:me@127.0.0.1/ex1?a?b/c");
        assert_eq!((target.user.as_str(), target.password.as_str()), ("me", "se:c@ret"));
        assert_eq!((target.exchange.as_str(), target.routing_key.as_str()), ("ex1", "a?b/c"));
        assert_eq!((target.persistent, target.tls_domain.as_deref()), (true, Some("rmq")));
    }

    #[test]
    fn the_identity_says_it_all() {
        for text in [
            "127.0.0.1/q1",
            "u@127.0.0.1/?a?b",
            "u:@127.0.0.1:9/persistent?q",
            "me:se:c@ret@127.0.0.1:20672/exchange=e x;persistent;tls_domain=rmq?a?b/c",
        ] {
            let (address, target) = read(text);
            let again = read(address.socket.strip_prefix("rabbitmq:").unwrap());
            assert_eq!(again, (address, target), "{text}");
        }
    }

    #[test]
    fn what_is_no_broker_is_refused() {
        for text in [
            "",
            "/q1",
            "127.0.0.1:20672",
            "127.0.0.1:20672/",
            "127.0.0.1/exchange=ex?",
            "127.0.0.1:abc/q1",
            "127.0.0.1:70000/q1",
            "127.0.0.1:0/q1",
            "127.0.0.1/exchange=?q1",
            "127.0.0.1/bogus=1?q1",
            "127.0.0.1/vhost=/?q1",
            "127.0.0.1/persistent=1?q1",
            "u\0:p@127.0.0.1/q1",
        ] {
            assert!(parse("rabbitmq", text, true).is_err(), "{text}");
        }
        assert!(parse("rabbitmq", &format!("127.0.0.1/{}", "q".repeat(256)), true).is_err());
        let refused = parse("rabbitmq", "127.0.0.1/tls_domain=x?q1", false).unwrap_err();
        assert!(refused.to_string().contains("use_tls"), "{refused}");
    }
}
