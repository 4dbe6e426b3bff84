//! The front door through the `redis` crate, in both versions of the protocol and over both kinds of socket.

mod support;

use std::collections::BTreeMap;

use futures::StreamExt;
use holdfast_runtime::redis::Settings;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client, InfoDict, RedisResult, SetExpiry, SetOptions};
use support::memory::Memory;

async fn connect(url: &str) -> MultiplexedConnection {
    let client = Client::open(url).expect("a right URL");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

/// What session stores do.
async fn store_sessions(mut door: MultiplexedConnection) -> RedisResult<()> {
    redis::cmd("DEL").arg("sess:1").arg("sess:2").arg("cart").exec_async(&mut door).await?;
    let options = SetOptions::default().with_expiration(SetExpiry::EX(100));
    let stored: Option<String> = door.set_options("sess:1", b"\x00\xffvalue", options).await?;
    assert_eq!(stored.as_deref(), Some("OK"));
    let value: Vec<u8> = door.get("sess:1").await?;
    assert_eq!(value, b"\x00\xffvalue");
    assert!((99..=100).contains(&door.ttl::<_, i64>("sess:1").await?));
    assert!(door.expire::<_, bool>("sess:1", 1000).await?);
    assert!(door.persist::<_, bool>("sess:1").await?);
    assert_eq!(door.get::<_, Option<String>>("none").await?, None);
    assert!(door.set_nx::<_, _, bool>("sess:2", "b").await? && !door.set_nx::<_, _, bool>("sess:2", "c").await?);

    let _: () = door.hset_multiple("cart", &[("apples", 2), ("pears", 3)]).await?;
    let cart: BTreeMap<String, i64> = door.hgetall("cart").await?;
    assert_eq!(cart, BTreeMap::from([("apples".into(), 2), ("pears".into(), 3)]));
    let some: (Option<i64>, Option<i64>) = door.hmget("cart", &["pears", "plums"]).await?;
    assert_eq!(some, (Some(3), None));
    assert_eq!(door.get::<_, String>("cart").await.expect_err("a hash").code(), Some("WRONGTYPE"));

    let mut keys: Vec<String> = door.scan_match::<_, String>("sess:*").await?.map(|key| key.expect("a key")).collect().await;
    keys.sort();
    assert_eq!(keys, ["sess:1", "sess:2"]);
    assert_eq!(redis::cmd("DBSIZE").query_async::<i64>(&mut door).await?, 3);

    let info: InfoDict = redis::cmd("INFO").query_async(&mut door).await?;
    assert_eq!(info.get::<String>("role").as_deref(), Some("master"));
    assert_eq!(info.get::<i64>("loading"), Some(0));
    assert!(info.get::<String>("redis_version").is_some_and(|version| version.starts_with("7.")));

    let mut pipeline = redis::pipe();
    (0..500).for_each(|key| _ = pipeline.set(format!("pipe:{key}"), key).ignore().get(format!("pipe:{key}")));
    let values: Vec<i64> = pipeline.query_async(&mut door).await?;
    assert_eq!(values, (0..500).collect::<Vec<_>>());
    let gone: Vec<String> = (0..500).map(|key| format!("pipe:{key}")).collect();
    assert_eq!(door.del::<_, i64>(gone).await?, 500);
    Ok(())
}

#[tokio::test]
async fn the_redis_crate_stores_sessions() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis.sock");
    let door = support::open(Memory::new(1 << 20), Settings { socket: Some(socket.clone()), ..Settings::default() }).await;
    for place in [format!("redis://{}", door.address), format!("redis+unix://{}", socket.display())] {
        for protocol in ["resp2", "resp3"] {
            store_sessions(connect(&format!("{place}?protocol={protocol}")).await).await.expect("all of it works");
        }
    }
}

#[tokio::test]
async fn another_database_is_refused_with_the_reason() {
    let door = support::open(Memory::new(1 << 20), Settings::default()).await;
    let client = Client::open(format!("redis://{}/1", door.address)).expect("a right URL");
    let refused = client.get_multiplexed_async_connection().await.expect_err("no other database");
    assert!(format!("{refused:?} {refused}").contains("only database 0 is served"), "{refused:?}");
}
