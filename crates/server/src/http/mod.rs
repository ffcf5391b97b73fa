//! The HTTP port: health for orchestrators and load balancers, metrics for Prometheus, and what no
//! request of Kafka's asks for.

mod counters;

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub use counters::HttpCounters;

/// What the endpoints report.
pub trait Report: Send + Sync + 'static {
    /// Everything that has to be true before clients are sent here.
    fn readiness(&self) -> Vec<Check>;

    /// All metrics that have such names, as Prometheus's text.
    fn metrics(&self, names: MetricNames) -> String;

    /// Who is connected, as JSON.
    fn clients(&self) -> String;

    /// Where answers are counted.
    fn counters(&self) -> &HttpCounters;
}

/// Whose names metrics are told under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricNames {
    /// Our own.
    #[default]
    Native,
    /// Those that dashboards for Kafka know: of Prometheus's JMX exporter with the usual rules, and of
    /// kafka_exporter.
    Jmx,
}

/// One condition of readiness.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// `Err` says what is not as it should be.
    pub result: Result<(), String>,
    /// What is not as it should be although clients can be sent here.
    pub warning: Option<String>,
}

/// Serves until the runtime ends. A thread of its own: a scrape of many topics must not delay
/// clients.
pub fn start(listener: TcpListener, report: Arc<dyn Report>) -> std::io::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || {
            if let Err(error) = serve(listener, report) {
                tracing::error!("the HTTP endpoints on {address} ended: {error}");
            }
        })?;
    Ok(address)
}

fn serve(listener: TcpListener, report: Arc<dyn Report>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router(report)).await
    })
}

fn router(report: Arc<dyn Report>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        // The endpoints open when recovery is over, so to answer is to have started.
        .route("/startupz", get(async || "ok\n"))
        .route("/v1/status/ready", get(readyz))
        .route("/v1/ready/", get(ready_without_body))
        .route("/metrics", get(metrics))
        .route("/api/v1/clients", get(clients))
        .layer(middleware::from_fn_with_state(Arc::clone(&report), count))
        .with_state(report)
}

async fn count(State(report): State<Arc<dyn Report>>, request: Request, next: Next) -> Response {
    let route = HttpCounters::route(request.uri().path());
    let begun = Instant::now();
    let response = next.run(request).await;
    report.counters().answered(route, begun.elapsed());
    response
}

async fn index() -> &'static str {
    "Ottla\n\n/livez  /readyz?verbose  /startupz  /metrics  /metrics?names=jmx  /api/v1/clients\n"
}

async fn readyz(
    State(report): State<Arc<dyn Report>>,
    RawQuery(query): RawQuery,
) -> (StatusCode, String) {
    let checks = report.readiness();
    let is_ready = checks.iter().all(|check| check.result.is_ok());
    let has_warning = checks.iter().any(|check| check.warning.is_some());
    let is_verbose = query.is_some_and(|query| query.contains("verbose"));
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if is_ready && !is_verbose && !has_warning {
        return (status, "ok\n".to_owned());
    }
    let mut body = String::new();
    for check in checks {
        let _ = match (check.result, check.warning) {
            (Ok(()), None) => writeln!(body, "[+] {}", check.name),
            (Ok(()), Some(warning)) => writeln!(body, "[!] {}: {warning}", check.name),
            (Err(reason), _) => writeln!(body, "[-] {}: {reason}", check.name),
        };
    }
    (status, body)
}

