#!/usr/bin/env bash
# Builds the release archives into dist/: dist.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?usage: dist.sh VERSION}
rm -rf dist
mkdir -p dist
for target in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do
    os=${target%/*} arch=${target#*/}
    name=treadmq-$version-$os-$arch
    root=dist/$name
    mkdir -p "$root"/{bin,conf,data,scripts,docs,licences}
    exe=treadmq
    [ "$os" = windows ] && exe=treadmq.exe
    CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$root/bin/$exe" ./cmd/treadmq
    cp conf/treadmq.toml conf/*.example "$root/conf/"
    cp README.md LICENSE CHANGELOG.md "$root/"
    cp webui/assets/vendor/*.LICENSE.txt "$root/licences/" # of what the console's pages load
    cp -r docs/*.md docs/monitoring docs/images "$root/docs/"
    if [ "$os" = windows ]; then
        cp scripts/treadmq.bat "$root/scripts/"
        (cd dist && python3 -m zipfile -c "$name.zip" "$name")
    else
        cp scripts/treadmq.sh scripts/treadmq.service "$root/scripts/"
        tar -C dist --owner=0 --group=0 -czf "dist/$name.tar.gz" "$name"
    fi
    rm -rf "$root"
done
(cd dist && sha256sum ./*.tar.gz ./*.zip >SHA256SUMS)
ls -l dist
