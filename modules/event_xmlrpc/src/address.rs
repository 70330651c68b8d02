//! What stands behind `xmlrpc:`.

use hyper::Uri;
use tocsin_event::{Address, AddressError, parse_host_port};

/// The path of a call where none is given.
const PATH: &str = "/RPC2";

/// The parts of `host:port[/path]:method`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// `host:port`
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
}

impl<'a> Place<'a> {
    /// Takes the text apart.
    ///
    /// # Errors
    /// A part is missing, or the path cannot be one.
    pub(crate) fn read(text: &'a str) -> Result<Self, AddressError> {
        let other = |why: String| AddressError::Other(why);
        let (place, method) = text.rsplit_once(':').ok_or_else(|| AddressError::Port(text.into()))?;
        if method.is_empty() {
            return Err(other(format!("no method in `{text}`: give xmlrpc:host:port[/path]:method")));
        }
        let slash = place.find('/').unwrap_or(place.len());
        let (authority, path) = place.split_at(slash);
        if !authority.contains(':') {
            return Err(other(format!(
                "no port or no method in `{text}`: give xmlrpc:host:port[/path]:method"
            )));
        }
        let path = if path.is_empty() { PATH } else { path };
        let is_path =
            path.parse::<Uri>().is_ok_and(|uri| uri.path_and_query().is_some_and(|all| all == path));
        if is_path {
            Ok(Self { authority, path, method })
        } else {
            Err(other(format!("`{path}` is no path")))
        }
    }
}

/// Reads the address of a subscriber.
///
/// # Errors
/// It is none.
pub(crate) fn parse(scheme: &'static str, text: &str) -> Result<Address, AddressError> {
    let Place { authority, path, method } = Place::read(text)?;
    let place = parse_host_port(scheme, authority)?;
    let path = if path == PATH { "" } else { path };
    let socket = format!("{}{path}:{method}", place.socket);
    Ok(Address { shown: socket.clone(), socket, ..place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_what_is_none() {
        for (text, socket, path, method) in [
            ("127.0.0.1:22111:m", "xmlrpc:127.0.0.1:22111:m", "/RPC2", "m"),
            ("127.0.0.1:22111/path:m.n", "xmlrpc:127.0.0.1:22111/path:m.n", "/path", "m.n"),
            ("127.0.0.1:22111/RPC2:m", "xmlrpc:127.0.0.1:22111:m", "/RPC2", "m"),
            ("localhost:1/a:b/?c=d:m", "xmlrpc:localhost:1/a:b/?c=d:m", "/a:b/?c=d", "m"),
            ("some.host:1/:m m", "xmlrpc:some.host:1/:m m", "/", "m m"),
        ] {
            assert_eq!(parse("xmlrpc", text).unwrap().socket, socket);
            let place = Place::read(text).unwrap();
            assert_eq!((place.path, place.method), (path, method), "{text}");
        }
        for bad in [
            "",
            "127.0.0.1",
            "127.0.0.1:22111",
            "127.0.0.1:22111:",
            "127.0.0.1::m",
            ":22111:m",
            "127.0.0.1:abc:m",
            "127.0.0.1:0:m",
            "127.0.0.1:70000:m",
            "127.0.0.1/RPC3:22111:m",
            "127.0.0.1:22111/a b:m",
            "127.0.0.1:22111/a#b:m",
            "127.0.0.1:22111/a\r\nX: y:m",
        ] {
            assert!(parse("xmlrpc", bad).is_err(), "{bad}");
        }
    }
}
