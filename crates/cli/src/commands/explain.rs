use std::collections::BTreeSet;
use std::io::BufRead;

use clap::Args;
use ottla_types::ErrorCode;
use serde_json::json;

use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::print_json;

/// Say what an error means and what to do about it.
#[derive(Debug, Args)]
pub struct Explain {
    /// A name or number of Kafka's (NOT_ENOUGH_REPLICAS, 19), words of a message, or - to look through
    /// stdin for whatever is known.
    #[arg(required = true, allow_negative_numbers = true)]
    what: Vec<String>,
}

/// What is seen where there is no error code.
struct Symptom {
    /// All of these occur in the message, in small letters.
    words: &'static [&'static str],
    name: &'static str,
    cause: &'static str,
    remedy: &'static str,
}

/// The numbers are the first four bytes of the other protocol, read as a size.
const SYMPTOMS: &[Symptom] = &[
    Symptom {
        words: &["1195725856"],
        name: "HTTP GET on the Kafka port",
        cause: "a browser, curl or a health check speaks HTTP to a Kafka listener",
        remedy: "use the HTTP port, or a TCP check",
    },
    Symptom {
        words: &["1347375956"],
        name: "HTTP POST on the Kafka port",
        cause: "something speaks HTTP to a Kafka listener",
        remedy: "use the HTTP port",
    },
    Symptom {
        words: &["1212498244"],
        name: "HTTP HEAD on the Kafka port",
        cause: "a health check speaks HTTP to a Kafka listener",
        remedy: "use the HTTP port, or a TCP check",
    },
    Symptom {
        words: &["3692956"],
        name: "TLS on a plaintext listener",
        cause: "the client encrypts (security.protocol=SSL or SASL_SSL), the listener does not",
        remedy: "set security.protocol=PLAINTEXT, or use a listener with TLS",
    },
    Symptom {
        words: &["352518912"],
        name: "a TLS alert read by a Kafka client",
        cause: "the listener wants TLS, the client speaks plaintext",
        remedy: "set security.protocol=SSL, or use a plaintext listener",
    },
    Symptom {
        words: &["1213486160"],
        name: "an HTTP answer read by a Kafka client",
        cause: "the address belongs to a web server or a proxy",
        remedy: "check bootstrap.servers: port 9092 is usual",
    },
    Symptom {
        words: &["1397966893"],
        name: "SSH on the Kafka port",
        cause: "the address belongs to an SSH server, or an SSH client called",
        remedy: "check the port",
    },
    Symptom {
        words: &["1095586128"],
        name: "AMQP on the Kafka port",
        cause: "an AMQP client called a Kafka listener",
        remedy: "check the port",
    },
    Symptom {
        words: &["707857674"],
        name: "Redis on the Kafka port",
        cause: "a Redis client called a Kafka listener",
        remedy: "check the port",
    },
    Symptom {
        words: &["not present in metadata"],
        name: "a topic that the client never hears of",
        cause: "the topic does not exist and is not created automatically, or the advertised address \
                cannot be reached from the client",
        remedy: "ottla topic list shows the topics; advertised.listeners must name an address that \
                 the client can reach",
    },
    Symptom {
        words: &["connection to node", "could not be established"],
        name: "a broker that tells clients to use an unreachable address",
        cause: "the client reaches the bootstrap server, but not the address the broker advertises",
        remedy: "set advertised.listeners to host:port as the client sees it, or to auto",
    },
    Symptom {
        words: &["max.poll.interval"],
        name: "a member that polled too rarely",
        cause: "the application worked longer on records than max.poll.interval.ms; its partitions \
                went to others",
        remedy: "take fewer records per poll (max.poll.records), work faster, or raise \
                 max.poll.interval.ms",
    },
];

/// What is printed about one thing.
struct Answer {
    name: String,
    number: Option<i16>,
    cause: Option<&'static str>,
    is_retriable: Option<bool>,
    remedy: Option<&'static str>,
}

impl From<ErrorCode> for Answer {
    fn from(code: ErrorCode) -> Answer {
        Answer {
            name: code.name().to_owned(),
            number: Some(code as i16),
            cause: None,
            is_retriable: Some(code.is_retriable()),
            remedy: ottla_client::hint(code),
        }
    }
}

impl From<&Symptom> for Answer {
    fn from(symptom: &Symptom) -> Answer {
        Answer {
            name: symptom.name.to_owned(),
            number: None,
            cause: Some(symptom.cause),
            is_retriable: None,
            remedy: Some(symptom.remedy),
        }
    }
}

pub fn run(explain: Explain, format: Format) -> Result<(), Failure> {
    let mut answers = Vec::new();
    let mut known = BTreeSet::new();
    let mut add = |found: Vec<Answer>| {
        let some = !found.is_empty();
        for answer in found {
            if known.insert(answer.name.clone()) {
                answers.push(answer);
            }
        }
        some
    };
    let mut unknown = Vec::new();
    for what in &explain.what {
        if what == "-" {
            for line in std::io::stdin().lock().lines() {
                add(in_text(&line?));
            }
        } else if !add(by_name(what).into_iter().collect()) && !add(in_text(what)) {
            unknown.push(what.clone());
        }
    }
    match format {
        Format::Json => {
            let rows: Vec<_> = answers
                .iter()
                .map(|answer| {
                    json!({
                        "name": answer.name,
                        "code": answer.number,
                        "cause": answer.cause,
                        "retriable": answer.is_retriable,
                        "hint": answer.remedy,
                    })
                })
                .collect();
            print_json("explain", json!({ "errors": rows }));
        }
        Format::Text | Format::Wide => answers.iter().for_each(print),
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "nothing is known of: {}",
        unknown.join(" ")
    )))
}

