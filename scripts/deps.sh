#!/bin/sh
# Installs what the tests need beyond Go: clients of other languages, a browser,
# the static checker. Everything comes through package managers; what is not
# installed by the system's own goes into .tools and the clients' folders.
#
#   scripts/deps.sh            everything
#   scripts/deps.sh check      staticcheck
#   scripts/deps.sh unit       nothing but Go today; kept so that callers need not know
#   scripts/deps.sh zookeeper  ZooKeeper and a Java to run it, for the tests of the group
#   scripts/deps.sh faults     the same, and ip for the network namespaces of a group under faults
#   scripts/deps.sh clients    STOMP clients and applications: Python, JavaScript, Ruby, PHP, Perl, Java, netcat
#   scripts/deps.sh api        schemathesis, which tries the API out, and promtool
#   scripts/deps.sh browser    Chromium and @stomp/stompjs, for the tests of the console and of WebSocket
#
# It may be run again and again: what is there is left alone.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
staticcheck_version=v0.7.0
schemathesis_version=4.32.5

client_packages="python3-stomp ruby-stomp php-cli php-stomp libnet-stomp-perl netcat-openbsd default-jdk-headless maven iproute2"
browser_packages="chromium"
font_package="fonts-wqy-microhei" # shows the Chinese pages as people see them
zookeeper_packages="zookeeper default-jre-headless"
faults_packages="$zookeeper_packages iproute2"
api_packages="curl python3-venv"

say() { printf 'deps: %s\n' "$*" >&2; }

fail() {
	say "$*"
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root CMD...: runs it with the rights to install packages.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		fail "installing packages needs root: run this as root, or install sudo"
	fi
}

# installed PACKAGE: whether Debian's package manager has it in order, or
# somebody put its program there by other means.
installed() {
	dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii' && return 0
	case $1 in
	default-jdk-headless) have javac ;;
	default-jre-headless) have java ;;
	maven) have mvn ;;
	nodejs) have node ;;
	npm) have npm ;;
	*) false ;;
	esac
}

# packages NAME...: installs what is missing of them.
packages() {
	if ! have dpkg-query || ! have apt-get; then
		fail "this is no Debian or Ubuntu. Install what these packages hold with your own package manager: $*"
	fi
	missing=
	for p in "$@"; do
		installed "$p" || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	say "installing$missing"
	as_root apt-get update -qq
	# shellcheck disable=SC2086 # a list of names
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
}

# stamp FILE...: a name for the content of the files.
stamp() { cat "$@" | sha256sum | cut -c1-16; }

# once NAME STAMP CMD...: runs the command unless it succeeded with this stamp before.
once() {
	mark=$tools/stamps/$1
	want=$2
	[ "$(cat "$mark" 2>/dev/null)" = "$want" ] && return 0
	say "preparing $1"
	shift 2
	"$@" >&2
	mkdir -p "$tools/stamps"
	printf '%s\n' "$want" >"$mark"
}

npm_ci() { (cd "$root/scripts/clients/js" && npm ci --no-audit --no-fund --loglevel=error); }

maven_build() { (cd "$root/scripts/clients/java" && mvn -q -B compile); }

install_staticcheck() {
	GOBIN=$tools/bin go install "honnef.co/go/tools/cmd/staticcheck@$staticcheck_version"
}

check() {
	have go || fail "Go is missing; go.mod says which version is needed"
	[ -x "$tools/bin/staticcheck" ] || rm -f "$tools/stamps/staticcheck"
	once staticcheck "$staticcheck_version $(go env GOVERSION)" install_staticcheck
}

unit() { have go || fail "Go is missing; go.mod says which version is needed"; }

# javascript: Node and the clients for it, one of which a page of the browser uses too.
javascript() {
	# Not in the lists above: distributions and other sources of node conflict over npm.
	have node || packages nodejs
	have npm || packages npm
	js=$root/scripts/clients/js
	[ -d "$js/node_modules" ] || rm -f "$tools/stamps/js"
	once js "$(stamp "$js/package.json" "$js/package-lock.json") $(node --version)" npm_ci
}

clients() {
	# shellcheck disable=SC2086 # a list of names
	packages $client_packages
	javascript
	java=$root/scripts/clients/java
	[ -d "$java/target/lib" ] || rm -f "$tools/stamps/java"
	once java "$(find "$java/pom.xml" "$java/src" -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-16)" maven_build
}

browser() {
	# shellcheck disable=SC2086 # a list of names
	packages $browser_packages
	installed "$font_package" || (packages "$font_package") || say "without $font_package pictures of the Chinese pages show boxes"
	javascript
}

install_schemathesis() {
	rm -rf "$tools/schemathesis"
	python3 -m venv "$tools/schemathesis" && "$tools/schemathesis/bin/pip" install --quiet "schemathesis==$schemathesis_version"
}

# Of the package prometheus promtool is all that is wanted: not its server, which an
# installation would start.
install_promtool() {
	as_root apt-get update -qq
	work=$(mktemp -d)
	(cd "$work" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) || return 1
	mkdir -p "$tools/bin"
	cp "$work/usr/bin/promtool" "$tools/bin/promtool"
	rm -rf "$work"
}

api() {
	# shellcheck disable=SC2086 # a list of names
	packages $api_packages
	have promtool || [ -x "$tools/bin/promtool" ] || install_promtool
	[ -x "$tools/schemathesis/bin/st" ] || rm -f "$tools/stamps/schemathesis"
	once schemathesis "$schemathesis_version $(python3 --version) $tools" install_schemathesis
}

zookeeper() {
	# shellcheck disable=SC2086 # a list of names
	packages $zookeeper_packages
}

faults() {
	# shellcheck disable=SC2086 # a list of names
	packages $faults_packages
}

[ $# -gt 0 ] || set -- check unit faults api clients browser
for what in "$@"; do
	case $what in
	check | unit | zookeeper | faults | api | clients | browser) "$what" ;;
	*) fail "unknown part: $what (known: check unit zookeeper faults api clients browser)" ;;
	esac
done
