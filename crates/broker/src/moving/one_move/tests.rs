use super::*;
use ottla_types::Prng;

/// A log that keeps numbers only.
#[derive(Clone, Debug, Default)]
struct ScriptedLog {
    start: i64,
    end: i64,
    /// Journal entries that are not durable: each with where the log ended with it.
    pending: Vec<(u64, i64)>,
    durable_end: i64,
    lsn: u64,
    durable_lsn: u64,
}

impl ScriptedLog {
    fn append_to(&mut self, end: i64) {
        self.end = end;
        self.lsn += 1;
        self.pending.push((self.lsn, end));
    }

    /// The journal gets as far as this share of what waits for it.
    fn sync(&mut self, entries: usize) {
        for (lsn, end) in self.pending.drain(..entries.min(self.pending.len())) {
            self.durable_lsn = lsn;
            self.durable_end = end;
        }
    }

    fn sync_all(&mut self) {
        self.sync(usize::MAX);
        self.durable_lsn = self.lsn;
    }

    fn crash(&mut self) {
        self.end = self.durable_end.max(self.start);
        self.pending.clear();
        self.lsn = self.durable_lsn;
    }

    fn ends(&self) -> Ends {
        let offset = Offset::new;
        Ends {
            log_start: offset(self.start),
            appended_end: offset(self.end),
            durable_end: offset(self.durable_end.max(self.start)),
            written_end: offset(self.start),
            synced_end: offset(self.start),
        }
    }
}

