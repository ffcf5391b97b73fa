use ottla_broker::{
    Broker, CloseReason, Connection, ConnectionInfo, CoreId, Outcome, Response, Token,
};
use ottla_protocol::{ApiKey, EncodeError, Message, RequestHeader, Writer};
use ottla_types::Now;
use std::collections::VecDeque;

/// A client's connection, as the server keeps it: answers leave in the order of their requests.
pub(super) struct Link {
    connection: Connection,
    slots: VecDeque<Slot>,
    /// Frames that wait because a request before them blocks the connection.
    unread: VecDeque<Frame>,
    blocked_by: Option<Token>,
}

/// A request on its way.
pub(super) struct Frame {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) bytes: Vec<u8>,
}

/// A request whose answer has not left.
struct Slot {
    key: ApiKey,
    version: i16,
    correlation: i32,
    answer: Answer,
}

enum Answer {
    Waits(Token),
    Ready(Response),
}

/// An answer that may leave.
pub(super) struct Ready {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) response: Response,
}

impl Link {
    pub(super) fn open(broker: &Broker, core: CoreId) -> Link {
        Link {
            connection: broker.connect(ConnectionInfo {
                core,
                listener: "PLAINTEXT".to_owned(),
                peer: "127.0.0.1:50000".parse().expect("an address"),
                local: "127.0.0.1:9092".parse().expect("an address"),
            }),
            slots: VecDeque::new(),
            unread: VecDeque::new(),
            blocked_by: None,
        }
    }

    /// Requests that have no answer yet.
    pub(super) fn unanswered(&self) -> usize {
        self.slots.len() + self.unread.len()
    }

    pub(super) fn close(self, broker: &Broker) {
        broker.disconnect(self.connection);
    }

    /// Takes in a frame; it is carried out at once unless the connection is blocked.
    pub(super) fn send(
        &mut self,
        broker: &Broker,
        frame: Frame,
        now: Now,
    ) -> Result<(), CloseReason> {
        self.unread.push_back(frame);
        self.turn(broker, now)
    }

    /// Carries out what may be carried out.
    pub(super) fn turn(&mut self, broker: &Broker, now: Now) -> Result<(), CloseReason> {
        while self.blocked_by.is_none() {
            let Some(frame) = self.unread.pop_front() else {
                break;
            };
            let answer = match broker.handle(&mut self.connection, &frame.bytes, now) {
                Outcome::Reply(response) => Answer::Ready(response),
                Outcome::NoReply => continue,
                Outcome::Parked {
                    token,
                    blocks_connection,
                } => {
                    if blocks_connection {
                        self.blocked_by = Some(token);
                    }
                    Answer::Waits(token)
                }
                Outcome::Close(reason) => return Err(reason),
            };
            self.slots.push_back(Slot {
                key: frame.key,
                version: frame.version,
                correlation: frame.correlation,
                answer,
            });
        }
        Ok(())
    }

    /// An answer came out of the completions. `None` when it is not for this link.
    pub(super) fn complete(&mut self, token: Token, outcome: Outcome) -> Result<(), CloseReason> {
        if self.blocked_by == Some(token) {
            self.blocked_by = None;
        }
        let waits = |slot: &Slot| matches!(slot.answer, Answer::Waits(waits) if waits == token);
        let index = self.slots.iter().position(waits);
        let index = index.expect("a token is answered once, to whom it was given");
        match outcome {
            Outcome::Reply(response) => self.slots[index].answer = Answer::Ready(response),
            Outcome::NoReply => drop(self.slots.remove(index)),
            Outcome::Parked { token, .. } => self.slots[index].answer = Answer::Waits(token),
            Outcome::Close(reason) => return Err(reason),
        }
        Ok(())
    }

    pub(super) fn waits_for(&self, token: Token) -> bool {
        let waits = |slot: &Slot| matches!(slot.answer, Answer::Waits(waits) if waits == token);
        self.slots.iter().any(waits)
    }

    /// The next answer, if it is its turn.
    pub(super) fn take(&mut self) -> Option<Ready> {
        let front = self.slots.front()?;
        if matches!(front.answer, Answer::Waits(_)) {
            return None;
        }
        let slot = self.slots.pop_front()?;
        match slot.answer {
            Answer::Ready(response) => Some(Ready {
                key: slot.key,
                version: slot.version,
                correlation: slot.correlation,
                response,
            }),
            Answer::Waits(_) => None,
        }
    }
}

impl Frame {
    pub(super) fn new<'m, Q: Message<'m>>(
        key: ApiKey,
        version: i16,
        correlation: i32,
        request: &Q,
    ) -> Frame {
        Frame::of_body(key, version, correlation, |writer| {
            request.encode(writer, version)
        })
    }

    /// Likewise; `encode` writes the body.
    pub(super) fn of_body(
        key: ApiKey,
        version: i16,
        correlation: i32,
        encode: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Frame {
        let header = RequestHeader {
            api_key: key as i16,
            api_version: version,
            correlation_id: correlation,
            client_id: Some("sim"),
        };
        let mut writer = Writer::new();
        header
            .encode(&mut writer)
            .expect("the header is well formed");
        encode(&mut writer).expect("the request is well formed");
        Frame {
            key,
            version,
            correlation,
            bytes: writer.into_buf(),
        }
    }
}
