//! Clients as they are, at random: they join, stall, die, commit, and do what they are told. Whatever
//! happens to the shard, no partition has two owners in one generation, offsets that were
//! acknowledged are there, and once the faults stop every client works.

use crate::harness::{Harness, Join, Mode, Sync, fetch, fetched};
use ottla_coordinator::group::{GroupCommand, GroupError, GroupReply};
use ottla_coordinator::{Refusal, Waiter};
use ottla_types::Prng;
use std::collections::BTreeMap;
use std::time::Duration;

const PARTITIONS: i32 = 6;

/// A client, and where it is on its way.
#[derive(Debug, Default)]
struct Client {
    id: Option<String>,
    instance: Option<String>,
    generation: i32,
    phase: Phase,
    owned: Vec<i32>,
    is_stalled: bool,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Outside,
    Joining(Waiter),
    Syncing(Waiter),
    Working,
}

struct World {
    group: Harness,
    clients: Vec<Client>,
    prng: Prng,
    /// Who was told to own what, by generation.
    owners: BTreeMap<(i32, i32), String>,
    /// The highest that was acknowledged, by partition; commits only rise.
    acknowledged: BTreeMap<i32, i64>,
    next_offset: i64,
    reload_chance: u64,
}

impl World {
    fn new(seed: u64, clients: usize, reload_chance: u64) -> World {
        let mut prng = Prng::new(seed);
        let clients = (0..clients).map(|number| Client {
            instance: prng.chance(1, 3).then(|| format!("i{number}")),
            ..Client::default()
        });
        World {
            clients: clients.collect(),
            group: Harness::new(Mode::Steady),
            prng,
            owners: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            next_offset: 0,
            reload_chance,
        }
    }

    fn send(&mut self, command: GroupCommand) -> Waiter {
        if 0 < self.reload_chance && self.prng.chance(1, self.reload_chance) {
            self.group.reload();
        }
        self.group.send(command)
    }

    fn step(&mut self, index: usize) {
        if self.clients[index].is_stalled {
            return;
        }
        match self.clients[index].phase {
            Phase::Outside => self.join(index),
            Phase::Joining(waiter) => self.on_joined(index, waiter),
            Phase::Syncing(waiter) => self.on_synced(index, waiter),
            Phase::Working => self.work(index),
        }
    }

    fn join(&mut self, index: usize) {
        let client = &self.clients[index];
        let join = Join {
            member: client.id.as_deref().unwrap_or(""),
            instance: client.instance.as_deref(),
            ..Join::default()
        };
        let waiter = self.send(join.command());
        self.clients[index].phase = Phase::Joining(waiter);
    }

    fn on_joined(&mut self, index: usize, waiter: Waiter) {
        let Some(answer) = self.group.take(waiter) else {
            return;
        };
        let client = &mut self.clients[index];
        client.phase = Phase::Outside;
        client.owned.clear();
        let joined = match answer {
            Err(refusal) => {
                assert_eq!(refusal, Refusal::NotCoordinator);
                return;
            }
            Ok(GroupReply::Join(Ok(joined))) => joined,
            Ok(GroupReply::Join(Err(refused))) => {
                client.id = match refused.error {
                    GroupError::MemberIdRequired => refused.member.map(|id| id.as_str().to_owned()),
                    GroupError::RebalanceInProgress => client.id.take(),
                    GroupError::UnknownMember | GroupError::FencedInstance => None,
                    other => panic!("{other:?}"),
                };
                return;
            }
            Ok(other) => panic!("{other:?}"),
        };
        let id = joined.member.as_str().to_owned();
        client.id = Some(id.clone());
        client.generation = joined.generation;
        let leads = joined.leader.as_ref() == Some(&joined.member);
        let mut assignments = Vec::new();
        if leads && !joined.skip_assignment {
            let members: Vec<String> = joined
                .members
                .iter()
                .map(|member| member.member.as_str().to_owned())
                .collect();
            assert!(members.contains(&id));
            for (place, member) in members.iter().enumerate() {
                let own = (0..PARTITIONS).filter(|p| *p as usize % members.len() == place);
                let own: Vec<String> = own.map(|p| p.to_string()).collect();
                assignments.push((member.clone(), own.join(",")));
            }
        }
        let sync = Sync {
            member: &id,
            generation: joined.generation,
            assignments: &assignments,
        };
        let waiter = self.send(sync.command());
        self.clients[index].phase = Phase::Syncing(waiter);
    }

