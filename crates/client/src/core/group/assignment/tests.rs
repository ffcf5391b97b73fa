use super::*;
use crate::core::group::subscription::Subscription;
use ottla_types::Prng;

fn member(id: &str, topics: &[&str]) -> GroupMember {
    GroupMember {
        member_id: Arc::from(id),
        instance_id: None,
        subscription: Subscription {
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            ..Subscription::default()
        },
    }
}

fn counts(topics: &[(&str, u32)]) -> BTreeMap<Arc<str>, u32> {
    topics
        .iter()
        .map(|(topic, count)| (Arc::from(*topic), *count))
        .collect()
}

fn shown(assignment: &Assignment) -> String {
    let member = |(id, keys): (&Arc<str>, &BTreeSet<PartitionKey>)| {
        let keys: Vec<String> = keys.iter().map(PartitionKey::to_string).collect();
        format!("{id}: {}", keys.join(" "))
    };
    assignment.iter().map(member).collect::<Vec<_>>().join("; ")
}

#[test]
fn ranges_are_those_of_the_java_client() {
    // The example of RangeAssignor's documentation.
    let members = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
    let assignment = Assignor::Range.assign(&members, &counts(&[("t0", 3), ("t1", 3)]));
    assert_eq!(shown(&assignment), "C0: t0-0 t0-1 t1-0 t1-1; C1: t0-2 t1-2");
    // Static members come first, in the order of their own names.
    let mut members = [
        member("a", &["t"]),
        member("z", &["t"]),
        member("y", &["t"]),
    ];
    members[1].instance_id = Some(Arc::from("first"));
    members[2].instance_id = Some(Arc::from("second"));
    let assignment = Assignor::Range.assign(&members, &counts(&[("t", 4)]));
    assert_eq!(shown(&assignment), "a: t-3; y: t-2; z: t-0 t-1");
}

#[test]
fn round_robin_deals_like_the_java_client() {
    // The examples of RoundRobinAssignor's documentation.
    let members = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
    let assignment = Assignor::RoundRobin.assign(&members, &counts(&[("t0", 3), ("t1", 3)]));
    assert_eq!(shown(&assignment), "C0: t0-0 t0-2 t1-1; C1: t0-1 t1-0 t1-2");
    let members = [
        member("C0", &["t0"]),
        member("C1", &["t0", "t1"]),
        member("C2", &["t0", "t1", "t2"]),
    ];
    let topics = counts(&[("t0", 1), ("t1", 2), ("t2", 3)]);
    let assignment = Assignor::RoundRobin.assign(&members, &topics);
    assert_eq!(
        shown(&assignment),
        "C0: t0-0; C1: t1-0; C2: t1-1 t2-0 t2-1 t2-2"
    );
}

#[test]
fn sticky_moves_only_what_it_must() {
    // The example of StickyAssignor's documentation: C1 of three leaves.
    let topics = counts(&[("t0", 2), ("t1", 2), ("t2", 2), ("t3", 2)]);
    let names = ["t0", "t1", "t2", "t3"];
    let mut members: Vec<GroupMember> = ["C0", "C1", "C2"]
        .iter()
        .map(|id| member(id, &names))
        .collect();
    let before = Assignor::Sticky.assign(&members, &topics);
    for member in &mut members {
        member.subscription.owned = before[&member.member_id].clone();
        member.subscription.generation = Some(1);
    }
    members.remove(1);
    let after = Assignor::Sticky.assign(&members, &topics);
    for member in &members {
        assert!(after[&member.member_id].is_superset(&before[&member.member_id]));
        assert_eq!(after[&member.member_id].len(), 4);
    }
}

#[test]
fn a_cooperative_round_withholds_what_moves() {
    let topics = counts(&[("t", 4)]);
    let mut members = vec![member("a", &["t"]), member("b", &["t"])];
    members[0].subscription.owned = (0..4).map(|part| PartitionKey::new("t", part)).collect();
    members[0].subscription.generation = Some(1);
    let assignment = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(shown(&assignment), "a: t-0 t-1; b: ");
    // The owner has given them up: now they can go.
    members[0].subscription.owned = assignment[&members[0].member_id].clone();
    let assignment = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(shown(&assignment), "a: t-0 t-1; b: t-2 t-3");
}

