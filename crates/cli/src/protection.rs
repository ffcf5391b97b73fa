use std::io::{BufRead, IsTerminal};

use crate::failure::Failure;

/// Of a profile: `true` has deeds confirmed that cannot be undone.
pub const PROTECTED: &str = "protected";

/// Whether what cannot be undone has to be confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// It is done as it is asked for.
    #[default]
    None,
    /// The cluster is that of this profile, which is protected.
    Profile(String),
}

impl Protection {
    /// Lets `deed` be done: it is confirmed where that is needed, by typing the profile's name.
    pub fn allow(&self, deed: &str) -> Result<(), Failure> {
        let Protection::Profile(name) = self else {
            return Ok(());
        };
        if !std::io::stdin().is_terminal() {
            return Err(refused(name, deed, Some("--yes does it all the same")));
        }
        err!("profile {name} is protected: type its name to {deed}: ");
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        match line.trim() == name {
            true => Ok(()),
            false => Err(refused(name, deed, None)),
        }
    }
}

fn refused(name: &str, deed: &str, hint: Option<&str>) -> Failure {
    let what = format!("profile {name} is protected, so this did not {deed}");
    Failure::failed(what).with_hint(hint)
}
