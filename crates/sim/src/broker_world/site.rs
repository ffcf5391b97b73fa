//! A broker with all it stands on and the connections to it: what every world with a broker does in the same way.

use super::drives::Drives;
use super::link::{Frame, Link, Ready};
use super::node::{CORES, Node};
use crate::clock::Clock;
use crate::disk::{CrashKind, DiskFaults};
use crate::excuse::Excuse;
use crate::hold;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
use ottla_broker::{CoreId, ResponsePart};
use ottla_protocol::{ApiKey, Reader, ResponseHeader};
use ottla_storage::log_dir::LogDirOptions;
use ottla_storage::marker::{Marker, Markers};
use ottla_types::{Mono, Prng, TopicPartition};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The broker of a run, its disks and clock, and its connections.
pub(super) struct Site {
    pub(super) prng: Prng,
    pub(super) drives: Drives,
    /// For each drive.
    excuses: Vec<Excuse>,
    /// Somebody wanted them to be in another directory.
    pub(super) asked_to_move: BTreeSet<TopicPartition>,
    pub(super) trace: Trace,
    pub(super) clock: Clock,
    pub(super) faults: DiskFaults,
    /// `None` while a start fails.
    pub(super) node: Option<Node>,
    /// One for each client; opened when it sends something.
    pub(super) links: Vec<Option<Link>>,
    pub(super) report: RunReport,
    plan: SitePlan,
    lives: u64,
    next_correlation: i32,
    /// Failed syncs before this life: a new one loses what is only in the page cache.
    failed_syncs: u64,
    /// A crash took away what was only in the page cache, and the clients were not told yet.
    page_cache_is_lost: bool,
}

/// What a run draws for its site.
pub(super) struct SitePlan {
    pub(super) faults: DiskFaults,
    /// Of 1,000 steps, how many kill or cut the power.
    pub(super) crashes_per_mille: u64,
    pub(super) storage: LogDirOptions,
    pub(super) clients: usize,
    /// Segments of the topic of the offsets are small, and the cleaner has its turns.
    pub(super) compacts_offsets: bool,
}

impl Site {
    /// Nothing runs yet.
    pub(super) fn new(prng: Prng, drives: Drives, plan: SitePlan, trace: Trace) -> Site {
        Site {
            prng,
            excuses: vec![Excuse::default(); drives.count()],
            asked_to_move: BTreeSet::new(),
            drives,
            trace,
            clock: Clock::new(),
            faults: plan.faults.clone(),
            node: None,
            links: (0..plan.clients).map(|_| None).collect(),
            report: RunReport::default(),
            plan,
            lives: 0,
            next_correlation: 0,
            failed_syncs: 0,
            page_cache_is_lost: false,
        }
    }

    /// Starts a node on what is on the disks, once.
    pub(super) fn try_start(&mut self, raft_markers: Arc<Markers>) -> Result<(), String> {
        self.lives += 1;
        let now = self.clock.now();
        let node = Node::start(&self.drives, self.lives, &self.plan, raft_markers, now)?;
        trace!(self.trace, "life {} begins", self.lives);
        for directory in &node.directories {
            let disk = self.drives.disk(directory.drive);
            self.excuses[directory.drive].begin(disk, now);
        }
        self.node = Some(node);
        Ok(())
    }

    /// Starts a node on what is on the disks, however often that takes.
    pub(super) fn start(&mut self) -> Result<(), Violation> {
        for attempt in 0..20 {
            let is_calm = attempt >= 3;
            self.drives.replug();
            self.drives.make_room();
            match is_calm {
                true => self.drives.set_faults(&DiskFaults::default()),
                false => self.drives.set_faults(&self.faults),
            }
            if !is_calm && self.prng.chance(1, 5) {
                let operations = self.prng.below(60);
                self.drives.crash_after(Some(operations));
            }
            let strikes = self.drives.strikes();
            let started = self.try_start(Arc::default());
            let is_struck = self.drives.are_crashed() || strikes != self.drives.strikes();
            match started {
                Ok(()) => {
                    self.check_start(is_struck)?;
                    self.trace_moves();
                    self.drives.crash_after(None);
                    self.drives.set_faults(&self.faults);
                    return Ok(());
                }
                Err(error) => {
                    trace!(self.trace, "start failed: {error}");
                    hold!(is_struck, "the node starts again", "{error}");
                    self.report.recovery_crashes += 1;
                    self.reboot();
                }
            }
        }
        Err(Violation {
            invariant: "the node starts again",
            detail: "20 attempts are not enough".to_owned(),
        })
    }

    /// Directories are left behind only if something is wrong with their disks.
    fn check_start(&self, is_struck: bool) -> Result<(), Violation> {
        let node = self.node.as_ref().expect("it was just started");
        let failed = node.broker.failed_directories();
        hold!(
            failed.is_empty() || is_struck,
            "the node starts again",
            "without {failed:?}"
        );
        Ok(())
    }

