use super::*;
use ottla_types::Prng;

const ME: BrokerId = BrokerId::new(1);

fn broker(id: i32) -> BrokerId {
    BrokerId::new(id)
}

fn at(offset: i64) -> Offset {
    Offset::new(offset)
}

/// A leader of `replicas` with everything up to 10 appended and durable.
fn leader(replicas: &[i32], isr: &[i32], min_insync_replicas: usize) -> Leader {
    let ids = |ids: &[i32]| ids.iter().map(|id| broker(*id)).collect::<Vec<_>>();
    Leader::new(LeaderStart {
        me: ME,
        leader_epoch: LeaderEpoch::new(5),
        partition_epoch: 7,
        replicas: &ids(replicas),
        isr: &ids(isr),
        min_insync_replicas,
        log_start: at(0),
        high_watermark: at(0),
        appended_end: at(10),
        durable_end: at(10),
    })
}

#[test]
fn alone_the_mark_is_the_own_durable_end() {
    let mut leader = leader(&[1], &[1], 1);
    assert_eq!(leader.high_watermark(), at(10));
    assert!(leader.is_high_watermark_certain());
    leader.appended(at(15));
    assert_eq!(leader.high_watermark(), at(10));
    assert_eq!(leader.durable(at(12)), Some(at(12)));
    assert_eq!(leader.durable(at(12)), None);
    assert!(leader.is_committed(at(12)) && !leader.is_committed(at(13)));
    leader.check();
}

#[test]
fn min_insync_replicas_never_asks_for_more_than_there_are() {
    let leader = leader(&[1], &[1], 2);
    assert_eq!(leader.check_min_isr(), Ok(()));
    assert_eq!(leader.high_watermark(), at(10));
}

#[test]
fn the_mark_waits_for_the_slowest_durable_end_in_sync() {
    let mut leader = leader(&[1, 2, 3], &[1, 2], 1);
    assert_eq!(leader.high_watermark(), at(0));
    assert!(!leader.is_high_watermark_certain());
    leader
        .follower_fetched(broker(2), at(10), Mono::ZERO)
        .unwrap();
    assert_eq!(leader.high_watermark(), at(0), "appended is not durable");
    assert_eq!(leader.follower_durable(broker(2), at(8)), Ok(Some(at(8))));
    // Broker 3 is not in sync and does not count.
    assert_eq!(leader.follower_durable(broker(3), at(1)), Ok(None));
    assert_eq!(leader.follower_durable(broker(2), at(10)), Ok(Some(at(10))));
    assert_eq!(leader.followers()[0].caught_up_at, Some(Mono::ZERO));
}

#[test]
fn the_mark_stands_still_below_min_isr() {
    let mut leader = leader(&[1, 2, 3], &[1], 2);
    assert_eq!(
        leader.check_min_isr(),
        Err(NotEnoughReplicas {
            insync: 1,
            required: 2
        })
    );
    leader.appended(at(20));
    assert_eq!(leader.durable(at(20)), None);
    assert_eq!(leader.high_watermark(), at(0));
    assert_eq!(leader.min_insync_replicas_changed(1), Some(at(20)));
}

#[test]
fn a_join_in_flight_holds_the_mark_before_it_is_certain() {
    let mut leader = leader(&[1, 2], &[1], 1);
    leader.follower_durable(broker(2), at(10)).unwrap();
    leader.appended(at(20));
    leader.join_proposed(broker(2));
    assert_eq!(leader.durable(at(20)), None);
    let stale = IsrChange {
        isr: &[ME],
        partition_epoch: 7,
    };
    assert_eq!(leader.isr_changed(stale), None);
    assert_eq!(leader.join_dropped(broker(2)), Some(at(20)));
    leader.check();
}

#[test]
fn leaving_the_isr_frees_the_mark() {
    let mut leader = leader(&[1, 2], &[1, 2], 1);
    let change = IsrChange {
        isr: &[ME],
        partition_epoch: 8,
    };
    assert_eq!(leader.isr_changed(change), Some(at(10)));
    assert_eq!(leader.partition_epoch(), 8);
}

#[test]
fn epochs_are_compared_both_ways() {
    let leader = leader(&[1], &[1], 1);
    let current = LeaderEpoch::new(5);
    assert_eq!(leader.check_epoch(None), Ok(()));
    assert_eq!(leader.check_epoch(Some(current)), Ok(()));
    assert_eq!(
        leader.check_epoch(Some(LeaderEpoch::new(4))),
        Err(EpochError::Fenced { current })
    );
    assert_eq!(
        leader.check_epoch(Some(LeaderEpoch::new(6))),
        Err(EpochError::Unknown { current })
    );
}

#[test]
fn what_peers_say_is_checked_and_not_asserted() {
    let mut leader = leader(&[1, 2], &[1, 2], 1);
    assert_eq!(
        leader.follower_durable(broker(9), at(1)),
        Err(ReplicaError::NotAReplica { broker: broker(9) })
    );
    assert!(matches!(
        leader.follower_fetched(broker(2), at(11), Mono::ZERO),
        Err(ReplicaError::AheadOfLeader { .. })
    ));
}

/// Any order of appends, fsyncs, followers' reports and ISR changes keeps the invariants, and the
/// mark never passes what a member of the ISR has not fsynced.
#[test]
fn random_walks_keep_the_invariants() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let mut leader = leader(&[1, 2, 3], &[1, 2, 3], 1 + prng.below(3) as usize);
        let mut mark = leader.high_watermark();
        let mut durable = [0, 0];
        for step in 0..200 {
            let before = leader.high_watermark();
            match prng.below(6) {
                0 => leader.appended(leader.appended_end.plus(prng.below(5) as i64)),
                1 => {
                    leader.durable(leader.appended_end);
                }
                2 | 3 => {
                    let who = prng.below(2) as usize;
                    let end = prng.range(durable[who], leader.appended_end.get() as u64 + 1);
                    durable[who] = end;
                    let id = broker(who as i32 + 2);
                    leader.follower_durable(id, at(end as i64)).unwrap();
                }
                4 => {
                    let mut isr = vec![ME];
                    isr.extend([2, 3].map(broker).into_iter().filter(|_| prng.chance(1, 2)));
                    leader.isr_changed(IsrChange {
                        isr: &isr,
                        partition_epoch: 8 + step,
                    });
                }
                _ => leader.join_proposed(broker(2 + prng.below(2) as i32)),
            }
            leader.check();
            assert!(mark <= leader.high_watermark());
            mark = leader.high_watermark();
            if before < mark {
                for (who, end) in durable.iter().enumerate() {
                    let id = broker(who as i32 + 2);
                    assert!(!leader.isr().contains(&id) || mark <= at(*end as i64));
                }
            }
        }
    }
}
