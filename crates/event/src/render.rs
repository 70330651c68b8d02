//! The JSON text of an event, as every JSON subscriber receives it.

use tocsin_json::{write_integer, write_string};

use crate::params::{ParamValue, Params};

/// Appends `{"jsonrpc":"2.0","method":NAME,"params":...}` without white space.
///
/// `params` is left out when there are none, an object when the first parameter has a name, an array when it has none.
/// A string ends at its first NUL byte, as it always did on the wire; numbers are exact to 64 bits.
pub fn write_event(name: &[u8], params: Params<'_>, out: &mut Vec<u8>) {
    write_call(name, None, params, out);
}

/// The same with any text as `method`, and with one parameter put before the others: its name and its value. Where the
/// others have no names it has none either; where there are no others it is left out.
pub fn write_call(method: &[u8], first: Option<(&[u8], &[u8])>, params: Params<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":");
    write_string(until_nul(method), out);
    write_params(first, params, out);
    out.push(b'}');
}

/// The same as a request that wants an answer: with this id in front.
pub fn write_request(
    id: i64,
    method: &[u8],
    first: Option<(&[u8], &[u8])>,
    params: Params<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"id\":");
    write_integer(id, out);
    let begin = out.len();
    write_call(method, first, params, out);
    // In place of the brace that a call begins with.
    if let Some(brace) = out.get_mut(begin) {
        *brace = b',';
    }
}

/// Appends `,"params":...`, or nothing when there are none.
fn write_params(before: Option<(&[u8], &[u8])>, params: Params<'_>, out: &mut Vec<u8>) {
    let mut iter = params.iter().peekable();
    let Some((first_name, _)) = iter.peek() else { return };
    let named = first_name.is_some();
    out.extend_from_slice(b",\"params\":");
    let mut separator = if named { b'{' } else { b'[' };
    let before = before.map(|(name, value)| (Some(name), ParamValue::Str(value)));
    for (name, value) in before.into_iter().chain(iter) {
        out.push(separator);
        separator = b',';
        if named {
            write_string(until_nul(name.unwrap_or_default()), out);
            out.push(b':');
        }
        match value {
            ParamValue::Null => out.extend_from_slice(b"null"),
            ParamValue::Int(number) => write_integer(number, out),
            ParamValue::Str(text) => write_string(until_nul(text), out),
        }
    }
    out.push(if named { b'}' } else { b']' });
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.iter().position(|&byte| byte == 0).map_or(text, |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ParamsWriter;

    fn rendered(name: &str, build: impl FnOnce(&mut ParamsWriter<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = ParamsWriter::new(&mut bytes);
        build(&mut writer);
        let mut out = Vec::new();
        write_event(name.as_bytes(), Params::new(writer.finish().unwrap()), &mut out);
        out
    }

    /// The texts are those recorded from a subscriber's socket.
    #[test]
    fn recorded_events() {
        assert_eq!(rendered("E_ONE", |_| {}), br#"{"jsonrpc":"2.0","method":"E_ONE"}"#);
        assert_eq!(
            rendered("E_ONE", |p| {
                p.int("first", 1).text("second", "two").int("third", -3);
            }),
            br#"{"jsonrpc":"2.0","method":"E_ONE","params":{"first":1,"second":"two","third":-3}}"#
        );
        assert_eq!(
            rendered("E_TWO", |p| {
                p.push(None, ParamValue::Int(1)).push(None, ParamValue::Str(b"two"));
                p.push(None, ParamValue::Str(b""));
            }),
            br#"{"jsonrpc":"2.0","method":"E_TWO","params":[1,"two",""]}"#
        );
        assert_eq!(
            rendered("E_ONE", |p| {
                p.text("q", "a\"b\\c/d").text("nl", "x\r\n\ty").text("na\"me", "v");
            }),
            br#"{"jsonrpc":"2.0","method":"E_ONE","params":{"q":"a\"b\\c/d","nl":"x\r\n\ty","na\"me":"v"}}"#
        );
        assert_eq!(
            rendered("E_ONE", |p| {
                p.text("body", b"ab\0cd");
            }),
            br#"{"jsonrpc":"2.0","method":"E_ONE","params":{"body":"ab"}}"#
        );
        assert_eq!(
            rendered("E_ONE", |p| {
                p.text("body", b"a\xff\xfe\x80z\xc3(");
            }),
            b"{\"jsonrpc\":\"2.0\",\"method\":\"E_ONE\",\"params\":{\"body\":\"a\xff\xfe\x80z\xc3(\"}}"
        );
        assert_eq!(
            rendered("E_UL", |p| {
                p.push(Some(b"received"), ParamValue::Null).int("qval", 500);
            }),
            br#"{"jsonrpc":"2.0","method":"E_UL","params":{"received":null,"qval":500}}"#
        );
    }

    #[test]
    fn a_call_of_another_method_with_the_name_of_the_event_first() {
        let call = |build: &dyn Fn(&mut ParamsWriter<'_>)| {
            let (mut bytes, mut out) = (Vec::new(), Vec::new());
            let mut writer = ParamsWriter::new(&mut bytes);
            build(&mut writer);
            let first = Some((&b"opensips_event"[..], &b"E_TEST"[..]));
            write_call(b"my_method", first, Params::new(writer.finish().unwrap()), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(call(&|_| {}), r#"{"jsonrpc":"2.0","method":"my_method"}"#);
        assert_eq!(
            call(&|p| {
                p.int("n", 1).text("e", "");
            }),
            r#"{"jsonrpc":"2.0","method":"my_method","params":{"opensips_event":"E_TEST","n":1,"e":""}}"#
        );
        assert_eq!(
            call(&|p| {
                p.push(None, ParamValue::Int(7)).push(None, ParamValue::Str(b"seven"));
            }),
            r#"{"jsonrpc":"2.0","method":"my_method","params":["E_TEST",7,"seven"]}"#
        );
    }

    #[test]
    fn numbers_are_exact_to_64_bits() {
        assert_eq!(
            rendered("E_CORE_SHM_THRESHOLD", |p| {
                p.int("used", 2_202_019_120).int("size", 6_291_456_000).int("least", i64::MIN);
            }),
            br#"{"jsonrpc":"2.0","method":"E_CORE_SHM_THRESHOLD","params":{"used":2202019120,"size":6291456000,"least":-9223372036854775808}}"#
        );
    }

    #[test]
    fn the_first_parameter_decides_the_shape() {
        assert_eq!(
            rendered("E", |p| {
                p.int("a", 1).push(None, ParamValue::Int(2));
            }),
            br#"{"jsonrpc":"2.0","method":"E","params":{"a":1,"":2}}"#
        );
        assert_eq!(
            rendered("E", |p| {
                p.push(None, ParamValue::Int(1)).int("b", 2);
            }),
            br#"{"jsonrpc":"2.0","method":"E","params":[1,2]}"#
        );
    }
}
