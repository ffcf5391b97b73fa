use std::sync::Arc;
use std::time::Duration;

use ottla_broker::Loggers;
use ottla_storage::log_dir::LogDir;
use ottla_storage::log_dir::PumpStep;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::start::{Greeting, Server};
use crate::start_error::StartError;

/// What was executed is answered within this time of the signal, or not at all.
const ANSWERS_MAX: Duration = Duration::from_secs(10);
/// Tails are brought to segments within this time, or stay in the journal for the next start.
const FLUSH_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether draining is over.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Server {
    /// What a person is told about it.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Lets operators change what is logged.
    pub fn log_with(&self, loggers: Arc<dyn Loggers>) {
        self.broker.use_loggers(loggers);
    }

    /// Answers clients until SIGTERM or SIGINT, then drains: what was executed is answered, what is
    /// in the journal goes to the segments. SIGHUP changes nothing. `on_ready` is called when clients are
    /// answered.
    pub fn serve(self, on_ready: impl FnOnce(&Greeting)) -> Result<(), StartError> {
        let refused = |source| StartError::System {
            what: "a runtime",
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(refused)?;
        runtime
            .block_on(self.accept_until_told(on_ready))
            .map_err(refused)?;
        self.end(&runtime);
        Ok(())
    }

    async fn accept_until_told(&self, on_ready: impl FnOnce(&Greeting)) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut tasks = tokio::task::JoinSet::new();
        for (listener, bound) in &self.listeners {
            tasks.spawn(self.network.accept(listener.try_clone()?, bound.clone())?);
        }
        self.report.set_serving(true);
        on_ready(&self.greeting);
        let told = loop {
            tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                // A terminal that closes, or an operator who expects files to be read again.
                _ = hangup.recv() => tracing::info!(
                    "SIGHUP: going on; nothing is read again, what can change while the broker runs is \
                     changed by its protocol (ottla topic config, Kafka's kafka-configs.sh)"
                ),
            }
        };
        tracing::info!("{told}: answering what was asked, then ending");
        Ok(())
    }

    fn end(self, runtime: &tokio::runtime::Runtime) {
        self.report.set_serving(false);
        drop(self.listeners); // New clients are refused, and go elsewhere.
        runtime.spawn(end_at_once_when_told_again());
        self.broker.begin_shutdown(self.clock.now());
        self.network.drain();
        let network = &self.network;
        runtime.block_on(wait_for(self.clock, ANSWERS_MAX, || network.is_drained()));
        self.network.stop();
        // Their work goes on here, towards an end.
        drop((self.mover, self.flushers, self.cleaners, self.scrubbers));
        for log_dir in &self.log_dirs {
            runtime.block_on(flush(log_dir, self.clock));
        }
        drop((self.journals, self.quorum));
        tracing::info!("ended");
    }
}

async fn end_at_once_when_told_again() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::warn!("told again: ending at once; the journal keeps what was acknowledged");
    std::process::exit(1);
}

async fn wait_for(clock: Clock, time_max: Duration, is_over: impl Fn() -> bool) {
    let deadline = clock.mono().plus(time_max);
    while !is_over() && clock.mono() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Brings everything to the segments, so that the next start replays nothing.
async fn flush(log_dir: &Arc<LogDir>, clock: Clock) {
    let deadline = clock.mono().plus(FLUSH_MAX);
    while !log_dir.is_drained() {
        let now = clock.now();
        if deadline <= now.mono {
            tracing::warn!("flushing takes too long: the journal keeps the rest");
            return;
        }
        match log_dir.shutdown_step(now) {
            PumpStep::Worked => tokio::task::yield_now().await,
            PumpStep::Waiting { .. } => tokio::time::sleep(LOOK_EVERY).await,
            PumpStep::Offline => return,
        }
    }
}
