//! `check_time_rec()`: whether a moment lies in times that come again (RFC 2445, "recur"). Times are joined by `&` (and), `/`
//! (or) and `!` (not), with parentheses.

mod rule;
mod zone;

use std::rc::Rc;

use tocsin_script::{Call, Function, Outcome, Param, ParamKind, Routes};
use tocsin_server::{Context, time};

use rule::Rule;
use zone::Zone;

/// How deep parentheses may be nested.
const MAX_NESTING: usize = 16;
/// How long an expression may be, in bytes.
const MAX_BYTES: usize = 4096;

pub(super) fn function() -> Function<Context> {
    const TIME: &[Param] =
        &[Param::required("time_string", ParamKind::Str), Param::optional("timestamp", ParamKind::Int)];
    Function::new("check_time_rec", TIME, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|_, arguments| {
            let text = arguments[0].to_bytes().unwrap_or_default();
            let moment = arguments[1].to_int().unwrap_or_else(|| time::unix_seconds() as i64);
            if text.trim_ascii().is_empty() {
                return Outcome::FALSE;
            }
            match holds(&text.lossy(), moment) {
                Some(holds) => holds.into(),
                None => {
                    tracing::error!("check_time_rec: `{}` is no time recurrence", text.escape_ascii());
                    Outcome::Done(-2)
                }
            }
        });
        Ok(call)
    })
    .doc(
        "Checks whether now, or the moment `timestamp` in seconds since 1970, lies in a time: \
         `[zone|]dtstart|dtend|duration|freq|until|interval|byday|bymonthday|byyearday|byweekno|bymonth`. Several are \
         joined by `&`, `/` (or), `!` and parentheses. 1: it does; -1: it does not; -2: it is no time.",
    )
}

/// Whether the moment, in seconds since 1970, is as the text says; `None` if it says nothing.
fn holds(text: &str, moment: i64) -> Option<bool> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let mut reader = Reader { rest: text, moment, depth: 0 };
    let holds = reader.any()?;
    reader.rest.trim().is_empty().then_some(holds)
}

struct Reader<'a> {
    rest: &'a str,
    moment: i64,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut holds = self.all()?;
        while self.take('/') {
            holds |= self.all()?;
        }
        Some(holds)
    }

    fn all(&mut self) -> Option<bool> {
        let mut holds = self.one()?;
        while self.take('&') {
            holds &= self.one()?;
        }
        Some(holds)
    }

    fn one(&mut self) -> Option<bool> {
        let mut negated = false;
        while self.take('!') {
            negated = !negated;
        }
        let holds = if self.take('(') {
            if self.depth == MAX_NESTING {
                return None;
            }
            self.depth += 1;
            let holds = self.any()?;
            self.depth -= 1;
            self.take(')').then_some(holds)?
        } else {
            let rule = self.word();
            single(rule, self.moment)?
        };
        Some(holds != negated)
    }

    /// A time. The slash in the name of a zone stands before the first bar.
    fn word(&mut self) -> &'a str {
        let mut in_zone = true;
        let end = self.rest.find(|sign| {
            in_zone &= sign != '|';
            matches!(sign, '&' | '(' | ')') || sign == '/' && !in_zone
        });
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.trim()
    }

    fn take(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// One time, in its zone or in that of the server.
fn single(text: &str, moment: i64) -> Option<bool> {
    let (first, rest) = text.split_once('|').unwrap_or((text, ""));
    let is_zone = first.trim().starts_with(|sign: char| sign.is_ascii_alphabetic());
    let (zone, text) = if is_zone { (Zone::named(first.trim())?, rest) } else { (Zone::Local, text) };
    Rule::read(text, &zone)?.holds(zone.wall_clock(moment)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 January 2020, a Wednesday, 12:00 in UTC.
    const NOON: i64 = 1_577_880_000;

    #[test]
    fn times_are_joined() {
        let yes = "Etc/UTC|20200101T000000|20200102T000000";
        let no = "Etc/UTC|20190101T000000|20190102T000000";
        for (text, expected) in [
            (yes.to_owned(), Some(true)),
            (no.to_owned(), Some(false)),
            (format!("!{yes}"), Some(false)),
            (format!("{no} / {yes}"), Some(true)),
            (format!("{no} & {yes} / {yes}"), Some(true)),
            (format!("{no} & ({yes} / {yes})"), Some(false)),
            (format!("!(!{yes})"), Some(true)),
            (format!("({yes}"), None),
            (format!("{yes} &"), None),
            ("nonsense".to_owned(), None),
            ("Nowhere/Zone|20200101T000000|20200102T000000".to_owned(), None),
            (format!("{}{yes}{}", "(".repeat(17), ")".repeat(17)), None),
        ] {
            assert_eq!(holds(&text, NOON), expected, "{text}");
        }
    }
}
