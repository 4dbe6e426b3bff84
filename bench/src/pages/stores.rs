//! Where applications keep their sessions by the Redis protocol: at a member with one keeper, or in a Redis with one replica.

use std::net::SocketAddr;

use anyhow::Context;
use holdfast_support::world::{Ways, World};

use super::visitor::Visit;
use crate::client::Connection;
use crate::redis_pair::RedisPair;

/// Makes the key of a session from the value of its cookie.
pub(super) type KeyOf = fn(&str) -> anyhow::Result<String>;

/// Both; their processes end when this is dropped.
#[derive(Debug)]
pub(super) struct Stores {
    holdfast: World,
    redis: RedisPair,
}

impl Stores {
    pub(super) async fn start() -> anyhow::Result<Self> {
        Ok(Self { holdfast: World::start(2, 1, Ways::Direct).await?, redis: RedisPair::start().await? })
    }

    /// The member beside the application, and all processes.
    pub(super) fn holdfast(&self) -> (SocketAddr, Vec<u32>) {
        (self.holdfast.redis(0), self.holdfast.members.values().map(|member| member.pid).collect())
    }

    /// The primary, and all processes.
    pub(super) fn redis(&self) -> (SocketAddr, Vec<u32>) {
        (self.redis.primary.address, vec![self.redis.primary.pid, self.redis.replica.pid])
    }

    /// Every session is as it was viewed last at the keeper, after a SIGKILL of the member beside the application. Returns how many.
    pub(super) async fn check_holdfast(&mut self, visits: &[Visit], key: KeyOf) -> anyhow::Result<usize> {
        self.holdfast.kill(0).await?;
        check(self.holdfast.redis(1), visits, key).await.context("at the keeper")
    }

    /// The same at the replica.
    pub(super) async fn check_redis(&self, visits: &[Visit], key: KeyOf) -> anyhow::Result<usize> {
        check(self.redis.replica.address, visits, key).await.context("at the replica")
    }
}

async fn check(address: SocketAddr, visits: &[Visit], key: KeyOf) -> anyhow::Result<usize> {
    let mut connection = Connection::open(address).await?;
    let mut checked = 0;
    for visit in visits.iter().filter(|visit| visit.views > 0) {
        let key = key(visit.id()?)?;
        let value = connection.get(key.as_bytes()).await?.with_context(|| format!("`{key}` is gone"))?;
        let cart = visit.cart();
        let is_right = value.windows(cart.len()).any(|part| part == cart.as_bytes());
        anyhow::ensure!(is_right, "`{key}` is not as it was after view {}", visit.views);
        checked += 1;
    }
    Ok(checked)
}
