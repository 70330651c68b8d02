//! The `s.` transformations (manual, "Script Transformations", string transformations). Hashes are not here: a host
//! with a cryptographic library adds `s.md5` and its kin.
//!
//! All give NULL for NULL, so that they chain; a number is taken by its decimal text.

mod encoding;

use std::rc::Rc;

use crate::call::Host;
use crate::expression::MAX_STRING_BYTES;
use crate::format;
use crate::library::{Transform, Transformation};
use crate::site::{ArgError, TransformationArgument, TransformationSite};
use crate::value::{Bytes, Value};

type Prepared<C> = Result<Transform<C>, ArgError>;

/// The whole class.
pub(crate) fn transformations<C: Host>() -> Vec<Transformation<C>> {
    vec![
        plain("s.len", |text| Value::Int(text.len() as i64)),
        plain("s.int", |text| Value::Int(leading_int(text))),
        plain("s.reverse", |text| Value::Str(Bytes::from(text.iter().rev().copied().collect::<Vec<_>>()))),
        plain("s.tolower", |text| Value::Str(Bytes::from(text.to_ascii_lowercase()))),
        plain("s.toupper", |text| Value::Str(Bytes::from(text.to_ascii_uppercase()))),
        plain("s.trim", |text| Value::str(trim_right(trim_left(text)))),
        plain("s.trimr", |text| Value::str(trim_right(text))),
        plain("s.triml", |text| Value::str(trim_left(text))),
        plain("s.encode.hexa", encoding::to_hex),
        plain("s.decode.hexa", encoding::from_hex),
        plain("s.escape.common", encoding::escape_common),
        plain("s.unescape.common", encoding::unescape_common),
        plain("s.escape.user", encoding::escape_user),
        plain("s.unescape.user", encoding::unescape_percent),
        plain("s.escape.param", encoding::escape_param),
        plain("s.unescape.param", encoding::unescape_percent),
        plain("s.dec2hex", encoding::decimal_to_hex),
        plain("s.hex2dec", encoding::hex_to_decimal),
        plain("s.b64encode", encoding::to_base64),
        plain("s.b64decode", encoding::from_base64),
        plain("s.crc32", encoding::crc32),
        plain("s.date2unix", encoding::date_to_unix),
        Transformation::new("s.substr", substr),
        Transformation::new("s.select", select),
        Transformation::new("s.index", |site| search(site, index)),
        Transformation::new("s.rindex", |site| search(site, rindex)),
        Transformation::new("s.fill.left", |site| fill(site, true)),
        Transformation::new("s.fill.right", |site| fill(site, false)),
        Transformation::new("s.width", width),
        Transformation::new("s.xor", xor),
        Transformation::new("s.eval", eval),
    ]
}

fn plain<C: Host>(name: &'static str, make: fn(&[u8]) -> Value) -> Transformation<C> {
    Transformation::new(name, move |site: &TransformationSite<'_, C>| {
        site.arguments(0, 0)?;
        Ok(on_text(move |_, text| make(text)))
    })
}

fn on_text<C: Host>(make: impl Fn(&mut C, &[u8]) -> Value + 'static) -> Transform<C> {
    Rc::new(move |host, value| match value {
        Value::Null => Value::Null,
        Value::Str(text) => make(host, &text),
        Value::Int(number) => make(host, itoa::Buffer::new().format(number).as_bytes()),
    })
}

fn substr<C: Host>(site: &TransformationSite<'_, C>) -> Prepared<C> {
    let [offset, length] = numbers(site)?;
    Ok(on_text(move |host, text| {
        let offset = offset.value(host).to_int();
        let length = length.value(host).to_int();
        match (offset, length) {
            (Some(offset), Some(length)) => part(text, offset, length).map_or(Value::Null, Value::str),
            _ => Value::Null,
        }
    }))
}

