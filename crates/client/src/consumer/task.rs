//! What works while the application does: heartbeats, rebalances, fetches ahead.

use super::handle::{ConsumerHandle, Shared};
use super::listener::AnyListener;
use crate::core::{Answer, Call, CallId, GroupCall, GroupEvent, Request};
use crate::pool::{Lane, Pool};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The listener at work on an event; gives itself back.
type Telling = JoinHandle<Box<dyn AnyListener>>;

/// The consumer's connections.
pub(super) struct Lanes {
    /// Fetches may wait long at the broker.
    pub(super) data: Lane,
    /// JoinGroup and SyncGroup as well.
    pub(super) group: Lane,
}

impl Lanes {
    fn of(&self, call: &Call) -> Lane {
        match &call.request {
            // Must not wait behind a JoinGroup.
            Request::Group(GroupCall::LeaveGroup { .. }) => Lane::Control,
            Request::Group(_) => self.group,
            _ => self.data,
        }
    }
}

/// Drives the machine until it has ended.
pub(super) async fn run(shared: Arc<Shared>, pool: Arc<Pool>, lanes: Lanes) {
    let (answers, mut answered) = mpsc::unbounded_channel::<(CallId, Answer)>();
    let mut calls: Vec<Call> = Vec::new();
    let mut telling: Option<Telling> = None;
    let mut version = 0;
    let mut end_by: Option<Instant> = None;
    loop {
        let deadline = {
            let mut state = shared.state.lock();
            let now = shared.clock.now().mono;
            state.core.poll(now, &mut calls);
            while telling.is_none()
                && let Some(event) = state.core.app_event()
            {
                match state.listener.take() {
                    Some(listener) => telling = Some(tell(listener, event, &shared)),
                    None => state.core.app_event_done(),
                }
                state.core.poll(now, &mut calls);
            }
            state.tell_outcomes();
            let metadata = state.core.fetcher().metadata();
            if metadata.version() != version {
                version = metadata.version();
                pool.learn(metadata.brokers());
            }
            if state.core.is_ending() {
                let give_up_at = || Instant::now() + pool.options().request_timeout;
                let over = *end_by.get_or_insert_with(give_up_at) <= Instant::now();
                if over || state.core.is_closed() {
                    state.is_over = true;
                    state.waiters.clear();
                    break;
                }
            }
            state
                .core
                .next_deadline(now)
                .map(|at| shared.clock.instant(at))
        };
        shared.progress.notify_waiters();
        for call in calls.drain(..) {
            let lane = lanes.of(&call);
            pool.send(call, lane, &answers);
        }
        let until = deadline.into_iter().chain(end_by).min();
        tokio::select! {
            answer = answered.recv() => {
                let mut next = answer;
                let mut state = shared.state.lock();
                while let Some((id, answer)) = next {
                    state.core.on_answer(id, answer, shared.clock.now().mono);
                    next = answered.try_recv().ok();
                }
            }
            listener = finished(&mut telling), if telling.is_some() => {
                telling = None;
                let mut state = shared.state.lock();
                state.core.app_event_done();
                // Unless the application has set another one meanwhile.
                if state.listener.is_none() {
                    state.listener = listener;
                }
            }
            () = shared.wake.notified() => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
    }
    pool.close_lane(lanes.data);
    pool.close_lane(lanes.group);
    shared.progress.notify_waiters();
}

fn tell(mut listener: Box<dyn AnyListener>, event: GroupEvent, shared: &Arc<Shared>) -> Telling {
    let handle = ConsumerHandle {
        shared: shared.clone(),
    };
    // A task of its own: a listener that panics must not take heartbeats with it.
    tokio::spawn(async move {
        listener.tell(&event, &handle).await;
        listener
    })
}

/// The listener, or `None` if it panicked: then it is not called again.
async fn finished(telling: &mut Option<Telling>) -> Option<Box<dyn AnyListener>> {
    match telling {
        Some(task) => match task.await {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::error!(%error, "the rebalance listener panicked");
                None
            }
        },
        None => std::future::pending().await,
    }
}
