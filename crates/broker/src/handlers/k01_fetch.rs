use super::leader_hints::LeaderHints;
use crate::broker::{BlockingWork, Broker};
use crate::connection::NamedTopic;
use crate::counter::add;
use crate::error_map;
use crate::fetch::{
    ColdRead, Coverage, Evaluation, FetchItem, FetchLimits, FetchPosition, FetchReply,
    FetchSession, FetchSet, FetchSetState, Look, Looked, ParkedFetch, SessionUse, TopicKey,
    find_target, look,
};
use crate::request::{Handled, ReplyTo, Request};
use crate::response::{Outcome, Response, ResponsePart, Token};
use crate::view::View;
use crate::waiting::Parked;
use ottla_protocol::messages::fetch_request::{FetchRequest, FetchTopic};
use ottla_protocol::messages::fetch_response::{
    EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use ottla_protocol::{ApiKey, Message, Records};
use ottla_types::{ErrorCode, LeaderEpoch, Mono, Now, Offset, TopicId, Uuid};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Session epoch of a request that wants a session.
const EPOCH_INITIAL: i32 = 0;
/// Session epoch of a request that wants none.
const EPOCH_FINAL: i32 = -1;
/// How long an answer that would be empty waits for a cold read, also when its client allows no time: Kafka reads
/// before it answers.
const COLD_READ_PATIENCE: Duration = Duration::from_secs(5);
/// The first version with topic ids.
const FIRST_WITH_TOPIC_IDS: i16 = 13;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: FetchRequest<'_> = request.decode()?;
    for topic in &message.topics {
        let named = match FIRST_WITH_TOPIC_IDS <= request.version() {
            true => NamedTopic::ById(TopicId::new(topic.topic_id)),
            false => NamedTopic::ByName(&topic.topic),
        };
        request.connection.uses(named, &request.view.image);
    }
    let fetch = match read_request(&request, &message) {
        Ok(fetch) => fetch,
        Err(code) => return refuse(&request, code),
    };
    let token = request.broker.reserve(request.connection.core);
    match request.broker.resume_fetch(fetch, token, request.now) {
        Ok(handled) => handled,
        Err(fetch) => {
            let deadline = fetch.deadline;
            request
                .broker
                .park_as(token, Parked::Fetch(fetch), deadline);
            Ok(Outcome::Parked {
                token,
                blocks_connection: false,
            })
        }
    }
}

/// An answer about the session and not about partitions.
fn refuse(request: &Request<'_>, code: ErrorCode) -> Handled {
    request.broker.metrics.error(code);
    request.reply(&FetchResponse {
        error_code: code.code(),
        ..FetchResponse::default()
    })
}

/// Finds or makes the set of partitions that the request is about.
fn read_request(
    request: &Request<'_>,
    message: &FetchRequest<'_>,
) -> Result<ParkedFetch, ErrorCode> {
    let broker = request.broker;
    let version = request.version();
    let uses_topic_ids = FIRST_WITH_TOPIC_IDS <= version;
    let is_full = matches!(message.session_epoch, EPOCH_INITIAL | EPOCH_FINAL);
    let (set, session) = if is_full || version < 7 {
        if message.session_id != 0 {
            broker.end_session(message.session_id);
        }
        let set = FetchSet::new();
        upsert_all(&mut set.state.lock(), &message.topics, uses_topic_ids);
        let wants_session = 7 <= version && message.session_epoch == EPOCH_INITIAL;
        let session = match wants_session {
            true => SessionUse::Wanted,
            false => SessionUse::None,
        };
        (set, session)
    } else {
        let (id, epoch) = (message.session_id, message.session_epoch);
        let session = broker
            .sessions
            .use_session(id, epoch, uses_topic_ids, request.now.mono)?;
        update_session(broker, &session, message, uses_topic_ids).map_or_else(
            // An empty session is given up.
            || (FetchSet::new(), SessionUse::None),
            |set| (set, SessionUse::Of(session, epoch)),
        )
    };
    let coverage = match session {
        SessionUse::Of(..) => Coverage::Incremental,
        SessionUse::None | SessionUse::Wanted => Coverage::Full,
    };
    let requested_bytes = usize::try_from(message.max_bytes).unwrap_or(0);
    let wait = Duration::from_millis(u64::try_from(message.max_wait_ms).unwrap_or(0));
    let data_deadline = request.now.mono.plus(wait);
    Ok(ParkedFetch {
        set,
        limits: FetchLimits {
            bytes_max: requested_bytes.min(broker.config.requests.fetch_bytes_max),
            bytes_min: usize::try_from(message.min_bytes).unwrap_or(0),
            coverage,
        },
        session,
        data_deadline,
        read_deadline: data_deadline.max(request.now.mono.plus(COLD_READ_PATIENCE)),
        deadline: data_deadline,
        reply: FetchReply {
            version,
            correlation_id: request.header.correlation_id,
            is_read_committed: message.isolation_level == 1,
            reached: request.connection.reached.clone(),
        },
    })
}

