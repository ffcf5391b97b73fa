use super::CodecError;
use super::frame::{Body, encode_frame};
use crate::record::Record;
use ottla_protocol::Writer;

/// Ottla's own record, far from Kafka's numbers: "Ot" in ASCII.
pub(super) const RECORD_TYPE: u32 = 0x4f74;

const NAME: &str = "ClusterRecord";
const VERSION: u32 = 0;

/// Body: id compact string, tagged fields.
pub(super) fn encode(id: &str, writer: &mut Writer) {
    encode_frame(RECORD_TYPE, VERSION, writer);
    writer
        .string(true, id)
        .expect("a cluster's id is short: it was checked when it was read or made");
    writer.no_tagged_fields();
}

pub(super) fn decode(body: &mut Body<'_>) -> Result<Record, CodecError> {
    if VERSION < body.version {
        return Err(CodecError::NewerVersion {
            what: NAME,
            version: body.version,
            known: VERSION,
        });
    }
    let malformed = |cause| CodecError::Malformed { what: NAME, cause };
    let id = body.reader.string(true).map_err(malformed)?.into_owned();
    body.reader.skip_tagged_fields().map_err(malformed)?;
    body.end(NAME)?;
    Ok(Record::Cluster { id })
}
