use ottla_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::{ApiKey, DecodeError, Message, Reader, Writer};
use ottla_types::ErrorCode;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Which versions of which API a broker speaks, as it said when we connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiVersionRanges {
    ranges: BTreeMap<i16, (i16, i16)>,
}

impl ApiVersionRanges {
    /// From number, lowest and highest version of each API.
    pub fn new(ranges: impl IntoIterator<Item = (i16, i16, i16)>) -> ApiVersionRanges {
        ApiVersionRanges {
            ranges: ranges
                .into_iter()
                .map(|(key, min, max)| (key, (min, max)))
                .collect(),
        }
    }

    /// The highest version that the broker, this crate and `wanted` have in common.
    pub fn choose(&self, key: ApiKey, wanted: &RangeInclusive<i16>) -> Option<i16> {
        let (min, max) = *self.ranges.get(&key.number())?;
        let ours = key.versions();
        let version = max.min(*ours.end()).min(*wanted.end());
        let lowest = min.max(*ours.start()).max(*wanted.start());
        (version >= lowest).then_some(version)
    }

    /// What the broker offers of an API: lowest and highest version.
    pub fn offered(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.ranges.get(&key.number()).copied()
    }

    /// Number, lowest and highest version of every API the broker offers.
    pub fn iter(&self) -> impl Iterator<Item = (i16, i16, i16)> {
        self.ranges
            .iter()
            .map(|(key, (min, max))| (*key, *min, *max))
    }
}

/// What follows from an answer to [`handshake_request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeStep {
    /// The broker speaks these versions.
    Done(ApiVersionRanges),
    /// The broker is older: ask again in this version.
    Retry(i16),
}

/// Why the first exchange with a broker failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The peer's answer is not one of Kafka's protocol.
    #[error("the peer's answer is not Kafka's: {0}")]
    Decode(#[from] DecodeError),
    /// The broker refused.
    #[error("the broker refused the handshake with error {code}")]
    Refused {
        /// Its error code.
        code: i16,
    },
}

/// Body of the request that begins every connection (KIP-511).
pub fn handshake_request(version: i16, software_name: &str, software_version: &str) -> Vec<u8> {
    let request = ApiVersionsRequest {
        client_software_name: Cow::Borrowed(software_name),
        client_software_version: Cow::Borrowed(software_version),
        ..ApiVersionsRequest::default()
    };
    let mut writer = Writer::new();
    request
        .encode(&mut writer, version)
        .expect("two short strings fit every version");
    writer.into_buf()
}

impl HandshakeStep {
    /// Reads the body of the answer to a request in `version`.
    pub fn from_answer(version: i16, body: &[u8]) -> Result<HandshakeStep, HandshakeError> {
        // A broker that does not know the version answers in version 0 (KIP-511).
        let code = Reader::new(body).i16()?;
        let unsupported = code == ErrorCode::UnsupportedVersion as i16;
        if code != 0 && !unsupported {
            return Err(HandshakeError::Refused { code });
        }
        let version = if unsupported { 0 } else { version };
        let response = ApiVersionsResponse::decode(&mut Reader::new(body), version)?;
        let ranges = ApiVersionRanges::new(
            response
                .api_keys
                .iter()
                .map(|api| (api.api_key, api.min_version, api.max_version)),
        );
        if !unsupported {
            return Ok(HandshakeStep::Done(ranges));
        }
        let offered = ranges.offered(ApiKey::ApiVersions);
        Ok(HandshakeStep::Retry(
            offered.map_or(0, |(_, max)| max.clamp(0, 3)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        let ranges = ApiVersionRanges::new([(0, 0, 13), (1, 20, 30), (3, 0, 1), (18, 0, 99)]);
        assert_eq!(ranges.choose(ApiKey::Produce, &(0..=99)), Some(13));
        assert_eq!(ranges.choose(ApiKey::Produce, &(3..=12)), Some(12));
        assert_eq!(ranges.choose(ApiKey::Fetch, &(0..=99)), None);
        assert_eq!(ranges.choose(ApiKey::Metadata, &(4..=99)), None);
        assert_eq!(ranges.choose(ApiKey::Metadata, &(0..=99)), Some(1));
        assert_eq!(ranges.choose(ApiKey::ListOffsets, &(0..=99)), None);
    }

    #[test]
    fn an_older_broker_is_asked_again() {
        let response = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion as i16,
            api_keys: vec![
                ottla_protocol::messages::api_versions_response::ApiVersion {
                    api_key: 18,
                    min_version: 0,
                    max_version: 2,
                },
            ],
            ..ApiVersionsResponse::default()
        };
        let mut writer = Writer::new();
        response.encode(&mut writer, 0).unwrap();
        assert_eq!(
            HandshakeStep::from_answer(4, writer.buf()),
            Ok(HandshakeStep::Retry(2))
        );
        assert!(HandshakeStep::from_answer(4, b"\0\0\x0f").is_err());
        assert!(HandshakeStep::from_answer(4, b"").is_err());
    }
}
