//! What Holdfast knows of frameworks, so that nobody has to look it up: the cookie in which each carries its session's name, the keys that its session
//! library makes, and what it reads from the environment. `docs/frameworks.md` has what is left to be written in the framework's own settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Frameworks whose sessions Holdfast knows.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Django's sessions in its Redis cache, with or without its database.
    Django,
    /// express-session with connect-redis.
    Express,
    /// Spring Session with Spring Boot, in both its repositories.
    Spring,
    /// Tomcat with Redisson's session manager.
    Tomcat,
    /// Rails with redis-session-store, redis-rack or its cache.
    Rails,
    /// PHP with the session handler of phpredis.
    #[serde(rename = "PHP")]
    Php,
    /// Laravel's Redis sessions.
    Laravel,
    /// Flask-Session.
    Flask,
    /// tower-sessions with tower-sessions-redis-store.
    Rust,
}

/// 40 letters and digits behind whatever prefixes the application has: Laravel gives its sessions no prefix of their own.
const LARAVEL: &str = concat!(
    "*",
    "[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]",
    "[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]",
    "[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]",
    "[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]",
);

/// 22 characters of base64 for URLs, and nothing else: tower-sessions-redis-store has no prefix.
const TOWER: &str = concat!(
    "[-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_]",
    "[-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_]",
    "[-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_][-0-9A-Za-z_]",
);

impl Preset {
    /// Name of the cookie with the session's name.
    #[must_use]
    pub fn cookie(self) -> &'static str {
        match self {
            Preset::Django => "sessionid",
            Preset::Express => "connect.sid",
            Preset::Spring => "SESSION",
            Preset::Tomcat => "JSESSIONID",
            Preset::Rails => "_session_id",
            Preset::Php => "PHPSESSID",
            Preset::Laravel => "laravel_session",
            Preset::Flask => "session",
            Preset::Rust => "id",
        }
    }

    /// Glob patterns of the keys that are sessions, as Redis has them.
    #[must_use]
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            // Behind the cache's KEY_PREFIX and version; cached_db begins with the same letters.
            Preset::Django => &["*:django.contrib.sessions.cache*"],
            Preset::Express => &["sess:*"],
            // An identifier with hyphens: `sessions:expirations` is one key for all.
            Preset::Spring => &["spring:session:sessions:*-*-*-*-*"],
            Preset::Tomcat => &["redisson:tomcat_session:*", "redisson:tomcat_notified_nodes:*"],
            // redis-session-store as in the guide, redis-rack, ActionDispatch's CacheStore behind the cache's namespace.
            Preset::Rails => &["session:*", "rack:session:*", "_session_id:*", "*:_session_id:*"],
            // The session's lock as well, which is asked for where the session is.
            Preset::Php => &["PHPREDIS_SESSION:*"],
            Preset::Laravel => &[LARAVEL],
            Preset::Flask => &["session:*"],
            Preset::Rust => &[TOWER],
        }
    }

    /// What the framework reads from the environment by itself, beside `REDIS_URL`. What the application's own `env` sets is left alone.
    #[must_use]
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Preset::Spring => &[("SPRING_DATA_REDIS_URL", "redis://127.0.0.1:6379")],
            // Its cache is in database 1 by default, and there is only one.
            Preset::Laravel => &[("SESSION_DRIVER", "redis"), ("SESSION_COOKIE", "laravel_session"), ("REDIS_CACHE_DB", "0")],
            Preset::Django | Preset::Express | Preset::Tomcat | Preset::Rails | Preset::Php | Preset::Flask | Preset::Rust => &[],
        }
    }
}
