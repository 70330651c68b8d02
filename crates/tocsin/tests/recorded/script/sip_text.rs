//! As much of a SIP message as these cases look at.

/// The values of a header, by its long name; compact forms count, folded lines are one.
pub(super) fn headers(message: &str, name: &str) -> Vec<String> {
    let compact = match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        other => other,
    };
    let is_it = |found: &str| found.eq_ignore_ascii_case(name) || found.eq_ignore_ascii_case(compact);
    unfolded(head(message))
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(found, _)| is_it(found.trim_end_matches([' ', '\t'])))
        .map(|(_, value)| value.trim_start_matches([' ', '\t']).to_owned())
        .collect()
}

/// The first value of a header, or an empty text.
pub(super) fn header(message: &str, name: &str) -> String {
    headers(message, name).into_iter().next().unwrap_or_default()
}

/// All before the body.
pub(super) fn head(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or(message, |(head, _)| head)
}

/// The same text with CRLF at the end of each line.
pub(super) fn with_crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

fn unfolded(head: &str) -> String {
    let mut text = String::new();
    for line in head.split("\r\n") {
        let bare = line.trim_start_matches([' ', '\t']);
        if !text.is_empty() {
            text += if bare.len() < line.len() { " " } else { "\r\n" };
        }
        text += if text.is_empty() { line } else { bare };
    }
    text
}
