use crate::{ApiKey, DecodeError, EncodeError, Reader, Writer};

/// What stands before every request, in version 1 or 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API; [`ApiKey::from_i16`] says whether there is such a one.
    pub api_key: i16,
    /// Version of the request.
    pub api_version: i16,
    /// What the response must repeat.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// Reads it in the version that the API key and version in it call for.
    ///
    /// The tagged fields of a version that this crate cannot parse are left unread: nothing after the
    /// client id of such a request is looked at, whatever its header may hold by then.
    pub fn decode(r: &mut Reader<'a>) -> Result<RequestHeader<'a>, DecodeError> {
        let api_key = r.i16()?;
        let api_version = r.i16()?;
        let correlation_id = r.i32()?;
        // The client id keeps its two-byte length in every version of the header.
        let client_id = r.nullable_str(false)?;
        if let Some(key) = ApiKey::from_i16(api_key)
            && key.parsed_versions().contains(&api_version)
            && key.request_header_version(api_version) >= 2
        {
            r.skip_tagged_fields()?;
        }
        Ok(RequestHeader {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }

    /// Writes it in the version that `key`, which `api_key` must be the number of, calls for.
    pub fn encode(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.api_key);
        w.i16(self.api_version);
        w.i32(self.correlation_id);
        w.nullable_string(false, self.client_id)?;
        let key = ApiKey::from_i16(self.api_key);
        if key.is_some_and(|key| key.request_header_version(self.api_version) >= 2) {
            w.no_tagged_fields();
        }
        Ok(())
    }
}

/// What stands before every response, in version 0 or 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads it in the version that a response to this request has.
    pub fn decode(
        r: &mut Reader<'_>,
        key: ApiKey,
        api_version: i16,
    ) -> Result<ResponseHeader, DecodeError> {
        let correlation_id = r.i32()?;
        if key.response_header_version(api_version) >= 1 {
            r.skip_tagged_fields()?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    /// Writes it in the version that a response to this request has.
    pub fn encode(&self, w: &mut Writer, key: ApiKey, api_version: i16) {
        w.i32(self.correlation_id);
        if key.response_header_version(api_version) >= 1 {
            w.no_tagged_fields();
        }
    }
}
