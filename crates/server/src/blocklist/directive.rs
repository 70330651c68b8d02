//! The value of a `dst_blacklist` line: `name [/flag, ...] [: [!]network | { rule, ... }]`.

use thiserror::Error;

use super::rule::{Rule, RuleError};

/// Rules that one line may have.
pub const MAX_RULES: usize = 1024;

/// What a list may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListFlags {
    /// Its rules may end after a time.
    pub expire: bool,
    /// It is used for each message, without being asked for.
    pub default: bool,
    /// It stays as it was written.
    pub readonly: bool,
}

/// A list as it is written in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub flags: ListFlags,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Why a line does not define a list.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DirectiveError {
    /// There is no name, or it has other characters than letters, digits, `_`, `-` and `.`.
    #[error("`{0}` is not a name for a list: write name:{{(proto, ip/mask, port, \"pattern\"), ...}}")]
    Name(String),
    /// A flag that does not exist.
    #[error("`{0}` is not a flag of a list: expire, default and readonly are there")]
    Flag(String),
    /// Flags that exclude each other.
    #[error("the rules of a readonly list do not expire: leave one of the two flags out")]
    Flags,
    /// Something is wrong around the rules.
    #[error("`{0}`: rules stand in parentheses, with commas between them, and one pair of braces around all")]
    Braces(String),
    /// There are too many rules.
    #[error("a list has {MAX_RULES} rules at most")]
    TooMany,
    /// One rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl Definition {
    /// Reads what follows `dst_blacklist =`.
    pub fn parse(line: &str) -> Result<Self, DirectiveError> {
        let line = line.trim().trim_end_matches(';').trim_end();
        // A colon in an IPv6 address comes after the one behind the name.
        let (head, rules) = line.split_once(':').map_or((line, ""), |(head, rules)| (head, rules.trim()));
        let (name, flags) = head.split_once('/').map_or((head, None), |(name, flags)| (name, Some(flags)));
        let name = name.trim();
        let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(of_a_name) {
            return Err(DirectiveError::Name(name.to_owned()));
        }
        let flags = match flags {
            Some(flags) => ListFlags::parse(flags)?,
            None => ListFlags { readonly: true, ..ListFlags::default() },
        };
        Ok(Self { name: name.to_owned(), flags, rules: all_rules(rules)? })
    }
}

impl ListFlags {
    fn parse(text: &str) -> Result<Self, DirectiveError> {
        let mut flags = Self::default();
        for flag in text.split(',') {
            match flag.trim() {
                "expire" => flags.expire = true,
                "default" => flags.default = true,
                "readonly" => flags.readonly = true,
                other => return Err(DirectiveError::Flag(other.to_owned())),
            }
        }
        if flags.expire && flags.readonly { Err(DirectiveError::Flags) } else { Ok(flags) }
    }

    /// As they are written: `expire, default`; empty for none.
    pub fn names(self) -> String {
        let named = [(self.expire, "expire"), (self.default, "default"), (self.readonly, "readonly")];
        named.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
    }
}

fn all_rules(text: &str) -> Result<Vec<Rule>, DirectiveError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let braces = || DirectiveError::Braces(text.to_owned());
    let Some(inner) = text.strip_prefix('{') else {
        return Ok(vec![Rule::parse(text)?]);
    };
    let mut rest = inner.strip_suffix('}').ok_or_else(braces)?.trim();
    let mut rules = Vec::new();
    while !rest.is_empty() {
        if rules.len() == MAX_RULES {
            return Err(DirectiveError::TooMany);
        }
        let end = rule_end(rest).ok_or_else(braces)?;
        rules.push(Rule::parse(&rest[..end])?);
        let after = rest[end..].trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) if !more.trim().is_empty() => more.trim_start(),
            None if after.is_empty() => after,
            _ => return Err(braces()),
        };
    }
    Ok(rules)
}

/// Where the rule in parentheses that `text` begins with ends. A parenthesis in quotes is not one.
fn rule_end(text: &str) -> Option<usize> {
    text.trim_start_matches('!').trim_start().starts_with('(').then_some(())?;
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b')' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(line: &str) -> Vec<String> {
        Definition::parse(line).unwrap().rules.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_examples_of_the_manual() {
        let gw =
            Definition::parse(r#"gw:{(tcp, 192.168.4.100, 5060, ""), (any, 192.168.4.101, 0, "")}"#).unwrap();
        assert_eq!((gw.name.as_str(), gw.flags.names().as_str(), gw.rules.len()), ("gw", "readonly", 2));
        let filter = r#"msg_filter:{(any, 192.168.20.0/255.255.255.0, 0, "MESSAGE*ugly_word)")}"#;
        assert_eq!(rules(filter), [r#"(any, 192.168.20.0/24, 0, "MESSAGE*ugly_word)")"#]);
        assert_eq!(rules(r#"net_filter2:{!(any, 194.168.30.0/24, 0, "")}"#).len(), 1);
        let dynamic = Definition::parse("net_dynamic/expire").unwrap();
        assert_eq!((dynamic.flags.names().as_str(), dynamic.rules.len()), ("expire", 0));
        let both = Definition::parse("x/expire, default : !10.0.0.0/8;").unwrap();
        assert_eq!((both.flags.names().as_str(), both.rules.len()), ("expire, default", 1));
        assert_eq!(rules("six:{(2001:db8::/32)}"), [r#"(any, 2001:db8::/32, 0, "")"#]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |line: &str| Definition::parse(line).unwrap_err();
        assert!(matches!(error(""), DirectiveError::Name(_)));
        assert!(matches!(error("a b:{}"), DirectiveError::Name(_)));
        assert_eq!(error("x/often"), DirectiveError::Flag("often".into()));
        assert_eq!(error("x/expire,readonly"), DirectiveError::Flags);
        assert!(matches!(error("x:{(any, 10.0.0.1)"), DirectiveError::Braces(_)));
        assert!(matches!(error("x:{(any, 10.0.0.1) (any, 10.0.0.2)}"), DirectiveError::Braces(_)));
        assert!(matches!(error("x:{(any, 10.0.0.1),}"), DirectiveError::Braces(_)));
        assert!(matches!(error("x:{10.0.0.1}"), DirectiveError::Braces(_)));
        assert!(matches!(error("x:{(any, here)}"), DirectiveError::Rule(RuleError::Network(_))));
        let many = vec!["(10.0.0.1)"; MAX_RULES + 1].join(",");
        assert_eq!(error(&format!("x:{{{many}}}")), DirectiveError::TooMany);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in r#"[a-z0-9!(){},/:". ]{0,40}"#) {
            let _ = Definition::parse(&line);
        }
    }
}
