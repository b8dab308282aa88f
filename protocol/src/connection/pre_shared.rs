//! Secrets that two sides share before they meet: an invite's, or a pool's.
//!
//! Given to a connection by its configuration: the side that dials shows the name of one and mixes
//! in its key, the other side looks the name up in what its owner keeps.
//! Units: a name is 16 bytes that anyone on the way can read, so it must say nothing; all zeros
//! stand for "none". A key is 32 bytes that nobody could guess: a password is no key.
//! Errors: none. An unknown name is found out at the end of the handshake, like a wrong key.
//! Absent on purpose: expiry and counting. Who may use a key how often is its owner's business,
//! and a used one that is still kept here can be told so in words, over the new connection.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use zeroize::Zeroizing;

use crate::noise::KEY_BYTES;

/// Bytes of a secret's name.
pub const PRE_SHARED_KEY_ID_BYTES: usize = 16;

/// Name of a secret: public, and the same for nobody else.
pub type PreSharedKeyId = [u8; PRE_SHARED_KEY_ID_BYTES];

/// A secret shared beforehand.
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey {
    /// Its name, not all zeros.
    pub id: PreSharedKeyId,
    /// The secret itself.
    pub key: Zeroizing<[u8; KEY_BYTES]>,
}

impl PreSharedKey {
    /// A secret and its name.
    #[must_use]
    pub fn new(id: PreSharedKeyId, key: [u8; KEY_BYTES]) -> Self {
        Self { id, key: Zeroizing::new(key) }
    }
}

impl fmt::Debug for PreSharedKey {
    /// Shows the name, never the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PreSharedKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The secrets by which others may come: one map, shared by its owner and every connection.
#[derive(Clone, Default)]
pub struct PreSharedKeys {
    keys: Arc<RwLock<BTreeMap<PreSharedKeyId, Zeroizing<[u8; KEY_BYTES]>>>>,
}

impl PreSharedKeys {
    /// Adds a secret, or replaces the one of that name.
    pub fn insert(&self, secret: PreSharedKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(secret.id, secret.key);
    }

    /// Forgets a secret; whether it was there. Connections that began with it go on.
    pub fn remove(&self, id: &PreSharedKeyId) -> bool {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    /// The key of that name.
    #[must_use]
    pub fn get(&self, id: &PreSharedKeyId) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

impl fmt::Debug for PreSharedKeys {
    /// Shows how many, never one of them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.keys.read().unwrap_or_else(PoisonError::into_inner).len();
        formatter.debug_struct("PreSharedKeys").field("count", &count).finish()
    }
}