fn numbers<C: Host>(site: &TransformationSite<'_, C>) -> Result<[TransformationArgument<C>; 2], ArgError> {
    let arguments = site.arguments(2, 2)?;
    for argument in &arguments {
        site.numeric(argument)?;
    }
    arguments.try_into().map_err(|_| ArgError::new("two numbers expected"))
}

/// Up to `length` bytes from `offset`; negative ones count from the end, and a length of 0 takes the rest.
fn part(text: &[u8], offset: i64, length: i64) -> Option<&[u8]> {
    let size = text.len() as i64;
    let start = if offset < 0 { size.checked_add(offset)? } else { offset };
    let end = if length <= 0 { size.checked_add(length)? } else { start.saturating_add(length).min(size) };
    let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
    text.get(range)
}

/// The separator is the byte after the comma, whatever it is.
fn select<C: Host>(site: &TransformationSite<'_, C>) -> Prepared<C> {
    let needs = || ArgError::new("{s.select} takes an index and a separator");
    let (at, rest) = site.first_argument(site.raw().ok_or_else(needs)?)?;
    site.numeric(&at)?;
    let separator = *rest.and_then(<[u8]>::first).ok_or_else(needs)?;
    Ok(on_text(move |host, text| {
        let Some(at) = at.value(host).to_int() else { return Value::Null };
        let mut fields = text.split(|byte| *byte == separator);
        let field = match usize::try_from(at) {
            Ok(at) => fields.nth(at),
            Err(_) => at
                .checked_neg()
                .and_then(|back| usize::try_from(back - 1).ok())
                .and_then(|back| fields.rev().nth(back)),
        };
        field.map_or(Value::Null, Value::str)
    }))
}

type Search = fn(text: &[u8], wanted: &[u8], from: Option<usize>) -> Option<usize>;

fn search<C: Host>(site: &TransformationSite<'_, C>, search: Search) -> Prepared<C> {
    let mut arguments = site.arguments(1, 2)?.into_iter();
    let wanted = arguments.next().ok_or_else(|| ArgError::new("a string to look for expected"))?;
    let from = arguments.next();
    if let Some(from) = &from {
        site.numeric(from)?;
    }
    Ok(on_text(move |host, text| {
        let Some(wanted) = wanted.value(host).to_bytes() else { return Value::Null };
        let from = match &from {
            Some(from) => match from.value(host).to_int().and_then(|from| wrapped(from, text.len())) {
                Some(from) => Some(from),
                None => return Value::Null,
            },
            None => None,
        };
        search(text, &wanted, from).map_or(Value::Null, |at| Value::Int(at as i64))
    }))
}

/// A negative offset counts from the end, and around.
fn wrapped(offset: i64, len: usize) -> Option<usize> {
    match usize::try_from(offset) {
        Ok(offset) => Some(offset),
        Err(_) if len == 0 => None,
        Err(_) => usize::try_from(offset.rem_euclid(len as i64)).ok(),
    }
}

fn index(text: &[u8], wanted: &[u8], from: Option<usize>) -> Option<usize> {
    let from = from.unwrap_or(0);
    memchr::memmem::find(text.get(from..)?, wanted).map(|at| from + at)
}

fn rindex(text: &[u8], wanted: &[u8], from: Option<usize>) -> Option<usize> {
    let end = from.map_or(text.len(), |from| from.saturating_add(wanted.len()).min(text.len()));
    memchr::memmem::rfind(&text[..end], wanted)
}

