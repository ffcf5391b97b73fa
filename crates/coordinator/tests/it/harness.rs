use bytes::Bytes;
use ottla_coordinator::group::*;
use ottla_coordinator::{Log, Refusal, Shard, ShardOptions, Waiter};
use ottla_records::{BatchBuilder, Codec, Compressor, Decompressor, batches};
use ottla_types::{Mono, Now, Offset, Timestamp, TopicId, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// When every test begins, in milliseconds since 1970.
pub const START: i64 = 1_790_000_000_000;

/// How a test is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it is.
    Steady,
    /// Unloaded and loaded again wherever nobody waits.
    Reloaded,
}

/// Makes two tests of each function that takes a [`Mode`].
macro_rules! twice {
    ($($name:ident),* $(,)?) => {
        mod steady {
            $(#[test] fn $name() { super::$name($crate::harness::Mode::Steady); })*
        }
        mod reloaded {
            $(#[test] fn $name() { super::$name($crate::harness::Mode::Reloaded); })*
        }
    };
}
pub(crate) use twice;

/// A log in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    batches: Vec<Vec<u8>>,
    pub end: i64,
    /// Takes no appends, and says so before.
    pub is_full: bool,
    /// Fails at the append itself.
    pub is_failing: bool,
}

impl Log for MemoryLog {
    fn admit(&mut self) -> Result<(), Refusal> {
        match self.is_full {
            true => Err(Refusal::Unavailable),
            false => Ok(()),
        }
    }

    fn append(&mut self, batch: &[u8], _now: Now) -> Result<Offset, Refusal> {
        assert!(!self.is_full, "asked before");
        if self.is_failing {
            return Err(Refusal::NotCoordinator);
        }
        let mut batch = batch.to_vec();
        ottla_records::stamp(
            &mut batch,
            Offset::new(self.end),
            ottla_types::LeaderEpoch::new(0),
        );
        for parsed in batches(&batch) {
            self.end = parsed.expect("a batch").last_offset().next().get();
        }
        self.batches.push(batch);
        Ok(Offset::new(self.end))
    }
}

impl MemoryLog {
    /// Only the last record of each key, as a cleaner leaves it.
    pub fn compacted(&self) -> MemoryLog {
        let mut decompressor = Decompressor::default();
        let mut last = BTreeMap::new();
        let mut records = Vec::new();
        for bytes in &self.batches {
            for batch in batches(bytes) {
                for record in batch
                    .expect("a batch")
                    .records(&mut decompressor)
                    .expect("good")
                {
                    let record = record.expect("good");
                    let key = record.key.expect("a key").to_vec();
                    last.insert(key.clone(), record.offset);
                    records.push((key, record.offset, record.value.map(<[u8]>::to_vec)));
                }
            }
        }
        let mut compacted = MemoryLog {
            end: self.end,
            ..MemoryLog::default()
        };
        for (key, offset, value) in records {
            if last[&key] == offset {
                let mut builder = BatchBuilder::new(Codec::None).base_offset(offset);
                let time = Timestamp::from_millis(START);
                builder.push(time, Some(&key), value.as_deref(), &[]);
                compacted
                    .batches
                    .push(builder.finish(&mut Compressor::default()));
            }
        }
        compacted
    }

    /// What a crash leaves that takes back everything from `end` on.
    pub fn cut(&self, end: i64) -> MemoryLog {
        let is_left = |batch: &&Vec<u8>| {
            let batch = batches(batch).next().expect("one").expect("good");
            batch.base_offset().get() < end
        };
        MemoryLog {
            batches: self.batches.iter().filter(is_left).cloned().collect(),
            end,
            ..MemoryLog::default()
        }
    }

    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let mut builder = BatchBuilder::new(Codec::Lz4);
        builder.push(Timestamp::from_millis(START), Some(key), value, &[]);
        let batch = builder.finish(&mut Compressor::default());
        self.append(&batch, start()).expect("it takes appends");
    }

    pub fn push_batch(&mut self, batch: &[u8]) {
        self.append(batch, start()).expect("it takes appends");
    }
}

pub fn start() -> Now {
    Now {
        mono: Mono::from_millis(1000),
        wall: Timestamp::from_millis(START),
    }
}

/// A shard of groups with everything around it; time passes only when a test lets it.
pub struct Harness {
    pub shard: Shard<GroupCoordinator>,
    pub log: MemoryLog,
    pub now: Now,
    pub mode: Mode,
    /// Whether what is appended is committed at once.
    pub commits: bool,
    config: Arc<GroupConfig>,
    waiters: u64,
    answers: BTreeMap<Waiter, Result<GroupReply, Refusal>>,
    reloads: u64,
}

impl Harness {
    pub fn new(mode: Mode) -> Harness {
        Harness::with(mode, GroupConfig::default())
    }

