#!/usr/bin/env bash
# Installs the foreign clients the interoperability tests use into $INTEROP_HOME
# (default ~/.cache/ottla-interop), each from its own registry. Does nothing that is already done.
# With the argument `kafka-broker` also Apache Kafka's broker, which only the benchmarks need.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${INTEROP_HOME:-$HOME/.cache/ottla-interop}
mkdir -p "$home"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
command -v kcat >/dev/null || missing+=(kcat)
command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi

stamp() { cat "$here/requirements.txt" "$here/package.json" "$here/java/pom.xml" "$here/java/frameworks.xml" "$here"/go/* | sha256sum; }
jars() { # jars POM FOLDER: the jars a POM names, with all they need
  rm -rf "${home:?}/$2"
  mvn -q -B -f "$here/java/$1" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$home/$2.part" -DincludeScope=runtime
  mv "$home/$2.part" "$home/$2"
}

if [ "${1:-}" = kafka-broker ] && [ ! -d "$home/kafka-broker" ]; then jars broker.xml kafka-broker; fi
[ "$(cat "$home/.complete" 2>/dev/null)" = "$(stamp)" ] && exit 0

[ -x "$home/python/bin/python" ] || python3 -m venv "$home/python"
"$home/python/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"

mkdir -p "$home/node"
cp "$here/package.json" "$home/node/"
npm install --prefix "$home/node" --silent --no-audit --no-fund --no-package-lock

(cd "$here/go" && GOTOOLCHAIN=local GOFLAGS="-mod=readonly -buildvcs=false" "$home/python/bin/go" build -o "$home/go/flights" .)

jars pom.xml java
jars frameworks.xml frameworks

stamp >"$home/.complete"
