//! Arguments that functions read themselves.

use super::*;

#[test]
fn functions_take_texts_with_variables_apart() {
    for (argument, parts) in [
        ("\"$avp(a)/g\"", "$avp(a) `/g`"),
        ("\"$avp(a)/$var(b)/d\"", "$avp(a) `/` $var(b) `/d`"),
        ("\"eq/$$5\"", "`eq/$5`"),
        ("$five", "$five"),
    ] {
        assert_eq!(log(&format!("route {{ take_apart({argument}); }}")), [parts], "{argument}");
    }
    assert!(check("route { take_apart(5 + $five); }").is_err());
}

#[test]
fn functions_substitute() {
    let replaced =
        |subst: &str| run(&format!("route {{ $var(v) = \"V\"; replace(\"abab\", \"{subst}\"); }}")).0.out;
    assert_eq!(replaced("/(a)b/<\\1$var(v)>/"), Value::from("<aV>ab"));
    assert_eq!(replaced("/B/x/gi"), Value::from("axax"));
    assert_eq!(replaced("|a|/|g"), Value::from("/b/b"));
    assert_eq!(replaced("/z/x/"), Value::Null);
    assert_eq!(replaced("/^/x/"), Value::Null, "nothing is no match");
    for wrong in ["\"nonsense\"", "\"/(/x/\"", "\"/a/x/q\"", "\"/a/$nosuch/\"", "$ru"] {
        assert!(check(&format!("route {{ replace(\"abab\", {wrong}); }}")).is_err(), "{wrong}");
    }
}
