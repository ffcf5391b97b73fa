//! Several log directories: where partitions go, and what becomes of them when one is not there.

use crate::configs::alter;
use crate::harness::*;
use ottla_broker::CoreId;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponse;
use ottla_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::metadata_response::MetadataResponse;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const STORAGE_ERROR: i16 = 56;
/// What the old version of Fetch that the harness sends says instead.
pub(crate) const FETCH_STORAGE_ERROR: i16 = 6;

/// Every directory's error and its partitions, as `topic-number`.
fn described(harness: &mut Harness) -> BTreeMap<String, (i16, Vec<String>)> {
    let request = DescribeLogDirsRequest { topics: None };
    harness.call(ApiKey::DescribeLogDirs, 5, &request, |body| {
        let response: DescribeLogDirsResponse<'_> = read(body, 5);
        let results = response.results.iter().map(|result| {
            let partitions = result.topics.iter().flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|p| format!("{}-{}", topic.name, p.partition_index))
            });
            let described = (result.error_code, partitions.collect());
            (result.log_dir.to_string(), described)
        });
        results.collect()
    })
}

fn online(partitions: &[&str]) -> (i16, Vec<String>) {
    (0, partitions.iter().map(ToString::to_string).collect())
}

/// Error, leader and offline replicas of every partition of `t`.
fn metadata(harness: &mut Harness) -> Vec<(i16, i32, Vec<i32>)> {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("t".into()),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    harness.call(ApiKey::Metadata, 12, &request, |body| {
        let response: MetadataResponse<'_> = read(body, 12);
        let mut partitions = response.topics[0].partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        let partitions = partitions.into_iter();
        partitions
            .map(|p| (p.error_code, p.leader_id, p.offline_replicas))
            .collect()
    })
}

/// Four partitions over two directories, with a record each.
fn spread() -> Harness {
    let mut harness = Harness::with_directories(2, &[]);
    harness.create_topic("t", 4, &[]);
    for partition in 0..4 {
        let batch = batch(&[&format!("record of {partition}")]);
        assert_eq!(harness.produce("t", partition, &batch), Ok(0));
    }
    harness
}

fn check_all_there(harness: &mut Harness) {
    for partition in 0..4 {
        let bytes = harness.fetch("t", partition, 0).expect("it is there");
        let expected = (0, format!("record of {partition}"));
        assert_eq!(bytes[0], expected);
    }
}

#[test]
fn partitions_are_spread_and_all_there_after_a_restart() {
    let mut harness = spread();
    let described_before = described(&mut harness);
    assert_eq!(described_before["data"], online(&["t-0", "t-2"]));
    assert_eq!(described_before["data-1"], online(&["t-1", "t-3"]));
    let mut harness = harness.restart();
    check_all_there(&mut harness);
    assert_eq!(described(&mut harness), described_before);
    // Another directory is for what is new.
    let mut harness = harness.restart_on(&[0, 1]);
    harness.create_topic("u", 1, &[]);
    check_all_there(&mut harness);
}

#[test]
fn a_directory_that_fails_leaves_the_other_one_serving() {
    let mut harness = spread();
    harness.directories[1]
        .is_broken
        .store(true, Ordering::SeqCst);
    let refused = harness.produce("t", 1, &batch(&["lost"]));
    assert_eq!(refused, Err(STORAGE_ERROR));
    harness.settle();
    for partition in [0, 2] {
        assert_eq!(harness.produce("t", partition, &batch(&["more"])), Ok(1));
    }
    for partition in [1, 3] {
        let refused = harness.produce("t", partition, &batch(&["more"]));
        assert_eq!(refused, Err(STORAGE_ERROR));
        assert_eq!(harness.fetch("t", partition, 0), Err(FETCH_STORAGE_ERROR));
    }
    let (there, gone) = ((0, 1, vec![]), (5, -1, vec![1]));
    let expected = [there.clone(), gone.clone(), there.clone(), gone];
    assert_eq!(metadata(&mut harness), expected);
    let directories = described(&mut harness);
    assert_eq!(directories["data-1"], (STORAGE_ERROR, Vec::new()));
    assert_eq!(directories["data"], online(&["t-0", "t-2"]));
    let states = harness.broker.partition_states();
    assert_eq!((states.led, states.offline), (2, 2));
    // What is new goes where it can be served.
    harness.create_topic("u", 2, &[]);
    for partition in [0, 1] {
        assert_eq!(harness.produce("u", partition, &batch(&["new"])), Ok(0));
    }

    let mut harness = harness.restart();
    check_all_there(&mut harness);
    assert_eq!(metadata(&mut harness), vec![there; 4]);
    assert_eq!(harness.produce("t", 1, &batch(&["again"])), Ok(1));
}

#[test]
fn a_directory_that_is_given_up_is_not_made_anew_elsewhere() {
    let harness = spread();
    let mut harness = harness.restart_on(&[0]);
    for partition in [1, 3] {
        let refused = harness.produce("t", partition, &batch(&["more"]));
        assert_eq!(refused, Err(STORAGE_ERROR));
        assert_eq!(harness.fetch("t", partition, 0), Err(FETCH_STORAGE_ERROR));
    }
    let (there, gone) = ((0, 1, vec![]), (5, -1, vec![1]));
    let expected = [there.clone(), gone.clone(), there.clone(), gone];
    assert_eq!(metadata(&mut harness), expected);
    let states = harness.broker.partition_states();
    assert_eq!((states.offline, states.missing), (2, 2));
    assert_eq!(described(&mut harness)["data"], online(&["t-0", "t-2"]));

    let mut harness = harness.restart_on(&[0, 1]);
    check_all_there(&mut harness);
    assert_eq!(metadata(&mut harness), vec![there; 4]);
}

