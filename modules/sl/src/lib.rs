//! sl: answers without a transaction (RFC 3261 section 8.2.7).
//!
//! A request flows in with a status and a reason; [`send`] answers it and counts the answer. Its To tag is the same for
//! each retransmission, and [`is_own_ack`] knows it again in the ACK that a negative answer to an INVITE brings.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_script::{ArgError, Call, Function, ModParam, ModuleSpec, Param, ParamKind, Routes, Site};
use tocsin_server::core::as_text;
use tocsin_server::module::{Management, Module, Setup, SetupError};
use tocsin_server::statistic_row::StatRow;
use tocsin_server::statistics::{StatId, Statistics};
use tocsin_server::{Context, reply};
use tocsin_sip::Method;

const ENABLE_STATS: ModParam = ModParam::switch(
    "enable_stats",
    true,
    "Whether responses are counted in the statistics of the group `sl`.",
);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Sl;

/// The group `sl`, in the order in which it is listed.
#[derive(Debug, Clone, Copy)]
struct Counters {
    /// `1xx_replies` to `6xx_replies`.
    classes: [StatId; 6],
    sent: StatId,
    sent_errors: StatId,
    acks: StatId,
}

/// `enable_stats` is off: nothing is counted.
#[derive(Debug, Clone, Copy)]
struct Counting(Option<Counters>);

impl Module for Sl {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: &[ENABLE_STATS], functions: functions(), ..ModuleSpec::new("sl") }
    }

    fn management(&self) -> Management {
        Management { statistics: STATISTICS, ..Management::default() }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let wanted = setup.parameters.on(&ENABLE_STATS);
        setup.registered.states.put(Counting(wanted.then(|| Counters::register(&mut setup.statistics))));
        setup.registered.is_own_ack = Some(is_own_ack);
        Ok(())
    }
}

/// Answers the request of `cx` without a transaction, and counts it where the module is loaded. `false` when it cannot
/// be answered: it is an ACK, a response, or `status` is no status.
pub fn send(cx: &mut Context, status: u16, reason: &[u8]) -> bool {
    if !(100..700).contains(&status) {
        tracing::error!("{status} is no status of a response: it is 100 to 699");
        return false;
    }
    let one_line = one_line(reason);
    let sent = reply::stateless(cx, status, &one_line);
    if let (true, Some(counters)) = (sent, counters(cx)) {
        let statistics = &cx.server().statistics;
        statistics.add(counters.sent, 1);
        statistics.add(counters.classes[usize::from(status / 100 - 1)], 1);
    }
    sent
}

/// Whether the request is the ACK to an answer of [`send`]: it goes no further. Counts it where the module is loaded.
pub fn is_own_ack(cx: &Context) -> bool {
    if !cx.message.is_request() || cx.message.method() != Method::Ack {
        return false;
    }
    let own =
        cx.message.to().ok().and_then(|to| to.tag()).is_some_and(|tag| *tag == reply::stateless_tag(cx));
    if let (true, Some(counters)) = (own, counters(cx)) {
        cx.server().statistics.add(counters.acks, 1);
    }
    own
}

/// Checks the constant arguments of a function that answers with a code and a reason.
pub fn check_answer(site: &Site<'_, Context>) -> Result<(), ArgError> {
    match site.constant_int(0) {
        Some(status) if !(100..700).contains(&status) => {
            Err(ArgError::at(0, format!("{status} is no status of a response: it is 100 to 699")))
        }
        _ => Ok(()),
    }
}

/// A reason phrase as it may stand in a status line: a line end in it would begin a header field.
pub fn one_line(reason: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if reason.iter().any(u8::is_ascii_control) {
        reason
            .iter()
            .map(|byte| if byte.is_ascii_control() { b' ' } else { *byte })
            .collect::<Vec<_>>()
            .into()
    } else {
        reason.into()
    }
}

fn functions() -> Vec<Function<Context>> {
    const ANSWER: &[Param] =
        &[Param::required("code", ParamKind::Int), Param::required("reason", ParamKind::Str)];
    vec![
        Function::new("sl_send_reply", ANSWER, Routes::REQUEST | Routes::ERROR, |site| {
            check_answer(site)?;
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let status = arguments[0].to_int().and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
                let reason = as_text(&arguments[1]).unwrap_or_default();
                send(cx, status, &reason).into()
            });
            Ok(call)
        })
        .doc("Answers the request without a transaction. 1: done; -1: it cannot be answered."),
        Function::new("sl_reply_error", &[], Routes::REQUEST, |_| {
            let call: Call<Context> = Rc::new(|cx, _| {
                let sent = send(cx, 500, b"Server error occurred (1/SL)");
                if let (true, Some(counters)) = (sent, counters(cx)) {
                    cx.server().statistics.add(counters.sent_errors, 1);
                }
                sent.into()
            });
            Ok(call)
        })
        .doc(
            "Answers the request with 500 Server Internal Error, without a transaction. 1: done; -1: it \
             cannot be answered.",
        ),
    ]
}

