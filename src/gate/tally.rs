//! Who holds how many, where thousands hold one and a few hold thousands.

use std::collections::HashMap;
use std::hash::Hash;

use slab::Slab;

/// Counts by key. A key is kept once, however many hold it, and vanishes with its last holder.
pub struct Tally<K> {
    tags: HashMap<K, Tag>,
    counts: Slab<(K, u32)>,
}

/// A key in a [`Tally`], in four bytes. It holds for as long as somebody is counted under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

/// As many as may are counted under this key.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { tags: HashMap::new(), counts: Slab::new() }
    }
}

impl<K: Hash + Eq + Clone> Tally<K> {
    /// Counts one more under `key`, of at most `max`; 0 is no limit.
    pub fn add(&mut self, key: K, max: u32) -> Result<Tag, Full> {
        if let Some(&tag) = self.tags.get(&key) {
            let (_, count) = &mut self.counts[tag.0 as usize];
            if max != 0 && *count >= max {
                return Err(Full);
            }
            *count += 1;
            return Ok(tag);
        }
        let tag = Tag(u32::try_from(self.counts.insert((key.clone(), 1))).expect("fewer keys than sockets"));
        self.tags.insert(key, tag);
        Ok(tag)
    }

    pub fn key(&self, tag: Tag) -> &K {
        &self.counts[tag.0 as usize].0
    }

    /// Counts one less.
    pub fn remove(&mut self, tag: Tag) {
        let (_, count) = &mut self.counts[tag.0 as usize];
        *count -= 1;
        if *count == 0 {
            let (key, _) = self.counts.remove(tag.0 as usize);
            self.tags.remove(&key);
        }
    }

    #[cfg(test)]
    pub fn count(&self, key: &K) -> u32 {
        self.tags.get(key).map_or(0, |tag| self.counts[tag.0 as usize].1)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_full_at_its_bound_and_gone_with_its_last_holder() {
        let mut tally = Tally::default();
        let first = tally.add("a", 2).expect("room");
        assert_eq!(tally.add("a", 2), Ok(first));
        assert_eq!(tally.add("a", 2), Err(Full));
        let other = tally.add("b", 2).expect("room");
        assert_eq!((*tally.key(first), *tally.key(other)), ("a", "b"));
        tally.remove(first);
        assert_eq!(tally.add("a", 2), Ok(first));
        assert_eq!(tally.add("a", 0), Ok(first), "0 is no limit");
        (0..3).for_each(|_| tally.remove(first));
        assert_eq!((tally.count(&"a"), tally.count(&"b")), (0, 1));
        tally.remove(other);
        assert!(tally.is_empty());
    }
}