    pub fn with(mode: Mode, config: GroupConfig) -> Harness {
        Harness::on(mode, config, MemoryLog::default())
    }

    pub fn on(mode: Mode, config: GroupConfig, log: MemoryLog) -> Harness {
        let config = Arc::new(config);
        let mut harness = Harness {
            shard: shard(&config, &log, 7),
            log,
            now: start(),
            mode,
            commits: true,
            config,
            waiters: 0,
            answers: BTreeMap::new(),
            reloads: 0,
        };
        harness.load();
        harness
    }

    /// Everybody who waits is sent away; the state is what the log says.
    pub fn reload(&mut self) {
        self.shard.give_up();
        self.collect();
        self.reloads += 1;
        if self.reloads % 2 == 1 {
            let compacted = self.log.compacted();
            self.log.batches = compacted.batches;
        }
        self.shard = shard(&self.config, &self.log, self.reloads);
        self.load();
    }

    /// The process ends and takes everything from `end` on with it.
    pub fn crash(&mut self, end: i64) {
        self.shard.give_up();
        self.collect();
        self.log = self.log.cut(end);
        self.shard = shard(&self.config, &self.log, 1);
        self.load();
    }

    fn load(&mut self) {
        let mut decompressor = Decompressor::default();
        let batches = self.log.batches.clone();
        let end = Offset::new(self.log.end);
        for (index, batch) in batches.iter().enumerate() {
            let next = match batches.get(index + 1) {
                Some(next) => ottla_records::batches(next)
                    .next()
                    .expect("one")
                    .expect("good")
                    .base_offset(),
                None => end,
            };
            assert!(self.shard.load_range().is_some(), "it is not at the end");
            self.shard
                .load(batch, next, &mut decompressor)
                .expect("a readable log");
        }
        if let Some((from, to)) = self.shard.load_range() {
            assert!(from <= to);
            self.shard
                .load(&[], end, &mut decompressor)
                .expect("nothing");
        }
        self.shard.tick(&mut self.log, self.now);
        self.shard.committed(Offset::new(self.log.end));
        self.collect();
        assert!(self.shard.is_serving());
    }

    fn collect(&mut self) {
        self.shard.check();
        if !self.shard.is_gone() {
            self.shard.machine().check();
        }
        for (waiter, answer) in self.shard.take_answers() {
            let earlier = self.answers.insert(waiter, answer);
            assert!(earlier.is_none(), "each is answered once");
        }
    }

    /// Commits everything that was appended.
    pub fn commit(&mut self) {
        self.shard.committed(Offset::new(self.log.end));
        self.collect();
    }

    /// Puts a command to the shard and does not wait.
    pub fn send(&mut self, command: GroupCommand) -> Waiter {
        let is_reload = self.mode == Mode::Reloaded && self.commits;
        if is_reload && self.shard.is_serving() && self.shard.machine().is_at_rest() {
            self.reload();
        }
        self.send_on_gone(command)
    }

    /// Puts a command to the shard as it is.
    pub fn send_on_gone(&mut self, command: GroupCommand) -> Waiter {
        self.waiters += 1;
        let waiter = Waiter::new(self.waiters);
        self.shard.execute(waiter, command, &mut self.log, self.now);
        if self.commits {
            self.shard.committed(Offset::new(self.log.end));
        }
        self.collect();
        waiter
    }

    /// What was answered, if anything was.
    pub fn take(&mut self, waiter: Waiter) -> Option<Result<GroupReply, Refusal>> {
        self.answers.remove(&waiter)
    }

    /// The answer that must have come.
    pub fn reply(&mut self, waiter: Waiter) -> GroupReply {
        let answer = self.take(waiter).expect("it is answered");
        answer.expect("the shard is there")
    }

    pub fn waits(&self, waiter: Waiter) -> bool {
        !self.answers.contains_key(&waiter)
    }

    /// Puts a command to the shard; it must answer at once.
    pub fn ask(&mut self, command: GroupCommand) -> GroupReply {
        let waiter = self.send(command);
        self.reply(waiter)
    }

