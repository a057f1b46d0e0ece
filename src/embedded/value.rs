//! What a key may hold.
//!
//! Knows the four types and nothing else: no keys, no expiry, no commands.

use indexmap::{IndexMap, IndexSet};

use super::sorted_set::SortedSet;

/// The bytes of a string key.
pub(super) type Text = Vec<u8>;
/// A hash, in the order of insertion as Redis's small hashes are.
pub(super) type Hash = IndexMap<Vec<u8>, Vec<u8>>;
/// A set of strings.
pub(super) type Set = IndexSet<Vec<u8>>;

/// What a key holds.
#[derive(Debug)]
pub(super) enum Value {
    Text(Text),
    Hash(Hash),
    Set(Set),
    SortedSet(SortedSet),
}

impl Value {
    /// The answer of TYPE.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Text(_) => "string",
            Value::Hash(_) => "hash",
            Value::Set(_) => "set",
            Value::SortedSet(_) => "zset",
        }
    }

    /// Whether this is a collection without members. Redis keeps none: the key goes with the last.
    pub fn is_drained(&self) -> bool {
        match self {
            Value::Text(_) => false,
            Value::Hash(hash) => hash.is_empty(),
            Value::Set(set) => set.is_empty(),
            Value::SortedSet(set) => set.is_empty(),
        }
    }
}

/// A type a key may hold, so that one typed accessor serves all four.
pub(super) trait Kind: Default {
    /// This type inside a value, if it is there.
    fn of(value: &Value) -> Option<&Self>;
    /// The same, to change it.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    /// A value of this type.
    fn into_value(self) -> Value;
}

macro_rules! kind {
    ($type:ty, $variant:ident) => {
        impl Kind for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value {
                    Some(inner)
                } else {
                    None
                }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(inner) = value {
                    Some(inner)
                } else {
                    None
                }
            }
            fn into_value(self) -> Value {
                Value::$variant(self)
            }
        }
    };
}

kind!(Text, Text);
kind!(Hash, Hash);
kind!(Set, Set);
kind!(SortedSet, SortedSet);
