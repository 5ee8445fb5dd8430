# TreadMQ. `make run` builds and starts a broker, `make test` installs what the
# tests need and runs them all. `make help` lists the rest.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
export CGO_ENABLED ?= 0
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: help build run test unit check cluster cluster-demo cluster-test clients browser api-fuzz crash-short crash faults-short faults sim-short sim fuzz bench bench-group dist clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | expand -t 14

build: ## build bin/treadmq
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/treadmq ./cmd/treadmq

run: build ## build and start a broker with its defaults, in the foreground
	bin/treadmq console

test: ## install what the tests need, then run all of them
	scripts/deps.sh
	$(MAKE) check
	$(MAKE) build
	$(MAKE) sim-short clients api-fuzz cluster-test crash-short faults-short browser

check: ## format, vet, staticcheck, unit tests with the race detector, short fuzz
	scripts/deps.sh check zookeeper
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these files'; exit 1; }
	go vet ./... && go vet -tags clients ./scripts/clients && go vet -tags cluster ./scripts/cluster && go vet -tags crash ./scripts/crash && go vet -tags faults ./scripts/faults && go vet -tags apifuzz ./scripts/apifuzz
	staticcheck ./...
	$(MAKE) unit fuzz

unit: ## unit tests with the race detector, in random order
	CGO_ENABLED=1 go test -race -shuffle=on -timeout 15m ./...

# A number of runs, not a time: the end of a time now and then fails a fuzz target for no reason.
FUZZTIME ?= 3000x
fuzz: ## every fuzz target for FUZZTIME (3000x; for example 30s)
	scripts/fuzz.sh $(FUZZTIME)

clients: ## real clients in other languages against a real broker
	scripts/deps.sh clients
	go test -tags clients -count=1 -timeout 10m ./scripts/clients

# Without the race detector: the core has one goroutine, and this way there is time for rare histories.
sim-short: ## simulated groups of 3 and of 5 brokers, 25,000 seeds each, and every safety rule broken once
	go test ./ha/sim -count=1 -timeout 15m -seeds 25000

sim: ## simulated groups of 3 and of 5 brokers, a million seeds each
	go test ./ha/sim -count=1 -timeout 12h -seeds 1000000

cluster: build ## a ZooKeeper and three brokers on loopback, until Ctrl-C
	scripts/deps.sh zookeeper
	go build -o bin/cluster ./scripts/cluster
	@exec bin/cluster $(CLUSTERFLAGS)

cluster-demo: build ## kill the master of such a group under load, and show that everything arrives
	scripts/deps.sh zookeeper
	go build -o bin/cluster ./scripts/cluster
	@bin/cluster --demo $(CLUSTERFLAGS)

cluster-test: ## groups of three real brokers and a ZooKeeper: failover, handover, members that come and go, other clients
	scripts/deps.sh zookeeper clients
	go test -tags cluster -count=1 -timeout 10m ./scripts/cluster

api-fuzz: ## schemathesis tries the API of a real broker out; APIFUZZ_EXAMPLES=500 looks longer
	scripts/deps.sh api
	go test -tags apifuzz -count=1 -timeout 10m ./scripts/apifuzz

crash-short: ## 5 rounds of kill -9 under load
	CRASH_ROUNDS=5 go test -tags crash -count=1 -timeout 10m ./scripts/crash

crash: build ## 30 rounds of kill -9 under load
	CRASH_ROUNDS=30 go test -tags crash -count=1 -v -timeout 60m ./scripts/crash

faults-short: ## 10 rounds of faults on a group of three brokers under load: root, Linux
	scripts/deps.sh faults
	FAULTS_ROUNDS=10 go test -tags faults -count=1 -timeout 15m ./scripts/faults

FAULTS_ROUNDS ?= 200
faults: build ## 200 rounds of faults on a group of three brokers under load; FAULTS_ROUNDS=n for others
	scripts/deps.sh faults
	FAULTS_ROUNDS=$(FAULTS_ROUNDS) go test -tags faults -count=1 -v -timeout 6h ./scripts/faults

browser: ## the console, and STOMP over WebSocket, in a real Chromium
	scripts/deps.sh browser
	cd webui/e2e && go test -count=1 -timeout 10m ./...

bench-group: build ## a group of three brokers: time of a failover, throughput beside a single broker
	scripts/deps.sh faults
	go run ./scripts/bench/group failover
	go run ./scripts/bench/group throughput

bench: build ## the same loads on TreadMQ and on the floor, as ratios
	scripts/bench/run.py

dist: ## tarballs and zip for linux amd64/arm64, darwin arm64, windows amd64
	scripts/dist.sh '$(VERSION)'

clean: ## remove what was built
	rm -rf bin dist