    fn reboot(&mut self) {
        let kind = match self.prng.chance(1, 2) {
            true => CrashKind::ProcessKill,
            false => CrashKind::PowerLoss,
        };
        let failed_syncs = self.drives.counts().failed_syncs;
        self.page_cache_is_lost |= kind == CrashKind::PowerLoss || self.failed_syncs < failed_syncs;
        self.failed_syncs = failed_syncs;
        self.report.crashes += 1;
        self.drives.reboot(kind);
    }

    /// The node, if it takes requests.
    pub(super) fn ready_node(&self) -> Option<&Node> {
        self.node.as_ref().filter(|node| node.broker.is_ready())
    }

    /// Whether the topic of the offsets is compacted in this run.
    pub(super) fn compacts_offsets(&self) -> bool {
        self.plan.compacts_offsets
    }

    /// The number of the next request.
    pub(super) fn correlation(&mut self) -> i32 {
        self.next_correlation += 1;
        self.next_correlation
    }

    /// The connections whose clients are drawn from.
    pub(super) fn any_link(&mut self) -> usize {
        self.prng.below(self.links.len() as u64) as usize
    }

    /// Puts a frame on a client's connection, which is opened when there is none. Returns whether it is still open.
    fn send(&mut self, index: usize, frame: Frame) -> bool {
        let now = self.clock.now();
        let Some(node) = &self.node else { return true };
        let core = CoreId::new(index as u16 % CORES);
        let link = self.links[index].get_or_insert_with(|| Link::open(&node.broker, core));
        trace!(
            self.trace,
            "client {index} sends {} {}",
            frame.key.name(),
            frame.correlation
        );
        let sent = link.send(&node.broker, frame, now);
        if let Err(reason) = &sent {
            trace!(self.trace, "client {index} is closed: {reason}");
        }
        sent.is_ok()
    }

    /// One step of one pump.
    pub(super) fn pump(&mut self) {
        let now = self.clock.now();
        let which = self.prng.below(20);
        let Some(node) = &self.node else { return };
        let directory = &node.directories[self.drives.turn(node.directories.len())];
        let (log_dir, drive) = (&directory.log_dir, directory.drive);
        match which {
            0..9 => {
                let step = log_dir.commit_step(now);
                trace!(self.trace, "commit: {step:?}");
                node.broker.on_commit(now);
                self.excuses[drive].pumped(now);
            }
            9..14 => {
                for event in node.quorum.step() {
                    node.broker.on_quorum_event(&event, now);
                }
            }
            14..18 => {
                let step = log_dir.flush_step(now);
                trace!(self.trace, "flush: {step:?}");
                self.excuses[drive].pumped(now);
            }
            18 => drop(log_dir.zero_step(now)),
            _ => {
                log_dir.retention_step(now);
                if self.plan.compacts_offsets {
                    log_dir.clean_step(now);
                }
                node.watch(now);
            }
        }
        self.mover_turn();
    }

    /// One step of every pump that nothing can do without.
    fn pump_all(&mut self) {
        let now = self.clock.now();
        let Some(node) = &self.node else { return };
        for directory in &node.directories {
            directory.log_dir.commit_step(now);
        }
        node.broker.on_commit(now);
        for event in node.quorum.step() {
            node.broker.on_quorum_event(&event, now);
        }
        for directory in &node.directories {
            directory.log_dir.flush_step(now);
            directory.log_dir.zero_step(now);
            if self.plan.compacts_offsets {
                directory.log_dir.clean_step(now);
            }
            self.excuses[directory.drive].pumped(now);
        }
        node.watch(now);
        for _ in 0..3 {
            self.mover_turn();
        }
    }

    /// What the directories must leave true between two steps.
    fn look_at_directories(&mut self) -> Result<(), Violation> {
        let now = self.clock.now();
        let Some(node) = &self.node else {
            return Ok(());
        };
        for (number, excuse) in self.excuses.iter_mut().enumerate() {
            let mut directories = node.directories.iter();
            match directories.find(|directory| directory.drive == number) {
                Some(open) => excuse.look(self.drives.disk(number), &open.log_dir, now)?,
                None => excuse.is_away(now),
            }
        }
        Ok(())
    }

    /// Whether the directory of a partition is in trouble, or was at some time since `since`: then it may refuse what came
    /// since.
    pub(super) fn is_excused(&self, id: TopicPartition, since: Mono) -> bool {
        let Some(node) = self.node.as_ref().filter(|_| !self.drives.are_crashed()) else {
            return true;
        };
        let Some(drive) = node.drive_of(id) else {
            return true;
        };
        if self.asked_to_move.contains(&id) {
            // The request may have come to another directory than the one that the log is in now.
            let mut excuses = self.excuses.iter();
            if excuses.any(|excuse| excuse.is_good_since(since)) {
                return true;
            }
        }
        match node.directory_of(id) {
            Some(open) => {
                let disk = self.drives.disk(drive);
                self.excuses[drive].is_good(disk, &open.log_dir, since)
            }
            None => true,
        }
    }

