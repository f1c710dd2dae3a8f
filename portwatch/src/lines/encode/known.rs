//! What was written lately, by what it says: in a storm the same few say the same again and again.

/// Where what was written is kept: of each place the last.
#[derive(Debug)]
pub(super) struct Known<K> {
    places: Vec<Option<(K, Vec<u8>)>>,
}

/// How many places there are.
const PLACES: usize = 256;

/// The most bytes that are kept in one: more is seldom, and then costs what it costs.
const MOST_BYTES: usize = 4096;

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { places: (0..PLACES).map(|_| None).collect() }
    }
}

impl<K: PartialEq + Clone> Known<K> {
    /// Appends what says `key`: as it is known, or by `write`. Different keys should differ in `place`.
    #[inline]
    pub(super) fn write(
        &mut self,
        place: usize,
        key: &K,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(kept) = self.places.get_mut(place % PLACES) else { return write(out) };
        match kept {
            Some((known, written)) if known == key => out.extend_from_slice(written),
            _ => {
                let before = out.len();
                write(out);
                keep(kept, key, &out[before..]);
            }
        }
    }
}

fn keep<K: Clone>(place: &mut Option<(K, Vec<u8>)>, key: &K, written: &[u8]) {
    if written.len() > MOST_BYTES {
        return;
    }
    // The old one's memory is taken over.
    let mut bytes = place.take().map_or_else(Vec::new, |(_, bytes)| bytes);
    bytes.clear();
    bytes.extend_from_slice(written);
    *place = Some((key.clone(), bytes));
}

#[cfg(test)]
mod tests {
    use super::{Known, MOST_BYTES, PLACES};

    #[test]
    fn what_is_written_is_that_of_the_key_wherever_it_lies() {
        let mut known = Known::default();
        for key in [1, 2, 1, 1 + PLACES, 1, MOST_BYTES + 1, 2, MOST_BYTES + 1].into_iter().cycle().take(50) {
            let mut out = b"before".to_vec();
            known.write(key, &key, &mut out, |out| out.extend(vec![b'x'; key]));
            assert_eq!(out, [&b"before"[..], &vec![b'x'; key]].concat());
        }
    }

    #[test]
    fn what_is_known_is_not_written_anew() {
        let mut known = Known::default();
        let written = (0..3).filter(|_| {
            let mut anew = false;
            known.write(7, &7, &mut Vec::new(), |_| anew = true);
            anew
        });
        assert_eq!(written.count(), 1);
    }
}
