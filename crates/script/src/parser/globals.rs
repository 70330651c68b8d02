//! Global parameters and the small grammars of their values (manual, "Core Parameters").

use std::ops::RangeInclusive;

use super::{Parsed, Parser};
use crate::global::{GlobalValue, ProfileSpec, SocketOption, SocketSpec};
use crate::lexer::Kind;
use crate::library::GlobalKind;
use crate::source::Span;
use crate::tree::{Spanned, Tree};
use crate::value::Bytes;

/// The most processes that a profile may ask for, as `-n` does.
const MAX_PROCESSES: u32 = 1024;
/// The most cycles that a profile may look back.
const MAX_CYCLES: u32 = 1_000;

const YES: &[&str] = &["yes", "true", "on", "enable"];
const NO: &[&str] = &["no", "false", "off", "disable"];

impl Parser<'_> {
    pub(super) fn global(&mut self, name: Spanned<String>, tree: &mut Tree) -> Parsed<()> {
        let Some(kind) = self.globals.get(name.node.as_str()).copied() else {
            return self.unknown_global(&name);
        };
        self.expect("=")?;
        // What is left of a line is not to be read as tokens.
        let begins = (kind != GlobalKind::Line).then(|| self.peek().span);
        let value = match kind {
            GlobalKind::Int => GlobalValue::Int(self.global_int()?),
            GlobalKind::Str => GlobalValue::Str(self.global_str()?),
            GlobalKind::Bool => GlobalValue::Bool(self.global_bool()?),
            GlobalKind::Socket => GlobalValue::Socket(self.socket(tree, parse_socket)?),
            GlobalKind::Alias => GlobalValue::Socket(self.socket(tree, parse_alias)?),
            GlobalKind::Workers => self.workers(tree)?,
            GlobalKind::Profile => GlobalValue::Profile(self.profile(tree)?),
            GlobalKind::Line => GlobalValue::Str(self.line()),
        };
        let span = begins.map_or(self.last, |begins| begins.to(self.last));
        tree.globals.push((name, Spanned { node: value, span }));
        Ok(())
    }

    fn global_int(&mut self) -> Parsed<i64> {
        let negative = self.accept("-");
        let token = self.take();
        match &token.kind {
            Kind::Int(number) => Ok(if negative { -number } else { *number }),
            Kind::Word(word) if !negative => match truth(word) {
                Some(truth) => Ok(i64::from(truth)),
                None => self.unexpected(&token, "a number expected"),
            },
            _ => self.unexpected(&token, "a number expected"),
        }
    }

    fn global_bool(&mut self) -> Parsed<bool> {
        let token = self.take();
        let value = match &token.kind {
            Kind::Int(number) => Some(*number != 0),
            Kind::Word(word) => truth(word),
            _ => None,
        };
        match value {
            Some(value) => Ok(value),
            None => self.unexpected(&token, "yes or no expected"),
        }
    }

    /// A string in quotes, or a path or name without.
    fn global_str(&mut self) -> Parsed<Bytes> {
        if let Kind::Text(text) = &self.peek().kind {
            let bytes = text.bytes.clone();
            self.take();
            return Ok(bytes);
        }
        let (word, span) = self.raw(b";#");
        if word.is_empty() {
            return self.fail(self.last.to(span), "syntax error: a string expected");
        }
        Ok(Bytes::from(word))
    }

    /// All that is left of the line.
    fn line(&mut self) -> Bytes {
        if let Some(token) = self.peeked.take() {
            self.lexer.rewind(token.span);
        }
        let (line, span) = self.lexer.rest_of_line();
        self.last = span;
        Bytes::from(line)
    }

    /// `N [use_auto_scaling_profile NAME]`.
    fn workers(&mut self, tree: &mut Tree) -> Parsed<GlobalValue> {
        let count = self.count("a number of workers expected")?;
        let profile = match self.accept_word("use_auto_scaling_profile") {
            true => Some(self.profile_name(tree)?),
            false => None,
        };
        Ok(GlobalValue::Workers { count, profile })
    }

    /// A profile that is used here; whether there is such a one is seen when all is read.
    fn profile_name(&mut self, tree: &mut Tree) -> Parsed<String> {
        let name = self.word("the name of an auto-scaling profile expected")?;
        tree.profiles_used.push(name.clone());
        Ok(name.node)
    }

    /// `NAME scale up to N on P% for C cycles [within W] [scale down to N on P% for C cycles]`.
    fn profile(&mut self, tree: &mut Tree) -> Parsed<ProfileSpec> {
        let name = self.word("the name of an auto-scaling profile expected")?;
        tree.profiles.push(name.clone());
        let name = name.node;
        let braced = self.accept("{");
        self.keywords(&["scale", "up", "to"])?;
        let (most, up_percent, up_cycles) = self.scaling(1..=MAX_PROCESSES)?;
        let up_window = match self.accept_word("within") {
            true => {
                let what = format!("the cycles of `within` are {up_cycles} (those of `for`) to {MAX_CYCLES}");
                let window =
                    self.count_within("a number of cycles expected", up_cycles..=MAX_CYCLES, &what)?;
                self.accept_word("cycles");
                window
            }
            false => up_cycles,
        };
        let mut profile = ProfileSpec { name, most, up_percent, up_cycles, up_window, down: None };
        if self.is_word("scale") {
            self.keywords(&["scale", "down", "to"])?;
            profile.down = Some(self.scaling(1..=most)?);
        }
        if braced {
            self.expect("}")?;
        }
        Ok(profile)
    }

    fn scaling(&mut self, processes: RangeInclusive<u32>) -> Parsed<(u32, u32, u32)> {
        let what =
            format!("a group is scaled to {} to {} processes here", processes.start(), processes.end());
        let processes = self.count_within("a number of processes expected", processes, &what)?;
        self.keywords(&["on"])?;
        let what = "a load is 1 to 100 percent";
        let percent = self.count_within("a percentage expected", 1..=100, what)?;
        self.expect("%")?;
        self.keywords(&["for"])?;
        let what = format!("a profile looks at 1 to {MAX_CYCLES} cycles");
        let cycles = self.count_within("a number of cycles expected", 1..=MAX_CYCLES, &what)?;
        self.keywords(&["cycles"])?;
        Ok((processes, percent, cycles))
    }

    /// A number that has to be in `range`, as `what` says.
    fn count_within(&mut self, expected: &str, range: RangeInclusive<u32>, what: &str) -> Parsed<u32> {
        let count = self.count(expected)?;
        if range.contains(&count) { Ok(count) } else { self.fail(self.last, what) }
    }

    fn keywords(&mut self, words: &[&str]) -> Parsed<()> {
        for word in words {
            if !self.accept_word(word) {
                let token = self.peek().clone();
                return self.unexpected(&token, &format!("`{word}` expected"));
            }
        }
        Ok(())
    }

    fn count(&mut self, expected: &str) -> Parsed<u32> {
        let token = self.take();
        let count = match token.kind {
            Kind::Int(number) => u32::try_from(number).ok(),
            _ => None,
        };
        match count {
            Some(count) => Ok(count),
            None => self.unexpected(&token, expected),
        }
    }

    /// `PROTOCOL:ADDRESS[:PORT[-PORT]] [OPTIONS]`.
    fn socket(
        &mut self,
        tree: &mut Tree,
        parse: fn(&str) -> Result<SocketSpec, String>,
    ) -> Parsed<SocketSpec> {
        let (word, span) = match &self.peek().kind {
            Kind::Text(text) => (text.bytes.lossy().into_owned(), self.take().span),
            _ => self.raw(b";#"),
        };
        let mut socket = match parse(&word) {
            Ok(socket) => socket,
            Err(message) => {
                let span = if word.is_empty() { self.last } else { span };
                return self.fail(span, message);
            }
        };
        while let Some(option) = self.socket_option(tree)? {
            socket.options.push(option);
        }
        Ok(socket)
    }

    fn socket_option(&mut self, tree: &mut Tree) -> Parsed<Option<SocketOption>> {
        let globals = self.globals;
        let token = self.peek();
        let Kind::Word(word) = &token.kind else { return Ok(None) };
        // `tos` is a parameter of its own as well
        if token.first && globals.contains_key(word.as_str()) {
            return Ok(None);
        }
        let plain = match word.to_ascii_lowercase().as_str() {
            "anycast" => Some(SocketOption::Anycast),
            "frag" => Some(SocketOption::Fragment),
            "reuse_port" => Some(SocketOption::ReusePort),
            "accept_subdomain" => Some(SocketOption::AcceptSubdomain),
            "as" | "use_workers" | "use_auto_scaling_profile" | "tag" | "tos" => None,
            _ => return Ok(None),
        };
        let word = word.to_ascii_lowercase();
        self.take();
        if plain.is_some() {
            return Ok(plain);
        }
        let option = match word.as_str() {
            "use_workers" => SocketOption::UseWorkers(self.count("a number of workers expected")?),
            "use_auto_scaling_profile" => SocketOption::UseAutoScalingProfile(self.profile_name(tree)?),
            "tag" => SocketOption::Tag(self.global_str()?.lossy().into_owned()),
            "tos" => SocketOption::TypeOfService(self.global_str()?.lossy().into_owned()),
            _ => self.advertised()?,
        };
        Ok(Some(option))
    }

    /// What follows `as`.
    fn advertised(&mut self) -> Parsed<SocketOption> {
        let (address, span) = self.raw(b";#");
        match parse_address(&address) {
            Ok((host, ports)) if ports.is_none_or(|(first, last)| first == last) && !host.is_empty() => {
                Ok(SocketOption::As { host, port: ports.map(|(port, _)| port) })
            }
            Ok(_) => self.fail(span, "an advertised address, as ADDRESS[:PORT], expected"),
            Err(message) => self.fail(span, message),
        }
    }

    /// The next word as it stands; a token looked at before is read again.
    pub(super) fn raw(&mut self, stops: &[u8]) -> (String, Span) {
        if let Some(token) = self.peeked.take() {
            self.lexer.rewind(token.span);
        }
        let (word, span) = self.lexer.word_until(stops);
        self.last = span;
        (word, span)
    }
}

