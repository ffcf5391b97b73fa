use crate::batch_view::{BatchError, BatchView};

/// The batches that stand one behind the other in `bytes`. Where the bytes are cut off or are no
/// batch, one error comes and then the end.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches {
        rest: bytes,
        position: 0,
    }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    position: usize,
}

impl Batches<'_> {
    /// How many bytes the batches given out so far take.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = BatchView::parse(self.rest);
        match &batch {
            Ok(view) => {
                self.rest = &self.rest[view.size_in_bytes()..];
                self.position += view.size_in_bytes();
            }
            Err(_) => self.rest = &[],
        }
        Some(batch)
    }
}
