//! What is not counted: names that are too long, statistics beyond the limits.

/// How many statistics a group may have.
pub(super) const MAX_STATISTICS: usize = 10_000;
/// How long the name of one may be, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;

/// Why a statistic is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotCounted {
    Name,
    TooMany,
    Full,
    Group,
}

impl std::fmt::Display for NotCounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name => write!(f, "a name has 1 to {MAX_NAME_BYTES} bytes"),
            Self::TooMany => write!(f, "the group has {MAX_STATISTICS} statistics: no more may be made"),
            Self::Full => f.write_str("the shared memory is full: start with a larger -m"),
            Self::Group => f.write_str("there is no such group: name it in stat_groups"),
        }
    }
}