    fn on_synced(&mut self, index: usize, waiter: Waiter) {
        let Some(answer) = self.group.take(waiter) else {
            return;
        };
        let client = &mut self.clients[index];
        client.phase = Phase::Outside;
        let synced = match answer {
            Err(_) => return,
            Ok(GroupReply::Sync(Ok(synced))) => synced,
            Ok(GroupReply::Sync(Err(error))) => {
                if matches!(
                    error,
                    GroupError::UnknownMember | GroupError::FencedInstance
                ) {
                    client.id = None;
                }
                return;
            }
            Ok(other) => panic!("{other:?}"),
        };
        let text = String::from_utf8(synced.assignment.to_vec()).expect("text");
        let owned = text.split(',').filter(|part| !part.is_empty());
        client.owned = owned.map(|part| part.parse().expect("a number")).collect();
        client.phase = Phase::Working;
        // A static member's place is one owner, whoever fills it.
        let who = client
            .instance
            .clone()
            .or_else(|| client.id.clone())
            .expect("it has one");
        for partition in &client.owned {
            let owner = self.owners.entry((client.generation, *partition));
            let owner = owner.or_insert_with(|| who.clone());
            assert_eq!(
                *owner, who,
                "partition {partition} of {}",
                client.generation
            );
        }
    }

    fn work(&mut self, index: usize) {
        let client = &self.clients[index];
        let (id, generation) = (client.id.clone().expect("it works"), client.generation);
        let commits = !client.owned.is_empty() && self.prng.chance(1, 3);
        if !commits {
            let waiter = self.send(beat(&id, generation));
            if let Some(Ok(GroupReply::Heartbeat(Err(error)))) = self.group.take(waiter) {
                self.leave_work(index, error);
            }
            return;
        }
        let partition = *self.prng.pick(&self.clients[index].owned);
        self.next_offset += 1;
        let offset = self.next_offset;
        let command = crate::harness::commit("g", &id, generation, "t", &[(partition, offset)]);
        let waiter = self.send(command);
        match self.group.take(waiter) {
            Some(Ok(GroupReply::CommitOffsets(Ok(_)))) => {
                self.acknowledged.insert(partition, offset);
            }
            Some(Ok(GroupReply::CommitOffsets(Err(error)))) => self.leave_work(index, error),
            other => panic!("{other:?}"),
        }
    }

    fn leave_work(&mut self, index: usize, error: GroupError) {
        let client = &mut self.clients[index];
        client.phase = Phase::Outside;
        if matches!(
            error,
            GroupError::UnknownMember | GroupError::FencedInstance
        ) {
            client.id = None;
        }
    }

    fn disturb(&mut self, index: usize) {
        let client = &mut self.clients[index];
        match self.prng.below(3) {
            0 => client.is_stalled = true,
            1 => client.is_stalled = false,
            _ => {
                // It dies, and another one takes its place.
                let instance = client.instance.clone();
                *client = Client {
                    instance,
                    ..Client::default()
                };
            }
        }
    }

    fn check_offsets(&mut self) {
        for (partition, offset) in self.acknowledged.clone() {
            let reply = self.group.ask(fetch("g", "t", partition));
            assert_eq!(fetched(&reply), Some(offset), "partition {partition}");
        }
    }

    fn run(mut self, seed: u64) {
        for _ in 0..600 {
            let index = self.prng.below(self.clients.len() as u64) as usize;
            if self.prng.chance(1, 25) {
                self.disturb(index);
            }
            self.step(index);
            if self.prng.chance(1, 4) {
                let millis = self.prng.range(1, 3000);
                self.group.pass(Duration::from_millis(millis));
            }
            if self.prng.chance(1, 20) {
                self.check_offsets();
            }
        }
        // The faults are over: within a bound everybody works (T26).
        self.reload_chance = 0;
        for client in &mut self.clients {
            client.is_stalled = false;
        }
        for _ in 0..400 {
            for index in 0..self.clients.len() {
                self.step(index);
            }
            self.group.pass(Duration::from_millis(1000));
            let works = |client: &Client| matches!(client.phase, Phase::Working);
            if self.clients.iter().all(works) && self.group.state("g") == "Stable" {
                let mut owned: Vec<i32> = self
                    .clients
                    .iter()
                    .flat_map(|client| client.owned.clone())
                    .collect();
                owned.sort_unstable();
                let generation = self.clients[0].generation;
                let is_one = self.clients.iter().all(|c| c.generation == generation);
                if is_one {
                    assert_eq!(owned, (0..PARTITIONS).collect::<Vec<i32>>(), "seed {seed}");
                    self.check_offsets();
                    return;
                }
            }
        }
        panic!(
            "seed {seed}: {:?} in {}",
            self.clients,
            self.group.state("g")
        );
    }
}

fn beat(id: &str, generation: i32) -> GroupCommand {
    GroupCommand::Heartbeat(ottla_coordinator::group::Heartbeat {
        identity: crate::harness::identity("g", id, generation),
    })
}

#[test]
fn clients_share_their_work() {
    for seed in 0..60 {
        World::new(seed, 3, 0).run(seed);
    }
}

#[test]
fn clients_share_their_work_although_the_shard_is_reloaded_now_and_then() {
    for seed in 100..160 {
        World::new(seed, 3, 20).run(seed);
    }
}

/// Nothing but what is written survives any command: joins that wait are lost each time, so nobody
/// gets far; what was acknowledged must be there all the same.
#[test]
fn clients_share_their_work_after_a_time_of_reloads_between_any_two_commands() {
    for seed in 200..260 {
        World::new(seed, 4, 1).run(seed);
    }
}
