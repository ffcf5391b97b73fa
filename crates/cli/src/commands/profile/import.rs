use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::foreign_profiles::{ForeignProfile, Tool, security_properties};
use crate::output::print_json;
use crate::profiles::Profiles;
use crate::properties::Properties;

#[derive(Debug, Args)]
pub struct Import {
    /// Its file; where the tool itself looks for it, by default.
    file: Option<PathBuf>,
    /// Whose file it is.
    #[arg(long, value_enum, value_name = "TOOL")]
    from: Tool,
    /// Only the cluster of this name; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// What the profile is called, when there is but one cluster; as in the file by default, or as the
    /// tool where clusters have no names.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Replace profiles of the same name.
    #[arg(long)]
    replace: bool,
}

pub fn run(import: &Import, profiles: &Profiles, format: Format) -> Result<(), Failure> {
    let file = import.file.clone().or_else(|| import.from.file());
    let Some(file) = file else {
        return Err(Failure::usage("which file? it has no usual place"));
    };
    let found = chosen(import, import.from.read(&file)?)?;
    if import.name.is_some() && found.len() != 1 {
        let what = format!("--name is for one cluster, and there are {}", found.len());
        return Err(Failure::usage(what).with_hint(Some("--only NAME chooses one")));
    }
    let mut made = Vec::new();
    let mut outcome = Ok(());
    for profile in &found {
        let own = profile.name.as_deref().unwrap_or(import.from.name());
        let name = import.name.as_deref().unwrap_or(own);
        match write(name, profile, import.replace, profiles) {
            Ok(()) => made.push(name),
            Err(failure) => {
                failure.report();
                outcome = Err(Failure::reported());
            }
        }
    }
    match format {
        Format::Json => print_json("profile.import", json!({ "profiles": made })),
        Format::Text | Format::Wide => made.iter().for_each(|name| outln!("{name}")),
    }
    if let (Some(name), None) = (made.first(), profiles.current()?) {
        errln!("hint: ottla profile use {name} has it used from now on");
    }
    outcome
}

fn chosen(import: &Import, found: Vec<ForeignProfile>) -> Result<Vec<ForeignProfile>, Failure> {
    let is_called = |profile: &ForeignProfile, name: &String| profile.name.as_ref() == Some(name);
    for name in &import.only {
        if !found.iter().any(|profile| is_called(profile, name)) {
            return Err(Failure::failed(format!(
                "{name}: the file has no such cluster"
            )));
        }
    }
    let found = found.into_iter().filter(|profile| {
        import.only.is_empty() || import.only.iter().any(|name| is_called(profile, name))
    });
    let found: Vec<ForeignProfile> = found.collect();
    match found.is_empty() {
        true => Err(Failure::failed("the file has no clusters")),
        false => Ok(found),
    }
}

fn write(
    name: &str,
    profile: &ForeignProfile,
    replace: bool,
    profiles: &Profiles,
) -> Result<(), Failure> {
    let failed = |what: &str| Failure::failed(format!("{name}: {what}"));
    let mut properties = Properties::parse(&profile.lines)?;
    let servers = properties.take(crate::session::BOOTSTRAP_NAMES);
    if servers.is_none() {
        return Err(failed("the file names no brokers for it"));
    }
    if !replace && profiles.names()?.iter().any(|known| known == name) {
        return Err(failed("there is such a profile already")
            .with_hint(Some("--replace replaces it, --name gives it another name")));
    }
    profiles.write(name, &profile.lines)?;
    if !profile.ignored.is_empty() {
        errln!(
            "note: {name}: not taken over: {}",
            profile.ignored.join(", ")
        );
    }
    warn_of_security(name, &profile.lines);
    Ok(())
}

/// Says which properties of a profile the client cannot heed, of those that somebody may count on.
pub fn warn_of_security(name: &str, lines: &[String]) {
    let unusable = security_properties(lines);
    if !unusable.is_empty() {
        errln!(
            "warning: {name}: the client of this program has neither TLS nor SASL. Kept, without effect: {}",
            unusable.join(", ")
        );
    }
}
