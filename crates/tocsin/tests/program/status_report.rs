//! The Status/Report Interface, step by step as it was recorded from OpenSIPS.

use serde_json::{Value, json};

use crate::harness::{Http, Phone, Request, Server, Setup, Subscriber};

const CONFIG: &str = include_str!("../configs/status_report.cfg");

struct Scene {
    server: Server,
    subscriber: Subscriber,
    phone: Phone,
}

impl Scene {
    fn new() -> Self {
        let subscriber = Subscriber::new();
        let server = Setup::new(CONFIG).put("SUBSCRIBER", subscriber.name()).start();
        Self { server, subscriber, phone: Phone::new() }
    }

    /// Lets the script do what it does for `user`. Returns the code that the function returned, as the script saw it, and
    /// the Call-ID.
    fn run(&self, user: &str) -> (String, String) {
        let uri = format!("sip:{user}@{}", self.server.address());
        let request = Request::new(&self.phone, "MESSAGE", &uri);
        self.phone.send(self.server.address(), request.text());
        let answer = self.phone.expect_status(200);
        (answer.start_line().trim_start_matches("SIP/2.0 200 ").to_owned(), request.call_id)
    }

    /// The bytes of the events up to now.
    fn told(&self) -> Vec<String> {
        assert_eq!(self.server.mi().call("raise_event", json!(["E_MARK"])), "OK");
        let events = std::iter::repeat_with(|| self.subscriber.raw());
        events.take_while(|event| !event.contains("E_MARK")).collect()
    }