    /// A core's thread runs when it is woken or its time has come, never otherwise. Returns the connections that it
    /// closed.
    fn run_core(&mut self, core: CoreId) -> Vec<usize> {
        let now = self.clock.now();
        let mut closed = Vec::new();
        let Some(node) = &self.node else {
            return closed;
        };
        let deadline = node.broker.next_deadline(core);
        let is_due = deadline.is_some_and(|at| at <= now.mono);
        if !node.wake.take(core) && !is_due {
            return closed;
        }
        if is_due {
            node.broker.tick(core, now);
        }
        let mut out = Vec::new();
        node.broker.completions(core, now, &mut out);
        for (token, outcome) in out {
            let waits =
                |link: &Option<Link>| link.as_ref().is_some_and(|link| link.waits_for(token));
            let Some(index) = self.links.iter().position(waits) else {
                continue; // its client is gone
            };
            let link = self.links[index].as_mut().expect("it was just found");
            let done = link.complete(token, outcome);
            let done = done.and_then(|()| link.turn(&node.broker, now));
            if let Err(reason) = done {
                trace!(self.trace, "client {index} is closed: {reason}");
                closed.push(index);
            }
        }
        closed
    }

    /// What the run has shown.
    pub(super) fn into_report(mut self) -> RunReport {
        self.note_markers();
        self.report.faults = self.drives.counts();
        self.report.trace_hash = self.trace.hash();
        self.report
    }

    /// Counts what was rare in the life that ends.
    pub(super) fn note_markers(&mut self) {
        let Some(node) = &self.node else { return };
        let directories = node.directories.iter();
        let markers = directories.map(|directory| directory.log_dir.markers());
        let moves = &node.broker.metrics().moves_completed;
        self.report.moves += moves.load(Ordering::Relaxed);
        for markers in markers.chain([&*node.raft_markers]) {
            for &marker in Marker::ALL {
                let count = markers.count(marker);
                if count > 0 {
                    *self.report.markers.entry(marker).or_default() += count;
                }
            }
        }
    }
}

/// These faults in some runs: in three of four nothing fails, and in three of four the disk is never full.
pub(super) fn in_some_runs(mut faults: DiskFaults, prng: &mut Prng) -> DiskFaults {
    if !prng.chance(1, 4) {
        faults.sync_fails = 0;
        faults.write_fails = 0;
    }
    if !prng.chance(1, 4) {
        faults.write_full = 0;
    }
    faults
}

/// A world around a site: its clients, who hear of what happens there.
pub(super) trait OnSite {
    fn site(&mut self) -> &mut Site;

    /// The connection `index` is gone: its client knows nothing of what was under way.
    fn disconnected(&mut self, index: usize);

    /// The client of the connection `index` gets an answer.
    fn hears(&mut self, index: usize, ready: &Ready, body: &[u8]) -> Result<(), Violation>;

    /// What was only in the page cache is gone.
    fn page_cache_lost(&mut self);

    /// One step, of whoever it falls to.
    fn step(&mut self) -> Result<(), Violation>;

    /// The faults are over: everything drains within a bound, and everything told is there.
    fn come_to_rest(&mut self) -> Result<(), Violation>;

    /// Runs so many steps and then lets everything come to rest.
    fn drive(&mut self, steps: u64) -> Result<(), Violation> {
        self.start()?;
        for step in 0..steps {
            self.site().report.steps = step + 1;
            self.step()?;
            self.after_step()?;
        }
        self.come_to_rest()
    }

    /// Between two steps.
    fn after_step(&mut self) -> Result<(), Violation> {
        self.end_step().map(drop)
    }

    /// Begins, or goes on after a crash.
    fn start(&mut self) -> Result<(), Violation> {
        self.site().start()?;
        if std::mem::take(&mut self.site().page_cache_is_lost) {
            self.page_cache_lost();
        }
        Ok(())
    }

    /// Ends this life and starts the next.
    fn crash(&mut self) -> Result<(), Violation> {
        self.stop();
        self.site().reboot();
        self.start()
    }

    /// Ends this life.
    fn stop(&mut self) {
        self.site().note_markers();
        for index in 0..self.site().links.len() {
            self.disconnect(index);
        }
        self.site().node = None;
    }