fn fill<C: Host>(site: &TransformationSite<'_, C>, left: bool) -> Prepared<C> {
    let arguments = site.arguments(2, 2)?;
    let [TransformationArgument::Text(token), TransformationArgument::Text(length)] = arguments.as_slice()
    else {
        return Err(ArgError::new(format!("{{{}}} takes no variables", site.name())));
    };
    let length = target_length(site, length)?;
    if token.is_empty() {
        return Err(ArgError::new(format!("{{{}}} has nothing to fill with", site.name())));
    }
    let token = token.clone();
    Ok(on_text(move |_, text| {
        let Some(missing) = length.checked_sub(text.len()) else { return Value::str(text) };
        // filled from the left, the token's end touches the text
        let skipped = if left { (token.len() - missing % token.len()) % token.len() } else { 0 };
        let filling = token.iter().copied().cycle().skip(skipped).take(missing);
        let filled: Vec<u8> = match left {
            true => filling.chain(text.iter().copied()).collect(),
            false => text.iter().copied().chain(filling).collect(),
        };
        Value::Str(Bytes::from(filled))
    }))
}

fn width<C: Host>(site: &TransformationSite<'_, C>) -> Prepared<C> {
    let arguments = site.arguments(1, 1)?;
    let [TransformationArgument::Text(length)] = arguments.as_slice() else {
        return Err(ArgError::new("{s.width} takes no variables"));
    };
    let length = target_length(site, length)?;
    Ok(on_text(move |_, text| {
        let mut text = text.to_vec();
        text.resize(length, b' ');
        Value::Str(Bytes::from(text))
    }))
}

fn target_length<C: Host>(site: &TransformationSite<'_, C>, text: &Bytes) -> Result<usize, ArgError> {
    let length = crate::value::decimal(text).and_then(|length| usize::try_from(length).ok());
    length.filter(|length| *length <= MAX_STRING_BYTES).ok_or_else(|| {
        ArgError::new(format!("{{{}}}: a length of 0 to {MAX_STRING_BYTES} expected", site.name()))
    })
}

fn xor<C: Host>(site: &TransformationSite<'_, C>) -> Prepared<C> {
    let secret = site.arguments(1, 1)?.pop().ok_or_else(|| ArgError::new("{s.xor} takes a secret"))?;
    Ok(on_text(move |host, text| match secret.value(host).to_bytes() {
        Some(secret) if !secret.is_empty() => {
            let bytes: Vec<u8> = text.iter().zip(secret.iter().cycle()).map(|(a, b)| a ^ b).collect();
            Value::Str(Bytes::from(bytes))
        }
        _ => Value::Null,
    }))
}

/// The text is a format string itself. It is read anew each time.
fn eval<C: Host>(site: &TransformationSite<'_, C>) -> Prepared<C> {
    site.arguments(0, 0)?;
    let names = site.names().clone();
    let routes = site.routes();
    Ok(on_text(move |host, text| match format::parse(text, &names, routes) {
        Ok(expr) => expr.value(host).map(std::borrow::Cow::into_owned).unwrap_or_default(),
        Err(_) => Value::Null,
    }))
}

fn leading_int(text: &[u8]) -> i64 {
    let text = trim_left(text);
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    crate::value::decimal(&text[..sign + digits]).unwrap_or(0)
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn trim_left(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !blank(*byte)).unwrap_or(text.len());
    &text[start..]
}

