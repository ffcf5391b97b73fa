use crate::partition::{LocalPartition, LogHome};
use crate::request::{Handled, Request};
use ottla_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ottla_storage::log_dir::DirHealth;
use ottla_types::ErrorCode;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DescribeLogDirsRequest<'_> = request.decode()?;
    let wanted: Option<BTreeMap<&str, BTreeSet<i32>>> = message.topics.as_ref().map(|topics| {
        let mut wanted = BTreeMap::<&str, BTreeSet<i32>>::new();
        for topic in topics {
            let partitions = wanted.entry(&topic.topic).or_default();
            partitions.extend(&topic.partitions);
        }
        wanted
    });
    let is_wanted = |local: &LocalPartition| match &wanted {
        None => true,
        Some(topics) => topics
            .get(&*local.topic)
            .is_some_and(|partitions| partitions.contains(&local.id.partition.get())),
    };
    let mut directories: Vec<BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>>> =
        vec![BTreeMap::new(); request.broker.log_dirs.len()];
    let mut list = |local: &LocalPartition, home: &LogHome, copied: Option<i64>| {
        let sizes = home.log_dir.sizes(home.slot);
        let partition = DescribeLogDirsPartition {
            partition_index: local.id.partition.get(),
            partition_size: sizes.map_or(0, |sizes| i64::try_from(sizes.bytes).unwrap_or(i64::MAX)),
            offset_lag: copied.unwrap_or(0),
            is_future_key: copied.is_some(),
        };
        let topics = directories[home.directory].entry(Arc::clone(&local.topic));
        topics.or_default().push(partition);
    };
    for local in request.view.locals().filter(|local| is_wanted(local)) {
        list(local, &local.home(), None);
    }
    let copies = request.broker.moves.lock().copies();
    for (local, copy) in copies.iter().filter(|(local, _)| is_wanted(local)) {
        list(local, copy, Some(lag(&local.home(), copy)));
    }
    let results = directories.into_iter().enumerate();
    let results = results
        .map(|(index, topics)| result(&request, index, topics))
        .chain(failed(&request))
        .collect();
    request.reply(&DescribeLogDirsResponse {
        results,
        ..DescribeLogDirsResponse::default()
    })
}

/// Offsets that a copy in the making is behind.
fn lag(home: &LogHome, copy: &LogHome) -> i64 {
    let end = |home: &LogHome| {
        let ends = home.log_dir.ends(home.slot);
        ends.map_or(0, |ends| ends.appended_end.get())
    };
    (end(home) - end(copy)).max(0)
}

/// Those that could not be opened.
fn failed<'a>(request: &'a Request<'_>) -> impl Iterator<Item = DescribeLogDirsResult<'a>> {
    let failed = request.broker.failed_directories.iter();
    failed.map(|directory| offline(request, Cow::Borrowed(&directory.path)))
}

fn offline<'a>(request: &Request<'_>, path: Cow<'a, str>) -> DescribeLogDirsResult<'a> {
    request.broker.metrics.error(ErrorCode::KafkaStorageError);
    let settings = request.broker.live_settings.load();
    DescribeLogDirsResult {
        error_code: ErrorCode::KafkaStorageError.code(),
        is_cordoned: settings.cordoned_log_dirs.contains(&path),
        log_dir: path,
        ..DescribeLogDirsResult::default()
    }
}

fn result<'a>(
    request: &'a Request<'_>,
    index: usize,
    topics: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>>,
) -> DescribeLogDirsResult<'a> {
    let log_dir = &request.broker.log_dirs[index];
    let path = Cow::Borrowed(request.broker.directories[index].path.as_str());
    if let DirHealth::Offline { .. } = log_dir.health() {
        return offline(request, path);
    }
    let stats = log_dir.stats();
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| DescribeLogDirsTopic {
            name: Cow::Owned(name.to_string()),
            partitions,
        });
    let settings = request.broker.live_settings.load();
    DescribeLogDirsResult {
        is_cordoned: settings.cordoned_log_dirs.contains(&path),
        log_dir: path,
        topics: topics.collect(),
        total_bytes: bytes(stats.total_bytes),
        usable_bytes: bytes(stats.free_bytes),
        ..DescribeLogDirsResult::default()
    }
}
