package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// administer TOPIC GROUP does a day's work on a topic of 4 partitions and on the group, and prints what it was told.
func administer(bootstrap string, arguments []string) error {
	topic, group := arguments[0], arguments[1]
	client, err := connect(bootstrap, kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	told := map[string]any{}
	work := []struct {
		name string
		do   func() (any, error)
	}{
		{"created", func() (any, error) {
			retention := "60000"
			created, err := admin.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, topic)
			return created.NumPartitions, err
		}},
		{"created again", func() (any, error) {
			created, _ := admin.CreateTopics(ctx, 2, 1, nil, topic)
			return fmt.Sprint(created[topic].Err), nil
		}},
		{"partitions", func() (any, error) {
			added, err := admin.UpdatePartitions(ctx, 4, topic)
			if err == nil {
				err = added.Error()
			}
			return nil, err
		}},
		{"altered", func() (any, error) {
			altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("70000")}}, topic)
			if err == nil {
				err = altered[0].Err
			}
			return nil, err
		}},
		{"retention", func() (any, error) {
			described, err := admin.DescribeTopicConfigs(ctx, topic)
			if err != nil {
				return nil, err
			}
			for _, config := range described[0].Configs {
				if config.Key == "retention.ms" {
					return []string{config.MaybeValue(), config.Source.String()}, nil
				}
			}
			return nil, described[0].Err
		}},
		{"produced", func() (any, error) {
			for number := range 12 {
				record := &kgo.Record{Value: fmt.Append(nil, number)}
				if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
					return nil, err
				}
			}
			return 12, nil
		}},
		{"ends", func() (any, error) {
			ends, err := admin.ListEndOffsets(ctx, topic)
			if err == nil {
				err = ends.Error()
			}
			sum := int64(0)
			ends.Each(func(end kadm.ListedOffset) { sum += end.Offset })
			return sum, err
		}},
		{"starts", func() (any, error) {
			starts, err := admin.ListStartOffsets(ctx, topic)
			if err == nil {
				err = starts.Error()
			}
			return len(starts[topic]), err
		}},
		{"committed", func() (any, error) {
			offsets := kadm.Offsets{}
			offsets.AddOffset(topic, 0, 3, -1)
			committed, err := admin.CommitOffsets(ctx, group, offsets)
			if err == nil {
				err = committed.Error()
			}
			return nil, err
		}},
		{"fetched", func() (any, error) {
			fetched, err := admin.FetchOffsets(ctx, group)
			if err == nil {
				err = fetched.Error()
			}
			found, _ := fetched.Lookup(topic, 0)
			return found.At, err
		}},
		{"groups", func() (any, error) {
			groups, err := admin.ListGroups(ctx)
			return groups[group].State, err
		}},
		{"described", func() (any, error) {
			described, err := admin.DescribeGroups(ctx, group)
			return described[group].State, err
		}},
		{"forgotten", func() (any, error) {
			partitions := kadm.TopicsSet{}
			partitions.Add(topic, 0)
			deleted, err := admin.DeleteOffsets(ctx, group, partitions)
			if err == nil {
				err = deleted.Error()
			}
			return nil, err
		}},
		{"deleted group", func() (any, error) {
			deleted, err := admin.DeleteGroup(ctx, group)
			return deleted.Group, err
		}},
		{"deleted records", func() (any, error) {
			offsets := kadm.Offsets{}
			offsets.AddOffset(topic, 0, 0, -1)
			deleted, err := admin.DeleteRecords(ctx, offsets)
			if err == nil {
				err = deleted.Error()
			}
			return nil, err
		}},
		{"log dirs", func() (any, error) {
			dirs, err := admin.DescribeAllLogDirs(ctx, nil)
			return len(dirs), err
		}},
		{"cluster", func() (any, error) {
			metadata, err := admin.BrokerMetadata(ctx)
			return len(metadata.Brokers), err
		}},
		{"deleted", func() (any, error) {
			deleted, err := admin.DeleteTopic(ctx, topic)
			return deleted.Topic, err
		}},
	}
	for _, step := range work {
		if told[step.name], err = step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(told)
}