fn trim_right(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !blank(*byte)).map_or(0, |last| last + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use crate::testing::evaluate;
    use crate::value::Value;

    #[track_caller]
    fn is(text: &str, transformation: &str, expected: impl Into<Value>) {
        let script = format!("$var(x) = \"{text}\"; $var(out) = $(var(x){transformation});");
        assert_eq!(evaluate(&script), expected.into(), "{text} {transformation}");
    }

    #[test]
    fn examples_of_the_manual() {
        is("abc", "{s.len}", 3);
        is("2868.12 sec", "{s.int}", 2868);
        is("sec", "{s.int}", 0);
        is("onetwothree", "{s.reverse}", "eerhtowteno");
        is("abcd", "{s.substr,1,0}", "bcd");
        is("12,34,56", "{s.select,1,,}", "34");
        is("12,34,56", "{s.select,-2,,}", "34");
        is("485", "{s.fill.left, 0, 3}", "485");
        is("485", "{s.fill.left, 0, 6}", "000485");
        is("485", "{s.fill.left, abc, 8}", "bcabc485");
        is("485", "{s.fill.right, 0, 6}", "485000");
        is("485", "{s.fill.right, abc, 8}", "485abcab");
        is("transformation", "{s.width, 14}", "transformation");
        is("transformation", "{s.width, 16}", "transformation  ");
        is("transformation", "{s.width, 9}", "transform");
        is("\\t \\n input string  \\r  ", "{s.trim}", "input string");
        is("\\t \\n input string  \\r  ", "{s.trimr}", "\t \n input string");
        is("\\t \\n input string  \\r  ", "{s.triml}", "input string  \r  ");
        is("\\x2\\x3\\x4\\x5!@#%^&*", "{s.b64encode}", "AgMEBSFAIyVeJio=");
        is("AgMEBSFAIyVeJio=", "{s.b64decode}", "\x02\x03\x04\x05!@#%^&*");
        is("Thu, 13 Jun 2024 12:48:00 GMT", "{s.date2unix}", 1_718_282_880);
    }

    #[test]
    fn searching() {
        let text = "onetwothreeone";
        let s = |transformation: &str| {
            evaluate(&format!(
                "$var(s) = \"{text}\"; $var(str) = \"one\"; $var(out) = $(var(s){transformation});"
            ))
        };
        for (transformation, at) in [
            ("{s.index, $var(str)}", 0),
            ("{s.index, $var(str), 0}", 0),
            ("{s.index, $var(str), 3}", 11),
            ("{s.index, $var(str), -11}", 11),
            ("{s.index, $var(str), -25}", 11),
            ("{s.rindex, $var(str)}", 11),
            ("{s.rindex, $var(str), -3}", 11),
            ("{s.rindex, $var(str), 11}", 11),
            ("{s.rindex, $var(str), -4}", 0),
        ] {
            assert_eq!(s(transformation), Value::Int(at), "{transformation}");
        }
        assert_eq!(s("{s.index,four}"), Value::Null);
        assert_eq!(s("{s.index,one,99}"), Value::Null);
    }

    #[test]
    fn substrings_count_from_both_ends() {
        for (arguments, expected) in
            [("0,2", "ab"), ("-2,0", "cd"), ("-3,2", "bc"), ("1,-1", "bc"), ("1,99", "bcd"), ("4,0", "")]
        {
            is("abcd", &format!("{{s.substr,{arguments}}}"), expected);
        }
        is("abcd", "{s.substr,5,0}", Value::Null);
        is("abcd", "{s.substr,-5,0}", Value::Null);
        is("abcd", "{s.substr,3,-2}", Value::Null);
    }

    #[test]
    fn selecting_fields() {
        is("a;;b", "{s.select,1,;}", "");
        is("a b", "{s.select,1, }", "b");
        is("a", "{s.select,1,;}", Value::Null);
        is("a", "{s.select,-2,;}", Value::Null);
    }

    #[test]
    fn chains_pass_null_on() {
        assert_eq!(evaluate("$var(out) = $(var(unset){s.toupper}{s.len});"), Value::Null);
        is("Abc", "{s.toupper}{s.tolower}{s.len}", 3);
        assert_eq!(evaluate("$var(n) = 485; $var(out) = $(var(n){s.fill.left,0,6});"), Value::from("000485"));
    }

    #[test]
    fn formats_are_evaluated() {
        assert_eq!(
            evaluate(
                "$var(in) = \"client\"; $var(f) = \"Hello, $$var(in)!\"; $var(out) = $(var(f){s.eval});"
            ),
            Value::from("Hello, client!")
        );
        is("$$nosuch", "{s.eval}", Value::Null);
    }

    #[test]
    fn secrets_come_round() {
        is("aaaaaabbbbbb", "{s.xor,x}", "\x19\x19\x19\x19\x19\x19\x1a\x1a\x1a\x1a\x1a\x1a");
        is("secret", "{s.xor,ab}{s.xor,ab}", "secret");
    }
}
