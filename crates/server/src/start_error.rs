use std::io;
use std::net::SocketAddr;

use ottla_storage::disk::DiskError;
use ottla_storage::log_dir::OpenError;
use ottla_types::{BrokerId, DirectoryId};

use crate::directory_identity::IdentityError;

/// Why a broker does not start. Each is one line that says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A data directory cannot be made.
    #[error("log.dirs={path}: the directory cannot be made: {source}")]
    CreateDirectory {
        /// As configured.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("log.dirs={path} is in use by another process: is this broker running already?")]
    Locked {
        /// As configured.
        path: String,
    },
    /// A data directory cannot be opened.
    #[error("log.dirs={path}: {source}")]
    OpenDirectory {
        /// As configured.
        path: String,
        /// What storage says.
        source: OpenError,
    },
    /// A disk refused something.
    #[error("log.dirs={path}: {source}")]
    Disk {
        /// As configured.
        path: String,
        /// What the disk says.
        source: DiskError,
    },
    /// A directory's identity cannot be read.
    #[error("log.dirs={path}: {source}")]
    Identity {
        /// As configured.
        path: String,
        /// What is wrong.
        source: IdentityError,
    },
    /// The metadata knows a directory that does not know itself.
    #[error(
        "log.dirs={path} has no meta.properties, and the metadata log in {metadata_path} belongs to \
         directory {directory_id} of cluster {cluster_id}: is the right disk mounted there?"
    )]
    IdentityMissing {
        /// As configured.
        path: String,
        /// As configured.
        metadata_path: String,
        /// The directory that wrote the metadata log.
        directory_id: DirectoryId,
        /// The cluster it belongs to.
        cluster_id: String,
    },
    /// There are partitions and no metadata that knows them: a new metadata log would give them up.
    #[error(
        "metadata.log.dir={metadata_path} has no metadata log, but log.dirs={path} holds {partitions} partitions \
         that only the metadata log knows ({hint}). Nothing was deleted"
    )]
    MetadataMissing {
        /// As configured, or the first of `log.dirs`.
        metadata_path: String,
        /// The first of `log.dirs` that holds partitions.
        path: String,
        /// So many.
        partitions: usize,
        /// Where the metadata log may be.
        hint: String,
    },
    /// A directory that holds partitions does not know which one it is.
    #[error(
        "log.dirs={path} holds {partitions} partitions and has no meta.properties: nobody knows which directory of \
         cluster {cluster_id} it is. Put its meta.properties back, with the directory.id it had; nothing was \
         written into it"
    )]
    Nameless {
        /// As configured.
        path: String,
        /// So many.
        partitions: usize,
        /// The metadata log's.
        cluster_id: String,
    },
    /// The directory is another node's.
    #[error(
        "log.dirs={path} belongs to node {found}, this is node {configured}: set node.id={found} \
         or use another directory"
    )]
    ForeignNode {
        /// As configured.
        path: String,
        /// What the directory says.
        found: BrokerId,
        /// `node.id`.
        configured: BrokerId,
    },
    /// The directory is another cluster's.
    #[error(
        "log.dirs={path} belongs to cluster {found} and not to {expected}: use another directory, \
         or the cluster.id it was made with"
    )]
    ForeignCluster {
        /// As configured.
        path: String,
        /// What the directory says.
        found: String,
        /// `cluster.id`, or what other directories say.
        expected: String,
    },
    /// A directory was copied.
    #[error(
        "log.dirs={path} has the same directory.id in its meta.properties as {other}: one of them is a copy, \
         start without it"
    )]
    SameDirectory {
        /// As configured.
        path: String,
        /// As configured.
        other: String,
    },
    /// The metadata's store cannot be opened.
    #[error("metadata.log.dir={path}: {message}")]
    Quorum {
        /// As configured.
        path: String,
        /// What the store says.
        message: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {listener}: {source}")]
    Bind {
        /// As configured.
        listener: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The HTTP address cannot be listened on.
    #[error("cannot listen on ottla.http.host={host} ottla.http.port={port}: {source}")]
    BindHttp {
        /// As configured.
        host: String,
        /// As configured.
        port: u16,
        /// What the operating system says.
        source: io::Error,
    },
    /// A limit names something that is no address.
    #[error("max.connections.per.ip.overrides: '{name}' cannot be resolved: {source}")]
    Override {
        /// As configured.
        name: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// No randomness, no threads, no sockets: the operating system refused something basic.
    #[error("the operating system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it says.
        source: io::Error,
    },
    /// The metadata quorum did not come up.
    #[error("the metadata quorum on {address} did not come up")]
    NotRegistered {
        /// Where clients would have been served.
        address: SocketAddr,
    },
}
