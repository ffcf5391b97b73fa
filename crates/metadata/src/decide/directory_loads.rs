use crate::image::Image;
use ottla_types::{BrokerId, DirectoryId};
use std::collections::BTreeMap;

/// How many replicas every log directory holds, so that new ones go to the emptiest one of their broker
/// (`LogManager.nextLogDirs`).
pub(super) struct DirectoryLoads<'a> {
    image: &'a Image,
    /// Counted when a broker with several directories is asked for: it walks all partitions.
    counts: Option<BTreeMap<DirectoryId, usize>>,
}

impl<'a> DirectoryLoads<'a> {
    /// Those of `image`.
    pub(super) fn of(image: &'a Image) -> DirectoryLoads<'a> {
        DirectoryLoads {
            image,
            counts: None,
        }
    }

    /// Where the broker's next replica goes: to the online directory with the fewest, the first of
    /// several. The replica counts from now on.
    pub(super) fn take(&mut self, broker: BrokerId) -> DirectoryId {
        let registration = self.image.broker(broker);
        let directories = match registration.map(|broker| broker.directories.as_slice()) {
            Some([only]) => return *only,
            Some([]) | None => return DirectoryId::default(),
            Some(several) => several,
        };
        let counts = self.counts.get_or_insert_with(|| count(self.image));
        let emptiest = directories
            .iter()
            .min_by_key(|id| counts.get(id).copied().unwrap_or(0))
            .expect("there are several");
        *counts.entry(*emptiest).or_default() += 1;
        *emptiest
    }
}

fn count(image: &Image) -> BTreeMap<DirectoryId, usize> {
    let mut counts = BTreeMap::new();
    let partitions = image.topics().flat_map(|topic| &topic.partitions);
    for directory in partitions.flat_map(|partition| &partition.directories) {
        *counts.entry(*directory).or_default() += 1;
    }
    counts
}
