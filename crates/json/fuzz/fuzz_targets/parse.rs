//! Any bytes as JSON: what is read is printed, in both forms, as text that can be read, and is printed the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_json::{MAX_DEPTH, ErrorKind, Limits, Value, parse, parse_prefix};

fuzz_target!(|bytes: &[u8]| {
    let few = parse(bytes, Limits { values: 20, ..Limits::default() });
    let Ok((value, length)) = parse_prefix(bytes, Limits::default()) else {
        assert!(few.is_err());
        return;
    };
    assert!(length <= bytes.len());
    match parse(bytes, Limits::default()) {
        Ok(whole) => assert_eq!(whole, value),
        Err(error) => assert!(error.kind == ErrorKind::Trailing && error.offset <= bytes.len()),
    }
    assert!(depth(&value) <= MAX_DEPTH);
    let mut compact = Vec::new();
    value.write_compact(&mut compact);
    let again = parse(&compact, Limits::default());
    let Ok(read) = &again else { panic!("{again:?}") };
    let (mut printed, mut third) = (Vec::new(), Vec::new());
    read.write_compact(&mut printed);
    // The number -0.0 is printed as -0, which is read as the integer 0: from then on nothing changes.
    if let Ok(read) = parse(&printed, Limits::default()) {
        read.write_compact(&mut third);
    }
    assert_eq!(third, printed);
    assert!(printed == compact || compact.windows(2).any(|pair| pair == b"-0"));
    let mut pretty = Vec::new();
    value.write_pretty(&mut pretty);
    assert_eq!(parse(&pretty, Limits::default()), again);
});

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.iter().map(|(_, value)| depth(value)).max().unwrap_or_default(),
        _ => 0,
    }
}
