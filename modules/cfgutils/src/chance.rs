//! `rand_event()`: true now and then, as often as a probability says that all processes share.

use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use tocsin_json::Value as Json;
use tocsin_mi::MiError;
use tocsin_script::{Call, Function, ModParam, Outcome, Param, ParamKind, Routes, Value};
use tocsin_server::module::{CommandRow, Setup, SetupError};
use tocsin_server::{Context, Server};

pub(super) const INITIAL_PROBABILITY: ModParam =
    ModParam::number("initial_probability", 10, "How often rand_event() is true until that is changed.")
        .within(0, 100, "percent")
        .in_quotes_too();

/// The probability, in percent.
#[derive(Debug)]
pub(super) struct Probability {
    now: &'static AtomicU32,
    initial: u32,
}

impl Probability {
    pub(super) fn create(setup: &Setup<'_>) -> Result<Self, SetupError> {
        let initial = setup.parameters.int(&INITIAL_PROBABILITY) as u32;
        let now = setup.arena.boot_array(1, |_| AtomicU32::new(initial))?;
        Ok(Self { now: &now[0], initial })
    }

    fn set(&self, percent: u32) {
        self.now.store(percent, Relaxed);
    }
}

pub(super) fn functions() -> Vec<Function<Context>> {
    const OPTIONAL: &[Param] = &[Param::optional("probability", ParamKind::Int)];
    const PERCENT: &[Param] = &[Param::required("probability", ParamKind::Int)];
    vec![
        function("rand_event", OPTIONAL, |cx, arguments| {
            let shared = probability(cx.server()).now.load(Relaxed);
            let percent = arguments[0].to_int().and_then(percent).unwrap_or(shared);
            happens(cx.worker.unique(), percent).into()
        })
        .doc(
            "Is true as often as `probability` says, in percent, or else the probability that all \
             processes share. 1: it happens; -1: it does not.",
        ),
        function("rand_set_prob", PERCENT, |cx, arguments| {
            let given = arguments[0].to_int().unwrap_or(0);
            let held = percent(given.clamp(0, 100)).unwrap_or(0);
            if i64::from(held) != given {
                tracing::error!("rand_set_prob: {given} is taken for {held}: a probability is 0 to 100 percent");
            }
            probability(cx.server()).set(held);
            Outcome::TRUE
        })
        .doc("Sets the probability that all processes share, in percent; what is not 0 to 100 is cut. 1: always."),
        function("rand_reset_prob", &[], |cx, _| {
            let probability = probability(cx.server());
            probability.set(probability.initial);
            Outcome::TRUE
        })
        .doc("Sets the shared probability back to `initial_probability`. 1: always."),
        // The return code 0 would end the script: no chance at all is false.
        function("rand_get_prob", &[], |cx, _| match probability(cx.server()).now.load(Relaxed) {
            0 => Outcome::FALSE,
            percent => Outcome::Done(percent.into()),
        })
        .doc("Gives the shared probability as the return code, in percent; -1 if it is 0."),
    ]
}

pub(super) const SET: CommandRow = CommandRow::new(
    "rand_set_prob",
    &[&["prob_proc"]],
    "Sets the probability with which rand_event() is true, in percent.",
    |worker, params| match percent(params.int("prob_proc")?.into()) {
        Some(percent) => {
            probability(worker.server).set(percent);
            Ok(Json::from("OK"))
        }
        None => Err(MiError::new(400, "Invalid probability")),
    },
);

pub(super) const RESET: CommandRow = CommandRow::new(
    "rand_reset_prob",
    &[&[]],
    "Sets the probability of rand_event() back to `initial_probability`.",
    |worker, _| {
        let probability = probability(worker.server);
        probability.set(probability.initial);
        Ok(Json::from("OK"))
    },
);

pub(super) const GET: CommandRow =
    CommandRow::new("rand_get_prob", &[&[]], "Shows the probability of rand_event().", |worker, _| {
        let percent = probability(worker.server).now.load(Relaxed);
        Ok(Json::from(format!("The actual probability is {percent} percent.")))
    });

fn function(
    name: &'static str,
    params: &'static [Param],
    act: fn(&mut Context, &[Value]) -> Outcome<Context>,
) -> Function<Context> {
    Function::new(name, params, Routes::ANY, move |_| {
        let call: Call<Context> = Rc::new(act);
        Ok(call)
    })
}

fn probability(server: &'static Server) -> &'static Probability {
    server.state()
}

fn percent(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|percent| *percent <= 100)
}

fn happens(random: u64, percent: u32) -> bool {
    random % 100 < percent.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_happens_as_often_as_it_should() {
        let times = |percent| (0..1000).filter(|n| happens(*n, percent)).count();
        assert_eq!([times(0), times(5), times(100)], [0, 50, 1000]);
    }

    #[test]
    fn percentages() {
        assert_eq!([percent(0), percent(100), percent(101), percent(-1)], [Some(0), Some(100), None, None]);
    }
}
