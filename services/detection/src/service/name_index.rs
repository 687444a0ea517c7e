//! Finding things by name that lie in a vector: the names are not stored twice.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Places in a vector, by a name that its elements know themselves.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    hasher: RandomState,
    places: HashTable<u32>,
    /// Place after the one that was found last: who sends samples sends them in the same order again and again.
    next: usize,
}

impl NameIndex {
    /// Returns the place of a name. `is_at` returns whether a place has it.
    pub(crate) fn find(&mut self, name: (&str, &str), mut is_at: impl FnMut(usize) -> bool) -> Option<usize> {
        let guess = if self.next < self.places.len() { self.next } else { 0 };
        let place = if guess < self.places.len() && is_at(guess) {
            guess
        } else {
            let hash = self.hasher.hash_one(name);
            *self.places.find(hash, |&place| is_at(place as usize))? as usize
        };
        self.next = place + 1;
        Some(place)
    }

    /// Gives a place another name. `name_at` returns the new name of that place, and the names of all others.
    pub(crate) fn rename<'n>(
        &mut self,
        place: usize,
        before: (&str, &str),
        name_at: impl Fn(usize) -> (&'n str, &'n str),
    ) {
        let Self { hasher, places, .. } = self;
        let is_it = |known: &u32| *known as usize == place;
        if let Ok(entry) = places.find_entry(hasher.hash_one(before), is_it) {
            _ = entry.remove();
        }
        let hash = hasher.hash_one(name_at(place));
        places.insert_unique(hash, place as u32, |&place| hasher.hash_one(name_at(place as usize)));
    }

    /// Adds the next place, under a name that was not found. `name_at` returns the name of a place that is known.
    pub(crate) fn push<'n>(&mut self, name: (&str, &str), name_at: impl Fn(usize) -> (&'n str, &'n str)) {
        let hash = self.hasher.hash_one(name);
        let place = self.places.len() as u32;
        let Self { hasher, places, .. } = self;
        places.insert_unique(hash, place, |&place| hasher.hash_one(name_at(place as usize)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_in_any_order_and_others_are_not() {
        let names: Vec<(String, String)> =
            (0..1000).map(|i| (format!("e{}", i % 3), format!("n{i}"))).collect();
        let name_at = |place: usize| (names[place].0.as_str(), names[place].1.as_str());
        let mut index = NameIndex::default();
        for place in 0..names.len() {
            assert_eq!(index.find(name_at(place), |at| name_at(at) == name_at(place)), None);
            index.push(name_at(place), name_at);
        }
        for step in [1, 7, 333, 999] {
            for i in 0..names.len() {
                let place = i * step % names.len();
                assert_eq!(index.find(name_at(place), |at| name_at(at) == name_at(place)), Some(place));
            }
        }
        assert_eq!(index.find(("e0", "n1"), |at| name_at(at) == ("e0", "n1")), None);

        let renamed = |place: usize| if place == 500 { ("e9", "other") } else { name_at(place) };
        index.rename(500, name_at(500), renamed);
        assert_eq!(index.find(("e9", "other"), |at| renamed(at) == ("e9", "other")), Some(500));
        assert_eq!(index.find(name_at(500), |at| renamed(at) == name_at(500)), None);
        assert_eq!(index.find(name_at(501), |at| renamed(at) == name_at(501)), Some(501));
    }
}
