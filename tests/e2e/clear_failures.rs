//! A program that cannot start says why in exactly one line of its log, and ends with exit code 1: a port in use, a volume that is
//! not there, a setting that is wrong.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::stage::program;
use serde_json::Value;
use tokio::process::Command;

use crate::lab::Lab;

const LIMIT: Duration = Duration::from_secs(30);

/// A start that must fail.
struct Case {
    program: &'static str,
    arguments: &'static [&'static str],
    /// What is wrong.
    wrong: (&'static str, String),
    /// What the one line must say.
    words: [String; 2],
}

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef-a-token-of-the-test\n")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let nowhere = folder.path().join("no-volume");
    let file = |name: &str| nowhere.join(name).to_string_lossy().into_owned();

    let runtime = |setting: &'static str, value: String, word: &str| Case {
        program: "holdfast-runtime",
        arguments: &["run"],
        words: [setting.to_owned(), word.to_owned()],
        wrong: (setting, value),
    };
    for case in [
        runtime("HOLDFAST_ADMIN_LISTEN", address.clone(), &address),
        runtime("HOLDFAST_REPLICATION_LISTEN", address.clone(), &address),
        runtime("HOLDFAST_REDIS_LISTEN", address.clone(), &address),
        runtime("HOLDFAST_ADMIN_TOKEN_FILE", file("token"), &file("token")),
        runtime("HOLDFAST_REDIS_SOCKET", file("redis.sock"), &file("redis.sock")),
        runtime("HOLDFAST_COPIES", "many".to_owned(), "many"),
        runtime("HOLDFAST_POD_NAME", "other-0".to_owned(), "other-0"),
        Case {
            program: "holdfast-gateway",
            arguments: &[],
            words: ["HOLDFAST_LISTEN".to_owned(), address.clone()],
            wrong: ("HOLDFAST_LISTEN", address.clone()),
        },
    ] {
        let what = format!("{} with {}={}", case.program, case.wrong.0, case.wrong.1);
        let mut command = Command::new(program(case.program));
        command
            .args(case.arguments)
            .env_clear()
            .env("KUBECONFIG", lab.stage.cluster.kubeconfig())
            .env("HOLDFAST_LOG_FORMAT", "json")
            .env("HOLDFAST_CLUSTER", "shop")
            .env("HOLDFAST_NAMESPACE", "default")
            .env("HOLDFAST_POD_NAME", "shop-0")
            .env("HOLDFAST_POD_UID", "00000000-0000-0000-0000-000000000000")
            .env("HOLDFAST_POD_IP", "127.0.0.1")
            .env("HOLDFAST_MEMBERS_SERVICE", "shop-members")
            .env("HOLDFAST_CLUSTER_DOMAIN", "cluster.local")
            .env("HOLDFAST_ADMIN_TOKEN_FILE", &token)
            .env("HOLDFAST_REDIS_SOCKET", folder.path().join("redis.sock"))
            .env("HOLDFAST_ADMIN_SOCKET", folder.path().join("admin.sock"));
        for listen in ["HOLDFAST_REDIS_LISTEN", "HOLDFAST_REPLICATION_LISTEN", "HOLDFAST_ADMIN_LISTEN", "HOLDFAST_LISTEN"] {
            command.env(listen, "127.0.0.1:0");
        }
        command.env(case.wrong.0, &case.wrong.1);
        fails_clearly(command, &case.words).await.with_context(|| what)?;
    }
    Ok(())
}

async fn fails_clearly(mut command: Command, words: &[String]) -> anyhow::Result<()> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, running).await.context("it started, and went on")??;
    let log = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(1), "it ended with {}, not with exit code 1:\n{log}", output.status);
    let errors: Vec<&str> = log.lines().filter(|line| is_error(line)).collect();
    ensure!(errors.len() == 1, "its log has {} error lines, not one:\n{log}", errors.len());
    for word in words {
        ensure!(errors[0].contains(word), "the line does not say `{word}`: {}", errors[0]);
    }
    Ok(())
}

/// A line that is not a log line would be one too many as well.
fn is_error(line: &str) -> bool {
    serde_json::from_str::<Value>(line).map_or(true, |line| line["level"] == "ERROR")
}
