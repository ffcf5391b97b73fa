use super::Decision;
use crate::command::{DeletedTopic, Reply, TopicSelector};
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::record::Record;
use ottla_types::TopicId;
use std::collections::BTreeMap;

/// Removes topics. A topic that is named twice, in whatever way, is refused wherever it is named.
pub(super) fn delete_topics(topics: &[TopicSelector], image: &Image) -> Decision {
    let mut selectors = BTreeMap::<&TopicSelector, usize>::new();
    let mut ids = BTreeMap::<TopicId, usize>::new();
    for topic in topics {
        *selectors.entry(topic).or_default() += 1;
        if let Ok(id) = id_of(topic, image) {
            *ids.entry(id).or_default() += 1;
        }
    }

    let mut records = Vec::new();
    let results = topics
        .iter()
        .map(|topic| {
            if 1 < selectors[topic] {
                return Err(match topic {
                    TopicSelector::Name(_) => ControllerError::DuplicateTopicName,
                    TopicSelector::Id(_) => ControllerError::DuplicateTopicId,
                });
            }
            let id = id_of(topic, image)?;
            let found = image.topic(id).expect("the id is from this image");
            if 1 < ids[&id] {
                let name = found.name.to_string();
                return Err(ControllerError::TopicNamedByNameAndId { name, id });
            }
            records.push(Record::RemoveTopic { id });
            Ok(DeletedTopic {
                name: found.name.to_string(),
                id,
            })
        })
        .collect();
    Decision {
        records,
        reply: Reply::TopicsDeleted(results),
    }
}

fn id_of(topic: &TopicSelector, image: &Image) -> Result<TopicId, ControllerError> {
    match topic {
        TopicSelector::Name(name) => image
            .topic_id(name)
            .ok_or(ControllerError::UnknownTopicName),
        TopicSelector::Id(id) => match image.topic(*id) {
            Some(_) => Ok(*id),
            None => Err(ControllerError::UnknownTopicId { id: *id }),
        },
    }
}
