use super::section::Section;
use super::{ForeignProfile, Sasl, Tls, lines, millis, security};

/// The profiles of kcl. With none, the file is about one cluster without a name.
pub fn profiles(mut file: Section) -> Result<Vec<ForeignProfile>, String> {
    let named = file.named("profiles")?;
    if named.is_empty() {
        return Ok(vec![profile(None, file)?]);
    }
    let named = named.into_iter();
    named
        .map(|(name, section)| profile(Some(name), section))
        .collect()
}

fn profile(name: Option<String>, mut section: Section) -> Result<ForeignProfile, String> {
    let mut ignored = Vec::new();
    let mut properties = vec![
        ("bootstrap.servers", section.texts("seed_brokers")?),
        (
            "socket.connection.setup.timeout.ms",
            millis(section.text("dial_timeout")?)?,
        ),
        (
            "default.api.timeout.ms",
            millis(section.text("retry_timeout")?)?,
        ),
    ];
    let tls = match section.section("tls")? {
        Some(mut tls) => {
            let found = Tls {
                ca: tls.text("ca_cert_path")?,
                certificate: tls.text("client_cert_path")?,
                key: tls.text("client_key_path")?,
                is_unverified: tls.flag("insecure")? == Some(true),
            };
            ignored.extend(tls.rest());
            Some(found)
        }
        None => None,
    };
    let sasl = match section.section("sasl")? {
        Some(mut sasl) => {
            let found = Sasl {
                mechanism: sasl.text("method")?.map(|method| mechanism(&method)),
                user: sasl.text("user")?,
                password: sasl.text("pass")?,
            };
            ignored.extend(sasl.rest());
            Some(found)
        }
        None => None,
    };
    properties.extend(security(None, tls, sasl));
    // kcl puts variables of its environment there; here they would be taken as they stand.
    let variable = properties
        .iter()
        .find(|(_, value)| value.as_ref().is_some_and(|value| value.contains("${")));
    if let Some((key, _)) = variable {
        return Err(format!(
            "{key} names an environment variable, which a profile cannot hold"
        ));
    }
    section.skip("current_profile");
    ignored.extend(section.rest());
    Ok(ForeignProfile {
        name,
        lines: lines(properties)?,
        ignored,
    })
}

/// kcl takes `scram-sha-256`, `SCRAM_SHA_256` and `scramsha256` for the same.
fn mechanism(method: &str) -> String {
    let letters = method.chars().filter(|c| c.is_ascii_alphanumeric());
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    match plain.as_str() {
        "scramsha256" => "SCRAM-SHA-256".to_owned(),
        "scramsha512" => "SCRAM-SHA-512".to_owned(),
        _ => method.to_ascii_uppercase(),
    }
}
