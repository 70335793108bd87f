//! The checksum that zip files want: CRC-32 of ISO 3309, eight bytes at a time.

/// The polynomial, its bits turned round.
const POLYNOMIAL: u32 = 0xedb8_8320;

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ if value & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][index] = value;
        index += 1;
    }
    let mut table = 1;
    while table < 8 {
        index = 0;
        while index < 256 {
            let before = tables[table - 1][index];
            tables[table][index] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        table += 1;
    }
    tables
}

/// A checksum that is being made.
#[derive(Clone, Copy)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) fn new() -> Self {
        Self(u32::MAX)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        let look = |table: usize, byte: u32| TABLES[table][(byte & 0xff) as usize];
        let mut value = self.0;
        let (chunks, rest) = bytes.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in chunks {
            let low = value ^ u32::from_le_bytes([*a, *b, *c, *d]);
            value = look(7, low)
                ^ look(6, low >> 8)
                ^ look(5, low >> 16)
                ^ look(4, low >> 24)
                ^ look(3, u32::from(*e))
                ^ look(2, u32::from(*f))
                ^ look(1, u32::from(*g))
                ^ look(0, u32::from(*h));
        }
        for byte in rest {
            value = (value >> 8) ^ look(0, value ^ u32::from(*byte));
        }
        self.0 = value;
    }

    pub(super) fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn the_known_values() {
        let of = |bytes: &[u8]| {
            let mut crc = Crc::new();
            let (one, other) = bytes.split_at(bytes.len() / 3);
            crc.update(one);
            crc.update(other);
            crc.finish()
        };
        assert_eq!(of(b""), 0);
        assert_eq!(of(b"123456789"), 0xcbf4_3926);
        assert_eq!(
            of(b"The quick brown fox jumps over the lazy dog"),
            0x414f_a339
        );
    }
}
