//! maxfwd: Max-Forwards, so that a request does not go round for ever (RFC 3261 sections 16.3 step 3 and 16.6 step 3).
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_script::{
    ArgError, Call, Function, ModParam, ModuleSpec, Outcome, Param, ParamKind, Routes, Site,
};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_sip::{Edits, HeaderName, Message};

const MAX_LIMIT: ModParam = ModParam::number(
    "max_limit",
    MAX_HOPS,
    "The most hops that a request may leave with; a larger Max-Forwards is cut to it.",
)
.within(1, MAX_HOPS, "hops");
/// The most hops that a function or parameter takes.
const MAX_HOPS: i64 = 256;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Maxfwd;

/// `max_limit`: the most hops that a request may leave with.
#[derive(Debug, Clone, Copy)]
struct Limit(u16);

impl Module for Maxfwd {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: &[MAX_LIMIT], functions: functions(), ..ModuleSpec::new("maxfwd") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        setup.registered.states.put(Limit(hops(setup.parameters.int(&MAX_LIMIT))));
        Ok(())
    }
}

fn functions() -> Vec<Function<Context>> {
    const MOST_HOPS: &[Param] = &[Param::required("max_value", ParamKind::Int)];
    vec![
        Function::new("mf_process_maxfwd_header", MOST_HOPS, Routes::REQUEST, |site| {
            check_hops(site)?;
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let Limit(limit) = *cx.server().state::<Limit>();
                let wanted = hops(arguments[0].to_int().unwrap_or(MAX_HOPS));
                Outcome::Done(process(&cx.message, &mut cx.edits, wanted, limit))
            });
            Ok(call)
        })
        .doc(
            "Counts Max-Forwards down, or adds it with max_value. 1: counted down; 2: added; -1: no hops \
             are left; -2: it is no number of hops.",
        ),
        Function::new("is_maxfwd_lt", MOST_HOPS, Routes::ANY, |site| {
            check_hops(site)?;
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let bound = arguments[0].to_int().unwrap_or(0);
                Outcome::Done(is_less_than(&cx.message, &cx.edits, bound))
            });
            Ok(call)
        })
        .doc(
            "Compares Max-Forwards. 1: it is less than max_value; -1: it is not; -2: there is none; -3: \
             it is no number of hops.",
        ),
    ]
}

/// A number that is written in the script has to be one of hops, and not 0.
fn check_hops(site: &Site<'_, Context>) -> Result<(), ArgError> {
    match site.constant_int(0) {
        Some(hops) if !(1..=MAX_HOPS).contains(&hops) => {
            Err(ArgError::at(0, format!("hops are 1 to {MAX_HOPS}")))
        }
        _ => Ok(()),
    }
}

fn hops(number: i64) -> u16 {
    number.clamp(0, MAX_HOPS) as u16
}

/// What Max-Forwards says.
enum Left {
    /// There is none.
    Absent,
    /// This many hops; an empty header field says none.
    Hops(u32),
    /// It is no number.
    Unreadable,
}

/// Max-Forwards as it has been counted down so far.
fn left(message: &Message, edits: &Edits) -> Left {
    let Some(header) = message.headers(HeaderName::MaxForwards).next() else { return Left::Absent };
    let value = edits.replaced_value(message, header.index).unwrap_or(header.value);
    if !value.iter().all(u8::is_ascii_digit) {
        return Left::Unreadable;
    }
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add((digit - b'0').into());
    Left::Hops(value.iter().fold(0, add))
}

/// Counts down, or puts `wanted` in. 1: counted down; 2: put in; -1: none are left; -2: not a number of hops.
fn process(message: &Message, edits: &mut Edits, wanted: u16, limit: u16) -> i64 {
    match left(message, edits) {
        Left::Hops(0) => -1,
        Left::Hops(hops) => {
            let fewer = u16::try_from(hops - 1).unwrap_or(u16::MAX).min(limit);
            edits.set_max_forwards(message, fewer);
            1
        }
        Left::Absent => {
            edits.set_max_forwards(message, wanted);
            2
        }
        Left::Unreadable => -2,
    }
}

