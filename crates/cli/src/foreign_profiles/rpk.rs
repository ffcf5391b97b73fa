use super::section::Section;
use super::{ForeignProfile, Sasl, Tls, lines, millis, security};

/// The profiles of rpk.yaml. What it says for all of them is part of each.
pub fn profiles(mut file: Section) -> Result<Vec<ForeignProfile>, String> {
    let mut globals = file.section("globals")?.unwrap_or_default();
    let common = [
        (
            "client.id",
            globals.text("kafka_protocol_request_client_id")?,
        ),
        (
            "socket.connection.setup.timeout.ms",
            millis(globals.text("dial_timeout")?)?,
        ),
        (
            "fetch.max.wait.ms",
            millis(globals.text("fetch_max_wait")?)?,
        ),
    ];
    let unread = globals.rest();
    let profiles = file.sections("profiles")?.into_iter();
    profiles
        .map(|profile| {
            let mut profile = self::profile(profile, &common)?;
            profile.ignored.extend(unread.iter().cloned());
            Ok(profile)
        })
        .collect()
}

fn profile(
    mut profile: Section,
    common: &[(&'static str, Option<String>)],
) -> Result<ForeignProfile, String> {
    let name = profile.text("name")?;
    let mut kafka = profile.section("kafka_api")?.unwrap_or_default();
    let mut ignored = Vec::new();
    let mut properties = vec![("bootstrap.servers", kafka.texts("brokers")?)];
    let tls = match kafka.section("tls")? {
        Some(mut tls) => {
            let is_enabled = tls.flag("enabled")? != Some(false);
            let found = Tls {
                ca: tls.text("truststore_file")?.or(tls.text("ca_file")?),
                certificate: tls.text("cert_file")?,
                key: tls.text("key_file")?,
                is_unverified: tls.flag("insecure_skip_verify")? == Some(true),
            };
            ignored.extend(tls.rest());
            is_enabled.then_some(found)
        }
        None => None,
    };
    let sasl = match kafka.section("sasl")? {
        Some(mut sasl) => {
            let found = Sasl {
                mechanism: sasl.text("mechanism")?.or(sasl.text("type")?),
                user: sasl.text("user")?,
                password: sasl.text("password")?,
            };
            ignored.extend(sasl.rest());
            Some(found)
        }
        None => None,
    };
    properties.extend(security(None, tls, sasl));
    properties.extend(common.iter().cloned());
    // These are about rpk itself.
    for key in ["description", "license_check"] {
        profile.skip(key);
    }
    ignored.extend(kafka.rest());
    ignored.extend(profile.rest());
    Ok(ForeignProfile {
        name,
        lines: lines(properties)?,
        ignored,
    })
}
