//! What the tests share: brokers, rules for two configs, a quorum that does what the test says.

use ottla_metadata::quorum::{Applied, NotLeader, Quorum, QuorumEvent, QuorumStatus, Ticket};
use ottla_metadata::*;
use ottla_types::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub fn broker(id: i32) -> BrokerId {
    BrokerId::new(id)
}

pub fn directory(number: u8) -> DirectoryId {
    DirectoryId::new(Uuid::from_bytes([number; 16]))
}

pub fn registration(id: i32, incarnation: u8, directory_number: u8) -> RegisterBroker {
    RegisterBroker {
        broker: broker(id),
        cluster_id: None,
        incarnation: IncarnationId::new(Uuid::from_bytes([incarnation; 16])),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: "127.0.0.1".into(),
            port: 9092,
            security_protocol: SecurityProtocol::Plaintext,
        }],
        features: BTreeMap::from([("metadata.version".into(), FeatureRange { min: 7, max: 33 })]),
        rack: None,
        directories: vec![DirectoryReport {
            id: directory(directory_number),
            verdict: DirectoryVerdict::Clean,
        }],
        cordoned: Vec::new(),
        fencing: Fencing::Unfenced,
    }
}

/// The first batch of a cluster of `broker 1`.
pub fn bootstrap() -> Bootstrap {
    Bootstrap {
        cluster_id: "test-cluster".into(),
        features: BTreeMap::from([("metadata.version".into(), 33)]),
        registration: registration(1, 1, 1),
    }
}

/// The image of a cluster of these brokers, broker 1 first.
pub fn cluster(others: &[i32]) -> Image {
    let mut image = Image::empty().apply(1, &bootstrap().records().0).unwrap();
    for (index, id) in others.iter().enumerate() {
        let number = *id as u8;
        let command = Command::RegisterBroker(registration(*id, number, number));
        image = run(&image, 2 + index as u64, &command).unwrap().1;
    }
    image.check();
    image
}

/// Decides and applies.
pub fn run(
    image: &Image,
    index: u64,
    command: &Command,
) -> Result<(Reply, Image), ControllerError> {
    let decision = decide(command, image, &TestRules, &mut Prng::new(index))?;
    let next = image.apply(index, &decision.records).unwrap();
    next.check();
    Ok((decision.reply, next))
}

/// A topic as most tests create it.
pub fn new_topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.into(),
        partitions: 1,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

pub fn create(topics: Vec<NewTopic>) -> Command {
    Command::CreateTopics {
        topics,
        mode: Mode::Commit,
    }
}

/// Knows `retention.ms`, a number, and `cleanup.policy`, a list whose default is `delete`.
pub struct TestRules;

impl ConfigRules for TestRules {
    fn is_list(&self, _: &ConfigResource, name: &str) -> bool {
        name == "cleanup.policy"
    }

    fn effective_default(&self, _: &Image, _: &ConfigResource, name: &str) -> Option<String> {
        (name == "cleanup.policy").then(|| "delete".to_owned())
    }

    fn validate(
        &self,
        _: &Image,
        _: &ConfigResource,
        configs: &Configs,
        changed: &[&str],
    ) -> Result<(), ControllerError> {
        for name in changed {
            let invalid = |message| Err(ControllerError::InvalidConfig { message });
            match (*name, configs.get(*name)) {
                (_, None) | ("cleanup.policy", _) => {}
                ("retention.ms", Some(value)) if value.parse::<i64>().is_ok() => {}
                ("retention.ms", Some(value)) => {
                    return invalid(format!(
                        "Invalid value {value} for configuration retention.ms"
                    ));
                }
                _ => return invalid(format!("Unknown topic config name: {name}")),
            }
        }
        Ok(())
    }

    fn default_partitions(&self, _: &Image) -> i32 {
        3
    }

    fn default_replication_factor(&self, _: &Image) -> i16 {
        1
    }
}

/// Collects proposals; the test decides what becomes of them.
#[derive(Default)]
pub struct ScriptedQuorum {
    pub proposals: Mutex<Vec<(u64, Ticket, Vec<Record>)>>,
    pub refuses: Mutex<bool>,
}

impl Quorum for ScriptedQuorum {
    fn propose(&self, term: u64, batch: Vec<Record>) -> Result<Ticket, NotLeader> {
        if *self.refuses.lock().unwrap() {
            return Err(NotLeader);
        }
        let mut proposals = self.proposals.lock().unwrap();
        let ticket = Ticket::new(proposals.len() as u64 + 1);
        proposals.push((term, ticket, batch));
        Ok(ticket)
    }

    fn status(&self) -> QuorumStatus {
        QuorumStatus::default()
    }
}

impl ScriptedQuorum {
    /// The event that proposal number `place` was applied to `image` at `index`.
    pub fn applied(&self, place: usize, index: u64, image: &Image) -> QuorumEvent {
        let (term, ticket, records) = self.proposals.lock().unwrap()[place].clone();
        QuorumEvent::Applied(Applied {
            index,
            term,
            ticket: Some(ticket),
            image: Arc::new(image.apply(index, &records).unwrap()),
            records: records.into(),
        })
    }
}
