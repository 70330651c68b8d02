//! The URL of a database, as configurations write it (OpenSIPS manual, "Database URL"): `mysql://user:password@host:port/name`
//! or `sqlite:///path`.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The longest URL.
pub const MAX_URL_BYTES: usize = 1024;

/// Which kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// MySQL and MariaDB.
    Mysql,
    /// A file of SQLite.
    Sqlite,
}

impl Scheme {
    /// As it is written before `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }
}

/// Why a text is no URL of a database. Of the text only its scheme is repeated: behind it may be a password, in any place
/// where something was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Without `://`.
    #[error(
        "is no database URL: write one such as mysql://user:password@host/database or sqlite:///path/to/file"
    )]
    NoScheme,
    /// A scheme that nothing here can do.
    #[error("`{0}://` names a kind of database that is not supported: mysql and sqlite are")]
    UnknownScheme(String),
    /// No host, or one with characters that none has.
    #[error("has no usable host: write mysql://user:password@host/database")]
    Host,
    /// A port that is none.
    #[error("has a port that is no number from 1 to 65535: write mysql://user:password@host:port/database")]
    Port,
    /// No name of a database, or no path of a file.
    #[error(
        "does not say which database: write mysql://user:password@host/database or sqlite:///path/to/file"
    )]
    NoDatabase,
    /// Something behind `?` that is not known.
    #[error("has a parameter that is not known: unix_socket=/path is, after `?`")]
    Parameter,
    /// Longer than [`MAX_URL_BYTES`].
    #[error("is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
}

/// Where a database is, and who we are there. Prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Mysql(Mysql),
    Sqlite(PathBuf),
}

/// A database of a server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Mysql {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) database: String,
}

/// Where a database is.
pub(crate) enum Target<'a> {
    Mysql(&'a Mysql),
    Sqlite(&'a Path),
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// A [`UrlError`] that says what would be right.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(UrlError::NoScheme);
        }
        match scheme.to_ascii_lowercase().as_str() {
            "mysql" => mysql(rest).map(|mysql| Self(Place::Mysql(mysql))),
            "sqlite" if rest.is_empty() || rest.contains('\0') => Err(UrlError::NoDatabase),
            "sqlite" => Ok(Self(Place::Sqlite(PathBuf::from(rest)))),
            _ => Err(UrlError::UnknownScheme(scheme.to_owned())),
        }
    }

    /// The kind of database.
    pub fn scheme(&self) -> Scheme {
        match self.0 {
            Place::Mysql(_) => Scheme::Mysql,
            Place::Sqlite(_) => Scheme::Sqlite,
        }
    }

    pub(crate) fn target(&self) -> Target<'_> {
        match &self.0 {
            Place::Mysql(mysql) => Target::Mysql(mysql),
            Place::Sqlite(path) => Target::Sqlite(path),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Place::Mysql(mysql) => {
                write!(f, "mysql://")?;
                if !mysql.user.is_empty() {
                    write!(f, "{}@", mysql.user)?;
                }
                write!(f, "{}", mysql.host)?;
                if let Some(port) = mysql.port {
                    write!(f, ":{port}")?;
                }
                write!(f, "/{}", mysql.database)?;
                match &mysql.socket {
                    Some(socket) => write!(f, "?unix_socket={}", socket.display()),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What follows `mysql://`. A password may hold `/`, `:` and `@`: the last `@` ends it.
fn mysql(rest: &str) -> Result<Mysql, UrlError> {
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (credentials, place),
        None => ("", rest),
    };
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password.to_owned())),
        None => (credentials, None),
    };
    let (place, parameters) = place.split_once('?').unwrap_or((place, ""));
    let (authority, database) = place.split_once('/').ok_or(UrlError::NoDatabase)?;
    if database.is_empty() || database.contains(['/', '\0']) {
        return Err(UrlError::NoDatabase);
    }
    let (host, port) = host_and_port(authority)?;
    let mut socket = None;
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("unix_socket", path)) if path.starts_with('/') => socket = Some(PathBuf::from(path)),
            _ => {
                return Err(UrlError::Parameter);
            }
        }
    }
    Ok(Mysql { user: user.to_owned(), password, host, port, socket, database: database.to_owned() })
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
            match rest {
                "" => (address, None),
                _ => (address, Some(rest.strip_prefix(':').ok_or(UrlError::Host)?)),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(fits) {
        return Err(UrlError::Host);
    }
    let port = match port {
        None => None,
        Some(text) => Some(text.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?),
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Mysql {
        match Url::parse(text).unwrap().0 {
            Place::Mysql(mysql) => mysql,
            Place::Sqlite(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn all_parts_of_a_mysql_url_are_read() {
        let url = read("mysql://osips:p@w/x:y@127.0.0.1:20306/osips?unix_socket=/run/my.sock");
        assert_eq!((url.user.as_str(), url.password.as_deref()), ("osips", Some("p@w/x:y")));
        assert_eq!((url.host.as_str(), url.port, url.database.as_str()), ("127.0.0.1", Some(20306), "osips"));
        assert_eq!(url.socket.as_deref(), Some(Path::new("/run/my.sock")));
        let url = read("mysql://localhost/sip");
        assert_eq!((url.user.as_str(), url.password, url.port), ("", None, None));
        assert_eq!(read("mysql://a@[::1]:3307/x").host, "::1");
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = Url::parse("mysql://osips:secret@db.example.com:3307/sip").unwrap();
        assert_eq!(url.to_string(), "mysql://osips@db.example.com:3307/sip");
        assert_eq!(format!("{url:?}"), url.to_string());
        let url = Url::parse("sqlite:///var/lib/sip.db").unwrap();
        assert_eq!((url.to_string().as_str(), url.scheme()), ("sqlite:///var/lib/sip.db", Scheme::Sqlite));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "mysql://osips:SECRET/db",
            "mysql://osips:SECRET",
            "mysql://osips:SECRET@/db",
            "mysql://osips:SECRET@host:port/db",
            "mysql://osips:SECRET@host/",
            "mysql://host/db?user=osips&password=SECRET",
            "sqlite:SECRET",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, problem) in [
            ("mysql", UrlError::NoScheme),
            ("://x", UrlError::NoScheme),
            ("my sql://x", UrlError::NoScheme),
            ("postgres://a:b@c/d", UrlError::UnknownScheme("postgres".into())),
            ("mysql://a:b@c", UrlError::NoDatabase),
            ("mysql://a:b@c/", UrlError::NoDatabase),
            ("mysql://a:b@/d", UrlError::Host),
            ("mysql://a:b@c d/e", UrlError::Host),
            ("mysql://a:b@c:99999/d", UrlError::Port),
            ("mysql://a:b@c:0/d", UrlError::Port),
            ("mysql://a:b@c/d?colour=red", UrlError::Parameter),
            ("sqlite://", UrlError::NoDatabase),
        ] {
            assert_eq!(Url::parse(text).err(), Some(problem), "{text}");
        }
        assert_eq!(Url::parse(&"x".repeat(MAX_URL_BYTES + 1)), Err(UrlError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_panics_nor_gives_its_password_away(text in "(mysql|sqlite)://.{0,40}", word in "[a-z]{5}") {
            let _ = Url::parse(&text);
            let url = Url::parse(&format!("mysql://u:SECRET{word}@h/{word}")).unwrap();
            let shown = format!("{url} {url:?}");
            prop_assert!(!shown.contains("SECRET"));
        }
    }
}
