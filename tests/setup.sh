#!/usr/bin/env bash
# Installs what the build needs beyond Rust and a C compiler: protoc, for etcd's protocol.
set -euo pipefail
command -v protoc >/dev/null && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
if ! command -v apt-get >/dev/null; then
  echo "loglake needs protoc (the Protocol Buffers compiler) to build: please install it" >&2
  exit 1
fi
echo "installing protobuf-compiler"
$sudo apt-get update -qq
$sudo apt-get install -y -qq protobuf-compiler >/dev/null