/// 1: less; -1: not less; -2: there is none; -3: not a number of hops.
fn is_less_than(message: &Message, edits: &Edits, bound: i64) -> i64 {
    match left(message, edits) {
        Left::Hops(hops) if i64::from(hops) < bound => 1,
        Left::Hops(_) => -1,
        Left::Absent => -2,
        Left::Unreadable => -3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    fn request(line: &str) -> Message {
        let text =
            format!("BYE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{line}Call-ID: x\r\n\r\n");
        Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap()
    }

    /// The return code, and the header field that the request leaves with.
    fn processed(line: &str, wanted: u16, limit: u16) -> (i64, Option<u8>) {
        let (message, mut edits) = (request(line), Edits::new());
        let code = process(&message, &mut edits, wanted, limit);
        let mut printed = Vec::new();
        message.print_into(&edits, &mut printed);
        (code, Message::parse(printed, &Limits::DEFAULT).unwrap().max_forwards().unwrap_or(None))
    }

    #[test]
    fn scripts_count_and_compare() {
        use tocsin_testbench::{TestBed, first_line, header, request};

        /// The modules that the configurations here load.
        const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(Maxfwd), Rc::new(tocsin_sl::Sl)]);
        let script = r#"route {
            $var(before) = $hdr(Max-Forwards);
            if (!mf_process_maxfwd_header(10) && $retcode == -1) { sl_send_reply(483, "Too Many Hops"); exit; }
            if (is_maxfwd_lt(1)) { sl_send_reply(484, "Last Hop, $var(before) to $hdr(Max-Forwards)"); exit; }
            forward();
        }"#;
        let lines = "loadmodule \"sl.so\"\nloadmodule \"maxfwd.so\"\nmodparam(\"maxfwd\", \"max_limit\", 32)";
        let bench = TEST_BED.bench(lines, script);
        let of = |hops: &str| bench.serve(&request("BYE", "", hops), 1).remove(0);
        assert_eq!(first_line(&of("Max-Forwards: 0\r\n")), "SIP/2.0 483 Too Many Hops");
        assert_eq!(first_line(&of("Max-Forwards: 1\r\n")), "SIP/2.0 484 Last Hop, 1 to 0");
        assert_eq!(header(&of("Max-Forwards: 9\r\n"), "Max-Forwards"), Some("8"));
        assert_eq!(header(&of("Max-Forwards: 70\r\n"), "Max-Forwards"), Some("32"));
        assert_eq!(header(&of(""), "Max-Forwards"), Some("10"));
        assert!(TEST_BED.try_bench(&lines.replace("32", "0"), script).is_err());
        assert!(TEST_BED.try_bench(lines, &script.replace("header(10)", "header(257)")).is_err());
    }

    #[test]
    fn hops_are_counted_down_or_put_in() {
        assert_eq!(processed("Max-Forwards: 70\r\n", 10, 255), (1, Some(69)));
        assert_eq!(processed("Max-Forwards: 70\r\n", 10, 32), (1, Some(32)));
        assert_eq!(processed("Max-Forwards: 1\r\n", 10, 255), (1, Some(0)));
        assert_eq!(processed("", 10, 255), (2, Some(10)));
        assert_eq!(processed("Max-Forwards: 0\r\n", 10, 255), (-1, Some(0)));
        assert_eq!(processed("Max-Forwards: 300\r\n", 10, 255), (1, Some(255)));
        assert_eq!(processed("Max-Forwards: 99999999999\r\n", 10, 100), (1, Some(100)));
        assert_eq!(processed("Max-Forwards: -1\r\n", 10, 255), (-2, None));
        assert_eq!(processed("Max-Forwards: many\r\n", 10, 255), (-2, None));
    }

    #[test]
    fn hops_are_counted_each_time() {
        let (message, mut edits) = (request("Max-Forwards: 300\r\n"), Edits::new());
        assert_eq!(process(&message, &mut edits, 10, 256), 1);
        assert_eq!(edits.replaced_value(&message, 1), Some(&b"256"[..]));
        assert_eq!(process(&message, &mut edits, 10, 256), 1);
        assert_eq!(edits.replaced_value(&message, 1), Some(&b"255"[..]));
        let (message, mut edits) = (request("Max-Forwards: 1\r\n"), Edits::new());
        assert_eq!([(); 2].map(|()| process(&message, &mut edits, 10, 256)), [1, -1]);
        let (message, mut edits) = (request("Max-Forwards:\r\n"), Edits::new());
        assert_eq!(process(&message, &mut edits, 10, 256), -1);
    }

    #[test]
    fn what_the_request_leaves_with_is_compared() {
        let (message, mut edits) = (request("Max-Forwards: 1\r\n"), Edits::new());
        assert_eq!(is_less_than(&message, &edits, 1), -1);
        process(&message, &mut edits, 10, 255);
        assert_eq!(is_less_than(&message, &edits, 1), 1);
        let (message, mut edits) = (request(""), Edits::new());
        assert_eq!(is_less_than(&message, &edits, 1), -2);
        process(&message, &mut edits, 10, 255);
        // What was put in is behind the message, for scripts as for OpenSIPS's.
        assert_eq!(is_less_than(&message, &edits, 11), -2);
        assert_eq!(is_less_than(&request("Max-Forwards:\r\n"), &Edits::new(), 1), 1);
        assert_eq!(is_less_than(&request("Max-Forwards: 300\r\n"), &Edits::new(), 71), -1);
        assert_eq!(is_less_than(&request("Max-Forwards: x\r\n"), &Edits::new(), 1), -3);
    }
}