    /// Lets time pass before a step. Returns true when a crash is all that happens in it.
    fn begin_step(&mut self) -> Result<bool, Violation> {
        let site = self.site();
        site.clock.advance_nanos(site.prng.below(2_000_000));
        site.drives.disturb();
        if let Some(frame) = site.ask_for_move() {
            let admin = site.links.len() - 1;
            self.send(admin, frame);
        }
        let site = self.site();
        if !site.prng.chance(site.plan.crashes_per_mille, 1000) {
            return Ok(false);
        }
        if site.prng.chance(1, 2) {
            let operations = site.prng.below(40);
            site.drives.crash_after(Some(operations));
        } else {
            self.crash()?;
        }
        Ok(true)
    }

    /// After a step the process may turn out to be dead, or good for nothing. Returns whether it lives on.
    fn end_step(&mut self) -> Result<bool, Violation> {
        let site = self.site();
        site.clock.advance_nanos(site.drives.take_elapsed_nanos());
        site.look_at_directories()?;
        let is_offline = site.node.as_ref().is_some_and(Node::is_offline);
        let misses_some = site.node.as_ref().is_some_and(Node::misses_some);
        let is_over = site.drives.are_crashed()
            || is_offline && site.prng.chance(1, 10)
            || misses_some && !is_offline && site.drives.are_looked_after();
        if is_over {
            self.crash()?;
        }
        Ok(!is_over)
    }

    /// From now on no disk has faults; what is missing stays so.
    fn end_disk_faults(&mut self) {
        let site = self.site();
        site.faults = DiskFaults::default();
        site.drives.crash_after(None);
        site.drives.set_faults(&DiskFaults::default());
        site.drives.make_room();
        site.drives.hold_still();
    }

    /// From now on nothing goes wrong; what does not work any more, or by chance, begins anew.
    fn end_faults(&mut self) -> Result<(), Violation> {
        self.end_disk_faults();
        let site = self.site();
        site.drives.put_back();
        let is_offline = site.node.as_ref().is_none_or(Node::is_offline);
        let begins_anew = is_offline || site.drives.are_crashed() || site.prng.chance(1, 2);
        if begins_anew || site.drives.are_many() {
            self.crash()?;
            self.site().drives.crash_after(None);
        }
        Ok(())
    }

    /// A connection ends.
    fn disconnect(&mut self, index: usize) {
        let site = self.site();
        if let (Some(link), Some(node)) = (site.links[index].take(), &site.node) {
            link.close(&node.broker);
        }
        self.disconnected(index);
    }

    fn send(&mut self, index: usize, frame: Frame) {
        if !self.site().send(index, frame) {
            self.disconnect(index);
        }
    }

    /// Some core has its turn.
    fn core_turn(&mut self) {
        let core = CoreId::new(self.site().prng.below(u64::from(CORES)) as u16);
        self.run_core(core);
    }

    fn run_core(&mut self, core: CoreId) {
        for index in self.site().run_core(core) {
            self.disconnect(index);
        }
    }

    /// One answer reaches its client.
    fn deliver(&mut self) -> Result<(), Violation> {
        let index = self.site().any_link();
        self.deliver_to(index)
    }

    fn deliver_to(&mut self, index: usize) -> Result<(), Violation> {
        let Some(ready) = self.site().links[index].as_mut().and_then(Link::take) else {
            return Ok(());
        };
        let Some(bytes) = load(&ready) else {
            self.disconnect(index);
            return Ok(());
        };
        let mut reader = Reader::new(&bytes[4..]);
        let header = ResponseHeader::decode(&mut reader, ready.key, ready.version);
        let correlation = header.map_or(-1, |header| header.correlation_id);
        hold!(
            correlation == ready.correlation,
            "answers come in the order of their requests",
            "{correlation} instead of {}",
            ready.correlation
        );
        trace!(
            self.site().trace,
            "client {index} hears of {correlation}, {} bytes",
            bytes.len()
        );
        match ready.key {
            ApiKey::AlterReplicaLogDirs => Ok(()), // done, or not
            _ => self.hears(index, &ready, reader.rest()),
        }
    }

    /// Pumps, cores and answers go on for a while, as on a machine that is not busy.
    fn everything_turns(&mut self) -> Result<(), Violation> {
        for _ in 0..10 {
            let site = self.site();
            site.clock.advance_ms(1);
            if site.node.is_none() {
                return Ok(());
            }
            site.pump_all();
            for core in 0..CORES {
                self.run_core(CoreId::new(core));
            }
            for index in 0..self.site().links.len() {
                self.deliver_to(index)?;
            }
            if self.site().drives.are_crashed() {
                break;
            }
        }
        Ok(())
    }
}

/// All bytes of an answer; `None` when the disk refuses: the connection breaks.
fn load(ready: &Ready) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in &ready.response.parts {
        match part {
            ResponsePart::Bytes(part) => bytes.extend_from_slice(part),
            ResponsePart::File(range) => bytes.extend_from_slice(&range.load_all().ok()?),
        }
    }
    Some(bytes)
}
