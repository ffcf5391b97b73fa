package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

// produce TOPIC CODEC writes the lines "key<TAB>value" of standard input, idempotently.
func produce(bootstrap string, arguments []string) error {
	topic, codec := arguments[0], arguments[1]
	client, err := connect(bootstrap, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codecs[codec]))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()
	var failure atomic.Pointer[error]
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		key, value, _ := bytes.Cut(bytes.Clone(lines.Bytes()), []byte("\t"))
		client.Produce(ctx, &kgo.Record{Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failure.CompareAndSwap(nil, &err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if failed := failure.Load(); failed != nil {
		return *failed
	}
	return lines.Err()
}

// consume TOPIC PARTITIONS COUNT prints so many records as "partition<TAB>key<TAB>value".
func consume(bootstrap string, arguments []string) error {
	topic, partitions, count := arguments[0], number(arguments[1]), number(arguments[2])
	begin := map[int32]kgo.Offset{}
	for partition := range partitions {
		begin[int32(partition)] = kgo.NewOffset().AtStart()
	}
	client, err := connect(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: begin}))
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	for read := 0; read < count; {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d records came: %w", read, count, err)
		}
		for records := fetches.RecordIter(); !records.Done() && read < count; read++ {
			record := records.Next()
			fmt.Fprintf(out, "%d\t%s\t%s\n", record.Partition, record.Key, record.Value)
		}
	}
	return nil
}
