//! The client's masking (RFC 6455 §5.3): payload byte `i` is XORed with key byte `i mod 4`.

/// A masking key, turned so that its first byte belongs to the payload's next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks the payload's next piece in place, and turns the key on to the piece after it.
    pub(super) fn apply(&mut self, piece: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let eight = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        // Words of eight starting at the piece's first byte, wherever that lies in memory: x86 and ARM load unaligned
        // words at full speed, and the compiler makes vectors of the loop.
        let (words, tail) = piece.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ eight).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
        self.0.rotate_left(piece.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_cut_anywhere_unmasks_like_the_definition() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let masked: Vec<u8> = (0..67).collect();
        let plain: Vec<u8> = masked.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        for first in 0..=masked.len() {
            for second in first..=masked.len() {
                let mut bytes = masked.clone();
                let mut mask = Mask::new(key);
                mask.apply(&mut bytes[..first]);
                mask.apply(&mut bytes[first..second]);
                mask.apply(&mut bytes[second..]);
                assert_eq!(bytes, plain, "cut at {first} and {second}");
            }
        }
    }
}
