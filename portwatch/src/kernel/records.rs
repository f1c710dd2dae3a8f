//! Records of the ring, copied out of it: many in one piece of memory, as there may be thousands a second.
//!
//! In: bytes. Out: the same, record by record. Must not know: what they mean.

/// Records, in their order.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// Bytes of each.
    pub(super) lengths: Vec<usize>,
    /// How many were given, and bytes of those.
    given: (usize, usize),
}

impl Records {
    /// Adds one.
    pub(super) fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.lengths.push(record.len());
    }

    /// The next one that was not given yet.
    pub fn pop(&mut self) -> Option<&[u8]> {
        let (number, from) = self.given;
        let to = from + self.lengths.get(number)?;
        self.given = (number + 1, to);
        self.bytes.get(from..to)
    }

    /// Whether all were given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.0 >= self.lengths.len()
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Leaves out what is beyond so many bytes: the lengths of those records.
    pub(super) fn shorten(&mut self, bytes: usize) -> Vec<usize> {
        if self.bytes.len() <= bytes {
            return Vec::new();
        }
        let mut kept = 0;
        let fits = |length: &&usize| {
            kept += **length;
            kept <= bytes
        };
        let left_out = self.lengths.split_off(self.lengths.iter().take_while(fits).count());
        self.bytes.truncate(self.lengths.iter().sum());
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::Records;

    fn records() -> Records {
        let mut records = Records::default();
        ["one", "", "three"].iter().for_each(|record| records.push(record.as_bytes()));
        records
    }

    fn given(records: &mut Records) -> Vec<String> {
        std::iter::from_fn(|| records.pop().map(|record| String::from_utf8(record.to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn records_come_out_as_they_went_in() {
        let mut records = records();
        assert!(!records.is_empty());
        assert_eq!(given(&mut records), ["one", "", "three"]);
        assert!(records.is_empty());
        assert_eq!(records.pop(), None);
        assert!(Records::default().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_told() {
        let cases: [(usize, &[&str], &[usize]); 6] = [
            (usize::MAX, &["one", "", "three"], &[]),
            (8, &["one", "", "three"], &[]),
            (7, &["one", ""], &[5]),
            (3, &["one", ""], &[5]),
            (2, &[], &[3, 0, 5]),
            (0, &[], &[3, 0, 5]),
        ];
        for (bytes, kept, left_out) in cases {
            let mut records = records();
            assert_eq!(records.shorten(bytes), left_out, "{bytes}");
            assert_eq!(records.bytes(), kept.iter().map(|record| record.len()).sum::<usize>(), "{bytes}");
            assert_eq!(given(&mut records), kept, "{bytes}");
        }
    }
}
