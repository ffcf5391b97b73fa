/// Record batches as a message carries them: opaque to this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records<'a> {
    /// The bytes themselves. Decoding gives this, as a slice of the frame.
    Slice(&'a [u8]),
    /// Bytes that are elsewhere (a file range, a cached segment). Encoding writes only the length and
    /// notes in [`crate::Writer::externals`] where they belong.
    External {
        /// The encoder's own name for them.
        id: u32,
        /// In bytes.
        size: u32,
    },
}

impl Records<'_> {
    /// In bytes.
    pub fn size(&self) -> usize {
        match self {
            Records::Slice(bytes) => bytes.len(),
            Records::External { size, .. } => *size as usize,
        }
    }
}

impl Default for Records<'_> {
    fn default() -> Self {
        Records::Slice(&[])
    }
}

/// Where the sender must put bytes between the encoded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    /// Position in the encoded bytes before which they belong, counted without any external bytes.
    pub at: usize,
    /// Who they are: [`Records::External`].
    pub id: u32,
    /// How many bytes they are.
    pub size: u32,
}
