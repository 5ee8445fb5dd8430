#!/bin/sh
# Fetches the libraries of the console's pages from npm, at exact versions, into
# webui/assets/vendor: the files that browsers load, as they were published, the
# licence of each, and SHA256SUMS. Nothing is built. Building TreadMQ never runs
# this; it is for taking another version:
#
#   scripts/vendor.sh          fetch them anew
#   git diff --stat            what changed; the versions stand in docs/dependencies.md too
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
into=$root/webui/assets/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# take PACKAGE VERSION NAME LICENCE FILE...: npm checks the archive against the registry's checksum.
take() {
	package=$1 version=$2 name=$3 licence=$4
	shift 4
	archive=$(cd "$work" && npm pack --silent "$package@$version")
	mkdir "$work/$name"
	tar -xzf "$work/$archive" -C "$work/$name" --strip-components=1
	cp "$work/$name/$licence" "$into/$name.LICENSE.txt"
	for file; do
		cp "$work/$name/$file" "$into/"
	done
}

mkdir -p "$into"
take htmx.org 4.0.1 htmx LICENSE dist/htmx.min.js
take uplot 1.6.32 uplot LICENSE dist/uPlot.iife.min.js dist/uPlot.min.css
take @picocss/pico 2.1.1 pico LICENSE.md css/pico.min.css
cd "$into"
chmod 644 ./*
sha256sum -- *.css *.js *.txt >SHA256SUMS
cat SHA256SUMS