    /// What the script does for `user` returns 1 and is told with these parameters; then the status of alarms is `shown`.
    fn step(&self, user: &str, told: &str, shown: &str) {
        assert_eq!(self.run(user).0, "1", "{user}");
        let event = format!(r#"{{"jsonrpc":"2.0","method":"E_CORE_SR_STATUS_CHANGED","params":{told}}}"#);
        let expected = if told.is_empty() { Vec::new() } else { vec![event] };
        assert_eq!(self.told(), expected, "{user}");
        self.shows("sr_get_status", r#"["alarms"]"#, shown);
    }

    /// The raw answer to a command.
    fn answer(&self, method: &str, params: &str) -> String {
        let params = if params.is_empty() { String::new() } else { format!(r#","params":{params}"#) };
        let request = format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params},"id":1}}"#);
        self.server.mi().raw(request.as_bytes())
    }

    fn shows(&self, method: &str, params: &str, result: &str) {
        let expected = format!(r#"{{"jsonrpc":"2.0","result":{result},"id":1}}"#);
        assert_eq!(self.answer(method, params), expected, "{method} {params}");
    }

    fn refuses(&self, method: &str, params: &str, error: &str) {
        let expected = format!(r#"{{"jsonrpc":"2.0","error":{error},"id":1}}"#);
        assert_eq!(self.answer(method, params), expected, "{method} {params}");
    }

    fn readyz(&self) -> String {
        let request = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        Http::new(self.server.http_port()).raw(request)
    }
}

/// `text` with the parts that depend on the moment made the same: times of reports.
fn without_times(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    blank(&mut value);
    value["result"].to_string()
}

fn blank(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(blank),
        Value::Object(members) => {
            if let Some(date) = members.get_mut("Date") {
                assert_eq!(date.as_str().unwrap().len(), "Sun Nov 22 14:12:05 2026".len());
                *date = json!("D");
                assert!(members["Timestamp"].as_u64().unwrap() > 1_700_000_000);
                members["Timestamp"] = json!(0);
            }
            members.values_mut().for_each(blank);
        }
        _ => {}
    }
}

/// A report whose time was blanked out; the members are in the order that the parser sorts them to.
fn report(text: &str) -> Value {
    json!({"Timestamp": 0, "Date": "D", "Log": text})
}

#[test]
fn a_running_server_says_so() {
    let scene = Scene::new();
    assert!(scene.told().is_empty(), "the start is no news");
    scene.shows(
        "sr_list_status",
        "",
        r#"[{"Name":"Second Group","Identifiers":[{"Name":"main","Readiness":true,"Status":1}]},{"Name":"alarms","Identifiers":[{"Name":"main","Readiness":true,"Status":1}]},{"Name":"core","Identifiers":[{"Name":"main","Readiness":true,"Status":1,"Details":"running"}]}]"#,
    );
    scene.shows(
        "sr_list_identifiers",
        "",
        r#"[{"Group":"Second Group","Identifiers":["main"]},{"Group":"alarms","Identifiers":["main"]},{"Group":"core","Identifiers":["main"]}]"#,
    );
    scene.shows("sr_get_status", r#"["core"]"#, r#"{"Readiness":true,"Status":1,"Details":"running"}"#);
    let raw = scene.answer("sr_list_reports", r#"["core","main"]"#);
    assert!(raw.starts_with(r#"{"jsonrpc":"2.0","result":[{"Timestamp":"#), "{raw}");
    assert!(raw.ends_with(r#"","Log":"initialization completed, ready now"}],"id":1}"#), "{raw}");
    let core = [report("initializing"), report("initialization completed, ready now")];
    let expected = json!([
        {"Name": "Second Group", "Identifiers": [{"Name": "main", "Reports": []}]},
        {"Name": "alarms", "Identifiers": [{"Name": "main", "Reports": []}]},
        {"Name": "core", "Identifiers": [{"Name": "main", "Reports": core}]},
    ]);
    assert_eq!(without_times(&scene.answer("sr_list_reports", "")), expected.to_string());
    let page = scene.readyz();
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("\r\n\r\nready\n"), "{page}");
    scene.server.stop();
}

#[test]
fn the_end_is_told_before_the_last_process_goes() {
    let Scene { server, subscriber, .. } = Scene::new();
    server.stop();
    let event = subscriber.raw();
    assert!(event.contains(r#""group":"core","identifier":"main","status":-2,"#), "{event}");
}

#[test]
fn a_script_sets_statuses_and_subscribers_are_told_of_other_numbers() {
    let scene = Scene::new();
    scene.step(
        "set5",
        r#"{"group":"alarms","identifier":"main","status":5,"details":"five is alive","old_status":1}"#,
        r#"{"Readiness":true,"Status":5,"Details":"five is alive"}"#,
    );
    scene.step("set5other", "", r#"{"Readiness":true,"Status":5,"Details":"other text"}"#);
    scene.step(
        "setm3",
        r#"{"group":"alarms","identifier":"main","status":-3,"details":"minus \"three\" \\ x","old_status":5}"#,
        r#"{"Readiness":false,"Status":-3,"Details":"minus \"three\" \\ x"}"#,
    );
    scene.step(
        "set0",
        r#"{"group":"alarms","identifier":"main","status":1,"details":"zero","old_status":-3}"#,
        r#"{"Readiness":true,"Status":1,"Details":"zero"}"#,
    );
    scene.step(
        "nodetails",
        r#"{"group":"alarms","identifier":"main","status":7,"old_status":1}"#,
        r#"{"Readiness":true,"Status":7}"#,
    );
    // An empty text is a text.
    scene.step(
        "empty",
        r#"{"group":"alarms","identifier":"main","status":4,"details":"","old_status":7}"#,
        r#"{"Readiness":true,"Status":4,"Details":""}"#,
    );
    scene.step(
        "nodetails",
        r#"{"group":"alarms","identifier":"main","status":7,"old_status":4}"#,
        r#"{"Readiness":true,"Status":7}"#,
    );
    let big = r#"{"Readiness":false,"Status":-1,"Details":"big"}"#;
    scene.step(
        "big",
        r#"{"group":"alarms","identifier":"main","status":-1,"details":"big","old_status":7}"#,
        big,
    );
    scene.step(
        "second",
        r#"{"group":"Second Group","identifier":"main","status":2,"details":"two","old_status":1}"#,
        big,
    );
    scene.step(
        "casediff",
        r#"{"group":"Second Group","identifier":"main","status":3,"details":"case","old_status":2}"#,
        big,
    );
    scene.step("rep", "", big);
    for (user, returned) in [("checkcore", "1"), ("checkid", "-2147483648"), ("core", "-1"), ("unk", "-1")] {
        assert_eq!(scene.run(user).0, returned, "{user}");
        assert!(scene.told().is_empty(), "{user}");
        scene.shows("sr_get_status", r#"["alarms"]"#, big);
    }
    scene.server.stop();
}

#[test]
fn commands_take_the_forms_that_were_recorded() {
    let scene = Scene::new();
    scene.run("casediff");
    scene.run("big");
    let (_, call_id) = scene.run("rep");
    let big = r#"{"Readiness":false,"Status":-1,"Details":"big"}"#;
    scene.refuses(
        "sr_get_status",
        "",
        r#"{"code":-32602,"message":"Invalid params","data":"Too few or too many parameters"}"#,
    );
    for params in [r#"["alarms"]"#, r#"{"group":"alarms","identifier":"main"}"#, r#"["ALARMS"]"#] {
        scene.shows("sr_get_status", params, big);
    }
    let (no_group, list) = (r#"{"code":404,"message":"Group not found"}"#, "sr_list_reports");
    scene.refuses(
        "sr_get_status",
        r#"["alarms","nosuch"]"#,
        r#"{"code":404,"message":"Identity not found"}"#,
    );
    scene.refuses("sr_get_status", r#"["nosuch"]"#, no_group);
    scene.shows(
        "sr_list_status",
        "",
        r#"[{"Name":"Second Group","Identifiers":[{"Name":"main","Readiness":true,"Status":3,"Details":"case"}]},{"Name":"alarms","Identifiers":[{"Name":"main","Readiness":false,"Status":-1,"Details":"big"}]},{"Name":"core","Identifiers":[{"Name":"main","Readiness":true,"Status":1,"Details":"running"}]}]"#,
    );
    scene.shows(
        "sr_list_status",
        r#"["alarms"]"#,
        r#"[{"Name":"main","Readiness":false,"Status":-1,"Details":"big"}]"#,
    );
    scene.refuses("sr_list_status", r#"{"group":"nosuch"}"#, no_group);
    let own = json!([report(&format!("report about 127.0.0.1 {call_id}"))]);
    let main = json!([{"Name": "main", "Reports": own}]);
    assert_eq!(without_times(&scene.answer(list, r#"["alarms"]"#)), main.to_string());
    assert_eq!(without_times(&scene.answer(list, r#"["alarms","main"]"#)), own.to_string());
    scene.refuses(list, r#"["alarms","nosuch"]"#, r#"{"code":404,"message":"Identifier not found"}"#);
    scene.refuses(list, r#"["nosuch"]"#, no_group);
    scene.shows("sr_list_identifiers", r#"["alarms"]"#, r#"{"Group":"alarms","Identifiers":["main"]}"#);
    scene.refuses("sr_list_identifiers", r#"{"group":"nosuch"}"#, no_group);
    scene.refuses(
        list,
        r#"{"identifier":"main"}"#,
        r#"{"code":-32602,"message":"Invalid params","data":"Named parameters do not match"}"#,
    );
    scene.server.stop();
}

#[test]
fn a_status_is_not_cut_to_sixteen_bits() {
    let scene = Scene::new();
    let mut old = 1;
    for status in [32_767, 32_768, 65_535, 65_536, 70_000, -32_768, -32_769, -70_000] {
        let told = format!(
            r#"{{"group":"alarms","identifier":"main","status":{status},"details":"x","old_status":{old}}}"#
        );
        let shown = format!(r#"{{"Readiness":{},"Status":{status},"Details":"x"}}"#, status > 0);
        scene.step(&status.to_string(), &told, &shown);
        old = status;
    }
    scene.server.stop();
}

#[test]
fn a_server_that_ends_says_so_to_scripts_that_still_run() {
    let Scene { server, phone, .. } = Scene::new();
    let request = Request::new(&phone, "MESSAGE", &format!("sip:end@{}", server.address()));
    phone.send(server.address(), request.text());
    assert_eq!(phone.receive().status(), Some(100), "the script waits for the end");
    server.stop();
    assert_eq!(phone.expect_status(200).start_line(), "SIP/2.0 200 -2");
}
