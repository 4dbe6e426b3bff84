//! Whatever keeps it from starting is one line in its log that names the setting, and exit code 1.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use holdfast_support::member::Pod;
use serde_json::Value;

struct Start {
    folder: tempfile::TempDir,
    command: Command,
}

impl Start {
    fn new(action: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pod = Pod { id: 0, uid: "uid".to_owned(), ip: Ipv4Addr::LOCALHOST, replication: 0 };
        let command = pod.command(Path::new(env!("CARGO_BIN_EXE_holdfast-runtime")), action, folder.path()).expect("written");
        Self { folder, command }
    }

    /// Expects one error line with all of `words`.
    fn fails_with(mut self, words: &[&str]) {
        let Output { status, stdout, stderr } = self.command.output().expect("runs");
        let log = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert_eq!(status.code(), Some(1), "{log}");
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 1, "{log}");
        let line: Value = serde_json::from_str(lines[0]).expect("a JSON line");
        assert_eq!(line["level"], "ERROR");
        for word in words {
            assert!(line["message"].as_str().expect("a message").contains(word), "`{word}` is not in {line}");
        }
        drop(self.folder);
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for setting in ["HOLDFAST_REPLICATION_LISTEN", "HOLDFAST_ADMIN_LISTEN", "HOLDFAST_REDIS_LISTEN"] {
        Start::new("run").with(setting, &address).fails_with(&[setting, &address, "in use"]);
    }
}

#[test]
fn a_missing_volume_is_named() {
    for setting in ["HOLDFAST_REDIS_SOCKET", "HOLDFAST_ADMIN_SOCKET", "HOLDFAST_ADMIN_TOKEN_FILE"] {
        Start::new("run").with(setting, "/not/mounted/file").fails_with(&[setting, "/not/mounted"]);
    }
}

#[test]
fn a_missing_or_empty_token_is_named() {
    let start = Start::new("run");
    let missing = start.folder.path().join("missing").display().to_string();
    start.with("HOLDFAST_ADMIN_TOKEN_FILE", &missing).fails_with(&["HOLDFAST_ADMIN_TOKEN_FILE", &missing, "No such file"]);
    let start = Start::new("run");
    let empty = start.folder.path().join("empty").display().to_string();
    std::fs::write(&empty, "").expect("written");
    start.with("HOLDFAST_ADMIN_TOKEN_FILE", &empty).fails_with(&["HOLDFAST_ADMIN_TOKEN_FILE", &empty, "0 bytes"]);
}

#[test]
fn a_missing_certificate_is_named() {
    let start = Start::new("run");
    let folder = start.folder.path().display().to_string();
    start.with("HOLDFAST_TLS_DIR", &folder).fails_with(&["HOLDFAST_TLS_DIR", &folder, "tls.crt", "No such file"]);
}

#[test]
fn a_wrong_setting_is_named_with_its_value_and_what_is_right() {
    for (setting, value, right) in [
        ("HOLDFAST_COPIES", "many", "invalid digit"),
        ("HOLDFAST_COPIES", "64", "0..=63"),
        ("HOLDFAST_ACKNOWLEDGE", "Later", "Applied, Received, None"),
        ("HOLDFAST_ON_UNDER_REPLICATED", "Hope", "Wait, Accept, Reject"),
        ("HOLDFAST_CONNECTIONS", "9", "1..=8"),
        ("HOLDFAST_COMPRESSION", "gzip", "None, LZ4"),
        ("HOLDFAST_TRANSFER_RATE", "1000", "at least 65536"),
        ("HOLDFAST_ACK_TIMEOUT", "5", "such as 250ms or 1m30s"),
        ("HOLDFAST_FAILURE_TIMEOUT", "500ms", "at least 4 times HOLDFAST_HEARTBEAT_INTERVAL"),
        ("HOLDFAST_POD_NAME", "other-0", "`shop-` and an ordinal"),
        ("HOLDFAST_POD_IP", "nowhere", "invalid IP address"),
        ("HOLDFAST_LOG", "=;", "log filter"),
    ] {
        Start::new("run").with(setting, value).fails_with(&[setting, value, right]);
    }
}

#[test]
fn no_way_to_the_api_server_is_said() {
    Start::new("run").fails_with(&["no way to the API server"]);
}

#[test]
fn a_drain_without_a_member_says_where_it_looked() {
    Start::new("drain").fails_with(&["HOLDFAST_ADMIN_SOCKET", "admin.sock"]);
}
