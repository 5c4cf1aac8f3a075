#!/usr/bin/env bash
# Installs by apt what is missing: what the build needs beyond Rust and a C compiler (protoc, for etcd's
# protocol; pkg-config and the headers of OpenSSL and zlib, for Kafka's client); with "storm", what the storm's faults need, too. Without them the storm says what it cannot do.
set -euo pipefail

missing=()
command -v protoc >/dev/null || missing+=(protobuf-compiler)
command -v pkg-config >/dev/null || missing+=(pkg-config)
echo '#include <openssl/ssl.h>' | cc -E - >/dev/null 2>&1 || missing+=(libssl-dev)
echo '#include <zlib.h>' | cc -E - >/dev/null 2>&1 || missing+=(zlib1g-dev)
if [ "${1:-}" = storm ] && [ "$(id -u)" = 0 ]; then
  command -v ip >/dev/null || missing+=(iproute2)
  command -v nft >/dev/null || missing+=(nftables)
  command -v faketime >/dev/null || missing+=(faketime)
fi
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
if ! command -v apt-get >/dev/null; then
  echo "please install, by this system's package manager: ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}"
$sudo apt-get update -qq
$sudo apt-get install -y -qq "${missing[@]}" >/dev/null
