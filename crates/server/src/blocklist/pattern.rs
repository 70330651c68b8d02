//! Patterns as file names are matched (POSIX `fnmatch`, no flags): `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before a
//! character that stands for itself.

/// Whether the whole of `text` is as `pattern` says. Takes time in the product of both lengths at worst.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, one)
}

/// The same for a pattern in lower case and a text in any.
pub fn matches_in_any_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, |pattern, byte| one(pattern, byte.to_ascii_lowercase()))
}

/// The same with another notion of what fits one byte. `one` is given what follows in the pattern, which begins with no star,
/// and returns the length of its first part if that fits.
pub fn matches_by(pattern: &[u8], text: &[u8], one: impl Fn(&[u8], u8) -> Option<usize>) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on when what follows the last star does not fit: the star takes one byte more.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, read));
            at += 1;
        } else if let Some(length) = one(&pattern[at..], text[read]) {
            at += length;
            read += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            (at, read) = (after, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The length of the first part of `pattern`, if `byte` is as it says.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', rest @ ..] => match set(rest, byte) {
            Some((length, found)) => found.then_some(length + 1),
            // A bracket that is not closed stands for itself.
            None => (byte == b'[').then_some(1),
        },
        [plain, ..] => (*plain == byte).then_some(1),
        [] => None,
    }
}

/// A set behind its opening bracket: its length with the closing one, and whether `byte` is in it. `None` if it is not
/// closed.
fn set(rest: &[u8], byte: u8) -> Option<(usize, bool)> {
    let inverted = matches!(rest, [b'!' | b'^', ..]);
    let begin = usize::from(inverted);
    let (mut at, mut found) = (begin, false);
    loop {
        let mut low = *rest.get(at)?;
        if low == b']' && at > begin {
            return Some((at + 1, found != inverted));
        }
        if low == b'\\' {
            at += 1;
            low = *rest.get(at)?;
        }
        at += 1;
        let mut high = low;
        if rest.get(at) == Some(&b'-') && rest.get(at + 1).is_some_and(|byte| *byte != b']') {
            high = rest[at + 1];
            at += 2;
        }
        found |= (low..=high).contains(&byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn stars_and_question_marks() {
        assert!(fits("", "") && fits("*", "") && fits("a*c", "abbc") && fits("a?c", "abc"));
        assert!(!fits("", "a") && !fits("a", "") && !fits("a?c", "ac") && !fits("a*c", "abcd"));
        assert!(fits("*a*b*", "xxaxxbxx") && !fits("*a*b*", "xxbxxaxx") && fits("*aab", "aaaab"));
    }

    #[test]
    fn a_star_crosses_line_ends() {
        let request = "MESSAGE sip:a@b SIP/2.0\r\nFrom: x\r\n\r\nan ugly_word";
        assert!(fits("MESSAGE*ugly_word", request) && !fits("INVITE*ugly_word", request));
    }

    #[test]
    fn sets() {
        assert!(fits("[abc]x", "bx") && fits("[a-c]", "b") && fits("[!a-c]", "d") && fits("[^a-c]", "d"));
        assert!(!fits("[a-c]", "d") && !fits("[!a-c]", "b") && fits("[]a]", "]") && fits("[a-]", "-"));
        assert!(fits("[a", "[a") && fits(r"[\]]", "]"));
    }

    #[test]
    fn an_escaped_character_stands_for_itself() {
        assert!(fits(r"\*", "*") && !fits(r"\*", "a") && fits(r"a\?", "a?") && fits(r"\", r"\"));
    }

    proptest! {
        #[test]
        fn a_text_fits_its_own_escaped_form(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let escaped: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
            prop_assert!(matches(&escaped, &text));
        }

        #[test]
        fn nothing_panics(pattern in r"[]\[*?!^\\ab-]{0,20}", text in "[]ab*-]{0,20}") {
            matches(pattern.as_bytes(), text.as_bytes());
        }
    }
}
