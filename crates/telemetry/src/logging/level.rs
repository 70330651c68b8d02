//! How much a line matters.

/// OpenSIPS's log levels, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// Immediate action is needed.
    Alert = -3,
    /// A critical situation.
    Critical = -2,
    /// An error.
    Error = -1,
    /// A warning.
    Warning = 1,
    /// Normal, but worth a note.
    Notice = 2,
    /// Information.
    Info = 3,
    /// Debugging.
    Debug = 4,
}

impl Level {
    /// The word in front of a line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DBG",
        }
    }

    /// Reads `L_ERR`, `L_INFO` ... or a number.
    pub fn parse(text: &str) -> Option<Self> {
        let all =
            [Self::Alert, Self::Critical, Self::Error, Self::Warning, Self::Notice, Self::Info, Self::Debug];
        if let Ok(number) = text.parse::<i32>() {
            return all.into_iter().find(|level| *level as i32 == number);
        }
        let names = ["L_ALERT", "L_CRIT", "L_ERR", "L_WARN", "L_NOTICE", "L_INFO", "L_DBG"];
        names.iter().position(|name| *name == text).map(|at| all[at])
    }

    /// The level of a number; one between or beyond the levels counts as the next one that is written at it.
    pub fn from_number(number: i32) -> Self {
        match number {
            ..=-3 => Self::Alert,
            -2 => Self::Critical,
            -1 => Self::Error,
            0 | 1 => Self::Warning,
            2 => Self::Notice,
            3 => Self::Info,
            4.. => Self::Debug,
        }
    }

    /// The number for the system's log (RFC 5424 section 6.2.1).
    pub(super) fn severity(self) -> u8 {
        match self {
            Self::Alert => 1,
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name_and_number() {
        assert_eq!(Level::parse("L_ERR"), Some(Level::Error));
        assert_eq!(Level::parse("3"), Some(Level::Info));
        assert_eq!(Level::parse("L_LOUD"), None);
        assert!(Level::Critical < Level::Error);
        assert_eq!(
            [-9, 0, 2, 9].map(Level::from_number),
            [Level::Alert, Level::Warning, Level::Notice, Level::Debug]
        );
    }
}
