//! The text of a case, cut into its parts.

use super::pattern::Pattern;

/// A case: its parts in order.
pub(crate) struct Case {
    pub(crate) parts: Vec<Part>,
}

/// One part: what to do, with what.
pub(crate) struct Part {
    /// The line of its head, from 1.
    pub(crate) line: usize,
    pub(crate) verb: String,
    pub(crate) arguments: Vec<String>,
    /// The lines below the head.
    pub(crate) body: Vec<String>,
}

impl Case {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if let Some(head) = line.strip_prefix("--- ") {
                let mut words = head.split_whitespace().map(str::to_owned);
                let verb = words.next().ok_or_else(|| format!("line {}: no verb", at + 1))?;
                parts.push(Part { line: at + 1, verb, arguments: words.collect(), body: Vec::new() });
            } else if let Some(part) = parts.last_mut() {
                part.body.push(line.to_owned());
            } else if !line.is_empty() && !line.starts_with('#') {
                return Err(format!("line {}: neither a head nor a comment: {line}", at + 1));
            }
        }
        for part in &mut parts {
            while part.body.last().is_some_and(String::is_empty) {
                part.body.pop();
            }
        }
        Ok(Self { parts })
    }
}

impl Part {
    /// The argument at `index`, which must be there.
    pub(crate) fn argument(&self, index: usize) -> Result<&str, String> {
        let argument = self.arguments.get(index).map(String::as_str);
        argument.ok_or_else(|| format!("line {}: {} wants more", self.line, self.verb))
    }

    /// The argument at `index`, or what stands for it.
    pub(crate) fn argument_or<'a>(&'a self, index: usize, default: &'a str) -> &'a str {
        self.arguments.get(index).map_or(default, String::as_str)
    }

    pub(crate) fn is(&self, modifier: &str) -> bool {
        self.arguments.iter().any(|argument| argument == modifier)
    }

    /// The body as one text, without escapes.
    pub(crate) fn text(&self) -> String {
        self.body.iter().map(|line| format!("{line}\n")).collect()
    }

    /// One pattern a line.
    pub(crate) fn patterns(&self) -> Vec<Pattern> {
        self.body.iter().map(|line| Pattern::parse(line)).collect()
    }

    /// The only line.
    pub(crate) fn line(&self) -> Pattern {
        Pattern::parse(&self.body.join("\\n"))
    }

    /// All lines, one behind the other.
    pub(crate) fn joined(&self) -> Pattern {
        Pattern::parse(&self.body.concat())
    }

    /// A message: lines joined by CR LF. Its head ends with an empty line, also where the file leaves it out.
    pub(crate) fn message(&self) -> Pattern {
        let end = if self.body.contains(&String::new()) { "" } else { "\\r\\n\\r\\n" };
        Pattern::parse(&(self.body.join("\\r\\n") + end))
    }
}
