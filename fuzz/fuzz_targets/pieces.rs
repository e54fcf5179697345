//! Input that arrives in pieces.

/// Divides bytes into pieces of these lengths, over and over again. None is empty: a length of 0 counts as 1.
pub(crate) fn pieces<'b>(bytes: &'b [u8], lengths: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let mut rest = bytes;
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = usize::from(*lengths.next()?).max(1).min(rest.len());
        let piece;
        (piece, rest) = rest.split_at(length);
        (!piece.is_empty()).then_some(piece)
    })
}