/// A broker with one log that moves, in numbers.
struct World {
    prng: Prng,
    now: Mono,
    source: ScriptedLog,
    target: ScriptedLog,
    machine: Option<Move>,
    /// What the metadata says.
    names_target: bool,
    /// A question is on its way to the metadata.
    is_asked: bool,
    is_closed: bool,
    serves_target: bool,
    is_source_dropped: bool,
    promoted: u64,
    /// What clients were told (exclusive).
    acknowledged: i64,
    /// Pieces cannot be copied now and then.
    has_faults: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut prng = Prng::new(seed);
        let mut source = ScriptedLog {
            start: prng.range(0, 3) as i64 * 10,
            ..ScriptedLog::default()
        };
        source.append_to(source.start + prng.range(0, 300) as i64);
        source.sync_all();
        let target = ScriptedLog::default();
        World {
            prng,
            now: Mono::from_millis(5),
            acknowledged: source.end,
            source,
            target,
            machine: Some(Move::begun_now()),
            names_target: false,
            is_asked: false,
            is_closed: false,
            serves_target: false,
            is_source_dropped: false,
            promoted: 0,
            has_faults: true,
        }
    }

    fn serving(&mut self) -> &mut ScriptedLog {
        match self.serves_target {
            true => &mut self.target,
            false => &mut self.source,
        }
    }

    fn check(&self) {
        let log = match self.serves_target {
            true => &self.target,
            false => &self.source,
        };
        assert!(self.acknowledged <= log.end, "nothing acknowledged is lost");
        if let Some(machine) = &self.machine {
            assert_eq!(machine.holds(), self.is_closed);
            assert_eq!(machine.is_settling(), self.serves_target);
        }
        if self.is_source_dropped {
            assert!(self.serves_target && self.acknowledged <= self.target.durable_end);
            assert!(self.promoted <= self.target.durable_lsn);
        }
    }

    fn append(&mut self) {
        let records = self.prng.range(1, 20) as i64;
        if !self.is_closed {
            let log = self.serving();
            log.append_to(log.end + records);
        }
    }

    fn sync(&mut self) {
        let entries = self.prng.range(0, 3) as usize;
        match self.prng.below(2) {
            0 => self.source.sync(entries),
            _ => self.target.sync(entries),
        }
        let durable = self.serving().durable_end;
        self.acknowledged = self.acknowledged.max(durable);
    }

    fn delete_records(&mut self) {
        if !self.is_closed && !self.serves_target {
            let durable = self.source.durable_end.max(self.source.start) as u64;
            let to = self.prng.range(self.source.start as u64, durable + 1) as i64;
            self.source.start = self.source.start.max(to);
            self.source.sync_all();
        }
    }

    /// The metadata decides, or does not say what it decided.
    fn answer(&mut self) {
        if !self.is_asked {
            return;
        }
        self.is_asked = false;
        let machine = self.machine.as_mut().expect("somebody asked");
        match self.prng.below(4) {
            0 if !self.names_target => {
                machine.refused(self.now);
                self.is_closed = false;
            }
            1 => {
                self.names_target |= self.prng.below(2) == 0;
                machine.not_answered(self.now);
            }
            _ => {
                self.names_target = true;
                self.change_over();
            }
        }
    }

    fn change_over(&mut self) {
        self.target.lsn += 1;
        self.promoted = self.target.lsn;
        self.target.pending.push((self.promoted, self.target.end));
        let machine = self.machine.as_mut().expect("it is about to change over");
        machine.changed_over(Lsn::new(self.promoted));
        (self.serves_target, self.is_closed) = (true, false);
        assert_eq!(self.source.end, self.target.end, "the whole log");
        assert_eq!(self.source.start, self.target.start);
    }

    /// A power cut, and the next start: the table in `Move`'s documentation.
    fn crash(&mut self) {
        // What waited for an answer may have been written.
        self.names_target |= self.is_asked && self.prng.below(2) == 0;
        let was_promoted = self.promoted != 0 && self.promoted <= self.target.durable_lsn;
        self.source.crash();
        self.target.crash();
        (self.is_asked, self.is_closed) = (false, false);
        self.serves_target = self.names_target;
        if self.machine.is_none() && !was_promoted {
            return; // The move was given up.
        }
        self.machine = match (self.names_target, self.is_source_dropped) {
            (true, true) => None,
            (true, false) => {
                self.target.lsn += 1;
                self.promoted = self.target.lsn;
                self.target.pending.push((self.promoted, self.target.end));
                Some(Move::settling(Lsn::new(self.promoted)))
            }
            (false, _) => Some(Move::found()),
        };
    }

    fn step(&mut self) {
        let Some(machine) = self.machine.as_mut() else {
            return;
        };
        let seen = Seen {
            now: self.now,
            source: Some(self.source.ends()),
            target: Some(SeenTarget {
                log_start: Offset::new(self.target.start),
                end: Offset::new(self.target.end),
                is_durable: self.target.pending.is_empty(),
                has_room: self.prng.below(5) != 0,
                durable_lsn: Lsn::new(self.target.durable_lsn),
                is_damaged: false,
            }),
        };
        match machine.next(&seen) {
            Step::Begin => {
                let (lsn, durable_lsn) = (self.target.lsn, self.target.durable_lsn);
                self.target = ScriptedLog {
                    lsn,
                    durable_lsn,
                    ..ScriptedLog::default()
                };
                machine.begun();
            }
            Step::Compare => {
                let is_prefix = self.target.end <= self.source.end;
                let end = Offset::new(self.target.end);
                machine.compared(is_prefix.then_some(end));
            }
            Step::MoveStart(to) => {
                let to = to.get();
                (self.target.start, self.target.end) = (to, self.target.end.max(to));
                self.target.append_to(self.target.end);
            }
            Step::Copy { from, end } => {
                assert!(end.get() <= self.source.durable_end, "only what stays");
                if self.has_faults && self.prng.below(10) == 0 {
                    machine.failed(self.now);
                    self.is_closed = false;
                } else {
                    let to = end.get().min(from.get() + self.prng.range(1, 60) as i64);
                    self.target.append_to(to);
                    machine.copied(Offset::new(to), end);
                }
            }
            Step::Close => self.is_closed = true,
            Step::Tell => {
                assert_eq!(self.source.end, self.target.end);
                assert_eq!(self.source.start, self.target.start);
                self.target.append_to(self.target.end);
                machine.told();
            }
            Step::Open => self.is_closed = false,
            Step::Commit if self.names_target => self.change_over(),
            Step::Commit => {
                assert!(self.target.pending.is_empty() && self.is_closed);
                self.is_asked = true;
            }
            Step::DropSource => {
                self.is_source_dropped = true;
                self.machine = None;
            }
            Step::GiveUp => panic!("both directories are well"),
            Step::AwaitJournal | Step::AwaitAnswer => {}
            Step::AwaitRoom(until) | Step::AwaitTime(until) => {
                assert!(self.now < until);
            }
        }
    }

    /// One thing happens, whichever.
    fn shake(&mut self, with_harm: bool) {
        match self.prng.below(40) {
            0..8 => self.append(),
            8..18 => self.sync(),
            18..34 => self.step(),
            34..36 => self.answer(),
            36 if with_harm => self.crash(),
            37 => self.delete_records(),
            _ => {
                self.now = self
                    .now
                    .plus(Duration::from_millis(self.prng.range(1, 700)))
            }
        }
        self.check();
    }

    /// Nobody appends any more, and nothing goes wrong: the move comes to its end.
    fn rest(&mut self) {
        for _ in 0..20_000 {
            if self.machine.is_none() {
                return;
            }
            self.step();
            self.source.sync_all();
            self.target.sync_all();
            if self.prng.below(3) == 0 {
                self.answer();
            }
            self.now = self.now.plus(Duration::from_millis(50));
            self.check();
        }
        panic!("the move never ends: {:?}", self.machine);
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens() {
    for seed in 0..3_000 {
        let mut world = World::new(seed);
        for _ in 0..world.prng.range(0, 400) {
            world.shake(true);
        }
        world.rest();
        assert!(world.serves_target && world.is_source_dropped);
    }
}

#[test]
fn a_move_that_nothing_disturbs_holds_appends_once() {
    let mut closed = 0;
    let mut world = World::new(7);
    world.has_faults = false;
    for _ in 0..2_000 {
        let was_closed = world.is_closed;
        world.append();
        world.source.sync_all();
        world.target.sync_all();
        world.step();
        if world.is_asked {
            world.is_asked = false;
            world.names_target = true;
            world.change_over();
        }
        world.check();
        world.now = world.now.plus(Duration::from_millis(10));
        closed += usize::from(!was_closed && world.is_closed);
    }
    assert!(world.is_source_dropped);
    assert_eq!(closed, 1);
}

fn ends(end: i64, durable_end: i64) -> Ends {
    let log = ScriptedLog {
        end,
        durable_end,
        ..ScriptedLog::default()
    };
    log.ends()
}

/// A move of a log of which so much is copied.
fn copied_to(end: i64) -> Move {
    let mut machine = Move::begun_now();
    machine.copied(Offset::new(end), Offset::new(end));
    machine
}

fn target(end: i64, is_durable: bool) -> Option<SeenTarget> {
    Some(SeenTarget {
        log_start: Offset::ZERO,
        end: Offset::new(end),
        is_durable,
        has_room: true,
        durable_lsn: Lsn::ZERO,
        is_damaged: false,
    })
}

/// What a move does next, at a time in milliseconds.
fn next(machine: &mut Move, at: u64, source: Option<Ends>, target: Option<SeenTarget>) -> Step {
    let now = Mono::from_millis(at);
    let seen = Seen {
        now,
        source,
        target,
    };
    machine.next(&seen)
}

#[test]
fn appends_are_not_held_for_ever() {
    let mut machine = copied_to(5);
    let source = Some(ends(5, 5));
    let mut at = |millis| next(&mut machine, millis, source, target(5, false));
    assert_eq!(at(10), Step::Close);
    assert_eq!(at(11), Step::Tell);
    assert_eq!(at(2010), Step::Open);
    assert!(matches!(at(2011), Step::AwaitTime(_)), "it rests");
    assert_eq!(at(3010), Step::Close);
    assert_eq!(at(5010), Step::Open);
    assert!(matches!(at(6010), Step::AwaitTime(_)), "longer each time");
}

#[test]
fn a_directory_that_fails_ends_the_move_and_the_hold() {
    for (source, target) in [(None, target(5, true)), (Some(ends(5, 5)), None)] {
        let mut machine = copied_to(5);
        assert_eq!(next(&mut machine, 1, source, target), Step::GiveUp);
        let mut machine = copied_to(5);
        let well = (Some(ends(5, 5)), self::target(5, false));
        assert_eq!(next(&mut machine, 1, well.0, well.1), Step::Close);
        assert_eq!(next(&mut machine, 2, source, target), Step::Open);
        assert_eq!(next(&mut machine, 3, source, target), Step::GiveUp);
    }
    let mut machine = Move::settling(Lsn::new(3));
    let waits = next(&mut machine, 1, None, target(5, true));
    assert_eq!(waits, Step::AwaitJournal, "the source is needed");
    assert_eq!(next(&mut machine, 1, None, None), Step::GiveUp);
}

#[test]
fn while_nobody_knows_what_the_metadata_decided_nothing_is_appended() {
    let mut machine = copied_to(5);
    let at = |machine: &mut Move, millis| {
        let source = Some(ends(5, 5));
        next(machine, millis, source, target(5, true))
    };
    assert_eq!(at(&mut machine, 1), Step::Close);
    assert_eq!(at(&mut machine, 1), Step::Tell);
    machine.told();
    assert_eq!(at(&mut machine, 1), Step::Commit);
    assert_eq!(at(&mut machine, 99_999), Step::AwaitAnswer);
    machine.not_answered(Mono::from_millis(99_999));
    assert!(machine.holds() && !machine.may_be_cancelled());
    assert!(matches!(at(&mut machine, 100_000), Step::AwaitTime(_)));
    assert_eq!(at(&mut machine, 100_499), Step::Commit);
    machine.refused(Mono::from_millis(100_500));
    assert!(!machine.holds() && machine.may_be_cancelled());
}

#[test]
fn a_copy_that_is_none_is_made_anew() {
    let mut machine = Move::found();
    let source = Some(ends(5, 5));
    assert_eq!(
        next(&mut machine, 1, source, target(9, true)),
        Step::Compare
    );
    machine.compared(None);
    assert_eq!(next(&mut machine, 1, source, None), Step::Begin);
    machine.failed(Mono::from_millis(1)); // The earlier one is still there.
    assert!(matches!(
        next(&mut machine, 2, source, None),
        Step::AwaitTime(_)
    ));
    assert_eq!(next(&mut machine, 501, source, None), Step::Begin);
    machine.begun();
    let copies = next(&mut machine, 502, source, target(0, true));
    let (from, end) = (Offset::ZERO, Offset::new(5));
    assert_eq!(copies, Step::Copy { from, end });
}

#[test]
fn offsets_that_compaction_took_from_the_end_are_waited_out() {
    let mut machine = copied_to(9);
    let waits = next(&mut machine, 1, Some(ends(9, 9)), target(7, true));
    assert_eq!(waits, Step::AwaitTime(Mono::from_millis(1001)));
    // What is appended next stands behind them in the copy too.
    let copies = next(&mut machine, 2, Some(ends(10, 10)), target(7, true));
    let (from, end) = (Offset::new(9), Offset::new(10));
    assert_eq!(copies, Step::Copy { from, end });
}

#[test]
fn a_start_inside_of_a_batch_is_followed_when_the_batch_is_copied() {
    let mut machine = Move::begun_now();
    let source = Ends {
        log_start: Offset::new(4),
        ..ends(9, 9)
    };
    let (from, end) = (Offset::new(4), Offset::new(9));
    let copies = next(&mut machine, 1, Some(source), target(0, true));
    assert_eq!(copies, Step::Copy { from, end }, "from 3 on, say");
    machine.copied(Offset::new(6), end);
    let follows = next(&mut machine, 1, Some(source), target(6, true));
    assert_eq!(follows, Step::MoveStart(from));
    let empty = Ends {
        log_start: Offset::new(9),
        ..source
    };
    let follows = next(&mut machine, 1, Some(empty), target(6, true));
    assert_eq!(follows, Step::MoveStart(end), "beyond all that there is");
}

#[test]
fn a_damaged_copy_is_made_anew_and_one_that_serves_keeps_its_source() {
    let damaged = |end| {
        target(end, true).map(|target| SeenTarget {
            is_damaged: true,
            ..target
        })
    };
    let source = Some(ends(5, 5));
    let mut machine = copied_to(5);
    assert_eq!(next(&mut machine, 1, source, damaged(5)), Step::Begin);
    let mut machine = copied_to(5);
    let well = target(5, true);
    assert_eq!(next(&mut machine, 1, source, well), Step::Close);
    assert_eq!(next(&mut machine, 1, source, well), Step::Tell);
    machine.told();
    assert_eq!(next(&mut machine, 1, source, damaged(5)), Step::Open);
    assert!(!machine.holds());
    let mut machine = Move::settling(Lsn::ZERO);
    assert_eq!(next(&mut machine, 1, source, damaged(5)), Step::GiveUp);
}
