use crate::moving::Asked;
use crate::request::{Handled, Request};
use crate::waiting::{FailedReply, HeldPatience, JournalPlace, ParkedReply};
use ottla_protocol::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use ottla_protocol::{EncodeError, Writer};
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
    let reply_to = request.reply_to();
    let (writer, start) = reply_to.begin();
    let mut answer = Answer {
        writer,
        is_flexible: 2 <= request.version(),
        error_positions: Vec::new(),
        places: Vec::new(),
    };
    answer
        .write(&request, answers)
        .and_then(|()| answer.writer.finish_frame(start))
        .map_err(|error| reply_to.cannot_encode(error))?;
    let reply = ParkedReply {
        frame: answer.writer.into_buf(),
        failure: FailedReply::ErrorsAt(answer.error_positions),
        places: answer.places,
        deadline: Some(request.now.mono.plus(PATIENCE)),
    };
    let core = request.connection.core;
    let token = request.held.as_ref().map(|held| held.token);
    Ok(request.broker.reply_or_park(core, reply, token))
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

/// The answer while it is written, so that the places of its errors are known.
struct Answer {
    writer: Writer,
    is_flexible: bool,
    error_positions: Vec<usize>,
    places: Vec<JournalPlace>,
}

impl Answer {
    fn write(&mut self, request: &Request<'_>, answers: Answers<'_>) -> Result<(), EncodeError> {
        self.writer.i32(0); // No throttling.
        self.writer.length(self.is_flexible, answers.len())?;
        for (topic, partitions) in answers {
            self.writer.string(self.is_flexible, topic)?;
            self.writer.length(self.is_flexible, partitions.len())?;
            for (index, result) in partitions {
                self.writer.i32(index);
                let code = match result {
                    Ok(places) => {
                        self.error_positions.push(self.writer.buf().len());
                        self.places.extend(places);
                        ErrorCode::None
                    }
                    Err(code) => code,
                };
                request.broker.metrics.error(code);
                self.writer.i16(code.code());
                self.end_struct();
            }
            self.end_struct();
        }
        self.end_struct();
        Ok(())
    }

    fn end_struct(&mut self) {
        if self.is_flexible {
            self.writer.no_tagged_fields();
        }
    }
}
