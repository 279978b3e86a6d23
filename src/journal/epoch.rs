//! The identity of one journal.

use std::fmt;

/// Names one journal; a new journal is a new epoch. `[0-9a-z]{6,16}`, safe in event ids and URLs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    bytes: [u8; Epoch::MAX],
    len: u8,
}

// === impl Epoch ===

impl Epoch {
    const MIN: usize = 6;
    const MAX: usize = 16;
    /// 36^10 is 3.6e15: two journals of one service do not meet by chance.
    const LEN: usize = 10;

    /// Draws a new epoch from a seeded source.
    pub fn draw(random: &mut fastrand::Rng) -> Self {
        let mut bytes = [0; Self::MAX];
        for byte in &mut bytes[..Self::LEN] {
            *byte = b"0123456789abcdefghijklmnopqrstuvwxyz"[random.usize(..36)];
        }
        Epoch { bytes, len: Self::LEN as u8 }
    }

    /// Reads an epoch back from an event id; `None` if it is not one that we could have issued.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (Self::MIN..=Self::MAX).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Epoch { bytes, len: text.len() as u8 })
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_read_back() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let epoch = Epoch::draw(&mut random);
            assert_eq!(Epoch::parse(epoch.as_str()), Some(epoch));
        }
    }

    #[test]
    fn what_could_not_be_ours_is_refused() {
        for text in ["", "abc", "ABCDEFG", "abc-defg", "abcdefghijklmnopq", "äöüäöü"] {
            assert_eq!(Epoch::parse(text), None, "{text}");
        }
    }
}
