use ottla_types::Uuid;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::start_error::StartError;

/// Random bytes of the operating system; at most 256, which it gives at once or not at all.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], StartError> {
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    let failed = |source| StartError::System {
        what: "random bytes",
        source,
    };
    let size = getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|e| failed(e.into()))?;
    assert_eq!(size, N, "getrandom is not interrupted below 256 bytes");
    Ok(bytes)
}

/// A new id.
pub fn random_id() -> Result<Uuid, StartError> {
    Ok(Uuid::from_random(random_bytes()?))
}
