//! signaling: answers through the transaction where there is one, and without where there is none.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_script::{
    Accessor, Bytes, Call, Function, Index, Indexes, ModuleSpec, Param, ParamKind, Routes, Value, Variable,
};
use tocsin_server::core::as_text;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::{Context, reply};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Signaling;

impl Module for Signaling {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            functions: vec![send_reply()],
            variables: vec![local_tag()],
            ..ModuleSpec::new("signaling")
        }
    }

    fn start(&self, _: &mut Setup<'_>) -> Result<(), SetupError> {
        Ok(())
    }
}

/// Answers the request of `cx`. `false` when it cannot be answered.
pub fn send(cx: &mut Context, status: u16, reason: &[u8]) -> bool {
    if cx.transaction.is_some()
        && let Some(layer) = &cx.server().registered.transactions
        && let Some(sent) = layer.reply(cx, status, &tocsin_sl::one_line(reason))
    {
        return sent;
    }
    tocsin_sl::send(cx, status, reason)
}

fn send_reply() -> Function<Context> {
    const ANSWER: &[Param] =
        &[Param::required("code", ParamKind::Int), Param::required("reason", ParamKind::Str)];
    Function::new("send_reply", ANSWER, Routes::REQUEST | Routes::FAILURE | Routes::ERROR, |site| {
        tocsin_sl::check_answer(site)?;
        let call: Call<Context> = Rc::new(|cx, arguments| {
            let status = arguments[0].to_int().and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
            let reason = as_text(&arguments[1]).unwrap_or_default();
            send(cx, status, &reason).into()
        });
        Ok(call)
    })
    .doc(
        "Answers the request: in its transaction if there is one, else without a transaction. 1: \
         done; -1: it cannot be answered.",
    )
}

/// `$sig_local_totag`: the To tag of an answer without a transaction; NULL once there is a transaction, which makes its
/// own.
fn local_tag() -> Variable<Context> {
    struct LocalTag;
    impl Accessor<Context> for LocalTag {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            if !cx.message.is_request() || cx.transaction.is_some() {
                return Value::Null;
            }
            match cx.message.to().ok().and_then(|to| to.tag()) {
                Some(tag) => Value::Str(Bytes::new(tag)),
                None => Value::Str(Bytes::new(&reply::stateless_tag(cx))),
            }
        }
    }
    Variable::declared(
        "sig_local_totag",
        "The To tag of a reply without a transaction; NULL once there is a transaction.",
        |_| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(LocalTag);
            Ok(accessor)
        },
    )
    .indexed(Indexes::Unchecked)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tocsin_testbench::{TestBed, first_line, header, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed =
        TestBed::with(|| vec![Rc::new(crate::Signaling), Rc::new(tocsin_sl::Sl), Rc::new(tocsin_tm::Tm)]);

    #[test]
    fn without_a_transaction_the_answer_is_stateless() {
        let lines = "loadmodule \"sl.so\"\nloadmodule \"signaling.so\"";
        let bench = TEST_BED.bench(lines, r#"route { send_reply(480, "tag $sig_local_totag"); }"#);
        let answer = bench.serve(&request("INVITE", "", ""), 1).remove(0);
        let tag = header(&answer, "To").unwrap().rsplit_once(";tag=").unwrap().1;
        assert_eq!(first_line(&answer), format!("SIP/2.0 480 tag {tag}"));
        let answer = bench.serve(&request("BYE", ";tag=theirs", ""), 1).remove(0);
        assert_eq!(first_line(&answer), "SIP/2.0 480 tag theirs");
        assert_eq!(bench.statistic("sl:sent_replies"), 2);
    }

    #[test]
    fn a_transaction_answers_for_itself() {
        let lines = "loadmodule \"sl.so\"\nloadmodule \"signaling.so\"\nloadmodule \"tm.so\"";
        let bench = TEST_BED.bench(lines, r#"route { t_newtran(); send_reply(480, "Not Now"); }"#);
        let answer = bench.serve(&request("OPTIONS", "", ""), 1).remove(0);
        assert_eq!(first_line(&answer), "SIP/2.0 480 Not Now");
        assert_eq!(bench.statistic("sl:sent_replies"), 0);
    }

    #[test]
    fn sl_need_not_be_loaded() {
        let bench = TEST_BED.bench("loadmodule \"signaling.so\"", r#"route { send_reply(200, "OK"); }"#);
        assert_eq!(first_line(&bench.serve(&request("OPTIONS", "", ""), 1)[0]), "SIP/2.0 200 OK");
    }
}
