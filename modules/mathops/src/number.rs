//! Numbers as C reads and prints them: what stands at the beginning of a text, and a fixed count of decimals.

/// The most decimals that are printed.
pub(super) const MAX_DECIMALS: i64 = 100;

/// The number at the beginning of `text` and its length in bytes: decimal digits with a point and an exponent, or
/// hexadecimal digits after `0x`. `None` if there are no digits.
pub(super) fn prefix(text: &[u8]) -> Option<(f64, usize)> {
    if let [b'0', b'x' | b'X', rest @ ..] = text {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > 0 {
            let value = rest[..digits].iter().fold(0.0, |value, byte| {
                value * 16.0 + f64::from(char::from(*byte).to_digit(16).unwrap_or(0))
            });
            return Some((value, digits + 2));
        }
    }
    let digits = |at: usize| text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut end = whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let begin = (end + 1 + sign).min(text.len());
        let exponent = digits(begin);
        if exponent > 0 {
            end = begin + exponent;
        }
    }
    let value = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((value, end))
}

/// The number with its sign at the beginning of `text`, behind blanks; 0 if there is none.
pub(super) fn leading(text: &[u8]) -> f64 {
    let text = text.trim_ascii_start();
    let (sign, rest) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    };
    sign * prefix(rest).map_or(0.0, |(value, _)| value)
}

/// With so many decimals; six if the count is below 0.
pub(super) fn fixed(value: f64, decimals: i64) -> String {
    let decimals = if decimals < 0 { 6 } else { decimals.min(MAX_DECIMALS) as usize };
    format!("{value:.decimals$}")
}

/// As a number of the script. One that has no place in 32 bits becomes the lowest, as on the processors that OpenSIPS
/// runs on.
pub(super) fn whole(value: f64) -> i64 {
    let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value);
    if fits { value as i64 } else { i64::from(i32::MIN) }
}

/// Rounded to so many decimals, halves away from 0; left as it is if the count is below 0.
pub(super) fn round(value: f64, decimals: i64) -> f64 {
    scaled(value, i32::try_from(decimals.min(MAX_DECIMALS)).ok().filter(|decimals| *decimals >= 0))
}

/// Rounded to so many significant figures.
pub(super) fn round_figures(value: f64, figures: i64) -> f64 {
    if value == 0.0 {
        return value;
    }
    let figures = figures.clamp(0, MAX_DECIMALS) as i32;
    scaled(value, Some(figures - value.abs().log10().ceil() as i32))
}

/// Rounded after a shift of the decimal point to the right.
fn scaled(value: f64, places: Option<i32>) -> f64 {
    let Some(places) = places else { return value };
    let scale = 10_f64.powi(places);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        for (text, value, length) in [
            ("3.25x", 3.25, 4),
            ("1e3", 1000.0, 3),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            ("2E-2", 0.02, 4),
            (".5", 0.5, 2),
            ("5.", 5.0, 2),
            ("0x10", 16.0, 4),
            ("0xg", 0.0, 1),
        ] {
            assert_eq!(prefix(text.as_bytes()), Some((value, length)), "{text}");
        }
        assert!([&b""[..], b".", b"e3", b"-1", b"x"].into_iter().all(|text| prefix(text).is_none()));
        assert_eq!(
            [leading(b" -2.5z"), leading(b"abc"), leading(b""), leading(b"+1")],
            [-2.5, 0.0, 0.0, 1.0]
        );
    }

    #[test]
    fn rounding_and_printing() {
        assert_eq!(fixed(round(-2.555, 2), 2), "-2.56");
        assert_eq!(fixed(round(1234.0, -2), -2), "1234.000000");
        assert_eq!(fixed(1.005, 2), "1.00", "what is nearest is printed");
        assert_eq!(fixed(1.0 / 0.0, 2), "inf");
        assert_eq!(fixed(1.0, i64::MAX).len(), 102);
        assert_eq!(
            [round_figures(17892.987, 3), round_figures(0.0, 3), round_figures(3.1, 0)],
            [17900.0, 0.0, 0.0]
        );
        assert_eq!([whole(-3.9), whole(1e10), whole(f64::NAN)], [-3, -2_147_483_648, -2_147_483_648]);
    }
}
