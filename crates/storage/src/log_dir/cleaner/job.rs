use super::CleanerStats;
use super::draft::Draft;
use super::selection::Candidate;
use super::source::{Reader, Source, sources};
use super::swap;
use crate::cleaner::{CleanerOptions, KeyMap, LastBatches, RoundFilter, Rules};
use crate::log_dir::LogDir;
use crate::partition::{LogConfig, Partition};
use crate::planted::PlantedBug;
use crate::segment::ReadFault;
use crate::segment::names::FileKind;
use crate::segment::sidecar::UNIT_BYTES_MIN;
use ottla_records::{RecordsError, batches};
use ottla_types::{Mono, Now, Offset};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// At most so many segments become one: as many files are held open meanwhile.
const GROUP_SEGMENTS_MAX: usize = 256;
/// How often it is looked whether a swap is done.
const SWAP_INTERVAL: Duration = Duration::from_millis(5);

/// One round over one log.
pub(super) struct Job {
    partition: Arc<Partition>,
    config: LogConfig,
    options: CleanerOptions,
    first_dirty: Offset,
    end: Offset,
    began: Now,
    stage: Stage,
    filter: RoundFilter,
    bytes_read: u64,
    bytes_written: u64,
    bytes_replaced: u64,
    records_kept: u64,
    records_removed: u64,
    map_used_percent: u8,
}

enum Stage {
    /// Producers that only their snapshot knows are needed.
    Begin,
    /// Keys are noted.
    Map(Box<Mapping>),
    /// Groups of segments are rewritten.
    Rewrite(Box<Rewriting>),
    Over,
}

struct Mapping {
    map: KeyMap,
    /// Segments that are not begun.
    waiting: VecDeque<Source>,
    reader: Option<Reader>,
}

struct Rewriting {
    rules: Rules,
    /// Segments that are not begun.
    waiting: VecDeque<Source>,
    group: Option<Group>,
}

/// Some segments that become one.
struct Group {
    /// Those that are read, or being read.
    sources: Vec<Source>,
    reader: Option<Reader>,
    draft: Draft,
    step: GroupStep,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupStep {
    Read,
    Finish(usize),
    SyncDir,
    Swap,
    Wait,
    /// The segment is as it should be already.
    Same,
}

/// What a step of a round did.
pub(super) enum JobStep {
    /// It read or wrote so many bytes.
    Moved { bytes: usize },
    /// It waits for others.
    Waiting { until: Mono },
    /// The round is over.
    Done,
}

impl Job {
    /// A round over `candidate`.
    pub(super) fn new(candidate: Candidate, options: CleanerOptions, now: Now) -> Job {
        let config = candidate.partition.lock().config;
        Job {
            partition: candidate.partition,
            config,
            options,
            first_dirty: candidate.first_dirty,
            end: candidate.end,
            began: now,
            stage: Stage::Begin,
            filter: RoundFilter::default(),
            bytes_read: 0,
            bytes_written: 0,
            bytes_replaced: 0,
            records_kept: 0,
            records_removed: 0,
            map_used_percent: 0,
        }
    }

    /// Whose log it is.
    pub(super) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Whether it has become pointless: the partition is gone, was cut, or is not compacted any more.
    pub(super) fn is_over(&self, _dir: &LogDir) -> bool {
        let state = self.partition.lock();
        state.is_gone() || !state.config.compacts || state.appended_end() < self.end
    }

