use std::time::Duration;

use ottla_client::{Client, ClientOptions};

use crate::arguments::ClientArguments;
use crate::failure::Failure;
use crate::properties::Properties;

const DEFAULT_BOOTSTRAP: &str = "localhost:9092";
/// A person waits less long than a program: a topic or broker that is not there by then is missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client, and the properties nobody has read yet.
pub struct Session {
    pub client: Client,
    pub properties: Properties,
}

/// Runs `work` with a client that is made as the command line says.
pub fn with_client(
    arguments: &ClientArguments,
    work: impl AsyncFnOnce(Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut properties = Properties::parse(&arguments.properties)?;
    let from_properties = properties.take(&["bootstrap.servers", "metadata.broker.list"]);
    let bootstrap = arguments.bootstrap_servers.clone().or(from_properties);
    let bootstrap = bootstrap.unwrap_or_else(|| DEFAULT_BOOTSTRAP.to_owned());
    let options = client_options(&mut properties)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(async {
        let client = Client::connect(&bootstrap, options).await?;
        work(Session { client, properties }).await
    })
}

fn client_options(properties: &mut Properties) -> Result<ClientOptions, Failure> {
    let mut options = ClientOptions {
        client_id: "ottla".to_owned(),
        operation_timeout: PATIENCE,
        ..ClientOptions::default()
    };
    if let Some(client_id) = properties.take(&["client.id"]) {
        options.client_id = client_id;
    }
    if let Some(timeout) = properties.take_millis(&["request.timeout.ms"])? {
        options.request_timeout = timeout;
    }
    let connect = ["socket.connection.setup.timeout.ms"];
    if let Some(timeout) = properties.take_millis(&connect)? {
        options.connect_timeout = timeout;
    }
    if let Some(timeout) = properties.take_millis(&["default.api.timeout.ms", "max.block.ms"])? {
        options.operation_timeout = timeout;
    }
    Ok(options)
}
