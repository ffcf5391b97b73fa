package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

var saying sync.Mutex

// say prints a time of the clock that Python's time.monotonic_ns reads, and words.
func say(word string, numbers ...any) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		fail(err)
	}
	saying.Lock()
	defer saying.Unlock()
	fmt.Fprintln(os.Stdout, append([]any{now.Nano(), word}, numbers...)...)
}

func numbersOf(assigned map[string][]int32) []any {
	var numbers []any
	for _, partitions := range assigned {
		for _, partition := range partitions {
			numbers = append(numbers, partition)
		}
	}
	return numbers
}

// member TOPIC GROUP reads and commits as a member of a group, and says what it does.
func member(bootstrap string, arguments []string) error {
	topic, group := arguments[0], arguments[1]
	told := func(word string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
			say(word, numbersOf(assigned)...)
		}
	}
	client, err := connect(
		bootstrap,
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(told("assigned")),
		kgo.OnPartitionsRevoked(told("revoked")),
		kgo.OnPartitionsLost(told("revoked")),
	)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for {
		records := client.PollRecords(ctx, 50).Records()
		for _, record := range records {
			say("read", record.Partition, record.Offset)
		}
		if len(records) > 0 {
			commit(ctx, client)
		}
		client.AllowRebalance()
	}
}

// commit says what was taken, partition by partition.
func commit(ctx context.Context, client *kgo.Client) {
	ends := client.UncommittedOffsets()
	client.CommitOffsetsSync(ctx, ends, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			say("failed", err)
			return
		}
		// There is one topic; newer answers name it by its id only.
		for _, end := range ends {
			for _, partition := range answer.Topics[0].Partitions {
				if partition.ErrorCode == 0 {
					say("committed", partition.Partition, end[partition.Partition].Offset)
				}
			}
		}
	})
}
