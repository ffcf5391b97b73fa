use super::section::Section;
use super::{ForeignProfile, Sasl, Tls, lines, security};

/// The clusters of kaf.
pub fn profiles(mut file: Section) -> Result<Vec<ForeignProfile>, String> {
    let clusters = file.sections("clusters")?.into_iter();
    clusters.map(profile).collect()
}

fn profile(mut cluster: Section) -> Result<ForeignProfile, String> {
    let name = cluster.text("name")?;
    let mut ignored = Vec::new();
    let mut properties = vec![("bootstrap.servers", cluster.texts("brokers")?)];
    let tls = match cluster.section("TLS")? {
        Some(mut tls) => {
            let found = Tls {
                ca: tls.text("cafile")?,
                certificate: tls.text("clientfile")?,
                key: tls.text("clientkeyfile")?,
                is_unverified: tls.flag("insecure")? == Some(true),
            };
            ignored.extend(tls.rest());
            Some(found)
        }
        None => None,
    };
    let sasl = match cluster.section("SASL")? {
        Some(mut sasl) => {
            let found = Sasl {
                mechanism: sasl.text("mechanism")?,
                user: sasl.text("username")?,
                password: sasl.text("password")?,
            };
            ignored.extend(sasl.rest());
            Some(found)
        }
        None => None,
    };
    let protocol = cluster.text("security-protocol")?;
    properties.extend(security(protocol, tls, sasl));
    ignored.extend(cluster.rest());
    Ok(ForeignProfile {
        name,
        lines: lines(properties)?,
        ignored,
    })
}
