//! People who view the page, and what each of them has to see.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::line::Line;

/// Characters of a cart.
const CART: usize = 1024;

/// Those who share a connection, one after the other.
#[derive(Debug)]
pub(super) struct Visitors {
    sessions: Vec<Visit>,
    next: usize,
}

/// A session: the cookie that it is known by, and how often the page was viewed with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Visit {
    pub(super) cookie: Option<String>,
    pub(super) views: u64,
}

impl Visitors {
    pub(super) fn new(sessions: usize) -> Self {
        Self { sessions: vec![Visit::default(); sessions], next: 0 }
    }

    pub(super) fn sessions(&self) -> &[Visit] {
        &self.sessions
    }

    /// The next one views the page. Returns how long it took; an error if it is not the page that comes after the last one.
    pub(super) async fn view(&mut self, line: &mut Line) -> anyhow::Result<Duration> {
        let mine = self.next;
        self.next = (mine + 1) % self.sessions.len();
        let visit = &mut self.sessions[mine];
        let begun = Instant::now();
        let page = line.get("/", visit.cookie.as_deref()).await?;
        let took = begun.elapsed();
        visit.views += 1;
        visit.check(&page.body)?;
        if page.cookie.is_some() && page.cookie != visit.cookie {
            visit.cookie = page.cookie;
        }
        Ok(took)
    }
}

impl Visit {
    /// Whether this is what the last view has shown, without another view.
    pub(super) async fn is_at(&self, line: &mut Line) -> anyhow::Result<bool> {
        let page = line.get("/cart", self.cookie.as_deref()).await?;
        Ok(self.check(&page.body).is_ok())
    }

    fn check(&self, body: &[u8]) -> anyhow::Result<()> {
        let right = format!("<p>View {}, a cart of {CART} characters.</p>\n", self.views);
        anyhow::ensure!(body == right.as_bytes(), "the page should be `{right}` and is `{}`", String::from_utf8_lossy(body));
        Ok(())
    }

    /// What the cart in the session begins with.
    pub(super) fn cart(&self) -> String {
        format!("{:012};xxx", self.views)
    }

    /// The value of the cookie.
    pub(super) fn id(&self) -> anyhow::Result<&str> {
        let cookie = self.cookie.as_deref().context("no cookie")?;
        Ok(cookie.split_once('=').context("an odd cookie")?.1)
    }
}
