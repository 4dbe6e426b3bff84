//! Attributes of a session that are changed in place. What they are is compared at the end of the request, as it would be written, with what they were: so a
//! change is seen wherever in the value it is, and what has not changed costs nothing.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower_sessions_core::Session;
use tower_sessions_core::session::Error;

/// A value that a session can hold.
pub trait Attribute: Serialize + DeserializeOwned + Default + Send + 'static {
    /// Its name in the session.
    const NAME: &'static str;
}

/// An attribute of the session, as it is during this request. Clones share it. Whoever changes it does so through [`Live::lock`], and when the request ends,
/// it is put into the session if it is not what it was.
pub struct Live<T> {
    slot: Arc<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    value: Mutex<T>,
    /// What would have been written at the beginning.
    before: Value,
}

impl<T: Attribute> Live<T> {
    /// The attribute of this session; its default if the session has none. All who ask during one request get the same.
    ///
    /// # Errors
    /// When the session cannot be loaded, or what it holds under that name is no `T`.
    pub async fn of(session: &Session, lives: &Lives) -> Result<Self, Error> {
        if let Some(slot) = lives.find::<T>() {
            return Ok(Self { slot });
        }
        let value: T = session.get(T::NAME).await?.unwrap_or_default();
        let before = serde_json::to_value(&value)?;
        Ok(Self { slot: lives.keep(Slot { value: Mutex::new(value), before }) })
    }

    /// To read it, or to change it. Not to be held while something is waited for.
    ///
    /// # Panics
    /// When somebody has panicked while holding it.
    #[must_use]
    pub fn lock(&self) -> LiveGuard<'_, T> {
        LiveGuard(self.slot.value.lock().expect("a panic while it was held has ended the request"))
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { slot: self.slot.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.slot.value).finish()
    }
}

/// Access to an attribute.
#[derive(Debug)]
pub struct LiveGuard<'a, T>(MutexGuard<'a, T>);

impl<T> Deref for LiveGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for LiveGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// What was asked for of one request, as an extension of it.
#[derive(Clone, Default)]
pub struct Lives {
    slots: Arc<Mutex<BTreeMap<TypeId, Kept>>>,
}

#[derive(Clone)]
struct Kept {
    name: &'static str,
    slot: Arc<dyn Any + Send + Sync>,
    changed: fn(&(dyn Any + Send + Sync)) -> serde_json::Result<Option<Value>>,
}

impl fmt::Debug for Lives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.slots().values().map(|kept| kept.name)).finish()
    }
}

impl Lives {
    /// Puts what has changed into the session.
    pub(crate) async fn write_back(&self, session: &Session) -> Result<(), Error> {
        let kept: Vec<Kept> = self.slots().values().cloned().collect();
        for kept in kept {
            if let Some(value) = (kept.changed)(&*kept.slot)? {
                session.insert_value(kept.name, value).await?;
            }
        }
        Ok(())
    }

    fn find<T: Attribute>(&self) -> Option<Arc<Slot<T>>> {
        self.slots().get(&TypeId::of::<T>()).and_then(|kept| kept.slot.clone().downcast().ok())
    }

    /// Keeps an attribute until the end of the request, unless somebody was faster.
    fn keep<T: Attribute>(&self, slot: Slot<T>) -> Arc<Slot<T>> {
        let slot = Arc::new(slot);
        let kept = Kept { name: T::NAME, slot: slot.clone(), changed: changed::<T> };
        let first = self.slots().entry(TypeId::of::<T>()).or_insert(kept).slot.clone();
        first.downcast().unwrap_or(slot)
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<TypeId, Kept>> {
        self.slots.lock().expect("nothing panics while it is held")
    }
}

/// What a slot would be written as, if that is another than at the beginning.
fn changed<T: Attribute>(slot: &(dyn Any + Send + Sync)) -> serde_json::Result<Option<Value>> {
    let Some(slot) = slot.downcast_ref::<Slot<T>>() else { return Ok(None) };
    // After a panic it may be half of what it should be.
    let Ok(value) = slot.value.lock() else { return Ok(None) };
    let value = serde_json::to_value(&*value)?;
    Ok((value != slot.before).then_some(value))
}
