//! Metrics in Prometheus' text format. Histograms whose names end in `_seconds` get buckets, so that members can be added up; the rest are summaries.

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

pub use metrics_exporter_prometheus::PrometheusHandle;

/// From a loopback round trip (tens of microseconds) to a wait that ends by a timeout.
const SECONDS: [f64; 18] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Samples wait in memory until they are folded into buckets; a scrape does it too, but nobody may be scraping.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the process-wide recorder and the task that keeps it small. Call it once, inside a tokio runtime.
///
/// # Errors
/// When a recorder was installed before.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = builder()?.install_recorder().context("cannot install the metrics recorder")?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// The same, unless this process has a recorder already: an application's own shows these metrics beside its others then, and the page here is empty.
///
/// # Errors
/// When the buckets are not right.
pub fn install_if_none() -> anyhow::Result<PrometheusHandle> {
    install().or_else(|_| Ok(builder()?.build_recorder().handle()))
}

fn builder() -> anyhow::Result<PrometheusBuilder> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .context("cannot set the histogram buckets")
}

/// `GET /metrics`.
pub fn router(handle: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(move || std::future::ready(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()))))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_histogram_of_seconds_has_buckets_and_a_second_recorder_is_refused() {
        let handle = install().expect("the first recorder of this process");
        assert!(install().is_err());
        assert_eq!(install_if_none().expect("an empty one").render(), "");
        metrics::histogram!("holdfast_test_seconds").record(0.003);
        metrics::counter!("holdfast_test_total").increment(2);
        let response = router(handle).oneshot(Request::get("/metrics").body(Body::empty()).expect("a request")).await.expect("infallible");
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("holdfast_test_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("holdfast_test_total 2"), "{text}");
    }
}