    /// Time passes, and what is due happens at its time.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.mono.plus(time);
        loop {
            let next = self.shard.next_deadline().filter(|at| *at <= end);
            let at = next.unwrap_or(end).max(self.now.mono);
            let passed = at.since(self.now.mono);
            let millis = passed.as_millis() as i64;
            self.now.mono = at;
            self.now.wall = Timestamp::from_millis(self.now.wall.as_millis() + millis);
            if next.is_none() {
                return;
            }
            self.shard.tick(&mut self.log, self.now);
            if self.commits {
                self.shard.committed(Offset::new(self.log.end));
            }
            self.collect();
        }
    }

    pub fn describe(&mut self, group: &str) -> Option<DescribedGroup> {
        match self.ask(GroupCommand::Describe(group.into())) {
            GroupReply::Describe(described) => described,
            other => panic!("{other:?}"),
        }
    }

    pub fn state(&mut self, group: &str) -> &'static str {
        self.describe(group)
            .map_or("Dead", |described| described.state.name())
    }

    pub fn join(&mut self, join: &Join<'_>) -> Result<Joined, JoinRefused> {
        let waiter = self.send(join.command());
        self.joined(waiter)
    }

    pub fn send_join(&mut self, join: &Join<'_>) -> Waiter {
        self.send(join.command())
    }

    pub fn joined(&mut self, waiter: Waiter) -> Result<Joined, JoinRefused> {
        match self.reply(waiter) {
            GroupReply::Join(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// A new member's way up to waiting for the others.
    pub fn arrive(&mut self, join: &Join<'_>) -> (String, Waiter) {
        let refused = self.join(join).expect_err("it needs an id");
        assert_eq!(refused.error, GroupError::MemberIdRequired);
        let id = refused.member.expect("an id").as_str().to_owned();
        let waiter = self.send_join(&Join {
            member: &id,
            ..*join
        });
        assert!(self.waits(waiter), "it waits for the others");
        (id, waiter)
    }

    /// Time passes until the group has answered these joins.
    pub fn gather(&mut self, waiters: &[Waiter]) {
        for _ in 0..400 {
            if waiters.iter().all(|waiter| !self.waits(*waiter)) {
                return;
            }
            self.pass(Duration::from_millis(250));
        }
        panic!("the group never went on");
    }

    pub fn send_sync(&mut self, sync: &Sync<'_>) -> Waiter {
        self.send(sync.command())
    }

    pub fn synced(&mut self, waiter: Waiter) -> Result<String, GroupError> {
        match self.reply(waiter) {
            GroupReply::Sync(result) => {
                result.map(|synced| String::from_utf8(synced.assignment.to_vec()).expect("text"))
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn sync(&mut self, sync: &Sync<'_>) -> Result<String, GroupError> {
        let waiter = self.send_sync(sync);
        self.synced(waiter)
    }

    pub fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let heartbeat = Heartbeat {
            identity: identity("g", member, generation),
        };
        match self.ask(GroupCommand::Heartbeat(heartbeat)) {
            GroupReply::Heartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn leave(
        &mut self,
        members: &[(&str, Option<&str>)],
    ) -> Result<Vec<Option<GroupError>>, GroupError> {
        let members = members.iter().map(|(member, instance)| LeavingMember {
            member: (!member.is_empty()).then(|| (*member).into()),
            instance: instance.map(Into::into),
        });
        let leave = LeaveGroup {
            group: "g".into(),
            members: members.collect(),
        };
        match self.ask(GroupCommand::Leave(leave)) {
            GroupReply::Leave(result) => {
                result.map(|left| left.into_iter().map(|left| left.error).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// A stable group `g` of members that speak `range`, each with its name as subscription; returns
    /// their ids, the leader's first.
    pub fn stable(&mut self, names: &[&str]) -> (i32, Vec<String>) {
        let arrived: Vec<(String, Waiter)> = names
            .iter()
            .map(|name| {
                self.arrive(&Join {
                    subscription: name,
                    ..Join::default()
                })
            })
            .collect();
        let waiters: Vec<Waiter> = arrived.iter().map(|(_, waiter)| *waiter).collect();
        self.gather(&waiters);
        let mut ids = Vec::new();
        let mut generation = 0;
        let mut leader = None;
        for (id, waiter) in arrived {
            let joined = self.joined(waiter).expect("it is let in");
            generation = joined.generation;
            leader = joined.leader;
            ids.push(id);
        }
        let leader = leader.expect("somebody leads");
        ids.sort_by_key(|id| id != leader.as_str());
        let assignments: Vec<(String, String)> = ids
            .iter()
            .map(|id| (id.clone(), format!("work of {id}")))
            .collect();
        self.sync_all(generation, &ids, &assignments);
        (generation, ids)
    }

    pub fn sync_all(&mut self, generation: i32, ids: &[String], assignments: &[(String, String)]) {
        let mut waiting = Vec::new();
        for id in ids.iter().skip(1) {
            waiting.push((
                id,
                self.send_sync(&Sync {
                    member: id,
                    generation,
                    ..Sync::default()
                }),
            ));
        }
        let own = self.sync(&Sync {
            member: &ids[0],
            generation,
            assignments,
        });
        assert_eq!(own.as_deref(), Ok(assignments[0].1.as_str()));
        for (id, waiter) in waiting {
            let assigned = self.synced(waiter).expect("it has an assignment");
            let (_, expected) = assignments.iter().find(|(of, _)| of == id).expect("named");
            assert_eq!(assigned, *expected);
        }
    }

    pub fn commit_offset(
        &mut self,
        member: &str,
        generation: i32,
        partition: i32,
        offset: i64,
    ) -> Result<(), GroupError> {
        let command = commit("g", member, generation, "t", &[(partition, offset)]);
        match self.ask(command) {
            GroupReply::CommitOffsets(Ok(results)) => match results[0][0] {
                None => Ok(()),
                Some(error) => Err(error),
            },
            GroupReply::CommitOffsets(Err(error)) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    pub fn fetch_offset(&mut self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let reply = self.ask(fetch(group, topic, partition));
        fetched(&reply)
    }
}

pub fn fetched(reply: &GroupReply) -> Option<i64> {
    match reply {
        GroupReply::FetchOffsets(topics) => {
            let (_, offset) = &topics[0].partitions[0];
            offset.as_ref().map(|offset| offset.offset)
        }
        other => panic!("{other:?}"),
    }
}

pub fn fetch(group: &str, topic: &str, partition: i32) -> GroupCommand {
    GroupCommand::FetchOffsets(FetchOffsets {
        group: group.into(),
        topics: Some(vec![TopicPartitions {
            name: topic.into(),
            partitions: vec![partition],
        }]),
    })
}

pub fn topic_id(name: &str) -> TopicId {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    TopicId::new(Uuid::from_bytes(bytes))
}

pub fn commit(
    group: &str,
    member: &str,
    generation: i32,
    topic: &str,
    offsets: &[(i32, i64)],
) -> GroupCommand {
    let partitions = offsets.iter().map(|(partition, offset)| CommitPartition {
        partition: *partition,
        offset: *offset,
        leader_epoch: Some(3),
        metadata: "m".into(),
    });
    GroupCommand::CommitOffsets(CommitOffsets {
        identity: identity(group, member, generation),
        retention: None,
        understands_unknown_group: true,
        topics: vec![CommitTopic {
            name: topic.into(),
            id: topic_id(topic),
            partitions: partitions.collect(),
        }],
    })
}

pub fn identity(group: &str, member: &str, generation: i32) -> MemberIdentity {
    MemberIdentity {
        group: group.into(),
        member: member.into(),
        instance: None,
        generation,
    }
}

fn shard(config: &Arc<GroupConfig>, log: &MemoryLog, seed: u64) -> Shard<GroupCoordinator> {
    let machine = GroupCoordinator::new(Arc::clone(config), seed);
    let end = Offset::new(log.end);
    Shard::new(machine, ShardOptions::default(), Offset::ZERO, end)
}

/// A JoinGroup of group `g`.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    pub member: &'a str,
    pub instance: Option<&'a str>,
    pub protocols: &'a [&'a str],
    pub protocol_type: &'a str,
    pub subscription: &'a str,
    pub version: i16,
    pub session_ms: i32,
    pub rebalance_ms: i32,
}

impl Default for Join<'_> {
    fn default() -> Self {
        Join {
            member: "",
            instance: None,
            protocols: &["range"],
            protocol_type: "consumer",
            subscription: "all",
            version: 9,
            session_ms: 10_000,
            rebalance_ms: 30_000,
        }
    }
}

impl Join<'_> {
    pub fn command(&self) -> GroupCommand {
        let protocols = self.protocols.iter().map(|name| Protocol {
            name: (*name).into(),
            metadata: match self.protocol_type {
                "consumer" => subscription(&[self.subscription]),
                _ => Bytes::copy_from_slice(self.subscription.as_bytes()),
            },
        });
        GroupCommand::Join(JoinGroup {
            group: "g".into(),
            member: (!self.member.is_empty()).then(|| self.member.into()),
            instance: self.instance.map(Into::into),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: self.session_ms,
            rebalance_timeout_ms: self.rebalance_ms,
            protocol_type: self.protocol_type.into(),
            protocols: protocols.collect(),
            understands: JoinFeatures {
                member_id_required: 4 <= self.version,
                skipped_assignment: 9 <= self.version,
            },
        })
    }
}

/// A consumer's metadata, version 1 with nothing owned.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes()); // No user data.
    bytes.extend(0_i32.to_be_bytes()); // Nothing owned.
    bytes.into()
}

/// A SyncGroup of group `g`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sync<'a> {
    pub member: &'a str,
    pub generation: i32,
    pub assignments: &'a [(String, String)],
}

impl Sync<'_> {
    pub fn command(&self) -> GroupCommand {
        let assignments = self.assignments.iter();
        let assignments = assignments.map(|(member, work)| {
            (
                member.as_str().into(),
                Bytes::copy_from_slice(work.as_bytes()),
            )
        });
        GroupCommand::Sync(SyncGroup {
            identity: identity("g", self.member, self.generation),
            protocol_type: Some("consumer".into()),
            protocol: None,
            assignments: assignments.collect(),
        })
    }
}
