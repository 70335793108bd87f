//! The numbers that Jenkins spreads its jobs by: `java.util.Random`, bit for bit.
//!
//! The generator is laid down in the documentation of `java.util.Random` (methods `setSeed`, `next` and
//! `nextInt(int bound)`), so that every implementation gives the same numbers. Not for secrets.

/// A generator in the state that its seed and the numbers taken so far have left it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JavaRandom {
    /// 48 bits.
    state: u64,
}

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const ADDEND: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

impl JavaRandom {
    /// A new generator.
    #[must_use]
    pub fn new(seed: i64) -> Self {
        Self {
            state: (seed.cast_unsigned() ^ MULTIPLIER) & MASK,
        }
    }

    /// The next number from 0 to below `bound`, which is at least 1 and at most 2³¹ − 1; else 0, and nothing
    /// is taken.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 || bound > i32::MAX as u32 {
            return 0;
        }
        if bound.is_power_of_two() {
            // The high bits are the good ones.
            return ((u64::from(bound) * u64::from(self.next_31())) >> 31) as u32;
        }
        loop {
            let bits = self.next_31();
            let value = bits % bound;
            // The last, incomplete stretch of `bound` numbers would favour the small ones.
            if bits - value + (bound - 1) <= i32::MAX as u32 {
                return value;
            }
        }
    }

    fn next_31(&mut self) -> u32 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(ADDEND) & MASK;
        (self.state >> 17) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::JavaRandom;

    fn taken(seed: i64, bounds: &[u32]) -> Vec<u32> {
        let mut random = JavaRandom::new(seed);
        bounds.iter().map(|bound| random.below(*bound)).collect()
    }

    /// Numbers that OpenJDK 17's `java.util.Random` gives.
    #[test]
    fn gives_the_numbers_that_java_gives() {
        const BOUNDS: [u32; 12] = [
            60,
            24,
            28,
            12,
            7,
            1,
            15,
            64,
            1 << 30,
            (1 << 30) + 1,
            i32::MAX as u32,
            100,
        ];
        let zero = [
            0,
            4,
            25,
            11,
            4,
            0,
            11,
            7,
            641_609_359,
            715_581_077,
            542_832_677,
            73,
        ];
        let table = [
            (0, zero),
            (
                42,
                [
                    50,
                    3,
                    20,
                    8,
                    5,
                    0,
                    5,
                    45,
                    714_627_759,
                    196_118_093,
                    1_939_977_182,
                    2,
                ],
            ),
            (
                -1,
                [
                    53,
                    17,
                    11,
                    11,
                    6,
                    0,
                    12,
                    25,
                    887_088_882,
                    121_412_731,
                    1_730_951_808,
                    12,
                ],
            ),
            // Of a seed, 48 bits count.
            (i64::MIN, zero),
            (
                1_234_567_890_123_456_789,
                [
                    1,
                    16,
                    8,
                    7,
                    5,
                    0,
                    7,
                    39,
                    76_162_552,
                    134_006_059,
                    1_479_623_938,
                    30,
                ],
            ),
        ];
        for (seed, numbers) in table {
            assert_eq!(taken(seed, &BOUNDS), numbers, "{seed}");
        }
    }

    /// With bounds just above 2³⁰ almost every second number is thrown away; the sum is OpenJDK 17's.
    #[test]
    fn throws_away_what_java_throws_away() {
        let mut random = JavaRandom::new(7);
        let sum = (0..200_000_u32).fold(0_i64, |sum, it| {
            sum.wrapping_mul(31)
                .wrapping_add(i64::from(random.below((1 << 30) + 1 + it)))
        });
        assert_eq!(sum, 2_396_738_011_754_303_541);
    }

    #[test]
    fn what_cannot_be_asked_takes_nothing() {
        let mut random = JavaRandom::new(7);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(u32::MAX), 0);
        assert_eq!(random, JavaRandom::new(7));
        assert_eq!(random.below(1), 0);
        assert_ne!(random, JavaRandom::new(7));
    }
}
