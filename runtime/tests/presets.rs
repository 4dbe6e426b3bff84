//! The presets of the resource, held against keys as the session libraries make them: taken from their sources, or seen on the wire.

use holdfast_api::Preset;
use holdfast_core::glob;

/// Sessions of each framework, and keys beside them.
const KEYS: [(Preset, &[&str], &[&str]); 9] = [
    (
        Preset::Django,
        &[
            ":1:django.contrib.sessions.cacheumc8bzqsvlvbv8ixx8apjt8o3k9wwjxg",
            ":1:django.contrib.sessions.cached_dbumc8bzqsvlvbv8ixx8apjt8o3k9wwjxg",
            "shop:2:django.contrib.sessions.cacheumc8bzqsvlvbv8ixx8apjt8o3k9wwjxg",
        ],
        &[":1:views.decorators.cache.cache_page..GET", ":1:counter"],
    ),
    (Preset::Express, &["sess:4oV6Zq0Ih9BGRPPSzQ3cVWf4cNJ2x8mA"], &["lock:sess", "rate:1.2.3.4"]),
    (
        Preset::Spring,
        &[
            "spring:session:sessions:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
            "spring:session:sessions:expires:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        ],
        &[
            "spring:session:sessions:expirations",
            "spring:session:expirations:1439245080000",
            "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:rob",
        ],
    ),
    (
        Preset::Tomcat,
        &["redisson:tomcat_session:0C2B5AD9E0D4F6D4F5A6E7C8B9A0D1E2", "redisson:tomcat_notified_nodes:0C2B5AD9E0D4F6D4F5A6E7C8B9A0D1E2"],
        &["redisson:tomcat_session_updates:", "{cart}:lock"],
    ),
    (
        Preset::Rails,
        &[
            "session:2::1e8f2a0b4c6d8e0f",
            "rack:session:2::1e8f2a0b4c6d8e0f",
            "_session_id:2::1e8f2a0b4c6d8e0f",
            "shop:_session_id:2::1e8f2a0b4c6d8e0f",
        ],
        &["views/products/1-20260101", "shop:views/products/1"],
    ),
    (
        Preset::Php,
        &["PHPREDIS_SESSION:9qb2kqj2p1s7f2v7r0a1c8d3e4", "PHPREDIS_SESSION:9qb2kqj2p1s7f2v7r0a1c8d3e4_LOCK"],
        &["PHPREDIS", "counter"],
    ),
    (
        Preset::Laravel,
        &[
            "laravel_database_laravel_cache_Yb3kP0sXq9LmN8tRw2Vz5CgHjD1fEa7uKiOo4pTy",
            "laravel-database-laravel-cache-Yb3kP0sXq9LmN8tRw2Vz5CgHjD1fEa7uKiOo4pTy",
        ],
        &["laravel_database_laravel_cache_products", "laravel_database_laravel_cache_illuminate:queue:restart"],
    ),
    (Preset::Flask, &["session:Qk3u8m2yRzJbX5v9a1c0dEfGhIjKlMnO"], &["flask_cache_view//"]),
    (
        Preset::Rust,
        &["AAAAAAAAAAAAAAAAAAAAAA", "x-9_Zk3u8m2yRzJbX5v9a1"],
        &["x-9_Zk3u8m2yRzJbX5v9a", "x-9_Zk3u8m2yRzJbX5v9a12", "x:9_Zk3u8m2yRzJbX5v9a1"],
    ),
];

#[test]
fn a_preset_knows_the_sessions_of_its_framework_from_other_keys() {
    for (preset, sessions, others) in KEYS {
        let is_session = |key: &str| preset.keys().iter().any(|pattern| glob::matches(pattern.as_bytes(), key.as_bytes()));
        for key in sessions {
            assert!(is_session(key), "{preset:?} does not know {key}");
        }
        for key in others {
            assert!(!is_session(key), "{preset:?} takes {key} for a session");
        }
    }
}