/// Brings a session up to date; `None` when it has no partitions any more.
fn update_session(
    broker: &Broker,
    session: &FetchSession,
    message: &FetchRequest<'_>,
    uses_topic_ids: bool,
) -> Option<Arc<FetchSet>> {
    let forgotten = message.forgotten_topics_data.iter().flat_map(|topic| {
        let key = topic_key(&topic.topic, topic.topic_id, uses_topic_ids);
        let partitions = topic.partitions.iter();
        partitions.map(move |partition| (key.clone(), *partition))
    });
    let (size, superseded) = {
        let mut state = session.set.state.lock();
        // What is named in both is forgotten, as by Kafka.
        upsert_all(&mut state, &message.topics, uses_topic_ids);
        for item in state.remove(forgotten) {
            unwatch(&session.set, &item);
        }
        (state.len(), state.take_parked())
    };
    // An earlier request of the session that still waits is nobody's any more: it is answered at once.
    broker.note_moved(superseded.as_slice());
    if size == 0 {
        broker.end_session(session.id);
        return None;
    }
    broker.sessions.set_size(session.id, size);
    Some(Arc::clone(&session.set))
}

fn upsert_all(state: &mut FetchSetState, topics: &[FetchTopic<'_>], uses_topic_ids: bool) {
    for topic in topics {
        let key = topic_key(&topic.topic, topic.topic_id, uses_topic_ids);
        for partition in &topic.partitions {
            let position = FetchPosition {
                fetch_offset: partition.fetch_offset,
                bytes_max: partition.partition_max_bytes,
                current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch),
            };
            state.upsert(key.clone(), partition.partition, position);
        }
    }
}

fn topic_key(name: &str, id: Uuid, uses_topic_ids: bool) -> TopicKey {
    match uses_topic_ids {
        true => TopicKey::Id(TopicId::new(id)),
        false => TopicKey::Name(Arc::from(name)),
    }
}

fn unwatch(set: &Arc<FetchSet>, item: &FetchItem) {
    if item.watching
        && let Some(target) = &item.target
    {
        target.unwatch(set);
    }
}

impl Broker {
    /// Ends a session and its watches.
    fn end_session(&self, id: i32) {
        if let Some(session) = self.sessions.remove(id) {
            end_watches(&session.set);
        }
    }

    /// Answers a fetch if it can be answered before its deadline; otherwise makes `token` hear of
    /// what moves, and gives the fetch back.
    pub(crate) fn resume_fetch(
        &self,
        mut fetch: ParkedFetch,
        token: Token,
        now: Now,
    ) -> Result<Handled, Box<ParkedFetch>> {
        let view = self.view.load_full();
        let set = Arc::clone(&fetch.set);
        let mut state = set.state.lock();
        let (mut evaluation, mut cold) = evaluate(&mut state, &set, self.limits_now(&fetch), &view);
        if self.waits_until(&fetch, &state, &evaluation, &cold, now) != now.mono {
            if !state.is_subscribed() {
                // Parking: register, then look again.
                subscribe(&mut state, &set);
                (evaluation, cold) = evaluate(&mut state, &set, self.limits_now(&fetch), &view);
            }
            let deadline = self.waits_until(&fetch, &state, &evaluation, &cold, now);
            if deadline != now.mono {
                fetch.deadline = deadline;
                state.park(token);
                drop(state);
                self.read_ahead(cold, Some(token));
                return Err(Box::new(fetch));
            }
        }
        let handled = self.answer_fetch(&fetch, token, state, evaluation, &view, now);
        // Nobody waits for these, but the next request finds them read.
        self.read_ahead(cold, None);
        Ok(handled)
    }

    /// Until when the fetch waits if nothing moves; `now` when it is to be answered.
    fn waits_until(
        &self,
        fetch: &ParkedFetch,
        state: &FetchSetState,
        evaluation: &Evaluation,
        cold: &[ColdRead],
        now: Now,
    ) -> Mono {
        let is_superseded = match &fetch.session {
            SessionUse::Of(session, epoch) => !self.sessions.is_current(session.id, *epoch),
            SessionUse::Wanted | SessionUse::None => false,
        };
        if is_superseded || state.len() == 0 || self.is_draining() {
            return now.mono;
        }
        if !cold.is_empty() && !evaluation.has_records() {
            return fetch.read_deadline.max(now.mono);
        }
        match evaluation.is_enough {
            true => now.mono,
            false => fetch.data_deadline.max(now.mono),
        }
    }

