use super::journaled_answer::JournaledAnswer;
use crate::moving::Asked;
use crate::request::{Handled, Request};
use crate::waiting::{HeldPatience, JournalPlace};
use ottla_protocol::EncodeError;
use ottla_protocol::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use ottla_storage::log_dir::DirHealth;
use ottla_types::ErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a wish waits for the end of an earlier move. The request has no timeout of its own; clients wait longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Topics with their partitions, each with the directory it is to be in. What is named twice counts as it was named last.
type Wishes<'a> = BTreeMap<&'a str, BTreeMap<i32, &'a str>>;

/// Topics with their partitions, each with its error or with what has to be durable before it may be said.
type Answers<'a> = Vec<(&'a str, Vec<(i32, Result<Vec<JournalPlace>, ErrorCode>)>)>;

/// An earlier move has to come to its end first.
struct NotYet;

/// As Kafka's `ReplicaManager.alterReplicaLogDirs`: success says that the move has begun and goes on, also after a restart.
pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: AlterReplicaLogDirsRequest<'_> = request.decode()?;
    let mut wishes = Wishes::new();
    for directory in &message.dirs {
        for topic in &directory.topics {
            let partitions = wishes.entry(&topic.name).or_default();
            partitions.extend(
                topic
                    .partitions
                    .iter()
                    .map(|index| (*index, &*directory.path)),
            );
        }
    }
    let answers = match carry_out(&request, &wishes) {
        Ok(answers) => answers,
        Err(NotYet) => {
            let patience = HeldPatience {
                give_up: request.now.mono.plus(PATIENCE),
                is_awaited: true,
            };
            return Ok(request.keep(patience, None));
        }
    };
    let mut answer = JournaledAnswer::begin(&request, 2);
    let written = write(&mut answer, &request, answers);
    let deadline = request.now.mono.plus(PATIENCE);
    answer.finish(written, &request, deadline)
}

fn carry_out<'a>(request: &Request<'_>, wishes: &Wishes<'a>) -> Result<Answers<'a>, NotYet> {
    let mut answers = Answers::new();
    for (topic, partitions) in wishes {
        let mut results = Vec::with_capacity(partitions.len());
        for (index, path) in partitions {
            let result = match ask(request, topic, *index, path) {
                Asked::Done(places) => Ok(places),
                Asked::Refused(code) => Err(code),
                Asked::Later if request.is_out_of_patience() => Err(ErrorCode::ReplicaNotAvailable),
                Asked::Later => return Err(NotYet),
            };
            results.push((*index, result));
        }
        answers.push((*topic, results));
    }
    Ok(answers)
}

fn ask(request: &Request<'_>, topic: &str, index: i32, path: &str) -> Asked {
    let broker = request.broker;
    let mut failed = broker.failed_directories.iter();
    if failed.any(|directory| directory.path == path) {
        return Asked::Refused(ErrorCode::KafkaStorageError);
    }
    let mut directories = broker.directories.iter();
    let Some(directory) = directories.position(|directory| directory.path == path) else {
        return Asked::Refused(ErrorCode::LogDirNotFound);
    };
    if let DirHealth::Offline { .. } = broker.log_dirs[directory].health() {
        return Asked::Refused(ErrorCode::KafkaStorageError);
    }
    if broker.live_settings.load().cordoned_log_dirs.contains(path) {
        return Asked::Refused(ErrorCode::InvalidReplicaAssignment);
    }
    match request.view.by_name(topic, index) {
        Ok(local) => broker.ask_for_move(local, directory, request.now),
        // As Kafka says here, for tools that know no other word for it.
        Err(ErrorCode::NotLeaderOrFollower) => Asked::Refused(ErrorCode::ReplicaNotAvailable),
        Err(code) => Asked::Refused(code),
    }
}

fn write(
    answer: &mut JournaledAnswer,
    request: &Request<'_>,
    answers: Answers<'_>,
) -> Result<(), EncodeError> {
    answer.writer.i32(0); // No throttling.
    answer.length(answers.len())?;
    for (topic, partitions) in answers {
        answer.string(topic)?;
        answer.length(partitions.len())?;
        for (index, result) in partitions {
            answer.writer.i32(index);
            answer.error(request, result);
            answer.end_struct();
        }
        answer.end_struct();
    }
    answer.end_struct();
    Ok(())
}
