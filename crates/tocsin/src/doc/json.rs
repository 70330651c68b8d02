//! Everything, for machines.

use tocsin_json::Value;
use tocsin_script::{TRANSFORMATIONS, Transformation};
use tocsin_server::declared::{DefaultValue, Kind};
use tocsin_server::settings::{Parameter, TOPICS};

use super::management::Names;
use super::{functions, modules, variables};

/// `{"core_parameters": [...], ..., "modules": [...]}`, on lines of its own.
pub(super) fn text() -> String {
    let parameters =
        TOPICS.iter().flat_map(|topic| topic.parameters.iter().map(|row| as_json(topic.title, row)));
    let transformations = TRANSFORMATIONS
        .iter()
        .flat_map(|class| class.rows.iter().map(|row| transformation(class.title, row)));
    let core = tocsin_server::core::names();
    let members = [
        ("core_parameters", Value::array(parameters)),
        ("core_functions", Value::array(core.functions().iter().map(functions::as_json))),
        ("core_variables", Value::array(core.variables().iter().map(variables::as_json))),
        ("transformations", Value::array(transformations)),
    ];
    let modules = ("modules", Value::array(modules::all().iter().map(modules::as_json)));
    let mut text = Vec::new();
    Value::object(members.into_iter().chain(Names::of_core().members()).chain([modules]))
        .write_pretty(&mut text);
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn as_json(topic: &'static str, parameter: &Parameter) -> Value {
    let mut members = vec![
        ("name", Value::from(parameter.name)),
        ("older", Value::array(parameter.older.iter().map(|name| Value::from(*name)))),
        ("topic", Value::from(topic)),
        ("takes", Value::from(parameter.kind.to_string())),
    ];
    if let Kind::Number { least, most, unit } = parameter.kind {
        members.push(("unit", Value::from(unit)));
        members.push(("least", Value::from(least)));
        if most < i64::MAX {
            members.push(("most", Value::from(most)));
        }
    }
    match parameter.default {
        DefaultValue::Number(number) => members.push(("default", Value::from(number))),
        DefaultValue::Switch(truth) => members.push(("default", Value::from(truth))),
        DefaultValue::Text(text) => members.push(("default", Value::from(text))),
        DefaultValue::Unset("") => {}
        DefaultValue::Unset(words) => members.push(("unset", Value::from(words))),
    }
    members.push(("doc", Value::from(parameter.doc)));
    members.push(("effect", Value::from(parameter.idle_because().is_none())));
    if let Some(why) = parameter.idle_because() {
        members.push(("why_not", Value::from(why)));
    }
    Value::object(members)
}

fn transformation(class: &'static str, row: &Transformation) -> Value {
    let arguments = row.parameters.iter().map(|parameter| {
        Value::object([
            ("name", Value::from(parameter.name)),
            ("takes", Value::from(parameter.kind.to_string())),
            ("variable", Value::from(parameter.kind.takes_variables())),
            ("optional", Value::from(parameter.optional)),
        ])
    });
    Value::object([
        ("name", Value::from(row.name)),
        ("class", Value::from(class)),
        ("usage", Value::from(row.usage().to_string())),
        ("arguments", Value::array(arguments)),
        ("doc", Value::from(row.doc)),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tocsin_server::settings::parameters;

    #[test]
    fn everything_is_there_for_machines() {
        let json: Value = serde_json::from_str(&super::text()).unwrap();
        let rows = json["core_parameters"].as_array().unwrap();
        assert_eq!(rows.len(), parameters().count());
        let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
        assert_eq!(row("tcp_max_msg_time")["default"], 4);
        assert_eq!(row("tcp_max_msg_time")["most"], 31_536_000);
        assert_eq!(row("udp_workers")["older"][0], "children");
        assert_eq!(row("mpath")["why_not"], "the modules are built in");
        assert_eq!(row("dns_retr_no")["unset"], "as /etc/resolv.conf says");
        let rows = json["transformations"].as_array().unwrap();
        let substr = rows.iter().find(|row| row["name"] == "s.substr").unwrap();
        assert_eq!(substr["usage"], "{s.substr,offset,length}");
        assert_eq!(substr["arguments"][1]["name"], "length");
        let modules = json["modules"].as_array().unwrap();
        let maxfwd = modules.iter().find(|module| module["name"] == "maxfwd").unwrap();
        assert_eq!(maxfwd["parameters"][0]["most"], 256);
    }
}
