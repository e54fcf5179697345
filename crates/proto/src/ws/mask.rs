//! Masking (RFC 6455 section 5.3): `transformed-octet-i = original-octet-i XOR masking-key-octet-j`, j = i MOD 4.
//!
//! The loops take eight bytes at a time, which the compiler turns into vector instructions.

/// Unmasks `bytes` in place.
pub fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let word = double(key);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Unmasks `masked` on the way into `output`, which must have the same length.
pub fn unmask_into(output: &mut [u8], masked: &[u8], key: [u8; 4]) {
    assert_eq!(output.len(), masked.len(), "one place for each byte");
    let word = double(key);
    let (to_words, to_rest) = output.as_chunks_mut::<8>();
    let (words, rest) = masked.as_chunks::<8>();
    for (to, bytes) in to_words.iter_mut().zip(words) {
        *to = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for ((to, byte), key) in to_rest.iter_mut().zip(rest).zip(key.iter().cycle()) {
        *to = byte ^ key;
    }
}

/// Returns the key for the bytes that follow `length` bytes unmasked with `key`.
pub(super) fn advance(mut key: [u8; 4], length: usize) -> [u8; 4] {
    key.rotate_left(length % 4);
    key
}

fn double([a, b, c, d]: [u8; 4]) -> u64 {
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6455_section_5_7_masked_hello() {
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut bytes, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn equals_the_definition_at_every_length_and_split() {
        let key = [1, 2, 4, 128];
        let input: Vec<u8> = (0..67).map(|i| i * 3).collect();
        let expected: Vec<u8> = input.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        for length in 0..=input.len() {
            for split in 0..=length {
                let mut bytes = input[..length].to_vec();
                let (head, tail) = bytes.split_at_mut(split);
                unmask(head, key);
                unmask(tail, advance(key, split));
                assert_eq!(bytes, expected[..length]);
            }
            let mut output = vec![0; length];
            unmask_into(&mut output, &input[..length], key);
            assert_eq!(output, expected[..length]);
        }
    }
}