#[test]
fn a_directory_that_is_added_gets_what_is_new() {
    let harness = Harness::with_directories(2, &[]);
    let mut harness = harness.restart_on(&[0]);
    harness.create_topic("t", 4, &[]);
    for partition in 0..4 {
        let batch = batch(&[&format!("record of {partition}")]);
        assert_eq!(harness.produce("t", partition, &batch), Ok(0));
    }
    let mut harness = harness.restart_on(&[0, 1]);
    check_all_there(&mut harness);
    harness.create_topic("u", 2, &[]);
    let directories = described(&mut harness);
    assert_eq!(directories["data-1"], online(&["u-0", "u-1"]));
}

#[test]
fn the_last_directory_that_fails_stays_the_leaders() {
    let mut harness = spread();
    for directory in &harness.directories {
        directory.is_broken.store(true, Ordering::SeqCst);
    }
    for partition in 0..4 {
        let refused = harness.produce("t", partition, &batch(&["lost"]));
        assert_eq!(refused, Err(STORAGE_ERROR));
    }
    let directories = described(&mut harness);
    assert!(
        directories
            .values()
            .all(|(error, _)| *error == STORAGE_ERROR)
    );
    check_all_there(&mut harness.restart());
}

/// Which directories DescribeLogDirs says are cordoned.
fn cordoned(harness: &mut Harness) -> Vec<String> {
    let request = DescribeLogDirsRequest { topics: None };
    harness.call(ApiKey::DescribeLogDirs, 5, &request, |body| {
        let response: DescribeLogDirsResponse<'_> = read(body, 5);
        let cordoned = response.results.iter().filter(|result| result.is_cordoned);
        cordoned.map(|result| result.log_dir.to_string()).collect()
    })
}

#[test]
fn a_cordoned_directory_gets_nothing_new() {
    const BROKER: i8 = 4;
    let mut harness = Harness::with_directories(2, &["log.dirs=data,data-1"]);
    harness.create_topic("t", 2, &[]);
    let set = |harness: &mut Harness, value| {
        let answer = alter(harness, BROKER, "1", "cordoned.log.dirs", 0, Some(value));
        harness.settle();
        answer
    };
    let (code, text) = set(&mut harness, "data,/nowhere");
    let expected = "requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or \
                    log.dir. Missing entries : /nowhere";
    assert_eq!((code, text.as_str()), (42, expected));
    assert_eq!(set(&mut harness, "data").0, 0);
    assert_eq!(cordoned(&mut harness), ["data"]);
    harness.create_topic("u", 2, &[]);
    let directories = described(&mut harness);
    assert_eq!(directories["data"], online(&["t-0"]));
    assert_eq!(directories["data-1"], online(&["t-1", "u-0", "u-1"]));
    assert_eq!(
        harness.produce("t", 0, &batch(&["more"])),
        Ok(0),
        "what is there stays"
    );

    let mut harness = harness.restart();
    assert_eq!(cordoned(&mut harness), ["data"]);
    harness.create_topic("v", 1, &[]);
    assert!(
        described(&mut harness)["data-1"]
            .1
            .contains(&"v-0".to_owned())
    );
    assert_eq!(set(&mut harness, "*").0, 0);
    assert_eq!(cordoned(&mut harness), ["data", "data-1"]);
    let image = harness.broker.image();
    let me = image.brokers().next().expect("this broker");
    assert!(me.is_cordoned());
    assert_eq!(set(&mut harness, "").0, 0);
    harness.create_topic("w", 1, &[]);
    assert_eq!(described(&mut harness)["data"], online(&["t-0", "w-0"]));
}

/// Without an fsync to wait for, cores write themselves what was appended, and a disk that hangs holds up whoever writes to it.
#[test]
fn a_core_writes_to_the_journals_it_owes_something_only() {
    let mut harness = Harness::with_directories(2, &["ottla.durability=os"]);
    harness.create_topic("t", 4, &[]);
    harness.flush(); // until the journals have a file to write to
    let bytes = batch(&["x"]);
    for partition in 0..4 {
        assert!(harness.produce("t", partition, &bytes).is_ok());
    }
    let of_first = described(&mut harness)[&directory_path(0)].1.clone();
    let is_in_first = |partition: &i32| of_first.contains(&format!("t-{partition}"));
    let mine = (0..4).find(is_in_first).expect("two are");
    let others = (0..4).find(|it| !is_in_first(it)).expect("two are not");
    let frames_written = |harness: &Harness| {
        let directories = harness.directories.iter();
        let stats = directories.map(|directory| directory.log_dir.stats());
        stats
            .map(|stats| stats.wal.frames_written)
            .collect::<Vec<u64>>()
    };
    let before = frames_written(&harness);
    let mut other_core = harness.connect(1);
    for (partition, is_mine) in [(mine, true), (others, false)] {
        let request = produce_request("t", partition, &bytes, -1);
        let sent = match is_mine {
            true => harness.send(ApiKey::Produce, 9, &request),
            false => harness.send_on(&mut other_core, ApiKey::Produce, 9, &request),
        };
        assert!(matches!(sent, Called::Waiting(_)));
    }
    let mut out = Vec::new();
    let broker = &harness.broker;
    broker.completions(CoreId::new(0), harness.now, &mut out);
    assert_eq!(out.len(), 1, "answered once it was written");
    let expected = vec![before[0] + 1, before[1]];
    assert_eq!(frames_written(&harness), expected);
    broker.completions(CoreId::new(1), harness.now, &mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(frames_written(&harness), [before[0] + 1, before[1] + 1]);
}