#[test]
fn a_claim_of_a_later_generation_wins_and_equal_claims_cancel_out() {
    let topics = counts(&[("t", 2)]);
    let mut members = vec![member("a", &["t"]), member("b", &["t"])];
    let owns = |member: &mut GroupMember, partition, generation| {
        member.subscription.owned = [PartitionKey::new("t", partition)].into();
        member.subscription.generation = Some(generation);
    };
    owns(&mut members[0], 1, 3);
    owns(&mut members[1], 1, 4);
    let assignment = Assignor::Sticky.assign(&members, &topics);
    assert_eq!(shown(&assignment), "a: t-0; b: t-1");
    owns(&mut members[1], 1, 3);
    let assignment = Assignor::Sticky.assign(&members, &topics);
    assert_eq!(shown(&assignment), "a: t-0; b: t-1", "dealt anew");
}

/// Random groups through several rounds of members that come, go and change their minds.
#[test]
fn every_partition_has_one_owner_and_loads_are_even() {
    let mut prng = Prng::new(7);
    for seed in 0..400 {
        let assignor = *prng.pick(&Assignor::ALL);
        let names = ["t0", "t1", "t2", "t3"];
        let topics: BTreeMap<Arc<str>, u32> = names
            .iter()
            .map(|name| (Arc::from(*name), prng.below(9) as u32))
            .collect();
        let same = prng.chance(1, 2);
        let mut members: Vec<GroupMember> = Vec::new();
        for round in 0..6 {
            if members.is_empty() || prng.chance(1, 2) {
                let wanted: Vec<&str> = names
                    .iter()
                    .copied()
                    .filter(|_| same || prng.chance(2, 3))
                    .collect();
                members.push(member(&format!("m{round}"), &wanted));
            } else {
                let gone = prng.below(members.len() as u64) as usize;
                members.remove(gone);
            }
            settle(assignor, &mut members, &topics, round, seed);
        }
    }
}

/// Repeats a round as members do until nothing moves any more, and looks at the result.
fn settle(
    assignor: Assignor,
    members: &mut [GroupMember],
    topics: &BTreeMap<Arc<str>, u32>,
    round: i32,
    seed: u64,
) {
    let mut assignment = Assignment::new();
    for step in 0..3 {
        assignment = assignor.assign(members, topics);
        let mut owners: BTreeMap<&PartitionKey, usize> = BTreeMap::new();
        for key in assignment.values().flatten() {
            *owners.entry(key).or_default() += 1;
        }
        assert!(owners.values().all(|count| *count == 1), "seed {seed}");
        for member in members.iter_mut() {
            let given = &assignment[&member.member_id];
            let wanted = |key: &PartitionKey| member.subscription.topics.contains(&key.topic);
            assert!(given.iter().all(wanted), "seed {seed}");
            member.subscription.owned = given.clone();
            member.subscription.generation = Some(round * 3 + step);
        }
    }
    let given: BTreeSet<&PartitionKey> = assignment.values().flatten().collect();
    for (topic, count) in topics {
        let wanted = members
            .iter()
            .any(|m| m.subscription.topics.contains(topic));
        let expected = if wanted { *count as usize } else { 0 };
        let found = given.iter().filter(|key| key.topic == *topic).count();
        assert_eq!(found, expected, "seed {seed} {assignor:?} {topic}");
    }
    if matches!(assignor, Assignor::Sticky | Assignor::CooperativeSticky) {
        for (a, b) in members
            .iter()
            .flat_map(|a| members.iter().map(move |b| (a, b)))
        {
            let (rich, poor) = (&assignment[&a.member_id], &assignment[&b.member_id]);
            let movable = rich
                .iter()
                .any(|key| b.subscription.topics.contains(&key.topic));
            assert!(
                !movable || rich.len() <= poor.len() + 1,
                "seed {seed} {assignor:?}: {}",
                shown(&assignment)
            );
        }
    }
}

/// A thousand members and ten thousand partitions take no noticeable time.
#[test]
fn large_groups_are_assigned_evenly() {
    let topics = counts(&[("a", 5_000), ("b", 5_000)]);
    let mut members: Vec<GroupMember> = (0..1_000)
        .map(|number| member(&format!("m{number:04}"), &["a", "b"]))
        .collect();
    let assignment = Assignor::CooperativeSticky.assign(&members, &topics);
    assert!(assignment.values().all(|given| given.len() == 10));
    for member in &mut members {
        member.subscription.owned = assignment[&member.member_id].clone();
        member.subscription.generation = Some(1);
    }
    members.truncate(500);
    let assignment = Assignor::CooperativeSticky.assign(&members, &topics);
    assert!(assignment.values().all(|given| given.len() == 20));
}