fn print(answer: &Answer) {
    match answer.number {
        Some(number) => outln!("{} ({number})", answer.name),
        None => outln!("{}", answer.name),
    }
    if let Some(cause) = answer.cause {
        outln!("  why   {cause}");
    }
    match answer.is_retriable {
        Some(true) => outln!("  retry clients try again by themselves; worry if it lasts"),
        Some(false) => outln!("  retry the same request will fail again"),
        None => {}
    }
    if let Some(remedy) = answer.remedy {
        outln!("  do    {remedy}");
    }
}

/// By number, or by name in Kafka's spelling or Java's (`NotEnoughReplicasException`).
fn by_name(text: &str) -> Option<Answer> {
    if let Ok(number) = text.parse::<i16>() {
        return ErrorCode::from_wire(number).map(Answer::from);
    }
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let wanted = plain(text);
    let wanted = wanted.strip_suffix("exception").unwrap_or(&wanted);
    let is_it = |code: &&ErrorCode| {
        let name = plain(code.name());
        name == wanted || name.strip_suffix("exception") == Some(wanted)
    };
    ErrorCode::ALL.iter().find(is_it).copied().map(Answer::from)
}

/// Everything that a message mentions.
fn in_text(text: &str) -> Vec<Answer> {
    let small = text.to_ascii_lowercase();
    let mut found: Vec<Answer> = SYMPTOMS
        .iter()
        .filter(|symptom| symptom.words.iter().all(|word| small.contains(word)))
        .map(Answer::from)
        .collect();
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_letter(c));
    // A single ordinary word such as "None" is not meant as a name.
    let words = words.filter(|word| word.contains('_') || word.ends_with("Exception"));
    found.extend(words.filter_map(by_name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(answers: &[Answer]) -> Vec<&str> {
        answers.iter().map(|answer| answer.name.as_str()).collect()
    }

    #[test]
    fn names_numbers_and_messages_are_recognised() {
        for text in [
            "19",
            "NOT_ENOUGH_REPLICAS",
            "not-enough-replicas",
            "NotEnoughReplicasException",
        ] {
            let answer = by_name(text).unwrap();
            assert_eq!((answer.number, answer.is_retriable), (Some(19), Some(true)));
            assert!(answer.remedy.is_some());
        }
        assert!(by_name("32000").is_none() && by_name("nonsense").is_none());
        let log = "ERROR org.apache.kafka.common.errors.UnknownMemberIdException: gone, then \
                   REBALANCE_IN_PROGRESS; Invalid receive (size = 369295616 larger than 104857600)";
        assert_eq!(
            names(&in_text(log)),
            [
                "TLS on a plaintext listener",
                "UNKNOWN_MEMBER_ID",
                "REBALANCE_IN_PROGRESS"
            ]
        );
        assert!(in_text("None of this is an error").is_empty());
    }

    #[test]
    fn what_people_see_most_has_a_remedy() {
        for seen in [
            "Invalid receive (size = 1195725856 larger than 104857600)",
            "Invalid receive (size = 1347375956 larger than 104857600)",
            "Invalid receive (size = 1212498244 larger than 104857600)",
            "Invalid receive (size = 369295616 larger than 104857600)",
            "Invalid receive (size = 369295621 larger than 104857600)",
            "Invalid receive (size = 352518912 larger than 104857600)",
            "Invalid receive (size = 1213486160 larger than 104857600)",
            "Invalid receive (size = 1095586128 larger than 104857600)",
            "Invalid receive (size = 1397966893 larger than 104857600)",
            "Invalid receive (size = 707857674 larger than 104857600)",
            "Topic orders not present in metadata after 60000 ms.",
            "Connection to node -1 (localhost/127.0.0.1:9092) could not be established.",
            "consumer poll timeout has expired: max.poll.interval.ms exceeded",
            "INVALID_REPLICATION_FACTOR",
            "NOT_ENOUGH_REPLICAS",
            "COORDINATOR_LOAD_IN_PROGRESS",
            "NOT_COORDINATOR",
            "REBALANCE_IN_PROGRESS",
            "UNKNOWN_MEMBER_ID",
            "OFFSET_OUT_OF_RANGE",
            "SASL_AUTHENTICATION_FAILED",
            "TOPIC_AUTHORIZATION_FAILED",
            "MESSAGE_TOO_LARGE",
            "OUT_OF_ORDER_SEQUENCE_NUMBER",
            "INVALID_PRODUCER_EPOCH",
            "PRODUCER_FENCED",
            "UNSUPPORTED_VERSION",
        ] {
            let answers = in_text(seen);
            assert!(answers.iter().any(|it| it.remedy.is_some()), "{seen}");
        }
    }
}
