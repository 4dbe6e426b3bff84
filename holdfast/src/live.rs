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

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::Loopback;

    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Cart {
        items: Vec<String>,
        /// Not in sessions that were written by an earlier version of the application.
        #[serde(default)]
        coupon: Option<String>,
    }

    impl Attribute for Cart {
        const NAME: &'static str = "cart";
    }

    /// A session without an id is in no store.
    fn session() -> Session {
        let member = Loopback::new("shop").member(0).start().expect("starts");
        Session::new(None, Arc::new(member.store()), None)
    }

    #[tokio::test]
    async fn an_attribute_that_was_only_looked_at_is_not_written() {
        let (session, lives) = (session(), Lives::default());
        assert!(Live::<Cart>::of(&session, &lives).await.expect("a default").lock().items.is_empty());
        lives.write_back(&session).await.expect("nothing to write");
        assert!(!session.is_modified(), "a default is no change");

        let (old, lives) = (json!({"items": ["tea"]}), Lives::default());
        session.insert("cart", &old).await.expect("stored");
        assert_eq!(Live::<Cart>::of(&session, &lives).await.expect("a cart").lock().items, ["tea"]);
        lives.write_back(&session).await.expect("nothing to write");
        assert_eq!(session.get_value("cart").await.expect("there"), Some(old), "nor is a field that it lacks");
    }

    #[tokio::test]
    async fn all_who_ask_during_a_request_get_the_same() {
        let (session, lives) = (session(), Lives::default());
        let (one, other) =
            (Live::<Cart>::of(&session, &lives).await.expect("one"), Live::<Cart>::of(&session, &lives).await.expect("other"));
        one.lock().items.push("tea".to_owned());
        other.lock().coupon = Some("ten off".to_owned());
        lives.write_back(&session).await.expect("written");
        assert_eq!(session.get_value("cart").await.expect("there"), Some(json!({"items": ["tea"], "coupon": "ten off"})));
    }

    #[tokio::test]
    async fn what_a_panic_has_left_half_done_is_not_written() {
        let (session, lives) = (session(), Lives::default());
        let cart = Live::<Cart>::of(&session, &lives).await.expect("a default");
        let half = std::thread::spawn(move || {
            let mut cart = cart.lock();
            cart.items.push("half".to_owned());
            panic!("as a handler may");
        });
        assert!(half.join().is_err());
        lives.write_back(&session).await.expect("nothing to write");
        assert_eq!(session.get_value("cart").await.expect("asked"), None);
    }

    #[tokio::test]
    async fn what_is_no_such_attribute_is_an_error_and_stays() {
        let (session, lives) = (session(), Lives::default());
        session.insert("cart", 7).await.expect("stored");
        assert!(Live::<Cart>::of(&session, &lives).await.is_err());
        lives.write_back(&session).await.expect("nothing to write");
        assert_eq!(session.get_value("cart").await.expect("there"), Some(json!(7)));
    }
}
