//! Every fact in `recorded/`, what the manual says where nothing was recorded, and what no text may do.

use proptest::prelude::*;

use super::row::Kind;
use super::{CLASSES, all, find};
use crate::testing::{check, evaluate, run};
use crate::value::Value;

/// Reads a file of facts: `name = literal` sets a variable, `name{transformation}` and a tab precede what is printed.
#[track_caller]
fn holds(facts: &str) {
    let mut variables: Vec<(&str, &str)> = Vec::new();
    let mut wrong = Vec::new();
    for line in facts.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((place, printed)) = line.split_once('\t') else {
            let (name, literal) = line.split_once(" = ").unwrap();
            variables.retain(|(known, _)| *known != name);
            variables.push((name, literal));
            continue;
        };
        let (name, transformations) = place.split_at(place.find('{').unwrap());
        let set: String =
            variables.iter().map(|(name, literal)| format!("$var({name}) = {literal}; ")).collect();
        let got = printed_after(&set, &format!("$(var({name}){transformations})"));
        if got != unescaped(printed) {
            wrong.push(format!("{place}: {printed:?} expected, {got:?} given"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a text with the value in it says after `statements`.
fn printed_after(statements: &str, value: &str) -> String {
    let (host, _) = run(&format!("route {{ {statements} keep_text(\"{value}\"); }}"));
    String::from_utf8_lossy(&host.out.to_bytes().unwrap()).into_owned()
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        out.push(match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                other => other.unwrap_or('\\'),
            },
            (letter, false) => letter,
        });
    }
    out
}

#[test]
fn text_is_as_recorded() {
    holds(include_str!("recorded/text.txt"));
}

#[test]
fn encodings_are_as_recorded() {
    holds(include_str!("recorded/encoding.txt"));
}

#[test]
fn hashes_are_as_recorded() {
    holds(include_str!("recorded/hash.txt"));
}

#[test]
fn uris_are_as_recorded() {
    holds(include_str!("recorded/uri.txt"));
}

#[test]
fn vias_are_as_recorded() {
    holds(include_str!("recorded/via.txt"));
}

#[test]
fn lists_of_parameters_are_as_recorded() {
    holds(include_str!("recorded/param.txt"));
}

#[test]
fn addresses_are_as_recorded() {
    holds(include_str!("recorded/nameaddr.txt"));
}

#[test]
fn ip_addresses_are_as_recorded() {
    holds(include_str!("recorded/ip.txt"));
}

#[test]
fn substitutions_are_as_recorded() {
    holds(include_str!("recorded/substitution.txt"));
}

/// `text{transformation}` gives this; in `text` and the transformation, `$` begins variables.
#[track_caller]
fn gives(text: &str, transformations: &str, expected: impl Into<Value>) {
    let script = format!("$var(x) = \"{text}\"; $var(out) = $(var(x){transformations});");
    assert_eq!(evaluate(&script), expected.into(), "{text} {transformations}");
}

const BODY: &str = "v=0\\r\\no=- 1 1 IN IP4 192.0.2.1\\r\\ns=-\\r\\nc=IN IP4 192.0.2.1\\r\\nt=0 0\\r\\n\
                    m=audio 4000 RTP/AVP 0\\r\\na=rtpmap:0 PCMU/8000\\r\\na=sendrecv\\r\\n\
                    m=video 4002 RTP/AVP 31\\r\\na=recvonly\\r\\nm=audio 4004 RTP/AVP 8\\r\\n";

#[test]
fn lines_of_a_session_description() {
    gives(BODY, "{sdp.line,c}", "c=IN IP4 192.0.2.1");
    gives(BODY, "{sdp.line,m}", "m=audio 4000 RTP/AVP 0");
    gives(BODY, "{sdp.line,a,1}", "a=sendrecv");
    gives(BODY, "{sdp.line, m, 2}", "m=audio 4004 RTP/AVP 8");
    for missing in ["{sdp.line,m,3}", "{sdp.line,m,-1}", "{sdp.line,x}", "{sdp.line,}"] {
        gives(BODY, missing, Value::Null);
    }
    gives("", "{sdp.line,m}", Value::Null);
}

#[test]
fn streams_of_a_session_description() {
    let video = "m=video 4002 RTP/AVP 31\r\na=recvonly\r\n";
    gives(BODY, "{sdp.stream,1}", video);
    gives(BODY, "{sdp.stream,video}", video);
    gives(BODY, "{sdp.stream,-2}", video);
    gives(BODY, "{sdp.stream,audio}{sdp.line,a}", "a=rtpmap:0 PCMU/8000");
    gives(BODY, "{sdp.stream,-1}", "m=audio 4004 RTP/AVP 8\r\n");
    for missing in ["{sdp.stream,3}", "{sdp.stream,-4}", "{sdp.stream,image}", "{sdp.stream-delete,3}"] {
        gives(BODY, missing, Value::Null);
    }
    gives(BODY, "{sdp.stream-delete,audio}{sdp.line,m}", "m=video 4002 RTP/AVP 31");
    gives(BODY, "{sdp.stream-delete,audio}{sdp.line,m,1}", Value::Null);
    gives(BODY, "{sdp.stream-delete,0}{sdp.line,m,1}", "m=audio 4004 RTP/AVP 8");
    gives(BODY, "{sdp.stream-delete,-1}{sdp.line,m,2}", Value::Null);
    gives(BODY, "{sdp.stream-delete,image}", Value::Null);
    gives("v=0\\r\\n", "{sdp.stream,0}", Value::Null);
}

#[test]
fn fields_between_commas() {
    gives("a,b,,c, d ", "{csv.count}", 5);
    gives("a,b,,c, d ", "{csv.value,2}", "");
    gives("a,b,,c, d ", "{csv.value,-1}", " d ");
    gives("a,b,,c, d ", "{csv.value,5}", Value::Null);
    gives("a,b,,c, d ", "{csv.value,-6}", Value::Null);
    gives("\\\"a,b\\\",\\\"say \\\"\\\"c\\\"\\\"\\\"", "{csv.count}", 2);
    gives("\\\"a,b\\\",\\\"say \\\"\\\"c\\\"\\\"\\\"", "{csv.value,0}", "a,b");
    gives("\\\"a,b\\\",\\\"say \\\"\\\"c\\\"\\\"\\\"", "{csv.value,1}", "say \"c\"");
    gives("realm=\\\"a,b\\\",nonce=c", "{csv.value,0}", "realm=\"a,b\"");
    gives("\\\"open,b", "{csv.count}", Value::Null);
    gives("", "{csv.count}", Value::Null);
}

#[test]
fn parameters_by_position() {
    gives("a=1;b=22;c=333", "{param.valueat,1}", "22");
    gives("a=1;b=22;c", "{param.valueat,-1}", "");
    gives("a=1;b=22;c=333", "{param.name,-3}", "a");
    gives("a=1;b=22;c=333", "{param.name,3}", Value::Null);
    gives("a=1;b=22;c=333", "{param.value,$(var(x){param.name,1})}{s.len}", 2);
    gives("a = 1 ; b = \\\"x;y\\\" ;c", "{param.value,b}", "x;y");
    gives("a=", "{param.count}", Value::Null);
}

#[test]
fn addresses_of_a_list() {
    let list = "\\\"first, 1st\\\" <sip:first@x.org>;p=\\\"a,b\\\", second <sip:second@x.org> ,sip:third@x.org;q=1;lr";
    gives(list, "{nameaddr.0.name}", "\"first, 1st\"");
    gives(list, "{nameaddr.0.param,p}", "a,b");
    gives(list, "{nameaddr.1.name}", "second");
    gives(list, "{nameaddr.1.len}", 0);
    gives(list, "{nameaddr.-1.uri}", "sip:third@x.org");
    gives(list, "{nameaddr.2.params}", "q=1;lr");
    gives(list, "{nameaddr.2.param,LR}", "");
    gives(list, "{nameaddr.3.uri}", Value::Null);
    gives(list, "{nameaddr.-4.uri}", Value::Null);
    gives("sip:a@b,", "{nameaddr.uri}", Value::Null);
}

#[test]
fn keyed_hashes() {
    // RFC 2202 and RFC 4231, case 2
    let text = "what do ya want for nothing?";
    gives(text, "{s.sha1_hmac,Jefe}", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    gives(text, "{s.sha224_hmac,Jefe}", "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44");
    gives(text, "{s.sha256_hmac,Jefe}", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    let start = "{s.substr,0,16}";
    gives(text, &format!("{{s.sha384_hmac,Jefe}}{start}"), "af45d2e376484031");
    gives(text, &format!("{{s.sha512_hmac,Jefe}}{start}"), "164b7a7bfcf819e2");
    let keyed = "$var(k) = \"Jefe\"; $var(x) = \"what do ya want for nothing?\";";
    let got = evaluate(&format!("{keyed} $var(out) = $(var(x){{s.sha1_hmac,$var(k)}}{{s.substr,0,4}});"));
    assert_eq!(got, Value::from("effc"));
    gives(text, "{s.sha1_hmac,$var(unset)}", Value::Null);
}

#[test]
fn numbers_are_calculated_with_and_printed_as_they_came() {
    gives("2868.12 sec", "{s.int}", 2868);
    gives("sec", "{s.int}", 0);
    gives("-17", "{s.int}", -17);
    gives("2868.12 sec", "{s.int}{s.len}", 11);
    gives("31", "{s.int}{s.dec2hex}", "1f");
    assert_eq!(printed_after("$var(x) = \"12.75 sec\";", "$(var(x){s.int})"), "12.75 sec");
    assert_eq!(evaluate("$var(out) = $(five{s.int}) + $(five{s.len});"), Value::Int(6));
    assert!(check("route { $(var(x){s.int}) = 5; }").is_err());
}

#[test]
fn a_substitution_looks_at_lines_unless_it_is_told_not_to() {
    let lines = "one\\ntwo\\nthree";
    gives(lines, "{re.subst,/^t[^x]*$/X/g}", "one\nX\nX");
    gives(lines, "{re.subst,/^o.*e$/X/s}", "X");
    gives("aaa", "{re.subst,/^a/x/g}", "xaa");
    gives("abc", "{re.subst,/b|$/x/g}", Value::Null);
    gives("price", "{re.subst,/pri/$$\\$/}", "$$ce");
    gives("abc", "{re.subst,/b/$nosuch/}", Value::Null);
    // written down, it ends at the first brace
    gives("aab", "{re.subst,/a{2}/x/}", Value::Null);
    assert_eq!(
        evaluate("$var(s) = \"/a{2}/x/\"; $var(x) = \"aab\"; $var(out) = $(var(x){re.subst,$var(s)});"),
        Value::from("xb")
    );
    assert_eq!(
        evaluate(
            "$var(s) = \"/a/x/\"; $var(x) = \"ab\"; $var(n) = 0;
             while ($var(n) < 3) { $var(x) = $(var(x){re.subst,$var(s)}); $var(s) = \"/b/\\1y/\"; $var(n) = $var(n) + 1; }
             $var(out) = $var(x);"
        ),
        Value::from("xy")
    );
}

#[test]
fn a_text_that_names_itself_ends() {
    for text in
        ["$(avp(x){s.eval})", "<$(avp(x){s.eval}) $(avp(x){s.eval})>", "/a/$(avp(x){re.subst,$avp(x)})/"]
    {
        let program =
            crate::testing::program("route { keep($(avp(x){s.eval})); keep($(rm{re.subst,$avp(x)})); }");
        let mut host = crate::testing::TestHost { list: vec![Value::str(text)], ..Default::default() };
        let route = program.route(crate::RouteKind::Request, b"").unwrap();
        for _ in 0..3 {
            let _ = program.start(route).run(&program, &mut host);
        }
    }
    // The next one has as many of its own.
    let program = crate::testing::program(
        "route { $var(n) = 0; while ($var(n) < 50) { keep($(avp(x){s.eval})); $var(n) = $var(n) + 1; } }",
    );
    let mut host = crate::testing::TestHost { list: vec![Value::str("<$var(n)>")], ..Default::default() };
    let route = program.route(crate::RouteKind::Request, b"").unwrap();
    let _ = program.start(route).run(&program, &mut host);
    assert_eq!(host.out, Value::from("<49>"));
}

#[test]
fn a_substitution_that_takes_long_is_given_up() {
    let program = crate::testing::program("route { keep($(avp(x){re.subst,/a/b/g})); }");
    let route = program.route(crate::RouteKind::Request, b"").unwrap();
    let text = Value::str("a".repeat(64 * 10).as_bytes());
    for (tick_ms, given_up) in [(0, false), (40, false), (99, true), (10_000, true)] {
        let mut host = crate::testing::TestHost { list: vec![text.clone()], tick_ms, ..Default::default() };
        let _ = program.start(route).run(&program, &mut host);
        assert_eq!(host.out.is_null(), given_up, "{tick_ms}");
        assert_eq!(host.errors.iter().any(|error| error.contains("took more than 500 ms")), given_up);
    }
}

#[test]
fn an_address_is_not_looked_up() {
    gives("127.0.0.1", "{ip.resolve}", "127.0.0.1");
    gives("[::1]", "{ip.resolve}", "0:0:0:0:0:0:0:1");
    gives("", "{ip.resolve}", Value::Null);
}

#[test]
fn what_is_written_wrong_is_explained() {
    let table = [
        ("s.lne", "unknown transformation <s.lne>"),
        ("uri.1.user", "unknown transformation <uri.1.user>"),
        ("nameaddr.x.name", "unknown transformation <nameaddr.x.name>"),
        ("s.substr", "{s.substr,offset,length}: the offset is missing"),
        ("s.substr,1", "{s.substr,offset,length}: the length is missing"),
        (
            "s.substr,a,1",
            "{s.substr,offset,length}: `a` cannot be the offset: a number or a variable is needed",
        ),
        ("s.select,1", "{s.select,index,separator}: the separator is missing"),
        ("s.fill.left,$rm,6", "{s.fill.left,padding,length}: `padding` cannot be a variable"),
        ("s.width,-1", "{s.width,length}: `-1` cannot be the length: a length or a variable is needed"),
        (
            "sdp.line,m,x",
            "{sdp.line,type[,index]}: `x` cannot be the index: a number or a variable is needed",
        ),
        ("nameaddr.param", "{nameaddr[.index].param,name}: the name is missing"),
        ("re.subst", "{re.subst,substitution}: the substitution is missing"),
        ("s.index,$rm x", "{s.index,text[,offset]}: a comma expected after a variable"),
    ];
    for (written, expected) in table {
        let errors =
            check(&format!("route {{ $var(out) = $(rm{{{written}}}); }}")).err().unwrap().to_string();
        assert!(errors.contains(expected), "{written}: {errors}");
        let help = if expected.starts_with('{') { "says what it takes" } else { "did you mean" };
        assert!(errors.contains(help), "{written}: {errors}");
    }
    let errors = check("route { $var(out) = $(rm{s.lne}); }").err().unwrap().to_string();
    assert!(errors.contains("did you mean `s.len`?"), "{errors}");
}

#[test]
fn near_misses_are_taken() {
    for written in
        ["s.LEN", "S.len", "s.len ", "s.len,1", "s.substr,1,2,3", "uri.param,", "re.subst,", "re.subst,/(/b/"]
    {
        check(&format!("route {{ $var(out) = $(rm{{{written}}}); }}"))
            .unwrap_or_else(|e| panic!("{written}: {e}"));
    }
    assert!(check("route { $var(out) = $(rm{ s.len}); }").is_err());
}

#[test]
fn each_has_a_name_of_its_own_and_is_documented() {
    let mut names: Vec<_> = all().map(|row| row.name).collect();
    assert_eq!(names.len(), 94);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 94);
    for row in all() {
        assert!(row.doc.ends_with('.'), "{}", row.name);
        assert_eq!(find(row.name).map(|(found, _)| found.name), Some(row.name));
        let optional = row.parameters.iter().position(|parameter| parameter.optional);
        assert!(optional.is_none_or(|at| at + 1 == row.parameters.len()), "{}", row.name);
    }
}

/// How each transformation may be written, with arguments out of the tables.
fn written(numbers: &[&str], texts: &[&str]) -> Vec<String> {
    let mut written = Vec::new();
    for row in CLASSES.iter().flat_map(|class| class.rows) {
        for (number, text) in numbers.iter().flat_map(|number| texts.iter().map(move |text| (number, text))) {
            let arguments = row.parameters.iter().map(|parameter| match parameter.kind {
                Kind::Number | Kind::FixedNumber | Kind::NumberOrText => format!(",{number}"),
                Kind::Length => ",7".to_owned(),
                Kind::Network => ",10.0.0.0/8".to_owned(),
                Kind::Substitution => ",/[a-m]+/<\\0>/g".to_owned(),
                Kind::Text | Kind::FixedText | Kind::Separator => format!(",{text}"),
            });
            written.push(format!("{{{}{}}}", row.name, arguments.collect::<String>()));
        }
    }
    written.sort();
    written.dedup();
    written
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_ends_the_process(
        text in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "[a-c:;,=@<>\\[\\]\"'\\\\/?. 0-9m\r\n-]{0,40}".prop_map(String::into_bytes),
            "SIP ?/2.0/UDP [a-c:;,=()\" .0-9-]{0,30}".prop_map(String::into_bytes),
            "sips?:[a-c:;,=@?&\" .0-9-]{0,30}".prop_map(String::into_bytes),
        ],
        number in prop_oneof![Just(0), Just(-1), any::<i32>()],
    ) {
        let calls: String = written(&[&number.to_string(), "0", "-1"], &["a", "="])
            .iter()
            .map(|transformations| format!("note($(avp(x){transformations})); note(\"$(avp(x){transformations})\");\n"))
            .collect();
        let program = crate::testing::program(&format!("route {{ {calls} }}"));
        let mut host = crate::testing::TestHost { list: vec![Value::str(&text[..])], ..Default::default() };
        let route = program.route(crate::RouteKind::Request, b"").unwrap();
        let _ = program.start(route).run(&program, &mut host);
    }
}
