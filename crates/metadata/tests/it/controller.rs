use crate::fixtures::*;
use ottla_metadata::quorum::{Applied, QuorumEvent, Ticket};
use ottla_metadata::*;
use std::sync::Arc;

/// A controller that leads in term 3 on a cluster of one broker.
fn leading() -> (Controller, Arc<ScriptedQuorum>, Arc<Image>) {
    let quorum = Arc::new(ScriptedQuorum::default());
    let mut controller = Controller::new(quorum.clone(), Arc::new(TestRules), 7);
    let image = Arc::new(cluster(&[]));
    let early = controller.submit(&create(vec![new_topic("early")]));
    let refused = Submission::Answered(Err(ControllerError::NotController));
    assert_eq!(early, refused);
    let replaced = QuorumEvent::ImageReplaced {
        image: image.clone(),
    };
    assert_eq!(controller.on_event(&replaced).image, Some(image.clone()));
    controller.on_event(&QuorumEvent::Leading { term: 3 });
    (controller, quorum, image)
}

fn waiting(submission: Submission) -> RequestId {
    match submission {
        Submission::Waiting(id) => id,
        other => panic!("{other:?}"),
    }
}

fn error_of(answer: &Result<Reply, ControllerError>) -> Option<String> {
    match answer {
        Ok(Reply::TopicsCreated(results)) => {
            results[0].as_ref().err().map(|error| error.to_string())
        }
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn a_reply_waits_until_its_entry_is_applied() {
    let (mut controller, quorum, image) = leading();
    let id = waiting(controller.submit(&create(vec![new_topic("t")])));
    assert_eq!(controller.image().topic_id("t"), None);
    let progress = controller.on_event(&quorum.applied(0, 5, &image));
    assert_eq!(progress.answers.len(), 1);
    assert_eq!(progress.answers[0].0, id);
    assert_eq!(error_of(&progress.answers[0].1), None);
    let published = progress.image.unwrap();
    let topic = published.topic_id("t").unwrap();
    assert!(progress.changes.unwrap().topics.contains(&topic));
    assert!(Arc::ptr_eq(&published, controller.image()));
}

#[test]
fn a_command_sees_what_is_not_applied_yet_and_its_refusal_waits_for_it() {
    let (mut controller, quorum, image) = leading();
    let first = waiting(controller.submit(&create(vec![new_topic("t")])));
    let second = waiting(controller.submit(&create(vec![new_topic("t")])));
    assert_eq!(quorum.proposals.lock().unwrap().len(), 1);
    let progress = controller.on_event(&quorum.applied(0, 5, &image));
    let ids: Vec<_> = progress.answers.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [first, second]);
    let refusal = error_of(&progress.answers[1].1).unwrap();
    assert_eq!(refusal, "Topic 't' already exists.");
    // With nothing in flight a refusal needs no waiting.
    let third = controller.submit(&create(vec![new_topic("t")]));
    let Submission::Answered(answer) = third else {
        panic!("{third:?}")
    };
    assert_eq!(error_of(&answer).unwrap(), refusal);
}

#[test]
fn what_is_lost_was_never_there() {
    for lost in [
        QuorumEvent::Lost {
            ticket: Ticket::new(1),
        },
        QuorumEvent::Unknown {
            ticket: Ticket::new(1),
        },
        QuorumEvent::Following { leader: None },
    ] {
        let (mut controller, quorum, image) = leading();
        waiting(controller.submit(&create(vec![new_topic("t")])));
        waiting(controller.submit(&create(vec![new_topic("u")])));
        let progress = controller.on_event(&lost);
        assert_eq!(progress.answers.len(), 2);
        for (_, answer) in progress.answers {
            assert_eq!(answer, Err(ControllerError::NotController));
        }
        assert_eq!(controller.term(), None);
        controller.on_event(&QuorumEvent::Leading { term: 4 });
        waiting(controller.submit(&create(vec![new_topic("t")])));
        let progress = controller.on_event(&quorum.applied(2, 9, &image));
        assert_eq!(error_of(&progress.answers[0].1), None);
    }
}

#[test]
fn several_in_flight_are_answered_one_by_one() {
    let (mut controller, quorum, image) = leading();
    let ids: Vec<_> = ["a", "b", "c"]
        .map(|name| waiting(controller.submit(&create(vec![new_topic(name)]))))
        .into();
    let mut image = image;
    for (place, id) in ids.into_iter().enumerate() {
        // An entry without records may come in between, and indexes may be skipped.
        let index = 10 + 2 * place as u64;
        let blank = Applied {
            index,
            term: 3,
            ticket: None,
            records: [].into(),
            image: Arc::new(image.apply(index, &[]).unwrap()),
        };
        assert!(
            controller
                .on_event(&QuorumEvent::Applied(blank))
                .answers
                .is_empty()
        );
        let progress = controller.on_event(&quorum.applied(place, index + 1, &image));
        assert_eq!(progress.answers[0].0, id);
        image = progress.image.unwrap();
    }
    assert_eq!(controller.image().topics_count(), 3);
}

#[test]
fn a_quorum_that_refuses_is_heard() {
    let (mut controller, quorum, _) = leading();
    *quorum.refuses.lock().unwrap() = true;
    let refused = controller.submit(&create(vec![new_topic("t")]));
    assert_eq!(
        refused,
        Submission::Answered(Err(ControllerError::NotController))
    );
    *quorum.refuses.lock().unwrap() = false;
    waiting(controller.submit(&create(vec![new_topic("t")])));
}

#[test]
fn a_quorum_that_failed_for_good_is_told_as_such() {
    let (mut controller, _quorum, _image) = leading();
    assert_eq!(controller.failure(), None);
    let id = waiting(controller.submit(&create(vec![new_topic("t")])));
    // As a quorum ends: what was in flight is unknown, then it fails.
    let failed = QuorumEvent::Failed {
        reason: "Input/output error".to_owned(),
    };
    let progress = controller.on_event(&failed);
    let expected = ControllerError::MetadataFailed {
        reason: "Input/output error".into(),
    };
    assert_eq!(progress.answers, [(id, Err(expected.clone()))]);
    let later = controller.submit(&create(vec![new_topic("later")]));
    assert_eq!(later, Submission::Answered(Err(expected.clone())));
    assert!(!expected.code().is_retriable(), "asking again is of no use");
    let text = expected.to_string();
    assert!(
        text.contains("Input/output error") && text.contains("restarted"),
        "{text}"
    );
}
