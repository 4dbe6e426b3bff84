//! Where this member runs, as far as failures are shared.

#[cfg(feature = "server")]
mod own_pod;

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;
use holdfast_core::Place;
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::sleep;

#[cfg(feature = "server")]
pub use own_pod::OwnPod;

/// How often is asked while nobody says it.
const UNKNOWN: Duration = Duration::from_secs(1);

/// After so many looks nobody is about to say it: an operator that is older, or away.
const HOPEFUL: u32 = 60;

/// How often is asked otherwise: nodes are hardly ever given another zone.
const KNOWN: Duration = Duration::from_secs(60);

/// Knows where this member runs: the API server on Kubernetes, whatever a test says.
pub trait Locator: Debug + Send + Sync + 'static {
    /// Its place; `None` while that is not known.
    fn locate(&self) -> BoxFuture<'_, Option<Place>>;
}

/// Tells the place when it is known and whenever it changes, until nobody listens any more.
pub(crate) async fn follow(locator: &dyn Locator, places: mpsc::Sender<Place>) {
    let mut told = None;
    let mut looks = 0;
    while !places.is_closed() {
        let place = locator.locate().await;
        if place.is_some() && place != told {
            told.clone_from(&place);
            if let Some(place) = place
                && places.send(place).await.is_err()
            {
                return;
            }
        }
        looks += 1;
        let wait = if told.is_none() && looks < HOPEFUL { UNKNOWN } else { KNOWN };
        // Spread over the members.
        let wait = wait.mul_f64(rand::rng().random_range(0.8..1.2));
        tokio::select! {
            () = sleep(wait) => {}
            () = places.closed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;

    use super::*;

    /// Answers one after the other, the last one for ever.
    #[derive(Debug)]
    struct Told(Mutex<Vec<Option<Place>>>);

    impl Locator for Told {
        fn locate(&self) -> BoxFuture<'_, Option<Place>> {
            let mut answers = self.0.lock().expect("unpoisoned");
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            async move { answer }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_told_when_it_is_known_and_when_it_changes() {
        let at = |zone: &str| Some(Place { zone: zone.to_owned(), domain: String::new() });
        let locator = Told(Mutex::new(vec![None, None, at("a"), at("a"), None, at("b")]));
        let (places, mut told) = mpsc::channel(1);
        let following = tokio::spawn(async move { follow(&locator, places).await });
        assert_eq!(told.recv().await, at("a"));
        assert_eq!(told.recv().await, at("b"));
        drop(told);
        following.await.expect("ends with its listener");
    }
}
