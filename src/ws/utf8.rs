//! UTF-8 that arrives in pieces: each piece is checked once, and the first impossible byte is found at once.

use super::ProtocolError;

/// The start of a character whose end has not arrived: at most three bytes, since the fourth completes any character.
#[derive(Debug, Default)]
pub(super) struct Utf8Carry {
    bytes: [u8; 3],
    len: u8,
}

impl Utf8Carry {
    /// Bytes held back until their character is complete.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Appends the characters that `piece` completes to `text` and holds back the start of an incomplete one.
    pub(super) fn append(&mut self, piece: &[u8], text: &mut String) -> Result<(), ProtocolError> {
        let piece = self.complete_character(piece, text)?;
        match std::str::from_utf8(piece) {
            Ok(valid) => text.push_str(valid),
            Err(error) => {
                // With an error length the byte there can't be mended by what follows; without, the piece just ends.
                if error.error_len().is_some() {
                    return Err(ProtocolError::InvalidUtf8);
                }
                let (valid, start) = piece.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).expect("from_utf8 found this prefix valid"));
                self.bytes[..start.len()].copy_from_slice(start);
                self.len = start.len() as u8;
            }
        }
        Ok(())
    }

    /// The text ends here: it must not end inside a character.
    pub(super) fn finish(&self) -> Result<(), ProtocolError> {
        if self.len == 0 { Ok(()) } else { Err(ProtocolError::InvalidUtf8) }
    }

    /// Takes bytes from `piece` until the carried character is complete; returns the rest of the piece.
    fn complete_character<'a>(&mut self, mut piece: &'a [u8], text: &mut String) -> Result<&'a [u8], ProtocolError> {
        while self.len > 0
            && let Some((&next, rest)) = piece.split_first()
        {
            piece = rest;
            let [a, b, c] = self.bytes;
            let mut character = [a, b, c, 0];
            character[self.len()] = next;
            match std::str::from_utf8(&character[..=self.len()]) {
                Ok(complete) => {
                    text.push_str(complete);
                    self.len = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(ProtocolError::InvalidUtf8),
                Err(_) => {
                    self.bytes[self.len()] = next;
                    self.len += 1;
                }
            }
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds the pieces; tells the text, or how many bytes had been fed when the error came.
    fn stream<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<String, usize> {
        let (mut carry, mut text, mut fed) = (Utf8Carry::default(), String::new(), 0);
        for piece in pieces {
            fed += piece.len();
            carry.append(piece, &mut text).map_err(|_| fed)?;
        }
        carry.finish().map_err(|_| fed)?;
        Ok(text)
    }

    #[test]
    fn the_first_impossible_byte_is_refused_when_it_arrives() {
        for (bytes, bad) in [
            (&b"ab\x80"[..], 3),
            (b"\xc0\xaf", 1),             // no character starts with C0
            (b"\xe0\x9f\x80", 2),         // overlong
            (b"\xed\xa0\x80", 2),         // a surrogate
            (b"\xf4\x90\x80\x80", 2),     // past U+10FFFF
            (b"\xf5\x80", 1),             // no character starts with F5
            (b"\xf0\x9f\x98(", 4),        // a character broken off
            (b"\xce\xba\xe1\xbd\xff", 5), // broken off after a good one
        ] {
            assert_eq!(stream(bytes.chunks(1)), Err(bad), "{bytes:x?}");
        }
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_refused_at_its_end() {
        for bytes in [&b"\xce"[..], b"ok\xe1\xbd", b"\xf0\x9f\x98"] {
            assert_eq!(stream(bytes.chunks(1)), Err(bytes.len()));
            assert_eq!(stream(bytes.chunks(64)), Err(bytes.len()));
        }
    }

    proptest! {
        #[test]
        fn any_cut_of_any_text_gives_the_text(text in ".{0,40}", size in 1usize..9) {
            prop_assert_eq!(stream(text.as_bytes().chunks(size)), Ok(text.clone()));
        }

        #[test]
        fn any_bytes_are_judged_as_the_whole_would_be(bytes in proptest::collection::vec(any::<u8>(), 0..12), size in 1usize..6) {
            prop_assert_eq!(stream(bytes.chunks(size)).ok(), String::from_utf8(bytes.clone()).ok());
        }
    }
}