fn counters(cx: &Context) -> Option<Counters> {
    cx.server().registered.states.find::<Counting>().and_then(|counting| counting.0)
}

const CLASSES: [StatRow; 6] = [
    StatRow::counter("sl", "1xx_replies", "Replies with 1xx."),
    StatRow::counter("sl", "2xx_replies", "Replies with 2xx."),
    StatRow::counter("sl", "3xx_replies", "Replies with 3xx."),
    StatRow::counter("sl", "4xx_replies", "Replies with 4xx."),
    StatRow::counter("sl", "5xx_replies", "Replies with 5xx."),
    StatRow::counter("sl", "6xx_replies", "Replies with 6xx."),
];
const SENT: StatRow = StatRow::counter("sl", "sent_replies", "Replies sent without a transaction.");
const SENT_ERRORS: StatRow = StatRow::counter("sl", "sent_err_replies", "Replies sent by sl_reply_error().");
const ACKS: StatRow = StatRow::counter("sl", "received_ACKs", "ACKs for replies sent without a transaction.");

const STATISTICS: &[StatRow] =
    &[CLASSES[0], CLASSES[1], CLASSES[2], CLASSES[3], CLASSES[4], CLASSES[5], SENT, SENT_ERRORS, ACKS];

impl Counters {
    fn register(statistics: &mut Statistics) -> Self {
        let classes = CLASSES.map(|row| statistics.counter(&row));
        let (sent, sent_errors) = (statistics.counter(&SENT), statistics.counter(&SENT_ERRORS));
        Self { classes, sent, sent_errors, acks: statistics.counter(&ACKS) }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_testbench::{TestBed, first_line, header, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(Sl)]);
    use super::*;

    #[test]
    fn statistics_are_listed_in_their_order() {
        let mut statistics = Statistics::default();
        Counters::register(&mut statistics);
        let names: Vec<_> = statistics.read(&"sl:".into()).into_iter().map(|reading| reading.name).collect();
        let expected = "1xx_replies 2xx_replies 3xx_replies 4xx_replies 5xx_replies 6xx_replies sent_replies \
                        sent_err_replies received_ACKs";
        assert_eq!(names, expected.split(' ').map(|name| format!("sl:{name}")).collect::<Vec<_>>());
    }

    const SL: &str = "loadmodule \"sl.so\"";

    #[test]
    fn a_request_is_answered_and_counted() {
        let bench = TEST_BED.bench(
            SL,
            r#"route { $var(no) = 99; sl_send_reply($var(no), "No"); sl_send_reply(404, "Not Here"); }"#,
        );
        let answers = bench.serve(&request("OPTIONS", "", ""), 1);
        assert_eq!(first_line(&answers[0]), "SIP/2.0 404 Not Here");
        assert!(header(&answers[0], "To").unwrap().starts_with("<sip:bob@b>;tag="));
        let counted = |name| bench.statistic(&format!("sl:{name}"));
        assert_eq!([counted("4xx_replies"), counted("5xx_replies"), counted("sent_replies")], [1, 0, 1]);
        assert_eq!(bench.serve(&request("ACK", "", ""), 0), [""; 0]);
        assert_eq!([counted("4xx_replies"), counted("sent_err_replies")], [1, 0]);
    }

    #[test]
    fn errors_are_counted_apart() {
        let bench = TEST_BED.bench(SL, "route { sl_reply_error(); }");
        assert_eq!(
            first_line(&bench.serve(&request("INVITE", "", ""), 1)[0]),
            "SIP/2.0 500 Server error occurred (1/SL)"
        );
        assert_eq!([bench.statistic("sl:sent_err_replies"), bench.statistic("sl:5xx_replies")], [1, 1]);
    }

