use super::OFFSETS_TOPIC;
use super::question::{Finish, Question};
use super::shard::{Asker, GroupShard};
use crate::broker::Broker;
use crate::request::{Handled, Request};
use crate::response::{CoreId, Outcome};
use crate::view::View;
use crate::waiting::Parked;
use ottla_coordinator::group::{GroupCommand, GroupId};
use ottla_coordinator::{Refusal, partition_for};
use ottla_types::{Now, PartitionId};
use std::sync::Arc;

impl Request<'_> {
    /// Asks the shards of the groups that `commands` are about; `finish` makes the answer of what
    /// they say, in the same order.
    pub(crate) fn ask_groups(&self, commands: Vec<GroupCommand>, finish: Finish) -> Handled {
        let parts = commands.into_iter().map(|command| {
            let group = command
                .group()
                .expect("only commands about one group come here");
            let shard = self.broker.shard_of(&self.view, group);
            (shard, command)
        });
        let parts = parts.collect();
        self.ask(parts, finish)
    }

    /// Asks every shard that is here.
    pub(crate) fn ask_all_groups(&self, command: &GroupCommand, finish: Finish) -> Handled {
        let shards = self.broker.groups.all().into_iter();
        let parts = shards.map(|shard| (Ok(shard), command.clone()));
        let parts = parts.collect();
        self.ask(parts, finish)
    }

    fn ask(
        &self,
        parts: Vec<(Result<Arc<GroupShard>, Refusal>, GroupCommand)>,
        finish: Finish,
    ) -> Handled {
        let (broker, core) = (self.broker, self.connection.core);
        let token = broker.reserve(core);
        let question = Arc::new(Question::new(token, parts.len(), finish));
        for (index, (shard, command)) in parts.into_iter().enumerate() {
            match shard {
                Err(refusal) => question.answer(broker, index, Err(refusal)),
                Ok(shard) => {
                    let asker = Asker {
                        question: Arc::clone(&question),
                        index,
                    };
                    shard.ask(broker, core, command, Some(asker), self.now);
                }
            }
        }
        let handled = question.finish_or_park(broker)?;
        if let Outcome::Parked { .. } = handled {
            // An answer that came already is a note, which only this thread reads.
            broker.park_for_note(question.token(), Parked::Promised { deadline: None });
        }
        Ok(handled)
    }
}

impl Broker {
    /// The shard that knows `group`.
    fn shard_of(&self, view: &View, group: &GroupId) -> Result<Arc<GroupShard>, Refusal> {
        let topic = view.image.topic_by_name(OFFSETS_TOPIC);
        let topic = topic.ok_or(Refusal::NotCoordinator)?;
        let count = topic.partitions.len() as i32;
        let partition = PartitionId::new(partition_for(group.as_str(), count));
        self.groups.get(partition).ok_or(Refusal::NotCoordinator)
    }

    /// Looks at the shards of the core that are due.
    pub(crate) fn tick_groups(&self, core: CoreId, now: Now) {
        let mut due = Vec::new();
        {
            let mut timers = self.groups.timers[core.index()].lock();
            while let Some(number) = timers.pop_due(now.mono) {
                due.push(PartitionId::new(number as i32));
            }
        }
        for partition in due {
            if let Some(shard) = self.groups.get(partition) {
                shard.tick(self, now);
            }
        }
    }
}
