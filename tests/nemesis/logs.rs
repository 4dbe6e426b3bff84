//! What the members' runtimes log, kept as it comes: Kubernetes keeps the logs of two lives of a container, and none of a pod that was
//! deleted.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use tokio::io::AsyncWriteExt as _;
use tokio_util::task::AbortOnDropHandle;

use super::acts::RUNTIME;

/// Keeps the logs until dropped.
pub(super) struct Logs(#[expect(dead_code, reason = "dropped, they end")] Vec<AbortOnDropHandle<()>>);

impl Logs {
    /// Follows the runtimes of all `pods` into files in `folder`.
    pub(super) fn follow(pods: &Api<Pod>, names: &[String], folder: &Path) -> Self {
        let follow = |name: &String| {
            let (pods, name, path) = (pods.clone(), name.clone(), folder.join(format!("{name}.{RUNTIME}.log")));
            AbortOnDropHandle::new(tokio::spawn(async move {
                match tokio::fs::File::create(&path).await {
                    Ok(mut file) => keep(&pods, &name, &mut file).await,
                    Err(error) => eprintln!("failed to create {}: {error}", path.display()),
                }
            }))
        };
        Self(names.iter().map(follow).collect())
    }
}

async fn keep(pods: &Api<Pod>, name: &str, file: &mut tokio::fs::File) {
    // The last line's time stamp, and when it came: lines that are told again are left out.
    let mut last = String::new();
    let mut heard = Instant::now();
    loop {
        let since = i64::try_from(heard.elapsed().as_secs() + 5).ok();
        let wanted =
            LogParams { container: Some(RUNTIME.to_owned()), follow: true, timestamps: true, since_seconds: since, ..LogParams::default() };
        if let Ok(stream) = pods.log_stream(name, &wanted).await {
            let mut lines = stream.lines();
            while let Ok(Some(line)) = lines.try_next().await {
                let stamp = line.split(' ').next().unwrap_or_default();
                if stamp <= last.as_str() {
                    continue;
                }
                (last, heard) = (stamp.to_owned(), Instant::now());
                // A full disk shows itself elsewhere.
                let _ = file.write_all(format!("{line}\n").as_bytes()).await;
                let _ = file.flush().await;
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
