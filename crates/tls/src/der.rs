//! Elements of DER (X.690), as far as needed to name the kind of a key or a certificate.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// The tag `[0]` of a constructed element.
pub(crate) const CONTEXT_0: u8 = 0xA0;

/// The most bytes of a length field.
const MAX_LENGTH_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'d> {
    pub(crate) tag: u8,
    pub(crate) content: &'d [u8],
    /// The element with its tag and length.
    pub(crate) whole: &'d [u8],
}

/// Takes the first element off `bytes`, or returns `None` if it is incomplete.
pub(crate) fn take<'d>(bytes: &mut &'d [u8]) -> Option<Element<'d>> {
    let all = *bytes;
    let (&tag, rest) = all.split_first()?;
    let (&first, rest) = rest.split_first()?;
    // Section 8.1.3: a length of up to 127, or the number of bytes that contain the length.
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7F);
        if count == 0 || count > MAX_LENGTH_BYTES {
            return None;
        }
        let (length, rest) = rest.split_at_checked(count)?;
        (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(Element { tag, content, whole: &all[..all.len() - rest.len()] })
}

/// Takes the first element off `bytes` and returns its content, if it has this tag.
pub(crate) fn take_content<'d>(bytes: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
    take(bytes).filter(|element| element.tag == tag).map(|element| element.content)
}

/// Whether `bytes` are a single certificate, judged by its outer structure (RFC 5280 section 4.1).
pub(crate) fn is_certificate(bytes: &[u8]) -> bool {
    let is = |mut bytes: &[u8]| {
        let mut certificate = take_content(&mut bytes, SEQUENCE)?;
        take_content(&mut certificate, SEQUENCE)?;
        take_content(&mut certificate, SEQUENCE)?;
        take_content(&mut certificate, BIT_STRING)?;
        Some(bytes.is_empty() && certificate.is_empty())
    };
    is(bytes) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_taken_one_after_the_other() {
        let mut bytes: &[u8] = &[0x02, 0x01, 0x05, 0x04, 0x81, 0x02, 0xAA, 0xBB, 0xFF];
        let number = take(&mut bytes).expect("an integer");
        assert_eq!(number, Element { tag: INTEGER, content: &[5], whole: &[0x02, 0x01, 0x05] });
        assert_eq!(take_content(&mut bytes, OCTET_STRING), Some(&[0xAA, 0xBB][..]));
        assert_eq!(bytes, [0xFF]);
    }

    #[test]
    fn an_element_that_is_cut_off_or_has_no_definite_length_is_refused() {
        let whole = [0x30, 0x82, 0x00, 0x01, 0x07];
        for cut in 0..whole.len() {
            assert_eq!(take(&mut &whole[..cut]), None, "{cut}");
        }
        assert!(take(&mut &whole[..]).is_some());
        assert_eq!(take(&mut &[0x30, 0x80, 0x00, 0x00][..]), None);
        assert_eq!(take(&mut &[0x30, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF][..]), None);
        assert_eq!(take_content(&mut &whole[..], OCTET_STRING), None);
    }

    #[test]
    fn a_certificate_is_three_elements_in_one() {
        assert!(is_certificate(&[0x30, 0x07, 0x30, 0x00, 0x30, 0x00, 0x03, 0x01, 0x00]));
        assert!(!is_certificate(&[0x30, 0x07, 0x30, 0x00, 0x30, 0x00, 0x03, 0x01, 0x00, 0x00]));
        assert!(!is_certificate(&[0x30, 0x04, 0x30, 0x00, 0x30, 0x00]));
        assert!(!is_certificate(&[]));
    }
}
