use std::time::Duration;

use crate::metrics::{Histogram, HistogramSum};

/// What is told apart; anything else is the last one.
const ROUTES: [&str; 9] = [
    "/",
    "/livez",
    "/readyz",
    "/startupz",
    "/v1/status/ready",
    "/v1/ready/",
    "/metrics",
    "/api/v1/clients",
    "other",
];

/// How long answers took, by route. The thread that serves writes.
#[derive(Debug, Default)]
pub struct HttpCounters {
    durations: [Histogram; ROUTES.len()],
}

/// One of the routes, by its place.
#[derive(Clone, Copy, Debug)]
pub struct Route(usize);

impl HttpCounters {
    /// Where a path belongs.
    pub fn route(path: &str) -> Route {
        let place = ROUTES.iter().position(|route| *route == path);
        Route(place.unwrap_or(ROUTES.len() - 1))
    }

    /// An answer was made.
    pub fn answered(&self, route: Route, took: Duration) {
        self.durations[route.0].record(took);
    }

    /// Every route with what was counted.
    pub fn routes(&self) -> impl Iterator<Item = (&'static str, HistogramSum)> {
        let routes = ROUTES.into_iter().zip(&self.durations);
        routes.map(|(route, durations)| {
            let mut sum = HistogramSum::default();
            durations.add_to(&mut sum);
            (route, sum)
        })
    }
}
