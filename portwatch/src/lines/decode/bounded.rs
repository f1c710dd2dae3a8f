//! What may be repeated: so many, and of so much weight, and no more.

use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::event::PortRange;

/// What an allocation takes beside what was asked for.
const ALLOCATION: usize = 16;

/// What `bytes` take that are allocated.
pub(super) fn heap(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + ALLOCATION }
}

/// What has a weight.
pub(super) trait Weigh: Sized {
    /// The most that all elements of one array may weigh: several may be in a line, and the line itself is in memory.
    const MOST_BYTES: usize = 20 << 20;

    /// Memory that belongs to it beside itself.
    fn heap(&self) -> usize;
}

impl Weigh for String {
    fn heap(&self) -> usize {
        heap(self.capacity())
    }
}

impl Weigh for u16 {
    fn heap(&self) -> usize {
        0
    }
}

impl Weigh for PortRange {
    fn heap(&self) -> usize {
        0
    }
}

/// An array of at most `MOST` elements; as soon as there are more, the line is malformed.
pub(super) struct Bounded<T, const MOST: usize>(pub(super) Vec<T>);

impl<T, const MOST: usize> Default for Bounded<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MOST: usize> Bounded<T, MOST> {
    /// As what is inside.
    pub(super) fn into<U: From<T>>(self) -> Vec<U> {
        self.0.into_iter().map(U::from).collect()
    }
}

impl<'de, T: Deserialize<'de> + Weigh, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Elements::<T, MOST>(PhantomData))
    }
}

struct Elements<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Weigh, const MOST: usize> Visitor<'de> for Elements<T, MOST> {
    type Value = Bounded<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        let mut bytes = 0;
        while let Some(element) = seq.next_element::<T>()? {
            bytes += size_of::<T>() + element.heap();
            if elements.len() == MOST || bytes > T::MOST_BYTES {
                return Err(A::Error::custom(format_args!("an array of more than {MOST}, or too large")));
            }
            elements.push(element);
        }
        Ok(Bounded(elements))
    }
}

/// An object whose names are data, of at most `MOST` fields, in their order.
pub(super) struct Pairs<K, V, const MOST: usize>(pub(super) Vec<(K, V)>);

impl<K, V, const MOST: usize> Default for Pairs<K, V, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>, const MOST: usize> Deserialize<'de>
    for Pairs<K, V, MOST>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields::<K, V, MOST>(PhantomData))
    }
}

struct Fields<K, V, const MOST: usize>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>, const MOST: usize> Visitor<'de> for Fields<K, V, MOST> {
    type Value = Pairs<K, V, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {MOST} fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry::<K, V>()? {
            if pairs.len() == MOST {
                return Err(A::Error::custom(format_args!("an object of more than {MOST} fields")));
            }
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