    /// How much the answer must hold. Where readers are given little at a time nobody waits for more than that.
    fn limits_now(&self, fetch: &ParkedFetch) -> FetchLimits {
        let mut limits = fetch.limits;
        if self.log_dirs.iter().any(|dir| dir.gives_readers_little()) {
            limits.bytes_min = limits.bytes_min.min(1);
        }
        limits
    }

    /// Answers a fetch with what there is.
    pub(crate) fn finish_fetch(&self, fetch: ParkedFetch, token: Token, now: Now) -> Handled {
        let view = self.view.load_full();
        let mut state = fetch.set.state.lock();
        let (evaluation, cold) = evaluate(&mut state, &fetch.set, self.limits_now(&fetch), &view);
        let handled = self.answer_fetch(&fetch, token, state, evaluation, &view, now);
        self.read_ahead(cold, None);
        handled
    }

    /// Has cold reads done by threads that may wait, and the fetch of `token` looked at again after each.
    fn read_ahead(&self, cold: Vec<ColdRead>, token: Option<Token>) {
        for read in cold {
            let ColdRead {
                partition,
                log_dir,
                ticket,
            } = read;
            if !partition.begin_cold_read(token) {
                continue;
            }
            let broker = self.shared();
            self.wake.block(BlockingWork::new(move || {
                // Its error shows when the fetch is looked at again.
                let _ = log_dir.finish_read(ticket);
                broker.note_moved(&partition.end_cold_read());
            }));
        }
    }

    fn answer_fetch(
        &self,
        fetch: &ParkedFetch,
        token: Token,
        mut state: parking_lot::MutexGuard<'_, FetchSetState>,
        mut evaluation: Evaluation,
        view: &View,
        now: Now,
    ) -> Handled {
        state.unpark(token);
        let mut session_id = 0;
        let mut error = ErrorCode::None;
        match &fetch.session {
            SessionUse::Of(session, epoch) if self.sessions.is_current(session.id, *epoch) => {
                session_id = session.id;
            }
            // A later request of the session came in between: this one's answer is nobody's.
            SessionUse::Of(..) => {
                error = ErrorCode::InvalidFetchSessionEpoch;
                evaluation.looks.clear();
            }
            SessionUse::Wanted | SessionUse::None => {}
        }
        state.commit(&evaluation);
        let looked = take_looks(&state, &mut evaluation);
        let size = state.len();
        match &fetch.session {
            SessionUse::Wanted if 0 < size => {
                subscribe(&mut state, &fetch.set);
                drop(state);
                session_id = self.create_session(fetch, size, now);
            }
            SessionUse::Wanted | SessionUse::None => {
                let items = state.remove_all();
                drop(state);
                items.iter().for_each(|item| unwatch(&fetch.set, item));
            }
            SessionUse::Of(..) => drop(state),
        }
        self.encode_fetch(&fetch.reply, view, session_id, error, looked)
    }

    /// Makes a session of an answered fetch. Returns its id, or 0 when there is no room.
    fn create_session(&self, fetch: &ParkedFetch, size: usize, now: Now) -> i32 {
        let uses_topic_ids = FIRST_WITH_TOPIC_IDS <= fetch.reply.version;
        let set = Arc::clone(&fetch.set);
        let created = self.sessions.create(set, size, uses_topic_ids, now.mono);
        if let Some(evicted) = created.evicted {
            add(&self.metrics.fetch_sessions_evicted, 1);
            end_watches(&evicted.set);
        }
        match created.session {
            Some(session) => session.id,
            None => {
                end_watches(&fetch.set);
                0
            }
        }
    }

    fn encode_fetch(
        &self,
        reply: &FetchReply,
        view: &View,
        session_id: i32,
        error: ErrorCode,
        looked: Vec<Looked>,
    ) -> Handled {
        self.metrics.error(error);
        let mut hints = LeaderHints::new();
        let mut records: Vec<Vec<ResponsePart>> = Vec::new();
        let mut topics: Vec<FetchableTopicResponse<'_>> = Vec::new();
        let names: Vec<TopicKey> = looked.iter().map(|looked| looked.topic.clone()).collect();
        for (looked, key) in looked.into_iter().zip(&names) {
            let data = self.partition_data(reply, view, &mut hints, &mut records, looked);
            let (name, id) = match key {
                TopicKey::Name(name) => (&**name, Uuid::ZERO),
                TopicKey::Id(id) => ("", id.uuid()),
            };
            match topics.last_mut() {
                Some(last) if last.topic == name && last.topic_id == id => {
                    last.partitions.push(data);
                }
                _ => topics.push(FetchableTopicResponse {
                    topic: Cow::Borrowed(name),
                    topic_id: id,
                    partitions: vec![data],
                }),
            }
        }
        let addresses = hints.addresses(self, view, &reply.reached);
        let endpoints = addresses.iter().filter(|_| 16 <= reply.version);
        let response = FetchResponse {
            error_code: error.code(),
            session_id,
            responses: topics,
            node_endpoints: endpoints
                .map(|address| NodeEndpoint {
                    node_id: address.node_id,
                    host: Cow::Borrowed(&address.host),
                    port: address.port,
                    rack: address.rack.as_deref().map(Cow::Borrowed),
                })
                .collect(),
            ..FetchResponse::default()
        };
        let reply_to = ReplyTo {
            key: ApiKey::Fetch,
            version: reply.version,
            correlation_id: reply.correlation_id,
        };
        let (mut writer, start) = reply_to.begin();
        response
            .encode(&mut writer, reply.version)
            .and_then(|()| writer.finish_frame(start))
            .map_err(|error| reply_to.cannot_encode(error))?;
        Ok(Outcome::Reply(Response::assemble(writer, records)))
    }

