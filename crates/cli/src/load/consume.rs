use std::time::Duration;

use ottla_client::{ConsumeError, Consumer};
use tokio::time::Instant;

/// Records to be read.
#[derive(Clone, Copy, Debug)]
pub struct ConsumeLoad {
    pub count: u64,
    /// How long to wait for more.
    pub patience: Duration,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct ConsumeReport {
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    pub took: Duration,
    /// Until the first record came: joining a group, looking up leaders.
    pub joining: Duration,
    /// No more came in time.
    pub has_given_up: bool,
}

impl ConsumeLoad {
    /// Reads from what the consumer is assigned or subscribed to. `on_window` is told about each `interval`
    /// with records, and about everything until its end.
    pub async fn run(
        &self,
        consumer: &mut Consumer,
        interval: Duration,
        mut on_window: impl FnMut(&ConsumeReport, &ConsumeReport),
    ) -> Result<ConsumeReport, ConsumeError> {
        const POLL: Duration = Duration::from_millis(100);
        let start = Instant::now();
        let mut last = start;
        let mut report = ConsumeReport::default();
        let (mut window, mut window_start) = (ConsumeReport::default(), start);
        while report.records < self.count {
            let wanted = usize::try_from(self.count - report.records).unwrap_or(usize::MAX);
            let records = consumer.poll_at_most(wanted.min(5_000), POLL).await?;
            let now = Instant::now();
            if records.is_empty() {
                if self.patience < now - last {
                    report.has_given_up = true;
                    break;
                }
                continue;
            }
            if report.records == 0 {
                report.joining = now - start;
                window.joining = report.joining;
            }
            last = now;
            report.records += records.len() as u64;
            let size =
                |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |it| it.len() as u64);
            let sizes = records.iter().map(|it| size(&it.key) + size(&it.value));
            let bytes = sizes.sum::<u64>();
            report.bytes += bytes;
            window.bytes += bytes;
            window.records += records.len() as u64;
            window.took = now - window_start;
            if interval <= window.took {
                report.took = now - start;
                on_window(&window, &report);
                (window, window_start) = (ConsumeReport::default(), now);
            }
        }
        report.took = last - start;
        Ok(report)
    }
}
