//! Small counts, two in a byte: that of the even place in the low bits.

/// Returns the count of a place.
pub(crate) fn count(counts: &[u8], place: usize) -> u8 {
    let pair = counts[place / 2];
    if place.is_multiple_of(2) { pair & 15 } else { pair >> 4 }
}

/// Counts one more at a place, up to `most`, which is 15 at most.
pub(crate) fn add_one(counts: &mut [u8], place: usize, most: u8) {
    if count(counts, place) < most.min(15) {
        counts[place / 2] += if place.is_multiple_of(2) { 1 } else { 16 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_counted_apart_and_no_further_than_the_most() {
        let mut counts = [0; 2];
        (0..20).for_each(|_| add_one(&mut counts, 1, 15));
        (0..20).for_each(|_| add_one(&mut counts, 2, 9));
        assert_eq!([0, 1, 2, 3].map(|place| count(&counts, place)), [0, 15, 9, 0]);
    }
}