fn truth(word: &str) -> Option<bool> {
    let word = word.to_ascii_lowercase();
    if YES.contains(&word.as_str()) {
        return Some(true);
    }
    NO.contains(&word.as_str()).then_some(false)
}

fn parse_socket(word: &str) -> Result<SocketSpec, String> {
    let Some((protocol, address)) = word.split_once(':') else {
        return Err(format!("`{word}` is not a socket: PROTOCOL:ADDRESS[:PORT] expected"));
    };
    if protocol.is_empty() || !protocol.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!("`{protocol}` is not a transport protocol"));
    }
    let (host, ports) = parse_address(address)?;
    if host.is_empty() {
        return Err("ip address or hostname expected".into());
    }
    Ok(SocketSpec { protocol: protocol.to_ascii_lowercase(), host, ports, options: Vec::new() })
}

/// A name of the server, for one protocol or, where none is named, for all.
fn parse_alias(word: &str) -> Result<SocketSpec, String> {
    let names_protocol = word.split_once(':').is_some_and(|(protocol, rest)| {
        let is_port = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
        !is_port && protocol.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if names_protocol {
        return parse_socket(word);
    }
    let (host, ports) = parse_address(word)?;
    if host.is_empty() {
        return Err("ip address or hostname expected".into());
    }
    Ok(SocketSpec { protocol: String::new(), host, ports, options: Vec::new() })
}

/// `HOST[:PORT[-PORT]]`, the host in brackets if it is an IPv6 address.
fn parse_address(address: &str) -> Result<(String, Option<(u16, u16)>), String> {
    let (host, ports) = match address.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or("`:PORT` expected after `]`")?)),
            None => return Err("`]` of an IPv6 address is missing".into()),
        },
        None => match address.split_once(':') {
            Some((host, ports)) => (host, Some(ports)),
            None => (address, None),
        },
    };
    let Some(ports) = ports else { return Ok((host.to_owned(), None)) };
    let port =
        |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is not a port: 0 to 65535 expected"));
    let (first, last) = match ports.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(ports)?, port(ports)?),
    };
    if last < first {
        return Err(format!("port range {first}-{last} ends before it begins"));
    }
    Ok((host.to_owned(), Some((first, last))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(parse_address("1.2.3.4"), Ok(("1.2.3.4".into(), None)));
        assert_eq!(parse_address("[::1]:5060"), Ok(("::1".into(), Some((5060, 5060)))));
        assert_eq!(parse_address("*:5060-5070"), Ok(("*".into(), Some((5060, 5070)))));
        for bad in ["a:70000", "a:", "[::1", "[::1]5060", "a:9-1", "::1"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
        assert!(parse_socket("127.0.0.1").is_err());
        let alias = |word| parse_alias(word).map(|spec| (spec.protocol, spec.host, spec.ports));
        assert_eq!(alias("a.example"), Ok((String::new(), "a.example".into(), None)));
        assert_eq!(alias("a.example:5070"), Ok((String::new(), "a.example".into(), Some((5070, 5070)))));
        assert_eq!(alias("tcp:a.example"), Ok(("tcp".into(), "a.example".into(), None)));
        assert!(parse_socket("udp:").is_err());
    }
}
