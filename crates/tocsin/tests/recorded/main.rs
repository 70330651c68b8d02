//! What OpenSIPS 3.4.18 was recorded to do, played against the real program, case by case.
//!
//! There are two tables. `cases/script/AREA/NAME.json` holds configurations, messages, and the lines that their scripts
//! log, the replies they send and the requests they relay ([`script`] plays them). `cases/sip/AREA/NAME.json` holds
//! parties that exchange SIP messages through the server, and what each of them received ([`sip`]).
//!
//! Beside the tables lie two lists ([`lists`]): `pending.txt` names what does not pass yet, `deliberate.txt` what differs
//! on purpose, with the reason. Any other difference fails the test of its area. So does a pending case that passes: the
//! list only shrinks. `WRITE_PENDING=1 cargo test -p tocsin --test recorded` writes `pending.txt` anew.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod area;
mod cases;
mod clock;
mod lists;
mod permits;
mod ports;
mod program;
mod script;
mod sip;

/// One test for each area of a table, so that areas run side by side and a failure says where to look.
macro_rules! table {
    ($table:ident, [$($test:ident = $area:literal),* $(,)?]) => {
        pub(crate) mod $table {
            pub(crate) const AREAS: &[&str] = &[$($area),*];
            $(
                #[test]
                fn $test() {
                    crate::area::judge(concat!(stringify!($table), "/", $area), crate::$table::play);
                }
            )*
        }
    };
}

/// The tests, named after their table and area.
mod recorded {
    table!(
        script,
        [
            avp = "avp",
            cmp = "cmp",
            func = "func",
            log = "log",
            ops = "ops",
            routes = "routes",
            script = "script",
            tr_ip = "tr-ip",
            tr_nameaddr = "tr-nameaddr",
            tr_param = "tr-param",
            tr_re = "tr-re",
            tr_s = "tr-s",
            tr_uri = "tr-uri",
            tr_via = "tr-via",
            var = "var",
            write = "write",
        ]
    );

    table!(
        sip,
        [
            branches = "branches",
            core = "core",
            maxfwd = "maxfwd",
            msgops = "msgops",
            registrar = "registrar",
            residential = "residential",
            residential_acc = "residential_acc",
            rr = "rr",
            shipped = "shipped",
            shipped_acc = "shipped_acc",
            sl = "sl",
            tm = "tm",
            transport = "transport",
        ]
    );
}

#[test]
fn every_area_has_a_test() {
    for (table, areas) in [("script", recorded::script::AREAS), ("sip", recorded::sip::AREAS)] {
        assert_eq!(cases::areas(table), areas, "main.rs lists the folders of cases/{table}");
    }
}
