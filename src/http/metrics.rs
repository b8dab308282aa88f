//! `/metrics`: the node's counters and those of the server as OpenMetrics text, for Prometheus and
//! its like.
//!
//! Called by `server.rs`; `guard.rs` counts requests here, `node/metrics.rs` makes the rest. 503
//! while a part of the node is being started again. Bounds: labels are paths as they are declared,
//! standard methods, and statuses; whatever else is asked counts as `other`.

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::errors::ApiError;
use crate::node::NodeHandle;

/// Methods that are counted under their name.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];
/// What ends a text of metrics.
const END: &str = "# EOF\n";

type Labels = Vec<(&'static str, String)>;

/// Requests of one server.
#[derive(Debug)]
pub struct HttpCounts {
    registry: Registry,
    requests: Family<Labels, Counter>,
}

impl HttpCounts {
    /// Counts from zero.
    pub fn new() -> HttpCounts {
        let requests = Family::<Labels, Counter>::default();
        let mut registry = Registry::with_prefix("swarmllm");
        let help = "HTTP requests by path, method and status";
        registry.register("http_requests", help, requests.clone());
        HttpCounts { registry, requests }
    }

    /// One request; `path` is the declared one, if it is any.
    pub(super) fn count(&self, path: Option<&str>, method: &Method, status: StatusCode) {
        let method = if METHODS.contains(method) { method.as_str() } else { "other" };
        let labels = vec![
            ("path", path.unwrap_or("other").to_owned()),
            ("method", method.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        self.requests.get_or_create(&labels).inc();
    }

    /// The node's text with these counters at its end.
    fn appended_to(&self, node: &str) -> String {
        let mut all = node.strip_suffix(END).unwrap_or(node).to_owned();
        let encoded = text::encode(&mut all, &self.registry);
        // Only the writer can fail, and a String takes everything.
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        all
    }
}

impl Default for HttpCounts {
    fn default() -> Self {
        HttpCounts::new()
    }
}

/// GET /metrics.
pub async fn metrics(
    node: web::Data<NodeHandle>,
    counts: web::Data<HttpCounts>,
) -> Result<HttpResponse, ApiError> {
    let text = node.metrics().await.map_err(|error| {
        ApiError::with(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
    })?;
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = counts.appended_to(&text);
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, form)).body(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_pattern_and_strangers_together() {
        let counts = HttpCounts::new();
        let ok = StatusCode::OK;
        counts.count(Some("/v1/models/{id}"), &Method::GET, ok);
        counts.count(Some("/v1/models/{id}"), &Method::GET, ok);
        let odd = Method::from_bytes(b"BREW").expect("a method");
        counts.count(None, &odd, StatusCode::NOT_FOUND);
        let text = counts.appended_to("a 1\n# EOF\n");
        for line in [
            r#"swarmllm_http_requests_total{path="/v1/models/{id}",method="GET",status="200"} 2"#,
            r#"swarmllm_http_requests_total{path="other",method="other",status="404"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        assert!(text.starts_with("a 1\n#") && text.ends_with(END));
        assert_eq!(text.matches(END).count(), 1);
    }
}
