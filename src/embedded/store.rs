//! The data: sixteen databases of typed keys, their versions and their expiry.
//!
//! Knows no command, no reply and no clock: `now_ms` is always an argument.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::fault::{Fault, WRONG_TYPE};
use super::value::{Kind, Text, Value};

/// How many databases there are, as in Redis's default config.
pub(super) const DATABASES: usize = 16;

/// How many due keys one command removes from each database besides its own keys.
const SWEEP_KEYS_MAX: usize = 20;

/// One key's value with what belongs to the key rather than to its type.
#[derive(Debug)]
struct Entry {
    value: Value,
    /// When the key expires, in epoch milliseconds.
    expire_ms: Option<i64>,
    /// Changes with every change of the key, and is never used twice. WATCH compares it.
    version: u64,
}

impl Entry {
    fn is_due(&self, now_ms: i64) -> bool {
        self.expire_ms.is_some_and(|at| now_ms > at)
    }
}

/// One database.
///
/// Accessors do not look at expiry: the dispatcher removes a command's due keys before it runs,
/// and only commands that look at keys they did not name pass `now_ms`.
#[derive(Debug, Default)]
pub(super) struct Db {
    /// Indexed, so that SCAN has a cursor and RANDOMKEY a position. Keys leave by `swap_remove`.
    keys: IndexMap<Vec<u8>, Entry>,
    /// Every key with an expiry, the next one first.
    expiries: BTreeSet<(i64, Vec<u8>)>,
    /// The version given out last.
    version: u64,
}

impl Db {
    /// What a key holds.
    pub fn value(&self, key: &[u8]) -> Option<&Value> {
        self.keys.get(key).map(|entry| &entry.value)
    }

    /// Whether a key exists.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }

    /// What a key holds, as this type; an error if it holds another.
    pub fn get<K: Kind>(&self, key: &[u8]) -> Result<Option<&K>, Fault> {
        match self.keys.get(key) {
            None => Ok(None),
            Some(entry) => K::of(&entry.value).map(Some).ok_or(WRONG_TYPE),
        }
    }

    /// The same, to change it. Whoever changes something calls [`Db::modified`] afterwards.
    pub fn get_mut<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, Fault> {
        match self.keys.get_mut(key) {
            None => Ok(None),
            Some(entry) => K::of_mut(&mut entry.value).map(Some).ok_or(WRONG_TYPE),
        }
    }

    /// The same, created empty if it is missing: so [`Db::modified`] must follow in any case.
    pub fn get_or_new<K: Kind>(&mut self, key: &[u8]) -> Result<&mut K, Fault> {
        let entry = self.keys.entry(key.to_vec()).or_insert_with(|| Entry {
            value: K::default().into_value(),
            expire_ms: None,
            version: 0,
        });
        K::of_mut(&mut entry.value).ok_or(WRONG_TYPE)
    }

    /// Ends a change: gives the key a new version, or removes it with its last member.
    pub fn modified(&mut self, key: &[u8]) {
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        if entry.value.is_drained() {
            self.remove(key);
            return;
        }
        self.version += 1;
        entry.version = self.version;
    }

    /// Replaces whatever the key holds, of whatever type. Its expiry stays as it was.
    pub fn put_keeping_expiry(&mut self, key: &[u8], text: Text) {
        match self.keys.get_mut(key) {
            Some(entry) => entry.value = Value::Text(text),
            None => {
                let entry = Entry {
                    value: Value::Text(text),
                    expire_ms: None,
                    version: 0,
                };
                self.keys.insert(key.to_vec(), entry);
            }
        }
        self.modified(key);
    }

    /// Replaces whatever the key holds, and its expiry.
    pub fn put(&mut self, key: &[u8], text: Text, expire_ms: Option<i64>) {
        self.put_keeping_expiry(key, text);
        self.set_expire(key, expire_ms);
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.take(key).is_some()
    }

    fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let (key, entry) = self.keys.swap_remove_entry(key)?;
        if let Some(at) = entry.expire_ms {
            self.expiries.remove(&(at, key));
        }
        Some(entry)
    }

    /// Moves a key over another one, its expiry with it; whether it was there.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        let Some(entry) = self.take(from) else {
            return false;
        };
        let expire_ms = entry.expire_ms;
        self.remove(to);
        self.keys.insert(
            to.to_vec(),
            Entry {
                expire_ms: None,
                ..entry
            },
        );
        self.set_expire(to, expire_ms);
        true
    }

    /// When a key expires: `None` for a missing key, `Some(None)` for one that stays.
    pub fn expire_ms(&self, key: &[u8]) -> Option<Option<i64>> {
        self.keys.get(key).map(|entry| entry.expire_ms)
    }

    /// Sets or clears when a key expires, and counts as a change of the key.
    pub fn set_expire(&mut self, key: &[u8], expire_ms: Option<i64>) {
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        if let Some(before) = entry.expire_ms {
            self.expiries.remove(&(before, key.to_vec()));
        }
        entry.expire_ms = expire_ms;
        if let Some(at) = expire_ms {
            self.expiries.insert((at, key.to_vec()));
        }
        self.modified(key);
    }

    /// Removes a key if it is due.
    pub fn expire_if_due(&mut self, key: &[u8], now_ms: i64) {
        if self.keys.get(key).is_some_and(|entry| entry.is_due(now_ms)) {
            self.remove(key);
        }
    }

    /// Removes some of the keys that are due, the oldest first.
    fn sweep(&mut self, now_ms: i64) {
        for _ in 0..SWEEP_KEYS_MAX {
            if self.expiries.first().is_none_or(|(at, _)| *at >= now_ms) {
                return;
            }
            if let Some((_, key)) = self.expiries.pop_first() {
                self.keys.swap_remove(&key);
            }
        }
    }

    /// Removes every key. Versions go on, so that no watched key looks unchanged afterwards.
    pub fn clear(&mut self) {
        self.keys = IndexMap::new();
        self.expiries = BTreeSet::new();
    }

    /// How many keys there are, those included that are due and not yet removed.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many keys have an expiry.
    pub fn expiring(&self) -> usize {
        self.expiries.len()
    }

    /// The version of a key, 0 for one that does not exist.
    pub fn version(&self, key: &[u8]) -> u64 {
        self.keys.get(key).map_or(0, |entry| entry.version)
    }

    /// Every live key.
    pub fn live_keys(&self, now_ms: i64) -> impl Iterator<Item = &[u8]> {
        self.keys
            .iter()
            .filter(move |(_, entry)| !entry.is_due(now_ms))
            .map(|(key, _)| key.as_slice())
    }

    /// One step of SCAN: up to `count` positions below `cursor` (0 begins), and the next cursor.
    ///
    /// Positions are visited from the last to the first. New keys are added behind, and
    /// `swap_remove` only moves keys to lower positions, so a key that stays is never missed.
    pub fn scan(&self, cursor: u64, count: usize, now_ms: i64) -> (u64, Vec<(&[u8], &Value)>) {
        let end = match usize::try_from(cursor) {
            Ok(0) | Err(_) => self.keys.len(),
            Ok(end) => end.min(self.keys.len()),
        };
        let begin = end.saturating_sub(count);
        let found = (begin..end)
            .rev()
            .filter_map(|at| self.keys.get_index(at))
            .filter(|(_, entry)| !entry.is_due(now_ms))
            .map(|(key, entry)| (key.as_slice(), &entry.value))
            .collect();
        (begin as u64, found)
    }

    /// Some live key. There is no randomness here, but successive changes give different keys.
    pub fn some_key(&self, now_ms: i64) -> Option<&[u8]> {
        let len = self.keys.len();
        // Golden-ratio hashing spreads neighbouring versions and moments over all positions.
        let seed = (self.version ^ now_ms.unsigned_abs()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let first = usize::try_from(seed >> 33).unwrap_or(0).checked_rem(len)?;
        (first..len)
            .chain(0..first)
            .filter_map(|at| self.keys.get_index(at))
            .find(|(_, entry)| !entry.is_due(now_ms))
            .map(|(key, _)| key.as_slice())
    }
}

/// Everything the connections of one engine share.
#[derive(Debug)]
pub(super) struct Store {
    /// The databases that SELECT numbers.
    pub dbs: [Db; DATABASES],
    /// The id given to the last connection.
    pub last_client_id: u64,
    /// How many connections there are now.
    pub clients: usize,
    /// The first moment anybody told us, for INFO's uptime.
    pub started_ms: Option<i64>,
}

impl Store {
    /// Empty databases.
    pub fn new() -> Self {
        Self {
            dbs: Default::default(),
            last_client_id: 0,
            clients: 0,
            started_ms: None,
        }
    }

    /// A bounded amount of removing what is due, so that expired keys nobody asks for leave too.
    pub fn sweep(&mut self, now_ms: i64) {
        self.started_ms.get_or_insert(now_ms);
        for db in &mut self.dbs {
            db.sweep(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Set;
    use super::*;

    #[test]
    fn due_keys_leave_though_nobody_asks() {
        let mut store = Store::new();
        for n in 0..50_u8 {
            store.dbs[3].put(&[n], vec![n], Some(1000));
        }
        store.dbs[3].put(b"stays", vec![], None);
        store.sweep(1000);
        assert_eq!(
            store.dbs[3].len(),
            51,
            "a key lives through its last millisecond"
        );
        for _ in 0..3 {
            store.sweep(1001);
        }
        assert_eq!((store.dbs[3].len(), store.dbs[3].expiring()), (1, 0));
    }

    #[test]
    fn scan_misses_no_key_that_stays() {
        let mut db = Db::default();
        for n in 0..100_u8 {
            db.put(&[n], vec![], None);
        }
        let (mut cursor, mut seen, mut step) = (0, std::collections::HashSet::new(), 0_u8);
        loop {
            let (next, keys) = db.scan(cursor, 7, 0);
            seen.extend(keys.iter().map(|(key, _)| key.to_vec()));
            if next == 0 {
                break;
            }
            cursor = next;
            // Odd keys leave and others come while we scan.
            db.remove(&[step * 2 + 1]);
            db.put(&[200 + step], vec![], None);
            step += 1;
        }
        assert!((0..100_u8).step_by(2).all(|n| seen.contains(&vec![n])));
    }

    #[test]
    fn the_last_member_takes_the_key_along() -> Result<(), Fault> {
        let mut db = Db::default();
        db.get_or_new::<Set>(b"s")?.insert(b"a".to_vec());
        db.modified(b"s");
        db.set_expire(b"s", Some(5));
        db.get_or_new::<Set>(b"s")?.clear();
        db.modified(b"s");
        assert!(!db.contains(b"s"));
        assert_eq!(db.expiring(), 0);
        Ok(())
    }
}
