//! Masking (RFC 6455 section 5.3): an exclusive or with four bytes, which undoes itself.

/// Masks or unmasks a payload where it lies.
pub(super) fn mask(payload: &mut [u8], key: [u8; 4]) {
    const WIDE: usize = 8;
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<WIDE>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_6455_section_5_7_masked_hello() {
        let mut hello = *b"\x7f\x9f\x4d\x51\x58";
        mask(&mut hello, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&hello, b"Hello");
    }

    proptest! {
        #[test]
        fn each_byte_is_masked_with_its_byte_of_the_key(
            payload in proptest::collection::vec(any::<u8>(), 0..70),
            key: [u8; 4],
        ) {
            let plain = payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect::<Vec<_>>();
            let mut masked = payload.clone();
            mask(&mut masked, key);
            prop_assert_eq!(&masked, &plain);
            mask(&mut masked, key);
            prop_assert_eq!(masked, payload);
        }
    }
}
