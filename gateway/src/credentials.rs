//! The admin token that opens the members' control streams. The gateway also works without it, so a Secret that is not there yet does not keep it
//! from starting: the file is tried again until it can be read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_process::token::{Token, TokenError};
use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Between two attempts to read a file that was not there.
const RETRY: Duration = Duration::from_secs(5);

/// Where the token is, and the token once it has been read.
#[derive(Clone, Debug)]
pub struct Credentials {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Missing(Option<(Instant, Arc<TokenError>)>),
    Open(Token),
}

impl Credentials {
    /// Of a file that is read when the token is first needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { inner: Arc::new(Inner { path: path.into(), state: Mutex::new(State::Missing(None)) }) }
    }

    /// The token.
    ///
    /// # Errors
    /// While the file cannot be read or holds no token.
    pub async fn token(&self) -> Result<Token, Arc<TokenError>> {
        let mut state = self.inner.state.lock().await;
        match &*state {
            State::Open(token) => return Ok(token.clone()),
            State::Missing(Some((at, error))) if at.elapsed() < RETRY => return Err(error.clone()),
            State::Missing(_) => {}
        }
        match Token::open(&self.inner.path).await {
            Ok(token) => {
                *state = State::Open(token.clone());
                Ok(token)
            }
            Err(error) => {
                let error = Arc::new(error);
                *state = State::Missing(Some((Instant::now(), error.clone())));
                Err(error)
            }
        }
    }

    /// The value of an `authorization` header.
    ///
    /// # Errors
    /// While there is no token.
    pub(crate) async fn authorization(&self) -> Result<HeaderValue, Arc<TokenError>> {
        Ok(self.token().await?.authorization().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_that_comes_late_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let credentials = Credentials::new(&path);
        assert!(credentials.authorization().await.is_err());
        std::fs::write(&path, "0123456789abcdef0123456789abcdef").expect("written");
        assert!(credentials.authorization().await.is_err(), "not tried again yet");
        tokio::time::advance(RETRY).await;
        assert!(credentials.authorization().await.is_ok());
    }
}