    #[test]
    fn a_reason_may_be_empty() {
        let bench = TEST_BED.bench(SL, r#"route { sl_send_reply(421, ""); }"#);
        assert_eq!(first_line(&bench.serve(&request("INVITE", "", ""), 1).remove(0)), "SIP/2.0 421 ");
    }

    #[test]
    fn a_redirection_names_the_destinations() {
        let redirected = |routes: &str| {
            let bench = TEST_BED.bench(SL, &format!("route {{ {routes} }}"));
            let answer = bench.serve(&request("INVITE", "", ""), 1).remove(0);
            header(&answer, "Contact").map(str::to_owned)
        };
        let moved = r#"$ru = "sip:new@h"; append_branch("sip:other@h", "0.5");"#;
        assert_eq!(
            redirected(&format!("{moved} sl_send_reply(302, \"Moved\");")).as_deref(),
            Some("<sip:new@h>, <sip:other@h>;q=0.5")
        );
        assert_eq!(redirected(&format!("{moved} sl_send_reply(404, \"Gone\");")), None);
        assert_eq!(redirected("sl_send_reply(302, \"Moved\");"), None);
    }

    /// `sip_warning`, as recorded from OpenSIPS; what would end the quotes is left out.
    #[test]
    fn a_warning_tells_of_the_request() {
        let routes = r#"route { $ru = "sip:x@y"; append_branch("sip:z"); sl_send_reply(200, "OK"); }"#;
        let bench = TEST_BED.bench(&format!("sip_warning=yes\n{SL}"), routes);
        let asked = request("OPTIONS", "", "").replace("OPTIONS sip:bob", "OPTIONS sip:b\"ob");
        let answer = bench.serve(&asked, 1).remove(0);
        let warning = header(&answer, "Warning").unwrap();
        let own = bench.worker.server.network.sockets.all()[0].address;
        assert!(warning.starts_with(&format!("392 {own} \"Noisy feedback tells:  pid=")), "{warning}");
        assert!(warning.contains(" req_src_ip=127.0.0.1 req_src_port="), "{warning}");
        assert!(warning.contains(" in_uri=sip:b?ob@"), "{warning}");
        assert!(warning.ends_with(" out_uri=sip:x@y via_cnt==1\""), "{warning}");
        assert_eq!(warning.matches('"').count(), 2);
    }

    #[test]
    fn codes_that_are_none_are_refused_at_the_start() {
        for code in ["99", "700", "-1"] {
            let problem =
                TEST_BED.try_bench(SL, &format!("route {{ sl_send_reply({code}, \"x\"); }}")).err().unwrap();
            assert!(problem.contains("is no status of a response"), "{problem}");
        }
    }

    #[test]
    fn our_own_tag_is_known_again_in_the_ack() {
        let bench = TEST_BED.bench(SL, r#"route { sl_send_reply(486, "Busy Here"); }"#);
        let busy = bench.serve(&request("INVITE", "", ""), 1).remove(0);
        let tag = header(&busy, "To").unwrap().rsplit_once(";tag=").unwrap().1.to_owned();
        let context = |text: &str| {
            let text = text.replace("@C@", "127.0.0.1:9").into_bytes();
            let message = tocsin_sip::Message::parse(text, &tocsin_sip::Limits::DEFAULT).unwrap();
            let source = "127.0.0.1:9".parse().unwrap();
            let received = tocsin_server::Received {
                source,
                socket: tocsin_server::sockets::SocketId(0),
                connection: tocsin_net::connections::ConnectionId::NONE,
            };
            Context::new(bench.worker, message, received, tocsin_script::RouteKind::Request)
        };
        let ack = |tag: &str| request("ACK", &format!(";tag={tag}"), "");
        assert!(is_own_ack(&context(&ack(&tag))));
        assert!(!is_own_ack(&context(&ack("0123456789abcdef"))));
        assert!(!is_own_ack(&context(&request("ACK", "", ""))));
        assert!(!is_own_ack(&context(&request("BYE", &format!(";tag={tag}"), ""))));
        assert_eq!(bench.statistic("sl:received_ACKs"), 1);
    }

    #[test]
    fn statistics_may_be_switched_off() {
        let bench = TEST_BED
            .bench(&format!("{SL}\nmodparam(\"sl\", \"enable_stats\", 0)"), "route { sl_reply_error(); }");
        bench.serve(&request("INVITE", "", ""), 1);
        assert!(bench.worker.server.statistics.read(&"sl:".into()).is_empty());
    }

    #[test]
    fn a_reason_stays_on_its_line() {
        assert_eq!(&*one_line(b"Not found"), b"Not found");
        assert_eq!(&*one_line(b"No\r\nX: y\0"), b"No  X: y ");
    }
}
