//! Small things written without a detour over `String`.

use std::net::IpAddr;

/// Appends a number in decimal.
pub(crate) fn decimal(number: u32, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends an address as it stands in a `received` parameter: IPv6 without brackets.
///
/// ```
/// let mut text = Vec::new();
/// tocsin_sip::write_address([192, 0, 2, 1].into(), &mut text);
/// assert_eq!(text, b"192.0.2.1");
/// ```
pub fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(four) => {
            for (index, octet) in four.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                decimal(octet.into(), out);
            }
        }
        IpAddr::V6(six) => {
            // Writing to a Vec cannot fail.
            let _ = std::io::Write::write_fmt(out, format_args!("{six}"));
        }
    }
}

/// Appends `Name: value` and the end of the line.
pub(crate) fn header_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses() {
        let mut out = Vec::new();
        for number in [0, 7, 10, 65535, u32::MAX] {
            decimal(number, &mut out);
            out.push(b' ');
        }
        address(IpAddr::from([192, 0, 2, 1]), &mut out);
        out.push(b' ');
        address("2001:db8::9:255".parse().unwrap(), &mut out);
        assert_eq!(out, b"0 7 10 65535 4294967295 192.0.2.1 2001:db8::9:255");
    }
}
