//! Messages like those of a chat or a market: JSON with words and numbers.

use std::fmt::Write as _;

const WORDS: [&str; 32] = [
    "market",
    "order",
    "hello",
    "there",
    "what",
    "price",
    "the",
    "of",
    "and",
    "to",
    "in",
    "connection",
    "player",
    "score",
    "moved",
    "room",
    "joined",
    "left",
    "update",
    "status",
    "ready",
    "value",
    "signal",
    "peer",
    "offer",
    "answer",
    "seen",
    "message",
    "thanks",
    "tomorrow",
    "maybe",
    "question",
];

/// So many that they have `total` bytes together, the same ones each time.
pub(crate) fn some(length: usize, total: usize) -> Vec<Vec<u8>> {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    (0..total.div_ceil(length)).map(|_| message(&mut random, length)).collect()
}

fn message(random: &mut Random, length: usize) -> Vec<u8> {
    let mut text = String::from("[");
    while text.len() < length {
        let words: Vec<_> = (0..4 + random.below(8)).map(|_| WORDS[random.below(WORDS.len())]).collect();
        write!(
            text,
            r#"{{"id":{},"user":"user{}","time":{},"text":"{}","price":{}.{:02}}},"#,
            random.below(100_000_000),
            random.below(1000),
            1_700_000_000_000 + random.below(1_000_000_000),
            words.join(" "),
            random.below(1000),
            random.below(100),
        )
        .expect("a String takes all that is written");
    }
    text.truncate(length);
    text.into_bytes()
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
