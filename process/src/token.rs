//! The admin token: a bearer secret that all members and gateways of one cluster share through a mounted Secret.
//! It is read again now and then, because the kubelet replaces the file when the Secret changes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;

/// The kubelet itself takes up to a minute to bring a changed Secret, so more often would be waste.
const REREAD: Duration = Duration::from_secs(10);

/// A shorter token could be guessed; the operator makes 32 random bytes in hexadecimal.
const SHORTEST: usize = 16;

/// Far above any sensible token: a wrong path (a device, a log) must not fill the memory.
const LONGEST: usize = 4096;

/// Why there is no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file is missing or unreadable.
    #[error("failed to read the admin token from `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there, but what it holds is no token. The content stays unsaid.
    #[error("the admin token in `{}` is not usable: it has {length} bytes, right are {SHORTEST} to {LONGEST} visible ASCII characters", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The length without surrounding white space.
        length: usize,
    },
}

/// The token in use. Clones share it; `Debug` does not show it.
#[derive(Clone)]
pub struct Token {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    header: HeaderValue,
    read_at: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Token {
    /// Reads the token for the first time.
    ///
    /// # Errors
    /// When the file is missing, unreadable, or holds no usable token.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        let path = path.into();
        let header = read(&path).await?;
        Ok(Self { inner: Arc::new(Inner { path, current: Mutex::new(Current { header, read_at: Instant::now() }) }) })
    }

    /// The value of an `authorization` header with this token, marked as sensitive.
    pub async fn authorization(&self) -> HeaderValue {
        self.refresh().await;
        self.lock().header.clone()
    }

    /// Whether `headers` carry this token. Takes the same time for every wrong token of the right length.
    pub async fn permits(&self, headers: &HeaderMap) -> bool {
        self.refresh().await;
        let Some(given) = headers.get(AUTHORIZATION) else { return false };
        let (Some(given), Some(right)) = (secret_of(given), secret_of(&self.lock().header).map(<[u8]>::to_vec)) else { return false };
        given.ct_eq(&right).into()
    }

    /// Answers 401 to every request of `router` that does not carry the token.
    pub fn protect(&self, router: Router) -> Router {
        let token = self.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let token = token.clone();
            async move { if token.permits(request.headers()).await { next.run(request).await } else { refused() } }
        }))
    }

    /// Reads the file again when it is time. A file that is away for a moment changes nothing: the last good token stays.
    async fn refresh(&self) {
        {
            let mut current = self.lock();
            if current.read_at.elapsed() < REREAD {
                return;
            }
            // Set before reading, so that of many requests at once only one reads.
            current.read_at = Instant::now();
        }
        match read(&self.inner.path).await {
            Ok(header) => self.lock().header = header,
            Err(error) => warn!(error = &error as &dyn std::error::Error, "keeping the last admin token"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.inner.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn secret_of(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, secret) = header.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(secret)
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], "this needs the cluster's admin token as a bearer token\n").into_response()
}

async fn read(path: &Path) -> Result<HeaderValue, TokenError> {
    use tokio::io::AsyncReadExt;

    let failed = |source| TokenError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    file.take(LONGEST as u64 + 64).read_to_end(&mut bytes).await.map_err(failed)?;
    let secret = bytes.trim_ascii();
    let visible = secret.iter().all(u8::is_ascii_graphic);
    let header = HeaderValue::from_bytes(&[b"Bearer ", secret].concat());
    match header {
        Ok(mut header) if visible && (SHORTEST..=LONGEST).contains(&secret.len()) => {
            header.set_sensitive(true);
            Ok(header)
        }
        _ => Err(TokenError::Unusable { path: path.to_owned(), length: secret.len() }),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    async fn ask(token: &Token, authorization: Option<&str>) -> u16 {
        let router = token.protect(Router::new().route("/", get(|| async { "secret" })));
        let mut request = Request::get("/");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible").status().as_u16()
    }

    async fn token_of(content: &str) -> (tempfile::TempDir, Result<Token, TokenError>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, content).expect("written");
        (folder, Token::open(path).await)
    }

    #[tokio::test]
    async fn only_the_right_token_passes() {
        let (_folder, token) = token_of(&format!("{SECRET}\n")).await;
        let token = token.expect("usable");
        assert_eq!(ask(&token, None).await, 401);
        assert_eq!(ask(&token, Some("Bearer ")).await, 401);
        assert_eq!(ask(&token, Some("Bearer 0123456789abcdef0123456789abcdee")).await, 401);
        assert_eq!(ask(&token, Some(SECRET)).await, 401);
        assert_eq!(ask(&token, Some(&format!("Bearer {SECRET}"))).await, 200);
        assert_eq!(ask(&token, Some(&format!("bearer {SECRET}"))).await, 200);
        assert_eq!(token.authorization().await, format!("Bearer {SECRET}"));
    }

    #[tokio::test]
    async fn neither_debug_nor_an_error_shows_the_token() {
        let (_folder, token) = token_of(SECRET).await;
        let token = token.expect("usable");
        assert!(!format!("{token:?} {:?}", token.authorization().await).contains(SECRET));
        let (_folder, refused) = token_of("short").await;
        let error = refused.expect_err("too short");
        assert!(!format!("{error} {error:?}").contains("short\""), "{error:?}");
        assert!(error.to_string().contains("5 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = Token::open("/nowhere/token").await.expect_err("missing");
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_is_taken_up_and_a_vanished_file_changes_nothing() {
        let (folder, token) = token_of(SECRET).await;
        let token = token.expect("usable");
        let path = folder.path().join("token");
        let new = "fedcba9876543210fedcba9876543210";
        std::fs::write(&path, new).expect("written");
        assert_eq!(ask(&token, Some(&format!("Bearer {SECRET}"))).await, 200, "not read again yet");
        tokio::time::advance(REREAD).await;
        assert_eq!(ask(&token, Some(&format!("Bearer {new}"))).await, 200);
        std::fs::remove_file(&path).expect("removed");
        tokio::time::advance(REREAD).await;
        assert_eq!(ask(&token, Some(&format!("Bearer {new}"))).await, 200);
    }
}
