//! connect-redis' own test, from its package, and express-session over HTTP with each client that Express applications use.

use std::path::Path;
use std::time::Duration;

use holdfast_support::command::Run;

use crate::suite::{Suite, Tests};
use crate::{browser, junit};

const PACKAGE: &str = r#"{
  "private": true,
  "type": "module",
  "dependencies": {
    "connect-redis": "9.0.0",
    "connect-redis-8": "npm:connect-redis@8.1.0",
    "express": "5.3.0",
    "express-session": "1.19.0",
    "ioredis": "6.0.0",
    "redis": "6.3.1",
    "redis-5": "npm:redis@5.12.1",
    "supertest": "7.3.2",
    "vite": "6.4.6",
    "vitest": "3.2.7"
  }
}
"#;

pub(crate) const SUITE: Suite = Suite {
    name: "connect-redis",
    library: "connect-redis 9.0.0",
    programs: &[("node", "nodejs"), ("npm", "npm"), ("tar", "tar"), browser::PROGRAM],
    sources: &[("package.json", PACKAGE)],
    install: |_| {
        vec![
            Run::new("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"]),
            Run::new("npm", ["pack", "--loglevel=error", "connect-redis@9.0.0"]),
            // Its test imports `./`, which would be package.json if this were in a folder `package`.
            Run::new("tar", ["xzf", "connect-redis-9.0.0.tgz", "--one-top-level=source", "--strip-components=1"]),
        ]
    },
    files: &[
        ("source/testdata/server.ts", include_str!("../programs/connect-redis/server.ts")),
        ("vitest.config.mjs", include_str!("../programs/connect-redis/vitest.config.mjs")),
        ("express_test.mjs", include_str!("../programs/connect-redis/express_test.mjs")),
        ("app.mjs", include_str!("../programs/connect-redis/app.mjs")),
        browser::FILES[0],
        browser::FILES[1],
    ],
    tests: Tests {
        ports: &[6379],
        run: |bench| {
            let report = format!("--outputFile={}", bench.reports.join("vitest.xml").display());
            let args = ["node_modules/vitest/vitest.mjs", "run", "--reporter=default", "--reporter=junit", report.as_str()];
            vec![Run::new("node", args).dir(bench.folder)]
        },
        read: junit::read,
        left_out: include_str!("../left_out/connect-redis.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder: &Path| browser::run(folder, &["node", "app.mjs"]),
};
