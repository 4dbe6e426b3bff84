//! The application in Express: express-session, connect-redis, node-redis.

use anyhow::Context;
use holdfast_support::command::Run;
use holdfast_support::install::Recipe;

use super::frameworks::Framework;

const PACKAGE: &str = r#"{
  "private": true,
  "type": "module",
  "dependencies": {
    "connect-redis": "9.0.0",
    "express": "5.3.0",
    "express-session": "1.19.0",
    "redis": "6.3.1"
  }
}
"#;

pub(super) const FRAMEWORK: Framework = Framework {
    name: "Express",
    recipe: Recipe {
        shelf: "bench",
        name: "express",
        what: "Express 5.3.0 and connect-redis 9.0.0",
        programs: &[("node", "nodejs"), ("npm", "npm")],
        sources: &[("package.json", PACKAGE)],
        commands: |_| vec![Run::new("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"])],
    },
    files: &[("app.mjs", include_str!("../../applications/express/app.mjs"))],
    connections: &[1, 16, 50],
    serve: |_, port| Run::new("node", ["app.mjs"]).env("PORT", port.to_string()).env("NODE_ENV", "production"),
    key: |cookie| {
        // `s:`, the id, and its signature after a dot.
        let id =
            cookie.strip_prefix("s%3A").and_then(|signed| signed.split_once('.')).with_context(|| format!("the cookie is `{cookie}`"))?.0;
        Ok(format!("sess:{id}"))
    },
};
