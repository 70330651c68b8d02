//! Facilities of the system's log.

/// Which part of the system a line is of, for the system's log (RFC 5424 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

/// The names that a configuration may use, each with its number.
const NAMES: [(&str, u8); 20] = [
    ("LOG_KERN", 0),
    ("LOG_USER", 1),
    ("LOG_MAIL", 2),
    ("LOG_DAEMON", 3),
    ("LOG_AUTH", 4),
    ("LOG_SYSLOG", 5),
    ("LOG_LPR", 6),
    ("LOG_NEWS", 7),
    ("LOG_UUCP", 8),
    ("LOG_CRON", 9),
    ("LOG_AUTHPRIV", 10),
    ("LOG_FTP", 11),
    ("LOG_LOCAL0", 16),
    ("LOG_LOCAL1", 17),
    ("LOG_LOCAL2", 18),
    ("LOG_LOCAL3", 19),
    ("LOG_LOCAL4", 20),
    ("LOG_LOCAL5", 21),
    ("LOG_LOCAL6", 22),
    ("LOG_LOCAL7", 23),
];

impl Facility {
    /// That of servers.
    pub const DAEMON: Self = Self(3);

    /// Reads a name such as `LOG_LOCAL0`.
    ///
    /// # Errors
    /// There is no such facility: says which there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, number)| Self(number)).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            format!("`{name}` is no facility of the system's log: give one of {names}")
        })
    }

    /// What stands in front of a line of this severity.
    pub(super) fn priority(self, severity: u8) -> u32 {
        u32::from(self.0) * 8 + u32::from(severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_the_numbers_of_the_rfc() {
        let priority = |name| Facility::parse(name).ok().map(|facility| facility.priority(5));
        assert_eq!(priority("LOG_DAEMON"), Some(29));
        assert_eq!(priority("LOG_LOCAL7"), Some(189));
        assert_eq!(priority("local0"), None);
    }
}
