//! Messages that several watchers get. Each is made and encoded once, by whichever watcher is
//! first, and is kept for the others as long as it is among the newest.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

/// A message, and its encodings once somebody made them.
#[derive(Debug)]
pub struct EncodedMessage<M> {
    message: M,
    whole: OnceLock<Bytes>,
    part: OnceLock<Bytes>,
}

/// In which form a message is told. All who are told it in one form are told the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    Full,
    /// Without what only stewards may see.
    Redacted,
}

/// The newest messages of a stream that many follow, by what they tell.
pub(super) struct MessageCache<K, M> {
    messages_max: usize,
    messages: Mutex<VecDeque<(K, Arc<EncodedMessage<M>>)>>,
}

// === impl EncodedMessage ===

impl<M> EncodedMessage<M> {
    /// Not encoded yet.
    pub fn new(message: M) -> Self {
        Self {
            message,
            whole: OnceLock::new(),
            part: OnceLock::new(),
        }
    }

    /// Its encoding in a form, made by the first who asks; everybody must ask for the same.
    pub fn encoded(&self, form: Form, encode: impl FnOnce(&M) -> Bytes) -> Bytes {
        let encoded = match form {
            Form::Full => &self.whole,
            Form::Redacted => &self.part,
        };
        encoded.get_or_init(|| encode(&self.message)).clone()
    }
}

impl<M> Deref for EncodedMessage<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.message
    }
}

impl<M: PartialEq> PartialEq for EncodedMessage<M> {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

// === impl MessageCache ===

impl<K: PartialEq, M> MessageCache<K, M> {
    /// Keeps so many messages.
    pub fn new(messages_max: usize) -> Self {
        Self {
            messages_max,
            messages: Mutex::default(),
        }
    }

    /// The message that tells this: the one that is kept, or this new one, which takes the
    /// place of the oldest.
    pub fn find_or_keep(&self, key: K, message: impl FnOnce() -> M) -> Arc<EncodedMessage<M>> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = messages.iter().find(|(known, _)| *known == key) {
            return Arc::clone(known);
        }
        // Made under the lock, so that all who wait for it need not make it as well.
        let told = Arc::new(EncodedMessage::new(message()));
        if self.messages_max <= messages.len() {
            messages.pop_back();
        }
        messages.push_front((key, Arc::clone(&told)));
        told
    }

    /// Keeps those of which it is true.
    pub fn retain(&self, is_kept: impl Fn(&K) -> bool) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.retain(|(key, _)| is_kept(key));
    }

    /// Keeps none of those that there are.
    pub fn forget(&self) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn who_may_see_a_part_never_gets_what_was_encoded_for_others() {
        let told = EncodedMessage::new(7);
        let encode = |form, bytes: &'static [u8]| told.encoded(form, |_| bytes.into());
        assert_eq!(encode(Form::Full, b"whole"), "whole");
        assert_eq!(encode(Form::Redacted, b"part"), "part");
        assert_eq!(encode(Form::Full, b"another"), "whole");
        assert_eq!(encode(Form::Redacted, b"another"), "part");
    }

    #[test]
    fn message_is_made_and_encoded_once_while_it_is_among_the_newest() {
        let kept = MessageCache::new(2);
        let made = Cell::new(0);
        let tell = |key: u8| {
            kept.find_or_keep(key, || {
                made.set(made.get() + 1);
                key
            })
        };
        let encode = |told: &EncodedMessage<u8>| {
            told.encoded(Form::Full, |key| {
                made.set(made.get() + 10);
                Bytes::copy_from_slice(&[*key])
            })
        };
        let first = tell(1);
        assert_eq!(encode(&first), encode(&tell(1)));
        assert_eq!(made.get(), 11);
        tell(2);
        tell(3);
        tell(2);
        assert_eq!(made.get(), 13);
        assert_eq!((**tell(1), made.get()), (1, 14));
    }
}