    /// Does the next step: at most one read or write of about a MiB.
    pub(super) fn step(&mut self, dir: &LogDir, now: Now) -> Result<JobStep, ReadFault> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Begin => self.begin(dir, now),
            Stage::Map(mapping) => self.map(dir, mapping),
            Stage::Rewrite(rewriting) => self.rewrite(dir, rewriting, now),
            Stage::Over => Ok(JobStep::Done),
        }
    }

    fn begin(&mut self, dir: &LogDir, now: Now) -> Result<JobStep, ReadFault> {
        dir.load_snapshot(&self.partition, now.wall)?;
        let first_dirty = self.first_dirty;
        let mut waiting: VecDeque<Source> = sources(&self.partition, self.end).into();
        waiting.retain(|source| first_dirty < source.end);
        self.stage = Stage::Map(Box::new(Mapping {
            map: KeyMap::new(
                self.options.hash_key,
                self.options.dedupe_bytes,
                self.options.load_percent,
            ),
            waiting,
            reader: None,
        }));
        Ok(JobStep::Moved { bytes: 0 })
    }

    /// Reads a stretch of the dirty part and notes its keys.
    fn map(&mut self, dir: &LogDir, mut mapping: Box<Mapping>) -> Result<JobStep, ReadFault> {
        let Some(reader) = &mut mapping.reader else {
            match mapping.waiting.pop_front() {
                Some(source) => {
                    mapping.reader = Some(Reader::new(&source));
                    self.stage = Stage::Map(mapping);
                }
                None => self.plan(dir, mapping.map, self.end),
            }
            return Ok(JobStep::Moved { bytes: 0 });
        };
        let Some(bytes) = reader.next(dir, self.first_dirty)? else {
            mapping.reader = None;
            self.stage = Stage::Map(mapping);
            return Ok(JobStep::Moved { bytes: 0 });
        };
        self.bytes_read += bytes.len() as u64;
        let moved = Ok(JobStep::Moved { bytes: bytes.len() });
        for batch in batches(&bytes) {
            let batch = batch.expect("checked when it was read");
            let noted = self
                .filter
                .note_keys(&mut mapping.map, &batch, self.first_dirty);
            let noted = noted.map_err(|error| self.unreadable(batch.base_offset(), &error))?;
            if let Some(full_at) = noted {
                // The rest waits for the next round.
                self.plan(dir, mapping.map, full_at);
                return moved;
            }
        }
        self.stage = Stage::Map(mapping);
        moved
    }

    fn unreadable(&self, base: Offset, _error: &RecordsError) -> ReadFault {
        ReadFault::Corrupt {
            partition: self.partition.id(),
            base_offset: base,
            position: 0,
        }
    }

    /// Keys are noted up to `mapped_end`: which segments become one.
    fn plan(&mut self, dir: &LogDir, map: KeyMap, mapped_end: Offset) {
        self.map_used_percent = used_percent(&map, &self.options);
        let sources = sources(&self.partition, mapped_end);
        let round_end = sources.last().map_or(mapped_end, |source| source.end);
        let state = self.partition.lock();
        let last_batches: LastBatches = state
            .producers
            .entries()
            .filter_map(|entry| Some((entry.id(), entry.last()?.last_offset)))
            .collect();
        drop(state);
        self.end = mapped_end;
        self.stage = Stage::Rewrite(Box::new(Rewriting {
            rules: Rules {
                map,
                mapped_end,
                round_end,
                last_batches,
                delete_retention_ms: self.config.delete_retention_ms,
                now: self.began.wall,
                forgets_tombstones: dir.options.planted.is(PlantedBug::TombstoneForgotten),
            },
            waiting: sources.into(),
            group: None,
        }));
    }

    fn rewrite(
        &mut self,
        dir: &LogDir,
        mut rewriting: Box<Rewriting>,
        now: Now,
    ) -> Result<JobStep, ReadFault> {
        let Some(mut group) = rewriting.group.take() else {
            let Some(first) = rewriting.waiting.pop_front() else {
                return Ok(JobStep::Done);
            };
            if let Some(group) = self.begin_group(dir, first)? {
                rewriting.group = Some(group);
                self.stage = Stage::Rewrite(rewriting);
                return Ok(JobStep::Moved { bytes: 0 });
            }
            return Ok(JobStep::Done); // something else changed the log
        };
        let (rules, waiting) = (&rewriting.rules, &mut rewriting.waiting);
        let stepped = self.group_step(dir, &mut group, rules, waiting, now);
        let step = match stepped {
            Ok(GroupDone::No(step)) => {
                rewriting.group = Some(group);
                step
            }
            Ok(GroupDone::Yes) => {
                self.records_kept += group.draft.records_kept;
                self.records_removed += group.draft.records_removed;
                JobStep::Moved { bytes: 0 }
            }
            Ok(GroupDone::Stale) => {
                group.abandon(dir);
                return Ok(JobStep::Done);
            }
            Err(fault) => {
                rewriting.group = Some(group);
                self.stage = Stage::Rewrite(rewriting);
                return Err(fault);
            }
        };
        self.stage = Stage::Rewrite(rewriting);
        Ok(step)
    }

    fn begin_group(&mut self, dir: &LogDir, first: Source) -> Result<Option<Group>, ReadFault> {
        let token = dir.wal.next_lsn();
        let mut state = self.partition.lock();
        let Some(name) = state.dir.clone().filter(|_| !state.is_gone()) else {
            return Ok(None);
        };
        state.cleaning = Some(token);
        drop(state);
        let draft = Draft::create(dir, &name, first.file.base_offset(), token)?;
        let mut group = Group {
            sources: Vec::new(),
            reader: None,
            draft,
            step: GroupStep::Read,
        };
        group.read(first);
        Ok(Some(group))
    }

    fn group_step(
        &mut self,
        dir: &LogDir,
        group: &mut Group,
        rules: &Rules,
        waiting: &mut VecDeque<Source>,
        now: Now,
    ) -> Result<GroupDone, ReadFault> {
        let is_last = waiting.is_empty();
        match group.step {
            GroupStep::Read => self.copy(dir, group, rules, waiting),
            GroupStep::Finish(index) => {
                let Some(kind) = FileKind::OF_SEGMENT.get(index) else {
                    group.step = GroupStep::SyncDir;
                    return Ok(GroupDone::No(JobStep::Moved { bytes: 0 }));
                };
                group.draft.finish(dir, *kind)?;
                group.step = GroupStep::Finish(index + 1);
                Ok(GroupDone::No(JobStep::Moved { bytes: 0 }))
            }
            GroupStep::SyncDir => {
                let name = self.partition.lock().dir.clone();
                let name = name.expect("it had one when the group began");
                dir.disk.sync_dir(Path::new(&*name))?;
                group.step = GroupStep::Swap;
                Ok(GroupDone::No(JobStep::Moved { bytes: 0 }))
            }
            GroupStep::Swap => {
                let cleaned_end = is_last.then_some(rules.mapped_end);
                let replaced: u64 = group
                    .sources
                    .iter()
                    .map(|it| u64::from(it.segment.size))
                    .sum();
                if !swap::begin(
                    dir,
                    &self.partition,
                    &group.sources,
                    &group.draft,
                    cleaned_end,
                ) {
                    return Ok(GroupDone::Stale);
                }
                self.bytes_replaced += replaced;
                group.step = GroupStep::Wait;
                Ok(GroupDone::No(JobStep::Moved { bytes: 0 }))
            }
            GroupStep::Wait if self.partition.lock().swap.is_some() => {
                let until = now.mono.plus(SWAP_INTERVAL);
                Ok(GroupDone::No(JobStep::Waiting { until }))
            }
            GroupStep::Wait => Ok(GroupDone::Yes),
            GroupStep::Same => {
                if is_last {
                    swap::note_cleaned(dir, &self.partition, rules.mapped_end);
                }
                group.abandon(dir);
                Ok(GroupDone::Yes)
            }
        }
    }

    /// Reads a stretch and keeps what stays of it, or writes what has gathered.
    fn copy(
        &mut self,
        dir: &LogDir,
        group: &mut Group,
        rules: &Rules,
        waiting: &mut VecDeque<Source>,
    ) -> Result<GroupDone, ReadFault> {
        if group.draft.wants_write() {
            let bytes = group.draft.write()?;
            self.bytes_written += bytes as u64;
            return Ok(GroupDone::No(JobStep::Moved { bytes }));
        }
        let Some(reader) = &mut group.reader else {
            let config = &self.config;
            if let Some(source) = waiting.pop_front_if(|next| group.has_room_for(next, config)) {
                group.read(source);
                return Ok(GroupDone::No(JobStep::Moved { bytes: 0 }));
            }
            group.draft.close();
            let bytes = group.draft.write()?;
            self.bytes_written += bytes as u64;
            let is_same = group.sources.len() == 1 && !group.draft.is_changed;
            group.step = if is_same {
                GroupStep::Same
            } else {
                GroupStep::Finish(0)
            };
            return Ok(GroupDone::No(JobStep::Moved { bytes }));
        };
        let Some(bytes) = reader.next(dir, Offset::ZERO)? else {
            group.reader = None;
            return Ok(GroupDone::No(JobStep::Moved { bytes: 0 }));
        };
        self.bytes_read += bytes.len() as u64;
        for batch in batches(&bytes) {
            let batch = batch.expect("checked when it was read");
            let added = group.draft.add(&mut self.filter, rules, &batch);
            added.map_err(|error| self.unreadable(batch.base_offset(), &error))?;
        }
        Ok(GroupDone::No(JobStep::Moved { bytes: bytes.len() }))
    }

    /// Ends the round early. What it wrote and nobody needs is removed.
    pub(super) fn abandon(&mut self, dir: &LogDir) {
        if let Stage::Rewrite(rewriting) = std::mem::replace(&mut self.stage, Stage::Over)
            && let Some(group) = rewriting.group
        {
            match group.step {
                // It is in the journal: others finish it.
                GroupStep::Wait => {}
                GroupStep::Read
                | GroupStep::Finish(_)
                | GroupStep::SyncDir
                | GroupStep::Swap
                | GroupStep::Same => {
                    group.abandon(dir);
                }
            }
        }
        let mut state = self.partition.lock();
        if state.swap.is_none() {
            state.cleaning = None;
        }
    }

    /// Adds what the round did to `stats`.
    pub(super) fn tell(&self, stats: &mut CleanerStats, now: Now) {
        stats.rounds_count += 1;
        stats.bytes_read += self.bytes_read;
        stats.bytes_written += self.bytes_written;
        stats.bytes_replaced += self.bytes_replaced;
        stats.records_kept += self.records_kept;
        stats.records_removed += self.records_removed;
        stats.last_round = now.mono.since(self.began.mono);
        stats.map_used_percent = self.map_used_percent;
        let gone = self.bytes_replaced.saturating_sub(self.bytes_written);
        stats.last_reduction_percent = (gone * 100 / self.bytes_replaced.max(1)) as u8;
    }
}