async fn ready_without_body(State(report): State<Arc<dyn Report>>) -> StatusCode {
    if report.readiness().iter().all(|check| check.result.is_ok()) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn metrics(State(report): State<Arc<dyn Report>>, RawQuery(query): RawQuery) -> Response {
    let mut asked = query.iter().flat_map(|query| query.split('&'));
    let names = match asked.find_map(|pair| pair.strip_prefix("names=")) {
        None | Some("native") => MetricNames::Native,
        Some("jmx") => MetricNames::Jmx,
        // Who asks for other names and is given these would have empty graphs, and no alarm.
        Some(_) => {
            let text = "metrics have these names only: names=native, names=jmx\n";
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], report.metrics(names)).into_response()
}

async fn clients(State(report): State<Arc<dyn Report>>) -> Response {
    let kind = "application/json";
    ([(header::CONTENT_TYPE, kind)], report.clients()).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    struct TestReport(Result<(), String>, Option<String>, HttpCounters);

    impl Report for TestReport {
        fn readiness(&self) -> Vec<Check> {
            vec![
                Check {
                    name: "listeners",
                    result: Ok(()),
                    warning: None,
                },
                Check {
                    name: "log directories",
                    result: self.0.clone(),
                    warning: self.1.clone(),
                },
            ]
        }

        fn metrics(&self, names: MetricNames) -> String {
            match names {
                MetricNames::Native => "ottla_up 1\n".to_owned(),
                MetricNames::Jmx => "kafka_up 1\n".to_owned(),
            }
        }

        fn clients(&self) -> String {
            "{}".to_owned()
        }

        fn counters(&self) -> &HttpCounters {
            &self.2
        }
    }

    /// Status and body.
    fn ask(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn start_with(result: Result<(), String>) -> SocketAddr {
        start_reporting(TestReport(result, None, HttpCounters::default()))
    }

    fn start_reporting(report: TestReport) -> SocketAddr {
        start_shared(&Arc::new(report))
    }

    fn start_shared(report: &Arc<TestReport>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        start(listener, Arc::clone(report) as _).unwrap()
    }

    #[test]
    fn metrics_have_the_names_that_are_asked_for_and_no_others() {
        let address = start_with(Ok(()));
        let native = (200, "ottla_up 1\n".to_owned());
        let jmx = (200, "kafka_up 1\n".to_owned());
        assert_eq!(ask(address, "/metrics"), native);
        assert_eq!(ask(address, "/metrics?names=native"), native);
        assert_eq!(ask(address, "/metrics?names=jmx"), jmx);
        assert_eq!(ask(address, "/metrics?x=1&names=jmx"), jmx);
        let (status, text) = ask(address, "/metrics?names=redpanda");
        assert_eq!(status, 400);
        assert!(text.contains("names=jmx"), "{text}");
    }

    #[test]
    fn answers_are_counted_by_route() {
        let report = Arc::new(TestReport(Ok(()), None, HttpCounters::default()));
        let address = start_shared(&report);
        for path in ["/livez", "/readyz?verbose", "/livez", "/nothing", "/x"] {
            ask(address, path);
        }
        let counted = |route: &str| {
            let mut routes = report.2.routes();
            let (_, sum) = routes.find(|(name, _)| *name == route).unwrap();
            sum.count()
        };
        assert_eq!(counted("/livez"), 2);
        assert_eq!(counted("/readyz"), 1);
        assert_eq!(counted("other"), 2);
        assert_eq!(counted("/metrics"), 0);
    }

    #[test]
    fn a_ready_node_says_so() {
        let address = start_with(Ok(()));
        for path in ["/livez", "/readyz", "/startupz", "/v1/status/ready"] {
            assert_eq!(ask(address, path), (200, "ok\n".to_owned()), "{path}");
        }
        assert_eq!(ask(address, "/v1/ready/").0, 204);
        assert_eq!(ask(address, "/metrics"), (200, "ottla_up 1\n".to_owned()));
        assert_eq!(ask(address, "/api/v1/clients"), (200, "{}".to_owned()));
        assert!(ask(address, "/readyz?verbose").1.contains("[+] listeners"));
        assert_eq!(ask(address, "/nothing").0, 404);
    }

    #[test]
    fn one_that_is_ready_names_what_is_wrong_nevertheless() {
        let address = start_reporting(TestReport(
            Ok(()),
            Some("/b is offline".to_owned()),
            HttpCounters::default(),
        ));
        let (status, body) = ask(address, "/readyz");
        assert_eq!(status, 200);
        assert!(
            body.contains("[!] log directories: /b is offline"),
            "{body}"
        );
        assert_eq!(ask(address, "/v1/ready/").0, 204);
    }

    #[test]
    fn one_that_is_not_ready_says_why_and_stays_alive() {
        let address = start_with(Err("data is offline".to_owned()));
        assert_eq!(ask(address, "/livez").0, 200);
        let (status, body) = ask(address, "/readyz");
        assert_eq!(status, 503);
        assert!(
            body.contains("[-] log directories: data is offline"),
            "{body}"
        );
        assert_eq!(ask(address, "/v1/ready/").0, 503);
    }
}
