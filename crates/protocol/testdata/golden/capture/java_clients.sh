#!/bin/bash
# Has Kafka's own command line tools do what users do: java_clients.sh BOOTSTRAP DIRECTORY [SASL_BOOTSTRAP]
# K says how to run a tool: "$K topics ..." must do what bin/kafka-topics.sh does. Refusals are frames too.
B=$1 D=$2 S=${3:-}
b() { # b TOOL ARGUMENTS...
  local tool=$1; shift
  timeout 60 $K "$tool" --bootstrap-server "$B" "$@" >>"$D/java.log" 2>&1 || echo "refused: $tool $*"
}
cluster() { # This tool wants its subcommand first.
  timeout 60 $K cluster "$1" --bootstrap-server "$B" "${@:2}" >>"$D/java.log" 2>&1 || echo "refused: cluster $*"
}
b topics --create --topic ja --partitions 2 --config retention.ms=86400000
b topics --create --topic ja-two --replication-factor 2
seq 5 | b console-producer --topic ja-two
b topics --create --topic ja-gone
b topics --create --topic ja
b topics --alter --topic ja --partitions 3
b topics --list
b topics --describe
b topics --delete --topic ja-gone
for codec in none gzip snappy lz4 zstd; do
  seq 40 | sed 's/.*/k&:value & & & &/' |
    b console-producer --topic ja --compression-codec $codec --property parse.key=true --property key.separator=:
done
echo unanswered | b console-producer --topic ja --request-required-acks 0
echo once | b console-producer --topic ja --producer-property enable.idempotence=false --request-required-acks 1
timeout 60 $K producer-perf --topic ja --num-records 20 --record-size 50 --throughput -1 \
  --producer-props bootstrap.servers="$B" --transactional-id java-tx --transaction-duration-ms 200 >>"$D/java.log" 2>&1
b console-consumer --topic ja --from-beginning --timeout-ms 5000 --group ja-classic --isolation-level read_committed
b console-consumer --topic ja --from-beginning --timeout-ms 8000 --group ja-consumer --consumer-property group.protocol=consumer
b console-consumer --include 'j.*' --from-beginning --timeout-ms 5000 --group ja-regex --consumer-property group.protocol=consumer
b console-consumer --topic ja --partition 0 --offset 3 --max-messages 2 --timeout-ms 5000
b configs --alter --entity-type groups --entity-name ja-share --add-config share.auto.offset.reset=earliest
b console-share-consumer --topic ja --timeout-ms 8000 --max-messages 5 --group ja-share
b groups --list
b consumer-groups --list --state
b consumer-groups --describe --group ja-classic
b consumer-groups --describe --group ja-consumer --members --verbose
b consumer-groups --describe --group ja-classic --state
b consumer-groups --group ja-classic --topic ja --reset-offsets --to-earliest --execute
b consumer-groups --group ja-classic --topic ja --delete-offsets
b consumer-groups --group ja-consumer --delete
b consumer-groups --group absent --describe
b share-groups --list
b share-groups --describe --group ja-share
b share-groups --describe --group ja-share --members
b share-groups --group ja-share --topic ja --reset-offsets --to-earliest --execute
b share-groups --group ja-share --topic ja --delete-offsets
b share-groups --group ja-share --delete
b streams-groups --list
for time in -1 -2 -3 -4 -5 -6 1; do b get-offsets --topic ja --time $time; done
echo '{"partitions":[{"topic":"ja","partition":0,"offset":2}],"version":1}' >"$D/records.json"
b delete-records --offset-json-file "$D/records.json"
b configs --describe --entity-type topics --entity-name ja --all
b configs --describe --entity-type brokers --entity-name 1
b configs --alter --entity-type topics --entity-name ja --add-config retention.ms=7200000,no.such.config=1
b configs --alter --entity-type topics --entity-name ja --add-config retention.ms=7200000
b configs --alter --entity-type topics --entity-name ja --delete-config retention.ms
b configs --alter --entity-type users --entity-name alice --add-config producer_byte_rate=1000000
b configs --describe --entity-type users --entity-name alice
b configs --alter --entity-type users --entity-name carol --add-config 'SCRAM-SHA-256=[password=secret]'
b configs --alter --entity-type users --entity-name carol --delete-config SCRAM-SHA-256
b client-metrics --alter --name all --metrics org.apache.kafka.consumer. --interval 5000
b client-metrics --list
b acls --add --allow-principal User:alice --operation Read --topic ja
b acls --list
b acls --remove --allow-principal User:alice --operation Read --topic ja --force
b transactions list
b transactions describe --transactional-id java-tx
b transactions describe-producers --topic ja --partition 0
b transactions abort --topic ja --partition 0 --start-offset 0
b log-dirs --describe
b features describe
b features upgrade --feature group.version=1
b metadata-quorum describe --status
b metadata-quorum describe --replication
cluster cluster-id
cluster list-endpoints --include-fenced-brokers
cluster unregister --id 77
b broker-api-versions
b leader-election --election-type preferred --all-topic-partitions
echo '{"version":1,"partitions":[{"topic":"ja","partition":0,"replicas":[1],"log_dirs":["any"]}]}' >"$D/reassign.json"
b reassign --reassignment-json-file "$D/reassign.json" --execute
b reassign --reassignment-json-file "$D/reassign.json" --verify
b reassign --list
b verifiable-producer --topic ja --max-messages 5
timeout 15 $K verifiable-consumer --bootstrap-server "$B" --topic ja --group-id ja-verifiable --max-messages 5 \
  --group-instance-id static-1 >>"$D/java.log" 2>&1
b topics --delete --topic ja-absent
if [ -n "$S" ]; then
  for mechanism in PLAIN SCRAM-SHA-256; do
    module=plain.PlainLoginModule user=alice password=alice-secret
    [ $mechanism = PLAIN ] || { module=scram.ScramLoginModule user=scram password=scram-secret; }
    cat >"$D/sasl.properties" <<P
security.protocol=SASL_PLAINTEXT
sasl.mechanism=$mechanism
sasl.jaas.config=org.apache.kafka.common.security.$module required username="$user" password="$password";
P
    B=$S
    b topics --list --command-config "$D/sasl.properties"
    b delegation-tokens --command-config "$D/sasl.properties" --create --max-life-time-period -1
    b delegation-tokens --command-config "$D/sasl.properties" --describe
    hmac=$(grep -oE '[A-Za-z0-9+/]{86}==' "$D/java.log" | tail -1)
    b delegation-tokens --command-config "$D/sasl.properties" --renew --renew-time-period -1 --hmac "$hmac"
    b delegation-tokens --command-config "$D/sasl.properties" --expire --expiry-time-period -1 --hmac "$hmac"
  done
fi