/// What a step did with a group.
enum GroupDone {
    No(JobStep),
    Yes,
    /// The log was changed by others: its segments are not those that were read.
    Stale,
}

impl Group {
    /// Begins to read `source`. Readers that hold a range of it must find its bytes when its name belongs to another file.
    fn read(&mut self, source: Source) {
        source.file.pin();
        self.reader = Some(Reader::new(&source));
        self.sources.push(source);
    }

    /// Whether what is left of the segments so far and all of `next` fit into one segment: its bytes, the entries of its
    /// indexes, its offsets.
    fn has_room_for(&self, next: &Source, config: &LogConfig) -> bool {
        let size = u64::from(next.segment.size);
        let bytes = u64::from(self.draft.segment.size) + size;
        let entries = self.draft.units.list().len() as u64 + size / UNIT_BYTES_MIN as u64 + 1;
        let span = self.draft.segment.base_offset.distance_to(next.end);
        self.sources.len() < GROUP_SEGMENTS_MAX
            && bytes <= u64::from(config.segment_bytes)
            && entries <= u64::from(config.segment_index_bytes / 12)
            && span < i32::MAX as u64
    }

    /// Removes what was written. What cannot be removed is a leftover, found later.
    fn abandon(&self, dir: &LogDir) {
        unpin(&self.sources);
        for path in self.draft.paths() {
            let _ = dir.disk.remove_file(&path);
        }
    }
}

fn unpin(sources: &[Source]) {
    for source in sources {
        source.file.unpin();
    }
}

fn used_percent(map: &KeyMap, options: &CleanerOptions) -> u8 {
    let used = map.bytes() as u64 * 100 / options.dedupe_bytes.max(1) as u64;
    used.min(100) as u8
}
