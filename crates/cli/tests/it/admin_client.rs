use std::collections::BTreeMap;

use ottla_client::{
    Admin, ApiError, Client, ClientError, ClientOptions, Elected, Election, FeatureChange,
    PartitionKey,
};

use crate::broker::Broker;

/// Runs `work` with the library's admin client, connected to `broker`.
fn administer(broker: &Broker, work: impl AsyncFnOnce(Admin)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::connect(&broker.bootstrap, ClientOptions::default()).await;
        work(client.unwrap().admin()).await;
    });
}

#[test]
fn leaders_are_elected() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "t", "-p", "2"]);
    administer(&broker, async |admin| {
        let key = |topic: &str, partition| PartitionKey::new(topic, partition);
        let asked = [key("t", 1), key("t", 0), key("t", 7), key("absent", 0)];
        for election in [Election::Preferred, Election::Unclean] {
            let done = admin.elect_leaders(election, Some(&asked)).await.unwrap();
            assert_eq!(done.len(), 4, "{done:?}");
            for led in [key("t", 0), key("t", 1)] {
                assert_eq!(done[&led], Ok(Elected::Before));
            }
            for unknown in [key("t", 7), key("absent", 0)] {
                let error = done[&unknown].as_ref().unwrap_err();
                assert_eq!(error.code.to_string(), "UNKNOWN_TOPIC_OR_PARTITION");
            }
            // Nobody else wants a leader.
            let all = admin.elect_leaders(election, None).await.unwrap();
            assert_eq!(all, BTreeMap::new());
        }
    });
}

/// What became of one change of `metadata.version`.
async fn update(
    admin: &Admin,
    change: FeatureChange,
    validate_only: bool,
) -> Result<Result<(), ApiError>, ClientError> {
    let name = "metadata.version".to_owned();
    let changes = BTreeMap::from([(name.clone(), change)]);
    let mut done = admin.update_features(&changes, validate_only).await?;
    Ok(done.remove(&name).expect("every feature has a result"))
}

#[test]
fn features_change_only_to_levels_there_are() {
    let broker = Broker::dev();
    let level = || {
        let features = broker.command(&["cluster", "features"]);
        let line = features
            .lines()
            .find(|it| it.starts_with("metadata.version"));
        line.expect("it is there").to_owned()
    };
    let before = level();
    administer(&broker, async |admin| {
        for validate_only in [true, false] {
            let same = FeatureChange::Upgrade(33);
            assert_eq!(update(&admin, same, validate_only).await.unwrap(), Ok(()));
            for (change, why) in [
                (FeatureChange::Upgrade(99), "only supports versions 7-33"),
                (FeatureChange::Upgrade(7), "Can't downgrade"),
                (FeatureChange::SafeDowngrade(7), "Refusing to perform"),
            ] {
                let refused = match update(&admin, change, validate_only).await {
                    Ok(done) => done.unwrap_err().to_string(),
                    Err(error) => error.to_string(),
                };
                assert!(refused.contains(why), "{refused}");
            }
        }
        let unknown = BTreeMap::from([("no.such".to_owned(), FeatureChange::Upgrade(1))]);
        let refused = match admin.update_features(&unknown, false).await {
            Ok(done) => done["no.such"].as_ref().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(
            refused.contains("does not support this feature"),
            "{refused}"
        );
    });
    assert_eq!(level(), before);
}
