//! Numbers that follow from a seed.

/// A generator of numbers (`SplitMix64`), fast and good enough for choices.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // The state of a generator moves by a constant, so that neighboring states would make nearly the same run.
        Self(mix(seed ^ 0x6D69_6C6C_6977_6179))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Returns a number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// Returns true once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns a length: mostly a short one, now and then one beyond the sizes of buffers.
    pub(crate) fn length(&mut self) -> usize {
        match self.below(40) {
            0 => self.pick(&[0, 1, 125, 126, 127]),
            1 => self.pick(&[4_095, 4_096, 32_767, 32_768, 65_535, 65_536]),
            2 => self.below(200_000),
            3..=6 => self.below(20_000),
            _ => self.below(300),
        }
    }
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