    fn partition_data<'a>(
        &self,
        reply: &FetchReply,
        view: &View,
        hints: &mut LeaderHints,
        records: &mut Vec<Vec<ResponsePart>>,
        looked: Looked,
    ) -> PartitionData<'a> {
        let look = looked.look;
        let error = error_map::fetch_error_for(look.error, reply.version);
        self.metrics.error(error);
        if let Some(target) = &looked.target {
            if error == ErrorCode::None {
                add(&self.metrics.fetched_bytes, look.size as u64);
                add(&target.metrics.bytes_out, look.size as u64);
            } else {
                target.metrics.fetch_failed.count(error);
            }
        }
        let id = looked.target.as_ref().map(|target| target.id);
        let hint = hints.hint(view, id, error).filter(|_| 16 <= reply.version);
        let wire = |offset: Option<Offset>| offset.map_or(-1, Offset::get);
        let high_watermark = wire(look.told.map(|told| told.high_watermark));
        let data = PartitionData {
            partition_index: looked.partition,
            error_code: error.code(),
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset: wire(look.told.map(|told| told.log_start_offset)),
            diverging_epoch: look
                .diverging
                .map_or_else(EpochEndOffset::default, |(epoch, end)| EpochEndOffset {
                    epoch: epoch.get(),
                    end_offset: end.get(),
                }),
            current_leader: hint.map_or_else(LeaderIdAndEpoch::default, |hint| LeaderIdAndEpoch {
                leader_id: hint.leader_id,
                leader_epoch: hint.leader_epoch,
            }),
            // What does not exist has an empty list in Kafka's answers too.
            aborted_transactions: (reply.is_read_committed
                || looked.target.is_none()
                || look.error == ErrorCode::UnknownTopicOrPartition)
                .then(Vec::new),
            records: Some(Records::External {
                id: records.len() as u32,
                size: look.size as u32,
            }),
            ..PartitionData::default()
        };
        records.push(look.records);
        data
    }
}

fn end_watches(set: &Arc<FetchSet>) {
    let items = set.state.lock().remove_all();
    items.iter().for_each(|item| unwatch(set, item));
}

/// Looks at what may have something to say. The cold reads that stand in the way come along.
fn evaluate(
    state: &mut FetchSetState,
    set: &Arc<FetchSet>,
    limits: FetchLimits,
    view: &View,
) -> (Evaluation, Vec<ColdRead>) {
    let mut cold = Vec::new();
    let is_subscribed = state.is_subscribed();
    let evaluation = state.evaluate(limits, &mut |index, item, budget| {
        if let Err(code) = find_target(view, item) {
            return Look::error(code);
        }
        if is_subscribed {
            // Watched before it is read: what moves after the look is heard of.
            watch(set, index, item);
        }
        look(item, budget, &mut cold)
    });
    (evaluation, cold)
}

/// Makes an item hear of moves.
fn watch(set: &Arc<FetchSet>, index: usize, item: &mut FetchItem) {
    if let Some(target) = &item.target
        && !item.watching
    {
        target.watch(set, index);
        item.watching = true;
    }
}

/// Makes all items hear of moves, now and whenever they become known, and be looked at once more.
fn subscribe(state: &mut FetchSetState, set: &Arc<FetchSet>) {
    state.subscribe();
    for (index, item) in state.items_mut() {
        watch(set, index, item);
    }
    state.enqueue_all();
}

fn take_looks(state: &FetchSetState, evaluation: &mut Evaluation) -> Vec<Looked> {
    let looks = std::mem::take(&mut evaluation.looks).into_iter();
    let looked = looks.map(|(index, look)| {
        let item = state.item(index);
        Looked {
            topic: item.topic.clone(),
            partition: item.partition,
            target: item.target.clone(),
            look,
        }
    });
    looked.collect()
}
