//! Named sets of client properties, so that a cluster need not be named in every command.
//!
//! A profile is a file of `key=value` lines, `DIR/profiles/NAME.properties`; `DIR/current` names the
//! one that is used. `DIR` is `$OTTLA_CONFIG_DIR`, `$XDG_CONFIG_HOME/ottla` or `~/.config/ottla`.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::properties::read_file;

/// Where profiles are kept.
pub struct Profiles {
    dir: PathBuf,
}

impl Profiles {
    /// The user's own; `None` if there is no place for them.
    pub fn of_user() -> Option<Profiles> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dir = variable("OTTLA_CONFIG_DIR").map(PathBuf::from);
        let xdg = || variable("XDG_CONFIG_HOME").map(|home| PathBuf::from(home).join("ottla"));
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config/ottla"));
        dir.or_else(xdg).or_else(home).map(|dir| Profiles { dir })
    }

    fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(Failure::usage(format!("'{name}' is no name for a profile")));
        }
        Ok(self.dir.join("profiles").join(format!("{name}.properties")))
    }

    /// The properties of a profile, as `key=value` lines.
    pub fn read(&self, name: &str) -> Result<Vec<String>, Failure> {
        let path = self.path(name)?;
        if !path.exists() {
            return Err(Failure::failed(format!("there is no profile '{name}'"))
                .with_hint(Some("ottla profile list shows those there are")));
        }
        read_file(&path)
    }

    /// Makes or replaces a profile.
    pub fn write(&self, name: &str, properties: &[String]) -> Result<(), Failure> {
        let path = self.path(name)?;
        std::fs::create_dir_all(self.dir.join("profiles"))?;
        let lines: String = properties.iter().map(|line| format!("{line}\n")).collect();
        // Passwords may be among them.
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path)?;
        Ok(std::io::Write::write_all(&mut file, lines.as_bytes())?)
    }

    /// Deletes a profile.
    pub fn delete(&self, name: &str) -> Result<(), Failure> {
        self.read(name)?;
        std::fs::remove_file(self.path(name)?)?;
        if self.current()?.as_deref() == Some(name) {
            std::fs::remove_file(self.dir.join("current"))?;
        }
        Ok(())
    }

    /// The names there are, sorted.
    pub fn names(&self) -> Result<Vec<String>, Failure> {
        let entries = match std::fs::read_dir(self.dir.join("profiles")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let name = name
                .to_str()
                .and_then(|name| name.strip_suffix(".properties"));
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The one that is used when none is named.
    pub fn current(&self) -> Result<Option<String>, Failure> {
        match std::fs::read_to_string(self.dir.join("current")) {
            Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Has it used from now on.
    pub fn use_by_default(&self, name: &str) -> Result<(), Failure> {
        self.read(name)?;
        Ok(std::fs::write(
            self.dir.join("current"),
            format!("{name}\n"),
        )?)
    }
}
