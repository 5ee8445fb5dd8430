// Package faults proves a replicated group with real processes: three brokers, or
// five, and a ZooKeeper ensemble of three, each in a network namespace of its own,
// under load, while machines are killed, paused, cut off, filled up and wiped. What
// clients saw is judged by treadmq/scripts/internal/history.
//
//	make faults-short                                   10 rounds
//	make faults                                         200 rounds, FAULTS_ROUNDS=n for others
//	FAULTS_SEED=7 FAULTS_ROUNDS=10 make faults          the same choices again, not their timing
//	FAULTS_ONLY=kill-master,pause-master make faults    only these faults
//
// FAULTS_NODES=5 or 1 is the number of brokers (default 3; 1 is a broker alone, to try
// the harness), FAULTS_KEEP=1 keeps the folder with logs and history, BROKER_BINARY names a
// program to test. It needs root and Linux: it runs in namespaces of its own for processes,
// mounts and network, so that everything it made goes with it, also when it is killed.
// FAULTS_SKIP=1 skips it where namespaces cannot be made.
package faults
