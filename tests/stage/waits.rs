//! Waiting for something to become so: each look has a limit, the whole has a limit, and the error says what was still missing.

use std::future::Future;
use std::time::{Duration, Instant};

/// A look that takes longer counts as one that saw nothing: the API server may be frozen.
const ONE_LOOK: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(200);

/// It did not become so.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} for {what}; at the end: {missing}")]
pub struct NotYet {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// What the last look found missing.
    pub missing: String,
}

/// Looks five times a second until `look` answers `Ok`, for `limit` at most. What `look` answers otherwise is what is missing.
///
/// # Errors
/// When the limit has passed.
pub async fn eventually<T, F>(what: impl Into<String>, limit: Duration, mut look: impl FnMut() -> F) -> Result<T, NotYet>
where
    F: Future<Output = Result<T, String>>,
{
    let began = Instant::now();
    loop {
        let missing = match tokio::time::timeout(ONE_LOOK, look()).await {
            Ok(Ok(seen)) => return Ok(seen),
            Ok(Err(missing)) => missing,
            Err(_) => format!("no answer within {ONE_LOOK:?}"),
        };
        if began.elapsed() >= limit {
            return Err(NotYet { what: what.into(), waited: began.elapsed(), missing });
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_becomes_so_is_answered() {
        let mut looks = 0;
        let seen = eventually("three looks", Duration::from_secs(5), || {
            looks += 1;
            let now = looks;
            async move { if now == 3 { Ok(now) } else { Err(format!("only {now}")) } }
        });
        assert_eq!(seen.await.expect("in time"), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_is_an_error_that_says_what_is_missing() {
        let never = eventually::<(), _>("the moon", Duration::from_millis(300), || async { Err("it is a cheese".to_owned()) });
        let text = never.await.expect_err("never").to_string();
        assert!(text.contains("for the moon") && text.ends_with("it is a cheese"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_ends_too() {
        let hangs = eventually::<(), _>("an answer", Duration::ZERO, std::future::pending);
        assert!(hangs.await.expect_err("never").missing.contains("no answer"));
    }
}
