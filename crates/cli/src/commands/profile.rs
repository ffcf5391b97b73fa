mod import;

use clap::Subcommand;
use serde_json::json;

use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::output::{Table, print_json};
use crate::profiles::Profiles;
use crate::properties::read_file;
use crate::protection::PROTECTED;

/// What secrets look like.
const HIDDEN: &str = "(hidden)";

#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Make a profile of -b, -X and -F of this command line, and use it.
    Create {
        /// Its name.
        name: String,
        /// Replace one of this name.
        #[arg(long)]
        replace: bool,
        /// A file of another tool: client.properties of Kafka, kcat.conf.
        #[arg(long, value_name = "FILE")]
        from: Option<std::path::PathBuf>,
        /// Have deletions, seeks and changes of configurations confirmed: by the profile's name, or --yes.
        /// Under the names of Kafka's tools, whose flags have no such word, nothing is asked.
        #[arg(long)]
        protected: bool,
    },
    /// Make profiles of the clusters that another tool knows: rpk, kaf, kcl, kcat, Kafka's own.
    ///
    /// Takes over the brokers, the client's name and its timeouts, TLS and SASL by librdkafka's names.
    /// What has no counterpart here is named, and so is what the client cannot heed: it has neither TLS
    /// nor SASL. Which profile is in use stays as it is.
    Import(import::Import),
    /// Use a profile from now on.
    Use {
        /// Its name.
        name: String,
    },
    /// Name the profiles there are.
    List,
    /// Show what a profile says; the one in use by default.
    Show {
        /// Its name.
        name: Option<String>,
    },
    /// Delete a profile.
    Delete {
        /// Its name.
        name: String,
    },
    /// Print the name of the profile in use, for the shell's prompt.
    Prompt,
}

pub fn run(command: ProfileCommand, client: &ClientArguments) -> Result<(), Failure> {
    let Some(profiles) = Profiles::of_user() else {
        return Err(
            Failure::failed("there is no home directory to keep profiles in")
                .with_hint(Some("set OTTLA_CONFIG_DIR")),
        );
    };
    match command {
        ProfileCommand::Create {
            name,
            replace,
            from,
            protected,
        } => {
            if !replace && profiles.names()?.contains(&name) {
                return Err(
                    Failure::failed(format!("there is a profile '{name}' already"))
                        .with_hint(Some("--replace replaces it")),
                );
            }
            let mut properties = match &from {
                Some(path) => read_file(path)?,
                None => Vec::new(),
            };
            if let Some(path) = &client.config_file {
                properties.extend(read_file(path)?);
            }
            properties.extend(client.properties.iter().cloned());
            let bootstrap = client.bootstrap_servers.iter();
            properties.extend(bootstrap.map(|servers| format!("bootstrap.servers={servers}")));
            if protected {
                properties.push(format!("{PROTECTED}=true"));
            }
            if properties.is_empty() {
                return Err(Failure::usage(
                    "the profile would be empty: give -b, -X, -F or --from",
                ));
            }
            profiles.write(&name, &properties)?;
            import::warn_of_security(&name, &properties);
            profiles.use_by_default(&name)?;
            errln!("profile {name} is in use");
            Ok(())
        }
        ProfileCommand::Import(import) => import::run(&import, &profiles, client.format),
        ProfileCommand::Use { name } => {
            profiles.use_by_default(&name)?;
            errln!("profile {name} is in use");
            Ok(())
        }
        ProfileCommand::List => list(&profiles, client.format),
        ProfileCommand::Show { name } => {
            let name = match name.map_or_else(|| profiles.current(), |name| Ok(Some(name)))? {
                Some(name) => name,
                None => return Err(Failure::failed("no profile is in use")),
            };
            show(&name, &profiles.read(&name)?, client.format);
            Ok(())
        }
        ProfileCommand::Delete { name } => profiles.delete(&name),
        ProfileCommand::Prompt => {
            outln!("{}", profiles.current()?.unwrap_or_default());
            Ok(())
        }
    }
}

fn list(profiles: &Profiles, format: Format) -> Result<(), Failure> {
    let current = profiles.current()?;
    let mut rows = Vec::new();
    for name in profiles.names()? {
        let properties = profiles.read(&name)?;
        let servers = properties.iter().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            let is_it = matches!(key.trim(), "bootstrap.servers" | "metadata.broker.list");
            is_it.then(|| value.trim().to_owned())
        });
        rows.push((
            current.as_ref() == Some(&name),
            name,
            servers.unwrap_or_default(),
        ));
    }
    match format {
        Format::Json => {
            let row = |(is_current, name, servers): &(bool, String, String)| json!({ "name": name, "current": is_current, "bootstrap_servers": servers });
            let rows: Vec<_> = rows.iter().map(row).collect();
            print_json("profile.list", json!({ "profiles": rows }));
        }
        Format::Text | Format::Wide => {
            let mut table = Table::new(&["", "NAME", "BOOTSTRAP SERVERS"]);
            for (is_current, name, servers) in rows {
                let sign = if is_current { "*" } else { "" };
                table.row(vec![sign.to_owned(), name, servers]);
            }
            table.print();
        }
    }
    Ok(())
}

fn show(name: &str, properties: &[String], format: Format) {
    let is_secret = |key: &str| {
        let key = key.to_lowercase();
        ["password", "secret", "jaas", "token", ".key"]
            .iter()
            .any(|word| key.contains(word))
    };
    let pairs = properties.iter().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = if is_secret(key) { HIDDEN } else { value.trim() };
        Some((key.trim().to_owned(), value.to_owned()))
    });
    match format {
        Format::Json => {
            let properties: serde_json::Map<_, _> =
                pairs.map(|(key, value)| (key, json!(value))).collect();
            print_json(
                "profile.show",
                json!({ "name": name, "properties": properties }),
            );
        }
        Format::Text | Format::Wide => pairs.for_each(|(key, value)| outln!("{key}={value}")),
    }
}
