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
    /// several. Not to one that is cordoned, unless all are. The replica counts from now on.
    pub(super) fn take(&mut self, broker: BrokerId) -> DirectoryId {
        let Some(registration) = self.image.broker(broker) else {
            return DirectoryId::default();
        };
        let directories = match registration.directories.as_slice() {
            [] => return DirectoryId::default(),
            [only] => return *only,
            several => several,
        };
        let may_take =
            |id: &&DirectoryId| registration.is_cordoned() || !registration.cordoned.contains(id);
        let counts = self.counts.get_or_insert_with(|| count(self.image));
        let emptiest = directories
            .iter()
            .filter(may_take)
            .min_by_key(|id| counts.get(id).copied().unwrap_or(0))
            .expect("one is left, or none is and all count");
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
